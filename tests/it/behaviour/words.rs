//! Messages about wrong lines, and names of things.

use super::Line;

pub(super) const USAGE: &[Line] = &[
    ("k3c foo", 1, &["=k3c: unknown command: k3c foo\n\nRun 'k3c --help' for more information"]),
    (
        "k3c container foo",
        1,
        &["=k3c: unknown command: k3c container foo\n\nRun 'k3c container --help' for more information"],
    ),
    ("k3c foo 2>/dev/null", 1, &["="]),
    (
        "k3c run",
        1,
        &[
            "=k3c: 'k3c run' requires at least 1 argument\n\nUsage:  k3c run [OPTIONS] IMAGE [COMMAND] [ARG...]\n\n\
           See 'k3c run --help' for more information",
        ],
    ),
    ("k3c exec x", 1, &["'k3c exec' requires at least 2 arguments"]),
    (
        "k3c stop",
        1,
        &["'k3c stop' requires at least 1 argument", "Usage:  k3c stop [OPTIONS] CONTAINER [CONTAINER...]"],
    ),
    ("k3c logs a b", 1, &["'k3c logs' requires 1 argument"]),
    ("k3c rename a", 1, &["'k3c rename' requires 2 arguments"]),
    ("k3c rename a b c", 1, &["'k3c rename' requires 2 arguments"]),
    ("k3c port a b c", 1, &["'k3c port' requires at least 1 and at most 2 arguments"]),
    ("k3c version x", 1, &["'k3c version' accepts no arguments"]),
    (
        "k3c ps --foo",
        125,
        &["=unknown flag: --foo\n\nUsage:  k3c ps [OPTIONS]\n\nRun 'k3c ps --help' for more information"],
    ),
    ("k3c --foo ps", 125, &["unknown flag: --foo"]),
    ("k3c run -Z $DEMO", 125, &["unknown shorthand flag: 'Z' in -Z"]),
    ("k3c run -iZ $DEMO", 125, &["unknown shorthand flag: 'Z' in -Z"]),
    ("k3c run --name", 125, &["flag needs an argument: --name"]),
    ("k3c run -e", 125, &["flag needs an argument: 'e' in -e"]),
    (
        "k3c ps -n x",
        125,
        &["invalid argument \"x\" for \"-n, --last\" flag: strconv.ParseInt: parsing \"x\": invalid syntax"],
    ),
    (
        "k3c run --rm=maybe $DEMO",
        125,
        &[
            "invalid argument \"maybe\" for \"--rm\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ],
    ),
    (
        "k3c run -m abc $DEMO",
        125,
        &["invalid argument \"abc\" for \"-m, --memory\" flag: invalid size: 'abc'"],
    ),
    ("k3c ps --filter name", 125, &["bad format of filter (expected name=value)"]),
    (
        "k3c run --label =x $DEMO",
        125,
        &["invalid argument \"=x\" for \"-l, --label\" flag: invalid label '=x': empty name"],
    ),
    // Flags of the command end at the image, and at the container.
    ("k3c run --rm $DEMO ls -d --color=never /", 0, &["=/"]),
    ("k3c run --rm $DEMO echo --rm -it --help", 0, &["=--rm -it --help"]),
    ("k3c run --rm=true --privileged=false $DEMO echo -- -x", 0, &["=-- -x"]),
    // -h is the host's name in `run`, and help elsewhere.
    ("k3c run --rm -h named $DEMO hostname", 0, &["=named"]),
    ("k3c run --help 2>/dev/null", 0, &["Usage:  k3c run [OPTIONS] IMAGE [COMMAND] [ARG...]"]),
    ("k3c ps -h 2>/dev/null", 0, &["Usage:  k3c ps [OPTIONS]"]),
    ("k3c help ps", 0, &["Usage:  k3c ps [OPTIONS]"]),
    // A signal before anything else takes it ends the client, without words.
    ("timeout --preserve-status -s TERM 1 k3c events --filter container=nobody", 143, &["="]),
    ("timeout --preserve-status -s INT 1 k3c events --filter container=nobody", 130, &["="]),
];

pub(super) const NAMES: &[Line] = &[
    (
        "k3c create --name named $DEMO > named.id; cat named.id | tr -d '0-9a-f\\n'; wc -c < named.id",
        0,
        &["=65"],
    ),
    (
        "for n in named /named $(cat named.id) $(cut -c-12 named.id) $(cut -c-5 named.id); do k3c inspect -f {{.Name}} $n; done | uniq -c",
        0,
        &["=5 /named"],
    ),
    ("test $(k3c inspect -f {{.Config.Hostname}} named) = $(cut -c-12 named.id)", 0, &[]),
    ("k3c ps -a -f name=named --format {{.Names}}", 0, &["=named"]),
    (
        "k3c create --name named $DEMO 2>&1 | sed s/$(cat named.id)/ID/",
        0,
        &[
            "Error response from daemon: Conflict. The container name \"/named\" is already in use by container \"ID\". You have \
           to remove (or rename) that container to be able to reuse that name.",
        ],
    ),
    (
        "k3c run --name named $DEMO",
        125,
        &[
            "k3c: Error response from daemon: Conflict. The container name \"/named\"",
            "Run 'k3c run --help' for more information",
        ],
    ),
    (
        "k3c run --name x $DEMO",
        125,
        &["Invalid container name (x), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"],
    ),
    ("k3c run --name -x $DEMO", 125, &["Invalid container name (-x), only"]),
    ("k3c run --name 'a b' $DEMO", 125, &["Invalid container name (a b), only"]),
    ("k3c rename named x", 1, &["Error when allocating new name: Invalid container name ("]),
    (
        "k3c create --name other $DEMO && k3c rename named other",
        1,
        &["Conflict. The container name \"/other\""],
    ),
    ("k3c rename named named", 1, &["Renaming a container with the same name as its current name"]),
    ("k3c rename nobody some", 1, &["No such container: nobody"]),
    (
        "k3c rename named renamed && k3c ps -a -f id=$(cut -c-12 named.id) --format {{.Names}}",
        0,
        &["=renamed"],
    ),
    ("k3c inspect --type container named", 1, &["No such container: named"]),
    // A full name comes before the beginning of an ID, and two IDs may begin alike.
    (
        "k3c create --name $(cut -c-5 named.id) $DEMO && k3c inspect -f {{.Name}} $(cut -c-5 named.id) | grep -v renamed",
        0,
        &["/"],
    ),
    ("k3c rm renamed other $(cut -c-5 named.id)", 0, &["renamed\nother\n"]),
    (
        "for i in $(seq 17); do k3c create -l twins $DEMO; done > /dev/null; p=$(k3c ps -aqf label=twins | cut -c1 | sort | uniq -d | head -1); \
         k3c stop $p 2>&1 | sed s/$p'$'/P/",
        0,
        &["=Error response from daemon: multiple IDs found with provided prefix: P"],
    ),
    ("k3c ps -aqf label=twins | xargs k3c rm | wc -l", 0, &["=17"]),
    // A container without a name gets one that is made up.
    (
        "k3c run -d -l unnamed $DEMO sleep 100 > /dev/null; k3c ps -f label=unnamed --format {{.Names}} | grep -xcE '[a-z]+_[a-z]+[0-9]?'",
        0,
        &["=1"],
    ),
    ("k3c ps -qf label=unnamed | xargs k3c rm -f | wc -l", 0, &["=1"]),
    // Names of images.
    ("k3c run Foo", 125, &["invalid reference format: repository name (library/Foo) must be lowercase"]),
    ("k3c run --pull never nope", 125, &["k3c: Error response from daemon: No such image: nope:latest"]),
    ("k3c run --pull never docker.io/library/nope:1", 125, &["No such image: nope:1"]),
];

/// Verbs with many names at once: answers in the order of the arguments, as they were typed; mistakes after them.
pub(super) const MANY: &[Line] = &[
    ("for n in one two three; do k3c create --name many-$n $DEMO sleep 100; done | wc -l", 0, &["=3"]),
    (
        "k3c start many-two nope many-one nix /many-three",
        1,
        &[
            "many-two\nmany-one\n/many-three\n",
            "No such container: nope\n",
            "failed to start containers: nope, nix",
        ],
    ),
    ("k3c start many-one many-two 2>/dev/null", 0, &["=many-one\nmany-two"]),
    (
        "k3c stop -t 0 many-two nope many-one nix",
        1,
        &[
            "=many-two\nmany-one\nError response from daemon: No such container: nope\nError response from daemon: No such container: nix",
        ],
    ),
    ("k3c stop -t 0 many-two nope 2>/dev/null", 1, &["=many-two"]),
    (
        "k3c kill many-three nope",
        1,
        &["=many-three\nError response from daemon: cannot kill container: nope: No such container: nope"],
    ),
    ("k3c wait many-one many-two many-three", 0, &["=137\n137\n137"]),
    ("k3c restart -t 0 many-three many-one", 0, &["=many-three\nmany-one"]),
    ("k3c pause nope many-one", 1, &["No such container: nope"]),
    ("k3c unpause many-one many-three", 1, &["is not paused"]),
    ("k3c update --restart no nope many-two", 1, &["many-two\n", "No such container: nope"]),
    ("k3c inspect -f {{.Name}} many-two nope many-one 2>/dev/null", 1, &["=/many-two\n/many-one"]),
    ("k3c rm -f many-three nope many-one many-two 2>/dev/null", 0, &["=many-three\nmany-one\nmany-two"]),
];

/// Docker's own settings and variables.
pub(super) const SETTINGS: &[Line] = &[
    (
        "mkdir -p cfg; echo '{\"psFormat\": \"<{{.Names}}>\"}' > cfg/config.json; k3c create --name set $DEMO | wc -c",
        0,
        &["=65"],
    ),
    ("DOCKER_CONFIG=cfg k3c ps -af name=set", 0, &["=<set>"]),
    ("DOCKER_CONFIG=cfg k3c ps -af name=set --format {{.Names}}", 0, &["=set"]),
    ("DOCKER_CONFIG=cfg k3c ps -qaf name=set 2>&1 | wc -c", 0, &["=13"]),
    ("k3c rm set", 0, &["=set"]),
    (
        "echo '{\"proxies\": {\"default\": {\"httpProxy\": \"http://p:1\", \"noProxy\": \"x\"}}}' > cfg/config.json; \
         DOCKER_CONFIG=cfg k3c run --rm -e no_proxy=mine $DEMO env | grep -i proxy | sort | xargs",
        0,
        &["=HTTP_PROXY=http://p:1 NO_PROXY=x http_proxy=http://p:1 no_proxy=mine"],
    ),
    (
        "echo '{\"detachKeys\": \"ctrl-1\"}' > cfg/config.json; DOCKER_CONFIG=cfg k3c run --rm $DEMO true",
        1,
        &["invalid detach keys (ctrl-1)"],
    ),
    ("rm -r cfg", 0, &[]),
];
