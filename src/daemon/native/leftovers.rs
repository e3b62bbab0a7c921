//! Leftovers: those of a killed holder, and those that the daemon itself takes away at its end.

use super::error::DaemonError;
use super::warn;
use crate::config::Dirs;
use crate::holder::end::Realm;
use crate::model::holder::HolderStatus;
use crate::rootless::cgroup;
use crate::sys::{process, user};
use std::fs;
use std::io;
use std::path::PathBuf;

/// The file with the status of the last holder, by which its leftovers are found.
fn status_file(dirs: &Dirs) -> PathBuf {
    dirs.runtime.join("holder.json")
}

/// Keeps a holder's status for the day that it is killed.
pub(super) fn remember(dirs: &Dirs, status: &HolderStatus) -> Result<(), DaemonError> {
    let path = status_file(dirs);
    serde_json::to_vec(status)
        .map_err(io::Error::from)
        .and_then(|bytes| fs::write(&path, bytes))
        .map_err(DaemonError::step(format!("write {}", path.display())))
}

/// Ends the processes of a holder that is not there any more, and removes its sockets.
pub(super) fn sweep(dirs: &Dirs) {
    end_processes(dirs);
    for path in [dirs.socket(), dirs.holder_socket()] {
        let _ = fs::remove_file(path);
    }
}

/// Ends everything of the last holder: processes of its user namespace and cgroup, and the cgroup.
fn end_processes(dirs: &Dirs) {
    let path = status_file(dirs);
    let Ok(text) = fs::read(&path) else { return };
    let status: HolderStatus = match serde_json::from_slice(&text) {
        Ok(status) => status,
        Err(e) => {
            warn(&format!(
                "what the last holder left cannot be found, for {} is damaged: {e}",
                path.display()
            ));
            let _ = fs::remove_file(path);
            return;
        }
    };
    if process::boot_id().is_ok_and(|boot| boot == status.process.boot_id) {
        let realm = Realm { user_namespace: status.user_namespace, cgroup: status.cgroup.clone() };
        realm.proven(&dirs.private(), &dirs.data).end(None, Vec::new);
    }
    if let Some(folder) = &status.cgroup {
        cgroup::remove(folder);
    }
    let _ = fs::remove_file(path);
}

/// Empties and removes the runtime directory, and removes the cgroups that we made.
pub(super) fn clean_up(dirs: &Dirs) {
    end_processes(dirs);
    leave_cgroup();
    for entry in fs::read_dir(&dirs.runtime).into_iter().flatten().flatten() {
        let path = entry.path();
        if path == dirs.lock() {
            continue;
        }
        let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    }
    let _ = fs::remove_file(dirs.lock());
    let _ = fs::remove_dir(&dirs.runtime);
}

/// Goes back to the cgroup that the daemon was started in, so that its own can be removed.
fn leave_cgroup() {
    let Some(own) = cgroup::own_folder().filter(|own| own.ends_with("daemon")) else { return };
    let Some(base) = own.parent() else { return };
    let go_up = || base.parent().is_some_and(|up| cgroup::enter(up).is_ok());
    cgroup::remove(&base.join("engine"));
    if cgroup::enter(base).is_ok() || go_up() {
        cgroup::remove(&own);
    }
    if user::is_root() && base.ends_with("k3c") && go_up() {
        cgroup::remove(base);
    }
}
