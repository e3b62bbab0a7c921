//! `run`, `exec`, `attach`: streams, exit codes, environment, terminals.

use super::Line;

pub(super) const RUN: &[Line] = &[
    ("k3c run --rm $DEMO sh -c 'echo out; echo err >&2' 2>/dev/null", 0, &["=out"]),
    ("k3c run --rm $DEMO sh -c 'echo out; echo err >&2' 2>&1 >/dev/null", 0, &["=err"]),
    ("k3c run --rm -a stderr $DEMO sh -c 'echo out; echo err >&2'", 0, &["=err"]),
    ("echo hi | k3c run --rm -i $DEMO cat", 0, &["=hi"]),
    ("echo hi | k3c run --rm $DEMO cat", 0, &["="]),
    ("printf 'a\\nb\\n' | k3c run --rm -i $DEMO sh -c 'read x; echo $x; cat'", 0, &["=a\nb"]),
    ("echo hi | k3c run --rm -a stdin -a stdout -i $DEMO cat", 0, &["=hi"]),
    (
        "k3c run --rm -a foo $DEMO true",
        125,
        &["invalid argument \"foo\" for \"-a, --attach\" flag: valid streams are STDIN, STDOUT and STDERR"],
    ),
    (
        "k3c run -d -a stdout $DEMO true",
        125,
        &[
            "=k3c: conflicting options: cannot specify both --attach and --detach\n\nRun 'k3c run --help' for more information",
        ],
    ),
    (
        "k3c run -d --name bg $DEMO sleep 100 | tr -d '0-9a-f\\n' | wc -c; k3c inspect -f {{.State.Running}} bg",
        0,
        &["=0\ntrue"],
    ),
    ("k3c rm -f bg", 0, &["=bg"]),
    // An image that is not there: when it is pulled.
    (
        "k3c run --pull x $DEMO",
        125,
        &[
            "=k3c: invalid pull option: 'x': must be one of \"always\", \"missing\" or \"never\"\n\nRun 'k3c run --help' for more information",
        ],
    ),
    ("k3c run --rm --pull missing $DEMO echo here", 0, &["=here"]),
    ("k3c run 127.0.0.1:1/x/y true 2>/dev/null", 125, &["="]),
    (
        "k3c run 127.0.0.1:1/x/y true",
        125,
        &[
            "Unable to find image '127.0.0.1:1/x/y:latest' locally\n",
            "k3c: Error response from daemon: ",
            "connection refused",
        ],
    ),
    ("k3c run -q 127.0.0.1:1/x/y true", 125, &["!Unable to find image"]),
    ("k3c run --pull always 127.0.0.1:1/x/y true", 125, &["!Unable to find image", "connection refused"]),
    // The container's ID in a file.
    ("k3c run --rm --cidfile run.cid $DEMO true; tr -d '0-9a-f' < run.cid; wc -c < run.cid", 0, &["=64"]),
    (
        "k3c run --cidfile run.cid $DEMO true",
        125,
        &["container ID file found, make sure the other container isn't running or delete run.cid"],
    ),
    ("k3c run --cidfile run2.cid --name 'no good' $DEMO true; ls run2.cid", 2, &["No such file"]),
    ("rm run.cid", 0, &[]),
    // A `--rm` container is gone when the command returns, with its volumes.
    (
        "k3c volume ls -q | sort > before; k3c run --rm --name gone -v /anon $DEMO true; k3c ps -aqf name=gone; k3c volume ls -q | sort | comm -13 before - | grep -c anon; rm before",
        0,
        &["=0"],
    ),
    // A reader that leaves early lets the container go on to its end.
    (
        "k3c run --rm --name gone $DEMO seq 1 1000000 | head -1; for i in $(seq 60); do test -n \"$(k3c ps -aqf name=gone)\" || break; sleep 1; done; k3c ps -aqf name=gone",
        0,
        &["=1"],
    ),
    (
        "k3c run -d --rm --name gone $DEMO true > /dev/null; for i in $(seq 60); do test -n \"$(k3c ps -aqf name=gone)\" || break; sleep 1; done; k3c ps -aqf name=gone",
        0,
        &["="],
    ),
    (
        "k3c run --rm --restart always $DEMO true",
        125,
        &["conflicting options: cannot specify both --restart and --rm"],
    ),
    (
        "k3c run --restart foo $DEMO true",
        125,
        &[
            "invalid restart policy: unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
        ],
    ),
    (
        "k3c run --restart always:3 $DEMO true",
        125,
        &["maximum retry count can only be used with 'on-failure'"],
    ),
    ("k3c run --restart on-failure:x $DEMO true", 125, &["maximum retry count must be an integer"]),
    ("k3c run --stop-signal FOO $DEMO true", 125, &["invalid signal: FOO"]),
    (
        "k3c create --name two-step -i $DEMO sh -c 'cat; exit 5' | wc -c; echo typed | k3c start -ai two-step",
        5,
        &["=65\ntyped"],
    ),
    ("k3c start -a two-step nobody", 1, &["you cannot start and attach multiple containers at once"]),
    ("k3c start -a nobody", 1, &["No such container: nobody"]),
    ("k3c rm two-step", 0, &["=two-step"]),
    (
        "k3c create --name later $DEMO sh -c 'echo out; exit 5' > /dev/null; k3c start --sig-proxy=false -a later",
        5,
        &["=out"],
    ),
    ("k3c rm later", 0, &["=later"]),
    ("k3c run --entrypoint echo --rm $DEMO a b", 0, &["=a b"]),
    ("k3c run --entrypoint '' --rm $DEMO echo c", 0, &["=c"]),
];

