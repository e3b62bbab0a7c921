//! The way into the namespaces; the sequence is drawn in [`crate::rootless`].

use super::{RootlessError, cgroup, mounts, netns};
use crate::config::Instance;
use crate::model::holder::{DaemonToHolder, HolderToDaemon};
use crate::sys::packet;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setresgid, setresuid};
use rustix::fd::OwnedFd;
use std::io;
use std::path::Path;

/// Enters all namespaces; its answer are warnings.
pub fn namespaces(instance: &Instance, daemon: &OwnedFd) -> Result<Vec<String>, RootlessError> {
    let mut warnings = Vec::new();
    if instance.rootless {
        unshare(CloneFlags::CLONE_NEWUSER).map_err(RootlessError::step("make a user namespace"))?;
        packet::write(daemon, &HolderToDaemon::UserNamespace)
            .map_err(RootlessError::step("talk to the daemon"))?;
        match packet::read::<DaemonToHolder>(daemon) {
            Ok(Some(DaemonToHolder::MapsWritten)) => {}
            Ok(_) => {
                return Err(RootlessError::step("get the ID maps")(io::Error::other("the daemon is gone")));
            }
            Err(e) => return Err(RootlessError::step("get the ID maps")(e)),
        }
        let root = (Gid::from_raw(0), Uid::from_raw(0));
        nix::unistd::setgroups(&[]).map_err(RootlessError::step("drop the supplementary groups"))?;
        setresgid(root.0, root.0, root.0)
            .map_err(RootlessError::step("become group 0 in the user namespace"))?;
        setresuid(root.1, root.1, root.1)
            .map_err(RootlessError::step("become root in the user namespace"))?;
    }
    if let Some(folder) = &instance.cgroup {
        cgroup::enter(folder)?;
    }
    unshare(CloneFlags::CLONE_NEWNS).map_err(RootlessError::step("make a mount namespace"))?;
    if instance.cgroup.is_some() {
        unshare(CloneFlags::CLONE_NEWCGROUP).map_err(RootlessError::step("make a cgroup namespace"))?;
    }
    mounts::make_slave()?;
    let private = instance.dirs.private();
    if instance.rootless {
        mounts::copy_up(&private)?;
    } else {
        std::fs::create_dir_all(&private).map_err(RootlessError::at("make", &private))?;
        mounts::tmpfs(&private, "0700")?;
    }
    if instance.cgroup.is_some()
        && let Err(e) = own_cgroup(&private)
    {
        warnings.push(format!(
            "cgroups cannot be used, so limits cannot be applied: {}",
            crate::model::reason::chain(&e)
        ));
    }
    if instance.rootless {
        let path = instance.dirs.netns();
        let folder = instance.dirs.rootlesskit();
        std::fs::create_dir_all(&folder).map_err(RootlessError::at("make", &folder))?;
        netns::create(Path::new("/proc/self/exe"), &path)?;
        let pid = std::process::id().to_string();
        std::fs::write(folder.join("child_pid"), pid).map_err(RootlessError::at("write", &folder))?;
    }
    Ok(warnings)
}

fn own_cgroup(private: &Path) -> Result<(), RootlessError> {
    mounts::cgroup2(private)?;
    let root = Path::new("/sys/fs/cgroup");
    let init = root.join("init");
    cgroup::make(&init)?;
    cgroup::enter(&init)?;
    cgroup::enable(root);
    Ok(())
}
