//! Fate of each flag of Docker's `run` and `create` (v29) and of `buildx build` (v0.30). `FLAGS.md` beside the command line is made from this table,
//! and the tests compare it with the parser.

use Fate::{Done, Ignored, Refused, Warned};

/// Fate of one of Docker's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// As in Docker.
    Done,
    /// Applied where the host can; else a warning, and `inspect` shows that it was dropped.
    Warned(&'static str),
    /// Taken, and without meaning here.
    Ignored(&'static str),
    /// An error that says why.
    Refused(&'static str),
}

const CONTROLLER: &str = "needs its cgroup controller delegated to the user";
const WINDOWS: &str = "it is for Windows containers";
const MODES: &str = "no gw-priority, driver-opt and link-local-ip";
const OLD_KERNEL: &str = "cgroup v2 has no such setting";

/// A flag by name, and by letter where it has one.
type Row = (&'static str, Option<char>, Fate);

/// Flags of `run` and `create`.
const FLAGS: &[Row] = &[
    (
        "add-host",
        None,
        Warned("an ordinary user's `host-gateway` needs `host-loopback = true` in config.toml"),
    ),
    ("annotation", None, Done),
    ("attach", Some('a'), Done),
    ("blkio-weight", None, Warned(CONTROLLER)),
    ("blkio-weight-device", None, Warned(CONTROLLER)),
    ("cap-add", None, Done),
    ("cap-drop", None, Done),
    ("cgroup-parent", None, Warned("below the cgroup that is delegated to the daemon")),
    ("cgroupns", None, Done),
    ("cidfile", None, Done),
    ("cpu-count", None, Refused(WINDOWS)),
    ("cpu-percent", None, Refused(WINDOWS)),
    ("cpu-period", None, Warned(CONTROLLER)),
    ("cpu-quota", None, Warned(CONTROLLER)),
    ("cpu-rt-period", None, Refused(OLD_KERNEL)),
    ("cpu-rt-runtime", None, Refused(OLD_KERNEL)),
    ("cpu-shares", Some('c'), Warned(CONTROLLER)),
    ("cpus", None, Warned(CONTROLLER)),
    ("cpuset-cpus", None, Warned(CONTROLLER)),
    ("cpuset-mems", None, Warned(CONTROLLER)),
    ("detach", Some('d'), Done),
    ("detach-keys", None, Done),
    ("device", None, Warned("rootless, the device is bound: its permissions on the host stay in force")),
    ("device-cgroup-rule", None, Refused("an ordinary user cannot load the program that would enforce it")),
    ("device-read-bps", None, Warned(CONTROLLER)),
    ("device-read-iops", None, Warned(CONTROLLER)),
    ("device-write-bps", None, Warned(CONTROLLER)),
    ("device-write-iops", None, Warned(CONTROLLER)),
    ("disable-content-trust", None, Refused("there is no content trust to disable")),
    ("dns", None, Done),
    ("dns-option", None, Done),
    ("dns-search", None, Done),
    ("domainname", None, Done),
    ("entrypoint", None, Done),
    ("env", Some('e'), Done),
    ("env-file", None, Done),
    ("expose", None, Done),
    ("gpus", None, Refused("no driver for graphics cards is known: give their device files with --device")),
    ("group-add", None, Done),
    ("health-cmd", None, Done),
    ("health-interval", None, Done),
    ("health-retries", None, Done),
    ("health-start-interval", None, Done),
    ("health-start-period", None, Done),
    ("health-timeout", None, Done),
    ("hostname", Some('h'), Done),
    ("init", None, Done),
    ("interactive", Some('i'), Done),
    ("io-maxbandwidth", None, Refused(WINDOWS)),
    ("io-maxiops", None, Refused(WINDOWS)),
    ("ip", None, Done),
    ("ip6", None, Done),
    ("ipc", None, Done),
    ("isolation", None, Refused(WINDOWS)),
    ("kernel-memory", None, Refused(OLD_KERNEL)),
    ("label", Some('l'), Done),
    ("label-file", None, Done),
    ("link", None, Warned("names alone: no variables of the other container's")),
    ("link-local-ip", None, Refused("a container has the kernel's own link-local address")),
    (
        "log-driver",
        None,
        Warned("json-file, journald and none; others are refused. `logs` reads what went to journald, too"),
    ),
    (
        "log-opt",
        None,
        Warned(
            "max-size and max-file (10m and 5 unless given); labels, labels-regex, env, env-regex and tag, also of \
             journald; others are refused",
        ),
    ),
    ("mac-address", None, Done),
    ("memory", Some('m'), Warned(CONTROLLER)),
    ("memory-reservation", None, Warned(CONTROLLER)),
    ("memory-swap", None, Warned(CONTROLLER)),
    ("memory-swappiness", None, Refused(OLD_KERNEL)),
    ("mount", None, Warned("bind, volume, tmpfs and image; no options of volume drivers")),
    ("name", None, Done),
    ("network", None, Warned(MODES)),
    ("network-alias", None, Done),
    ("no-healthcheck", None, Done),
    ("oom-kill-disable", None, Warned(OLD_KERNEL)),
    ("oom-score-adj", None, Warned("an ordinary user can only raise it")),
    ("pid", None, Done),
    ("pids-limit", None, Warned(CONTROLLER)),
    (
        "platform",
        None,
        Warned("another architecture needs the kernel's handler for its programs (binfmt_misc)"),
    ),
    ("privileged", None, Warned("rootless, all that the user himself may do")),
    ("publish", Some('p'), Warned("tcp and udp; sctp is refused")),
    ("publish-all", Some('P'), Done),
    ("pull", None, Done),
    ("quiet", Some('q'), Done),
    ("read-only", None, Done),
    ("restart", None, Done),
    ("rm", None, Done),
    (
        "runtime",
        None,
        Ignored("k3c's own shim and runc serve under all names of theirs; other names are refused"),
    ),
    (
        "security-opt",
        None,
        Warned("seccomp, no-new-privileges, systempaths, as root apparmor; no SELinux labels"),
    ),
    ("shm-size", None, Done),
    ("sig-proxy", None, Done),
    ("stop-signal", None, Done),
    ("stop-timeout", None, Done),
    ("storage-opt", None, Refused("the snapshotter has no quota")),
    ("sysctl", None, Done),
    ("tmpfs", None, Done),
    ("tty", Some('t'), Done),
    ("ulimit", None, Warned("rootless, no hard limit above the user's own: it is refused")),
    ("use-api-socket", None, Refused("mount the socket with -v; whoever has it is the user")),
    ("user", Some('u'), Done),
    ("userns", None, Warned("host, the daemon's own; a pod with another one is made through CRI")),
    ("uts", None, Done),
    ("volume", Some('v'), Done),
    ("volume-driver", None, Refused("volumes are folders of the daemon: there are no other drivers")),
    ("volumes-from", None, Done),
    ("workdir", Some('w'), Done),
];

const STEPS: &str = "the steps of a build have the limits of the daemon's own cgroup";

/// Flags of `build`.
const BUILD: &[Row] = &[
    ("add-host", None, Warned("`host-gateway` is refused: steps of builds have no way to the host")),
    (
        "allow",
        None,
        Warned("`network.host` is granted; `security.insecure` and devices are refused by the daemon"),
    ),
    ("annotation", None, Done),
    ("attest", None, Warned("what it makes of an image is an index")),
    ("build-arg", None, Done),
    ("build-context", None, Done),
    (
        "builder",
        None,
        Warned(
            "an address (`tcp://`, `unix://`, `ssh://`) instead of a name, or `default`: the daemon's own",
        ),
    ),
    ("cache-from", None, Done),
    ("cache-to", None, Warned("`reset` of `type=local` is refused")),
    ("call", None, Done),
    ("cgroup-parent", None, Warned("only as root: a rootless BuildKit makes no cgroups, so it is refused")),
    ("check", None, Done),
    ("compress", None, Ignored("a context is never packed")),
    ("cpu-period", None, Refused(STEPS)),
    ("cpu-quota", None, Refused(STEPS)),
    ("cpu-shares", Some('c'), Refused(STEPS)),
    ("cpuset-cpus", None, Refused(STEPS)),
    ("cpuset-mems", None, Refused(STEPS)),
    ("disable-content-trust", None, Refused("there is no content trust to disable")),
    ("file", Some('f'), Warned("not from the web: `-f -` takes what `curl` fetched")),
    ("force-rm", None, Ignored("there are no intermediate containers")),
    ("iidfile", None, Done),
    ("isolation", None, Refused("it is for Windows containers")),
    ("label", None, Done),
    ("load", None, Done),
    ("memory", Some('m'), Refused(STEPS)),
    ("memory-swap", None, Refused(STEPS)),
    ("metadata-file", None, Done),
    ("network", None, Warned("`default`, `none` and `host`, as BuildKit has them")),
    ("no-cache", None, Done),
    ("no-cache-filter", None, Done),
    ("output", Some('o'), Warned("`tar=false` of `type=oci` only, no `mode=delete`")),
    (
        "platform",
        None,
        Warned("for another architecture, a `RUN` needs an emulator that is registered with the kernel"),
    ),
    ("policy", None, Refused("source policies are checked by a client of BuildKit's that k3c is not")),
    ("progress", None, Done),
    ("provenance", None, Warned("what it makes of an image is an index")),
    ("pull", None, Done),
    ("push", None, Done),
    ("quiet", Some('q'), Done),
    ("resource", None, Refused(STEPS)),
    ("rm", None, Ignored("there are no intermediate containers")),
    ("sbom", None, Warned("what it makes of an image is an index")),
    ("secret", None, Done),
    ("security-opt", None, Refused("BuildKit has `RUN --security`")),
    ("shm-size", None, Done),
    ("squash", None, Refused("BuildKit has no such thing: copy from one stage into another")),
    ("ssh", None, Done),
    ("tag", Some('t'), Done),
    ("target", None, Done),
    ("ulimit", None, Warned("rootless, no hard limit above the user's own: BuildKit refuses it")),
];

/// The table of a command; none for those that have all of Docker's flags.
fn table(verb: &str) -> &'static [Row] {
    match verb {
        "run" | "create" => FLAGS,
        "build" => BUILD,
        _ => &[],
    }
}

/// Why a flag of Docker's is not there: its name and the reason.
pub(crate) fn refusal(verb: &str, name: &str) -> Option<(&'static str, &'static str)> {
    table(verb).iter().find(|(flag, ..)| *flag == name).and_then(why)
}

/// Refusal of a flag, found by its letter.
pub(crate) fn refusal_of_letter(verb: &str, letter: char) -> Option<(&'static str, &'static str)> {
    table(verb).iter().find(|(_, short, _)| *short == Some(letter)).and_then(why)
}

fn why((name, _, fate): &Row) -> Option<(&'static str, &'static str)> {
    match fate {
        Refused(why) => Some((name, why)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn document() -> String {
        let run = "# Flags of `run` and `create`\n\n\
            What became of each of Docker's. Made by a test from `options/flags.rs`; do not edit.\n\n";
        let build = "\n# Flags of `build`\n\nWhat became of each of `docker buildx build`'s.\n\n";
        format!("{run}{}{build}{}", rows(FLAGS), rows(BUILD))
    }

    fn rows(table: &[Row]) -> String {
        let mut text = "| Flag | | Notes |\n|---|---|---|\n".to_owned();
        for (name, short, fate) in table {
            let short = short.map_or_else(String::new, |letter| format!("`-{letter}`, "));
            let (word, note) = match fate {
                Done => ("done", ""),
                Warned(note) => ("done, within limits", *note),
                Ignored(note) => ("accepted", *note),
                Refused(note) => ("refused", *note),
            };
            text.push_str(&format!("| {short}`--{name}` | {word} | {note} |\n"));
        }
        text
    }

    #[test]
    fn every_flag_has_its_row() {
        let tree = command::tree();
        for verb in ["run", "create", "build"] {
            let rows = table(verb);
            let command = tree.find_subcommand(verb).unwrap();
            let parsed: Vec<(&str, Option<char>)> = command
                .get_opts()
                .filter_map(|arg| Some((arg.get_long()?, arg.get_short())))
                .filter(|(long, _)| *long != "help")
                .collect();
            for (long, short) in &parsed {
                let row = rows.iter().find(|(name, ..)| name == long);
                let (_, letter, fate) =
                    row.unwrap_or_else(|| panic!("--{long} of {verb} is not in the table"));
                assert!(!matches!(fate, Refused(_)), "--{long} is parsed, and said to be refused");
                assert_eq!(letter, short, "--{long}");
            }
            if verb != "create" {
                for (name, _, fate) in rows.iter().filter(|(_, _, fate)| !matches!(fate, Refused(_))) {
                    assert!(
                        parsed.iter().any(|(long, _)| long == name),
                        "--{name} is {fate:?}, and not parsed"
                    );
                }
            }
        }
    }

    #[test]
    fn the_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli/FLAGS.md");
        if std::env::var_os("K3C_FLAGS_WRITE").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(there, document(), "K3C_FLAGS_WRITE=1 cargo test --lib flags writes it anew");
    }

    #[test]
    fn reasons() {
        assert!(refusal("run", "gpus").is_some_and(|(_, why)| why.contains("--device")));
        assert_eq!(refusal_of_letter("build", 'm').map(|(name, _)| name), Some("memory"));
        assert_eq!(
            (refusal("run", "name"), refusal("run", "no-such"), refusal_of_letter("run", 'v')),
            (None, None, None)
        );
        assert_eq!(refusal("ps", "gpus"), None);
    }
}