pub(super) const EXIT_CODES: &[Line] = &[
    ("k3c run --rm $DEMO sh -c 'exit 255'", 255, &["="]),
    ("k3c run --rm $DEMO false", 1, &["="]),
    (
        "k3c run --name code $DEMO /etc/passwd",
        126,
        &["k3c: Error response from daemon: ", "\"/etc/passwd\": permission denied"],
    ),
    (
        "k3c inspect -f '{{.State.Status}} {{.State.ExitCode}}' code; k3c ps -af name=code --format {{.Status}}; k3c rm code",
        0,
        &["=created 126\nCreated\ncode"],
    ),
    ("k3c run --rm $DEMO /etc", 126, &["is a directory"]),
    ("k3c run --name code $DEMO nope", 127, &["\"nope\": executable file not found in $PATH"]),
    (
        "k3c inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}' code",
        0,
        &["created 127 ", "executable file not found"],
    ),
    ("k3c start code", 1, &["executable file not found", "failed to start containers: code"]),
    ("k3c rm code", 0, &["=code"]),
    ("k3c run --rm $DEMO /no/such", 127, &["no such file or directory"]),
    ("k3c run -d --rm $DEMO nope", 127, &["executable file not found"]),
    ("k3c create --name code $DEMO nope > /dev/null; k3c start -a code", 1, &["executable file not found"]),
    ("k3c rm code", 0, &["=code"]),
    ("k3c run --rm --init $DEMO sh -c 'kill -KILL $$'", 137, &["="]),
    ("k3c run --rm --init $DEMO sh -c 'kill -INT $$'", 130, &["="]),
    (
        "k3c run --name code -d $DEMO sleep 100 > /dev/null; (sleep 1; k3c kill code > /dev/null) & k3c attach code",
        137,
        &["="],
    ),
    (
        "k3c start code; (sleep 1; k3c stop -t 0 code > /dev/null) & k3c attach --no-stdin code",
        137,
        &["=code"],
    ),
    ("k3c rm code", 0, &["=code"]),
    (
        "k3c run -u nobody-here $DEMO true",
        125,
        &["unable to find user nobody-here: no matching entries in passwd file"],
    ),
    ("k3c run -u 70000:1 $DEMO true", 125, &["user 70000 is beyond the 65537 ids that containers have here"]),
    ("k3c run --group-add 70000 $DEMO true", 125, &["group 70000 is beyond the 65537 ids"]),
    ("k3c run -u 5000000000 $DEMO true", 125, &["uids and gids must be in range 0-2147483647"]),
    ("k3c run --cap-add foo $DEMO true", 125, &["invalid CapAdd: unknown capability: \"CAP_FOO\""]),
    ("k3c run -m 1m $DEMO true", 125, &["Error response from daemon: Minimum memory limit allowed is 6MB"]),
    ("k3c run --memory-swap 1g $DEMO true", 125, &["You should always set the Memory limit when using"]),
    ("k3c run -h $(head -c 65 /dev/zero | tr '\\0' a) $DEMO true", 125, &["invalid hostname"]),
    ("k3c run '' true", 125, &["k3c: invalid reference format\n"]),
    (
        "k3c run -w rel $DEMO true",
        125,
        &["the working directory 'rel' is invalid, it needs to be an absolute path"],
    ),
];

