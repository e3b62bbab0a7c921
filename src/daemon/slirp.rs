//! slirp4netns(1): the detached network namespace's way out.

use crate::config::Instance;
use crate::rootless::netns;
use crate::supervise::Spec;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Its key.
pub(super) const NAME: &str = "slirp4netns";
/// Its name server.
pub(super) const DNS: &str = "10.0.2.3";
const TAP: &str = "tap0";

/// With sandbox and seccomp where they work: what ends at once is tried with less.
pub(super) fn spec(instance: &Instance, program: &Path) -> Spec {
    let path = instance.dirs.netns();
    let command = |more: &[&str]| {
        let mut argv = vec![program.display().to_string(), "--configure".into(), "--mtu=65520".into()];
        argv.push("--disable-host-loopback".into());
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
                tokio::task::spawn_blocking(move || netns::has_interface(&path, TAP)).await.unwrap_or(false)
            })
        }),
        ready_within: Duration::from_secs(5),
        grace: Duration::from_secs(2),
    }
}
