//! The detached network namespace: only containers live in it, the rest stays in the host's.
//!
//! An ordinary user cannot come back from a new network namespace to the host's, so a child makes it
//! (`k3c __netns`): it unshares, sets it up, says `ready`, and waits until its standard input is closed, while the
//! holder binds `/proc/CHILD/ns/net` to where it is to be found.

use super::RootlessError;
use rustix::mount::mount_bind;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// The hidden stage's name.
pub const STAGE: &str = "__netns";

/// Makes the namespace and binds it at `path`.
///
/// # Errors
/// The stage failed, in its words; mount(2).
pub fn create(binary: &Path, path: &Path) -> Result<(), RootlessError> {
    #[expect(clippy::disallowed_methods, reason = "a short stage of our own, before there is an engine")]
    let mut child = Command::new(binary)
        .arg(STAGE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(RootlessError::step("start the stage that makes the network namespace"))?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        let _ = BufReader::new(out).read_line(&mut line);
    }
    let bound = if line.trim() == "ready" {
        fs::write(path, "")
            .and_then(|()| Ok(mount_bind(format!("/proc/{}/ns/net", child.id()), path)?))
            .map_err(RootlessError::at("bind the network namespace at", path))
    } else {
        Err(RootlessError::step("make a network namespace")(io::Error::other(line.trim().to_owned())))
    };
    drop(child.stdin.take());
    let _ = child.wait();
    bound
}

/// The stage.
pub fn stage() -> i32 {
    let mut out = io::stdout();
    let result = set_up();
    let answer = match &result {
        Ok(()) => "ready".to_owned(),
        Err(e) => e.to_string(),
    };
    let _ = writeln!(out, "{answer}").and_then(|()| out.flush());
    let _ = io::stdin().read_to_end(&mut Vec::new());
    i32::from(result.is_err())
}

fn set_up() -> io::Result<()> {
    unshare_network()?;
    crate::sys::link::loopback_up()?;
    // /proc/sys/net shows the reader's network namespace.
    fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    for (name, value) in [
        ("ipv6/conf/all/forwarding", "1"),
        ("ipv6/conf/all/accept_dad", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv4/conf/all/rp_filter", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/ping_group_range", "0 2147483647"),
        ("ipv4/ip_unprivileged_port_start", "0"),
    ] {
        let _ = fs::write(Path::new("/proc/sys/net").join(name), value);
    }
    Ok(())
}

fn unshare_network() -> io::Result<()> {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)?;
    Ok(())
}