/// Folders of the host, volumes, working directories.
pub(super) const PLACES: &[Line] = &[
    ("k3c run --rm -w /made/deep $DEMO pwd", 0, &["=/made/deep"]),
    ("k3c run --rm -v $PWD/places/new:/x $DEMO touch /x/f; ls places/new", 0, &["=f"]),
    (
        "k3c run --rm --mount type=bind,src=/no/such,dst=/x $DEMO true",
        125,
        &["invalid mount config for type \"bind\": bind source path does not exist: /no/such"],
    ),
    ("k3c run --rm -v $PWD/places:/x:ro $DEMO touch /x/new/f2", 1, &["Read-only file system"]),
    (
        "k3c run --rm -v $PWD/places:/x:ro -v $PWD/places/new:/x/new $DEMO sh -c 'touch /x/new/f3; touch /x/f4'",
        1,
        &["/x/f4: Read-only file system"],
    ),
    ("cd places && k3c run --rm -v ./new:/x $DEMO ls /x", 0, &["=f\nf3"]),
    (
        "k3c run --rm -v rel/x:/x $DEMO true",
        125,
        &[
            "create rel/x: \"rel/x\" includes invalid characters for a local volume name",
            "If you intended to pass a host directory, use absolute path",
        ],
    ),
    (
        "k3c run --rm -v /tmp:rel $DEMO true",
        125,
        &[
            "invalid volume specification: '/tmp:rel': invalid mount config for type \"bind\": invalid mount path: 'rel' mount path must be absolute",
        ],
    ),
    ("k3c run --rm -v /tmp:/ $DEMO true", 125, &["destination can't be '/'"]),
    ("k3c run --rm -v /tmp:/x:foo $DEMO true", 125, &["invalid mode: foo"]),
    (
        "k3c run --rm --mount foo $DEMO true",
        125,
        &["invalid argument \"foo\" for \"--mount\" flag: invalid field 'foo' must be a key=value pair"],
    ),
    // A volume is filled by the first container that uses it.
    (
        "k3c run --rm -v filled:/etc $DEMO test -e /etc/passwd && k3c run --rm -v filled:/x $DEMO ls /x",
        0,
        &["group\n", "passwd\n"],
    ),
    ("k3c run --rm -v filled:/x:ro $DEMO touch /x/y", 1, &["Read-only file system"]),
    ("k3c volume rm filled", 0, &["=filled"]),
    ("rm -rf places 2>/dev/null || k3c run --rm -v $PWD:/x $DEMO rm -r /x/places", 0, &["="]),
];

pub(super) const ENVIRONMENT: &[Line] = &[
    (
        "HERE=y k3c run --rm -e HERE -e GONE -e EMPTY= -e SET='a b' $DEMO env | grep -E 'HERE|GONE|EMPTY|SET' | sort | xargs -d '\\n' -n1 echo :",
        0,
        &["=: EMPTY=\n: HERE=y\n: SET=a b"],
    ),
    (
        "printf '# no\\n\\nA=\"q\" $x\\n  B=2\\nHERE\\n' > vars.env; HERE=y k3c run --rm --env-file vars.env -e B=3 $DEMO env | grep -E '^(A|B|HERE)=' | sort",
        0,
        &["=A=\"q\" $x\nB=3\nHERE=y"],
    ),
    (
        "echo =x > vars.env; k3c run --rm --env-file vars.env $DEMO env",
        125,
        &["no variable name on line '=x'"],
    ),
    (
        "echo 'a b=x' > vars.env; k3c run --rm --env-file vars.env $DEMO env",
        125,
        &["variable 'a b' contains whitespaces"],
    ),
    (
        "rm vars.env; k3c run --rm --env-file vars.env $DEMO env",
        125,
        &["k3c: open vars.env: no such file or directory"],
    ),
    ("k3c run --rm -u nobody:77 $DEMO sh -c 'id -u; id -g'", 0, &["=65534\n77"]),
    ("k3c run --rm $DEMO sh -c 'echo $HOME $HOSTNAME | wc -c'", 0, &["=19"]),
    (
        "k3c run --rm -h box --add-host a.b:1.2.3.4 --add-host c=1.2.3.5 $DEMO cat /etc/hosts",
        0,
        &["127.0.0.1\tlocalhost\n", "1.2.3.4\ta.b\n1.2.3.5\tc\n", "\tbox\n"],
    ),
    ("k3c run --rm -t $DEMO sh -c 'echo $TERM'", 0, &["=xterm"]),
    // The user's groups, by the image's files: a group that is asked for stands alone.
    (
        "k3c run --name grouped $DEMO sh -c 'echo video:x:44:root,nobody >> /etc/group' && k3c commit grouped my/grouped > /dev/null && k3c rm grouped",
        0,
        &["=grouped"],
    ),
    ("k3c run --rm -u nobody my/grouped id -G", 0, &["=65534 44"]),
    ("k3c run --rm -u nobody:users my/grouped id -G", 0, &["=100"]),
    ("k3c run --rm -u root:nobody my/grouped id -G", 0, &["=65534"]),
    ("k3c run --rm -u root:nobody --group-add 77 my/grouped id -G", 0, &["=65534 77"]),
    ("k3c run -d --name grouped --group-add 77 my/grouped sleep 100 | wc -c", 0, &["=65"]),
    (
        "k3c exec grouped id -G; k3c exec -u nobody grouped id -G; k3c exec -u nobody:users grouped id -G",
        0,
        &["=0 44 77\n65534 44 77\n100 77"],
    ),
    ("k3c rm -f grouped && k3c rmi my/grouped", 0, &["Untagged: my/grouped"]),
];

