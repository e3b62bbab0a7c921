//! The delegated part of the cgroup tree (cgroups(7), <https://docs.kernel.org/admin-guide/cgroup-v2.html>).
//!
//! Below the cgroup that the daemon was started in (a systemd unit or scope with `Delegate=yes`):
//!
//! ```text
//! base            where systemd put us; no processes in it (no internal processes)
//! ├─ daemon       the daemon
//! └─ engine       root of the holder's cgroup namespace; everything below ends with `cgroup.kill`
//!    ├─ init      holder, engine, containerd, ... shims
//!    └─ ...       containers
//! ```

use super::RootlessError;
use crate::sys::patience;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The controllers that containers can use.
pub const WANTED: [&str; 5] = ["cpu", "cpuset", "io", "memory", "pids"];

/// The mount point of the cgroup2 file system with the host's root in it, from the text of `/proc/self/mountinfo`.
pub fn mount_point(mountinfo: &str) -> Option<PathBuf> {
    let mut found = None;
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        if right.starts_with("cgroup2 ") {
            let point = left.split(' ').nth(4)?;
            // The last mount is the one that is seen; /sys/fs/cgroup itself wins over `unified` below it.
            if found.is_none() || point == "/sys/fs/cgroup" {
                found = Some(PathBuf::from(point));
            }
        }
    }
    found
}

/// The caller's cgroup below the mount point, from the text of `/proc/self/cgroup`.
pub fn own_path(cgroup: &str) -> Option<&str> {
    cgroup.lines().find_map(|line| line.strip_prefix("0::"))
}

/// The caller's own cgroup as a folder.
pub fn own_folder() -> Option<PathBuf> {
    let mount = mount_point(&fs::read_to_string("/proc/self/mountinfo").ok()?)?;
    let cgroup = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = own_path(&cgroup)?;
    // `/..` means that it is outside of what this mount shows.
    (!path.starts_with("/..")).then(|| mount.join(path.trim_start_matches('/')))
}

/// Moves the caller from `base` to `base/daemon` and makes `base/engine` with all controllers that can be had.
///
/// # Errors
/// The cgroup is not delegated to the caller.
pub fn prepare(base: &Path) -> Result<PathBuf, RootlessError> {
    let daemon = base.join("daemon");
    let engine = base.join("engine");
    make(&daemon)?;
    make(&engine)?;
    enter(&daemon)?;
    // Others in `base` (a shell that started us) keep controllers from being enabled; processes are still tracked.
    enable(base);
    Ok(engine)
}

/// The cgroup that a new daemon may use: its own; for root outside of any unit, `/k3c`.
pub fn base(is_root: bool) -> Option<PathBuf> {
    let own = own_folder()?;
    // A daemon that is started again from the same shell finds itself in `daemon` already.
    let own = if own.ends_with("daemon") { own.parent()?.to_path_buf() } else { own };
    let mount = mount_point(&fs::read_to_string("/proc/self/mountinfo").ok()?)?;
    if is_root && own == mount {
        let base = mount.join("k3c");
        make(&base).ok()?;
        return Some(base);
    }
    (own != mount && rustix::fs::access(own.join("cgroup.procs"), rustix::fs::Access::WRITE_OK).is_ok())
        .then_some(own)
}

/// Enables every wanted controller that is available for the children of `folder`.
pub fn enable(folder: &Path) {
    for controller in available(folder) {
        if WANTED.contains(&controller.as_str()) {
            let _ = fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

/// The controllers that `folder` itself can use (`cgroup.controllers`).
pub fn available(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("cgroup.controllers"))
        .map(|text| text.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default()
}

/// The controllers that are enabled for the children of `folder`.
pub fn enabled(folder: &Path) -> Vec<String> {
    fs::read_to_string(folder.join("cgroup.subtree_control"))
        .map(|text| text.split_whitespace().map(str::to_owned).collect())
        .unwrap_or_default()
}

/// Moves the caller into `folder`.
///
/// # Errors
/// Not delegated, or the common ancestor is not.
pub fn enter(folder: &Path) -> Result<(), RootlessError> {
    fs::write(folder.join("cgroup.procs"), "0").map_err(RootlessError::at("enter the cgroup", folder))
}

/// Makes a cgroup.
///
/// # Errors
/// mkdir(2), but for one that is there.
pub fn make(folder: &Path) -> Result<(), RootlessError> {
    match fs::create_dir(folder) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
            Err(RootlessError::at("make the cgroup", folder)(e))
        }
        _ => Ok(()),
    }
}

/// Removes `folder` and what is below it. A killed process is counted until the kernel is done with it, so this is tried
/// for up to three seconds; what still has processes then stays.
pub fn remove(folder: &Path) {
    patience::until(Duration::from_secs(3), Duration::from_millis(10), || {
        remove_empty(folder);
        !folder.exists()
    });
}

fn remove_empty(folder: &Path) {
    for below in folders(folder) {
        remove_empty(&below);
    }
    let _ = fs::remove_dir(folder);
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_unified_tree_in_both_layouts() {
        let hybrid = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs cgroup rw\n\
                      31 30 0:27 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw\n\
                      32 30 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        assert_eq!(mount_point(hybrid), Some("/sys/fs/cgroup/unified".into()));
        let unified = "31 30 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        assert_eq!(mount_point(unified), Some("/sys/fs/cgroup".into()));
        assert_eq!(mount_point("1 0 8:1 / / rw - ext4 /dev/sda rw"), None);
        assert_eq!(own_path("4:memory:/x\n0::/user.slice/a.service\n"), Some("/user.slice/a.service"));
    }
}
