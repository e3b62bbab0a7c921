//! slirp4netns(1): the detached network namespace's way out.

use crate::config::Instance;
use crate::supervise::Spec;
use crate::sys::netns;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The child's key.
pub const NAME: &str = "slirp4netns";
/// The address of slirp4netns' name server.
pub const DNS: &str = "10.0.2.3";
/// The address at which the host's loopback device is found, where that is allowed.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The address of the namespace's end.
pub(super) const ADDRESS: &str = "10.0.2.100";
const TAP: &str = "tap0";

/// The child, with sandbox and seccomp where they work: what ends at once is tried with less.
pub fn spec(instance: &Instance, program: &Path) -> Spec {
    let path = instance.dirs.netns();
    let closed = !instance.config.host_loopback;
    let command = |more: &[&str]| {
        let mut argv = vec![program.display().to_string(), "--configure".into(), "--mtu=65520".into()];
        if closed {
            argv.push("--disable-host-loopback".into());
        }
        argv.extend(more.iter().map(ToString::to_string));
        argv.extend(["--netns-type=path".into(), path.display().to_string(), TAP.into()]);
        argv
    };
    let probed = path.clone();
    Spec {
        name: NAME.into(),
        commands: vec![
            command(&["--enable-sandbox", "--enable-seccomp"]),
            command(&["--enable-sandbox"]),
            command(&[]),
        ],
        env: Vec::new(),
        log: instance.dirs.child_log(NAME),
        probe: Arc::new(move || {
            let path = probed.clone();
            Box::pin(async move {
                tokio::task::spawn_blocking(move || has_interface(&path, TAP)).await.unwrap_or(false)
            })
        }),
        ready_within: Duration::from_secs(5),
        grace: Duration::from_secs(2),
    }
}

/// Whether the namespace at `path` has an interface of that name.
fn has_interface(path: &Path, name: &str) -> bool {
    let name = name.to_owned();
    netns::inside(path, move || {
        fs::read_to_string("/proc/thread-self/net/dev").is_ok_and(|table| lists(&table, &name))
    })
    .unwrap_or(false)
}

/// Whether an interface is in the text of `/proc/net/dev`.
fn lists(table: &str, name: &str) -> bool {
    table.lines().filter_map(|line| line.split_once(':')).any(|(known, _)| known.trim() == name)
}

#[cfg(test)]
mod tests {
    use super::lists;

    #[test]
    fn interfaces_are_read_whole() {
        let table = "Inter-| Receive\n face |bytes\n    lo: 0 0\n tap01: 0 0\n  tap0:12 0\n";
        for (name, there) in [("lo", true), ("tap0", true), ("tap", false), ("ap0", false)] {
            assert_eq!(lists(table, name), there, "{name}");
        }
    }
}