/// Lines with a terminal, which `script` makes.
pub(super) const TERMINALS: &[Line] = &[
    ("k3c run --name no-tty -it $DEMO true; k3c ps -aqf name=no-tty", 0, &["=the input device is not a TTY"]),
    ("k3c run -it $DEMO true", 1, &[]),
    ("k3c run --rm -t $DEMO tty", 0, &["=/dev/pts/0"]),
    (
        "k3c run --rm -t $DEMO sh -c 'echo out; echo err >&2' 2>/dev/null | od -c | head -1",
        0,
        &["o   u   t  \\r  \\n   e   r   r  \\r  \\n"],
    ),
    ("script -qec 'k3c run --rm -it $DEMO tty' /dev/null", 0, &["/dev/pts/0"]),
    ("script -qec 'k3c run --rm -it $DEMO sh -c \"exit 6\"' /dev/null", 6, &[]),
    ("script -qec 'stty rows 33 cols 77; k3c run --rm -it $DEMO stty size' /dev/null", 0, &["33 77"]),
    ("k3c run -d --name tty-box -it $DEMO sh | wc -c", 0, &["=65"]),
    ("k3c exec -it tty-box tty", 1, &["=the input device is not a TTY"]),
    ("k3c attach tty-box", 1, &["=the input device is not a TTY"]),
    ("k3c exec -t tty-box tty", 0, &["/dev/pts/"]),
    (
        "script -qec 'stty rows 33 cols 77; k3c exec -it tty-box sh -c \"stty size; exit 8\"' /dev/null",
        8,
        &["33 77"],
    ),
    (
        "script -qec 'stty rows 31 cols 79; k3c create --name sized -it $DEMO sh' /dev/null | wc -c; k3c inspect -f '{{.HostConfig.ConsoleSize}}' sized; k3c rm sized",
        0,
        &["[31 79]\nsized"],
    ),
    // Detach keys work in a client with a terminal, and leave the container running.
    (
        "(sleep 2; printf '\\020\\021'; sleep 1) | script -qec 'k3c attach tty-box' /dev/null",
        1,
        &["read escape sequence"],
    ),
    (
        "(sleep 2; printf 'ab'; sleep 1) | script -qec 'k3c attach --detach-keys a,b tty-box' /dev/null",
        1,
        &["read escape sequence"],
    ),
    (
        "(sleep 2; printf '\\020\\021'; sleep 1) | script -qec 'k3c exec -it tty-box sh' /dev/null",
        1,
        &["read escape sequence"],
    ),
    (
        "(sleep 3; printf '\\020\\021'; sleep 1) | script -qec 'k3c run -it --name tty-two $DEMO sh' /dev/null",
        0,
        &["!read escape sequence"],
    ),
    ("k3c inspect -f {{.State.Running}} tty-box tty-two", 0, &["=true\ntrue"]),
    ("k3c run --detach-keys ctrl-1 --name no-keys $DEMO true", 1, &["invalid detach keys (ctrl-1): "]),
    ("k3c ps -aqf name=no-keys", 0, &["="]),
    ("k3c exec --detach-keys foo tty-box true", 1, &["(foo)"]),
    ("k3c rm -f tty-box tty-two", 0, &["=tty-box\ntty-two"]),
    // A message for people is shown on a terminal only.
    ("k3c create --name tty-cp $DEMO > /dev/null; echo x > tty.cp; k3c cp tty.cp tty-cp:/f", 0, &["="]),
    ("script -qec 'k3c cp tty.cp tty-cp:/f' /dev/null", 0, &["Successfully copied 2.05kB to tty-cp:/f"]),
    ("script -qec 'k3c cp tty.cp tty-cp:/f 2>/dev/null' /dev/null", 0, &["!Successfully"]),
    ("script -qec 'k3c cp tty.cp tty-cp:/f >/dev/null' /dev/null", 0, &["!Successfully"]),
    ("script -qec 'k3c cp -q tty.cp tty-cp:/f' /dev/null", 0, &["!Successfully"]),
    (
        "script -qec 'k3c export tty-cp' /dev/null",
        1,
        &["cowardly refusing to save to a terminal. Use the -o flag or redirect"],
    ),
    ("k3c rm tty-cp; rm tty.cp", 0, &["=tty-cp"]),
];

