//! Settings of the kernel in a pod's namespaces: those that were asked for, and two that let everybody listen on any port,
//! and ping: no capability is needed, as in Docker.

use super::wanted::{Network, Wanted};
use std::path::Path;

/// The first port that needs no capability (the kernel's ip-sysctl.rst).
const PORTS: &str = "net.ipv4.ip_unprivileged_port_start";
/// The groups that may ping: the first and the last.
const PING: &str = "net.ipv4.ping_group_range";
/// The last group of all.
const LAST_GROUP: u64 = 2_147_483_647;
/// Settings of System V's and POSIX's IPC under `kernel.` (ipc_namespaces(7)).
const IPC: [&str; 8] = ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];

/// A setting's path below /proc/sys. Its parts are joined by dots, or by slashes when the first of both is one, as in
/// sysctl(8).
fn path(key: &str) -> String {
    let swap = |letter| match letter {
        '.' => '/',
        '/' => '.',
        other => other,
    };
    match key.find(['.', '/']).map(|at| &key[at..=at]) {
        Some("/") => key.to_owned(),
        _ => key.chars().map(swap).collect(),
    }
}

/// Refuses a setting that is not of a namespace of the pod's own.
pub(super) fn check(key: &str, wanted: &Wanted) -> Result<(), String> {
    let path = path(key);
    let plain = path.split('/').all(|part| {
        let known = |b: u8| b.is_ascii_alphanumeric() || b"_-.@:".contains(&b);
        !part.is_empty() && part != "." && part != ".." && part.bytes().all(known)
    });
    let ipc = path.starts_with("fs/mqueue/")
        || path.strip_prefix("kernel/").is_some_and(|name| IPC.contains(&name));
    let own = path.starts_with("net/") && wanted.network != Network::Hosts
        || ipc && wanted.ipc
        || path == "kernel/domainname" && wanted.uts;
    match plain && own {
        true => Ok(()),
        false => Err(format!("sysctl {key:?} is not in a separate kernel namespace")),
    }
}

/// Adds the settings that open the pod's own network, unless they are there already.
pub(super) fn open(wanted: &mut Wanted, gid_map: &str) {
    let known = |key: &str| Path::new("/proc/sys").join(path(key)).exists();
    open_with(wanted, gid_map, &known);
}

fn open_with(wanted: &mut Wanted, gid_map: &str, known: &dyn Fn(&str) -> bool) {
    if wanted.network == Network::Hosts {
        return;
    }
    let last = match &wanted.users {
        Some(users) => last(users.gids.iter().map(|r| (r.inside.into(), r.length.into()))),
        None => last_of_map(gid_map),
    };
    let mut settings = vec![(PORTS, "0".to_owned())];
    // The kernel takes only groups that are mapped (user_namespaces(7)).
    settings.extend(last.map(|last| (PING, format!("0 {}", last.min(LAST_GROUP)))));
    for (key, value) in settings {
        let asked = wanted.sysctls.keys().any(|asked| path(asked) == path(key));
        if known(key) && !asked {
            wanted.sysctls.insert(key.to_owned(), value);
        }
    }
}

/// Writes the settings, in the namespaces of the calling thread.
pub(super) fn write(wanted: &Wanted) -> Result<(), String> {
    for (key, value) in &wanted.sysctls {
        let file = Path::new("/proc/sys").join(path(key));
        std::fs::write(&file, value)
            .map_err(|error| format!("cannot write {value:?} to {}: {error}", file.display()))?;
    }
    Ok(())
}

/// The last ID in the text of a `gid_map`; `None` when 0 is not mapped.
fn last_of_map(text: &str) -> Option<u64> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        let (first, _, count) = (fields.next()?.ok()?, fields.next()?, fields.next()?.ok()?);
        Some((first, count))
    });
    last(ranges)
}

/// The last ID of ranges (the first ID and how many); `None` when 0 is in none.
fn last(ranges: impl Iterator<Item = (u64, u64)>) -> Option<u64> {
    let all: Vec<(u64, u64)> = ranges.filter(|(_, count)| *count > 0).collect();
    all.iter().any(|(first, _)| *first == 0).then_some(())?;
    all.iter().map(|(first, count)| first.saturating_add(*count) - 1).max()
}

#[cfg(test)]
mod tests {
    use super::super::wanted::{Range, Users};
    use super::*;
    use std::collections::BTreeMap;

    const ROOTLESS: &str = "         0       1000          1\n         1     200000      65536\n";
    const WHOLE: &str = "         0          0 4294967295\n";

    fn opened(mut wanted: Wanted, map: &str) -> Vec<String> {
        open_with(&mut wanted, map, &|_| true);
        wanted.sysctls.into_iter().map(|(key, value)| format!("{key}={value}")).collect()
    }

    fn pod(asked: &[(&str, &str)]) -> Wanted {
        let sysctls: BTreeMap<_, _> =
            asked.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Wanted { network: Network::At("/n".into()), sysctls, ..Wanted::default() }
    }

    #[test]
    fn ports_and_ping() {
        let both = |groups: &str| [format!("{PORTS}=0"), format!("{PING}={groups}")];
        assert_eq!(opened(pod(&[]), WHOLE), both("0 2147483647"));
        assert_eq!(opened(pod(&[]), ROOTLESS), both("0 65536"));
        let gids = vec![Range { inside: 0, outside: 9, length: 100 }];
        let own = Wanted { users: Some(Users { gids, ..Users::default() }), ..pod(&[]) };
        assert_eq!(opened(own, WHOLE), both("0 99"));
        // Settings that were asked for stay.
        let asked = [("net/ipv4/ip_unprivileged_port_start", "80"), (PING, "1 0")];
        assert_eq!(opened(pod(&asked), WHOLE).len(), 2);
        // No groups are mapped from 0 on: there is no range to name.
        assert_eq!(opened(pod(&[]), "5 5 5\n"), [format!("{PORTS}=0")]);
        assert_eq!(opened(Wanted::default(), WHOLE), [""; 0]);
        let mut old = pod(&[]);
        open_with(&mut old, WHOLE, &|_| false);
        assert!(old.sysctls.is_empty());
    }

    #[test]
    fn dots_and_slashes() {
        assert_eq!(path("net.ipv4.conf.eth0/1.forwarding"), "net/ipv4/conf/eth0.1/forwarding");
        assert_eq!(path("net/ipv4/conf/eth0.1/forwarding"), "net/ipv4/conf/eth0.1/forwarding");
    }
}
