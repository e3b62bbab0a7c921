//! The `delete` that containerd asks for after a shim that died: everything of its container goes.

use super::bootstrap::{Flags, SANDBOX, directory, runc_root, task_socket};
use super::publisher::timestamp;
use super::{log, ours, runc, userns};
use crate::model::attach::socket_name;
use crate::sys::mount;
use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

/// Removes a container whose shim died, whatever state it is in. The working directory is the bundle.
pub(super) fn delete(flags: &Flags) -> io::Result<()> {
    let dir = directory()?;
    let root = runc_root(&dir, &flags.namespace);
    let bundle =
        if flags.bundle.is_empty() { std::env::current_dir()? } else { PathBuf::from(&flags.bundle) };
    match ours::is_marked(&root, &flags.id) {
        true => ours::delete(&root, &flags.id, &bundle.join("config.json")),
        false => delete_by_runc(&root, &flags.id)?,
    }
    let _ = std::fs::remove_dir_all(root.join(&flags.id));
    if let Err(error) = userns::clean(&flags.id).and_then(|()| mount::unmount(&bundle.join("rootfs"))) {
        log(&format!("cannot unmount the root of {}: {error}", flags.id));
    }
    if let Err(error) = delete_pod(&dir, flags, &bundle.join("config.json")) {
        log(&format!("cannot tidy up behind the pod of {}: {error}", flags.id));
    }
    let answer = DeleteResponse {
        exit_status: 137,
        exited_at: Some(timestamp(SystemTime::now())).into(),
        ..Default::default()
    };
    io::stdout().write_all(&answer.write_to_bytes().map_err(io::Error::other)?)
}

fn delete_by_runc(root: &Path, id: &str) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "runc's runs are short, and their end is waited for")]
    let outcome = Command::new(runc::program()?)
        .arg("--root")
        .arg(root)
        .args(["delete", "--force", id])
        .env_remove("XDG_RUNTIME_DIR")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()?;
    if !outcome.status.success() {
        log(String::from_utf8_lossy(&outcome.stderr).trim());
    }
    Ok(())
}

/// Removes the sockets of a dead shim, and its pod's shared memory, which containerd unmounts only in a pod that it stops
/// itself.
fn delete_pod(dir: &Path, flags: &Flags, config: &Path) -> io::Result<()> {
    let spec: serde_json::Value = serde_json::from_slice(&std::fs::read(config)?)?;
    let group = spec["annotations"][SANDBOX].as_str().unwrap_or(&flags.id);
    let task = task_socket(dir, &flags.namespace, group);
    // The IDs of pods do not come again: a shim that listens is alive.
    if UnixStream::connect(&task).is_err() {
        for socket in [task, dir.join(socket_name(group))] {
            let _ = std::fs::remove_file(socket);
        }
    }
    let mounts = spec["mounts"].as_array().into_iter().flatten();
    let mut memory = mounts.filter(|m| m["destination"] == "/dev/shm").filter_map(|m| m["source"].as_str());
    match memory.next().filter(|source| group == flags.id && source.contains(group)) {
        Some(source) => mount::unmount(Path::new(source)),
        None => Ok(()),
    }
}