pub(super) const EXEC: &[Line] = &[
    ("k3c run -d --name ex -e A=1 -w /tmp $DEMO sleep 1000 | wc -c", 0, &["=65"]),
    ("k3c exec ex sh -c 'echo out; echo err >&2; exit 42' 2>/dev/null", 42, &["=out"]),
    ("echo typed | k3c exec -i ex cat", 0, &["=typed"]),
    ("echo typed | k3c exec ex cat", 0, &["="]),
    ("HERE=y k3c exec -e A=2 -e HERE ex sh -c 'echo $A $HERE $PWD $(id -u)'", 0, &["=2 y /tmp 0"]),
    ("echo A=3 > ex.env; k3c exec --env-file ex.env ex sh -c 'echo $A'; rm ex.env", 0, &["=3"]),
    ("k3c exec -w / -u 1:2 ex sh -c 'pwd; id -u; id -g'", 0, &["=/\n1\n2"]),
    ("k3c exec --privileged ex grep CapEff /proc/self/status | grep -c ffffff", 0, &["=1"]),
    ("k3c exec ex ls -d /", 0, &["=/"]),
    ("k3c exec -d ex touch /tmp/done; until k3c exec ex test -e /tmp/done; do sleep 0.1; done", 0, &["="]),
    ("k3c exec -d ex nope; k3c exec ex true", 0, &[]),
    (
        "k3c exec ex nope",
        127,
        &[
            "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nope\": executable file not found in $PATH",
        ],
    ),
    ("k3c exec ex nope 2>/dev/null", 127, &["="]),
    ("k3c exec ex /etc/passwd", 126, &["\"/etc/passwd\": permission denied"]),
    ("k3c exec nobody true", 1, &["=Error response from daemon: No such container: nobody"]),
    ("k3c exec -u nobody-here ex true", 126, &["unable to find user nobody-here"]),
    ("k3c exec -w rel ex true", 126, &["Cwd must be an absolute path"]),
    ("k3c exec -w /nosuch ex true", 126, &["chdir to cwd (\"/nosuch\")", "no such file or directory"]),
    ("k3c exec -w /etc/passwd ex true", 126, &["not a directory"]),
    // Settings of a container that CRI has no words for are an exec's too.
    (
        "k3c run -d --name limited --ulimit nofile=100:200 -e TERM=vt100 --oom-score-adj 500 \
         --security-opt no-new-privileges --health-cmd 'test $(ulimit -n) = 100' --health-interval 200ms $DEMO sleep 1000 | wc -c",
        0,
        &["=65"],
    ),
    (
        "k3c exec limited sh -c 'ulimit -n; ulimit -Hn; echo $TERM; cat /proc/self/oom_score_adj; grep NoNew /proc/self/status'",
        0,
        &["=100\n200\nvt100\n500\nNoNewPrivs:\t1"],
    ),
    (
        "for i in $(seq 100); do s=$(k3c inspect -f {{.State.Health.Status}} limited); test $s = starting || break; sleep 0.1; done; echo $s",
        0,
        &["=healthy"],
    ),
    (
        "k3c exec -t limited sh -c 'echo $TERM'; k3c exec -te TERM=dumb limited sh -c 'echo $TERM'",
        0,
        &["vt100\r\ndumb"],
    ),
    (
        "k3c run -dt --name terminal $DEMO sleep 1000 | wc -c; k3c exec terminal sh -c 'echo $TERM.'",
        0,
        &["=65\n."],
    ),
    ("k3c exec -t terminal sh -c 'echo $TERM'", 0, &["=xterm"]),
    ("k3c rm -f limited terminal", 0, &["=limited\nterminal"]),
    (
        "k3c pause ex && k3c exec ex true",
        1,
        &["Error response from daemon: Container ex is paused, unpause the container before exec"],
    ),
    ("k3c unpause ex && k3c kill ex && k3c wait ex", 0, &["ex\n137"]),
    (
        "k3c exec ex true 2>&1 | sed 's/[0-9a-f]\\{64\\}/ID/'",
        0,
        &["=Error response from daemon: container ID is not running"],
    ),
    ("k3c rm ex", 0, &["=ex"]),
];
