//! The `delete` that containerd asks for when a shim's connection has ended: everything of its container or pod goes. It is
//! asked for after each shim, also when there is nothing left to do.

use super::bootstrap::{Flags, SANDBOX, directory, runc_root, task_socket};
use super::publisher::timestamp;
use super::{log, oci, ours, pod, runc, userns};
use crate::model::attach::socket_name;
use crate::model::pod::{SHM, folder};
use crate::sys::mount;
use containerd_shim_protos::api::DeleteResponse;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::sandbox_api::ShutdownSandboxRequest;
use containerd_shim_protos::sandbox_async::SandboxClient;
use containerd_shim_protos::shim_async::Client;
use containerd_shim_protos::ttrpc::context::with_timeout;
use serde_json::Value;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// The time for a shim to end its pod.
const PATIENCE: Duration = Duration::from_secs(4);

/// Removes a container or a pod whose shim died, whatever state it is in. The working directory is the bundle.
pub(super) fn delete(flags: &Flags) -> io::Result<()> {
    let dir = directory()?;
    let root = runc_root(&dir, &flags.namespace);
    let bundle =
        if flags.bundle.is_empty() { std::env::current_dir()? } else { PathBuf::from(&flags.bundle) };
    let config = bundle.join("config.json");
    match config.exists() {
        true => delete_container(&root, &flags.id, &bundle, &config)?,
        // containerd gives none to a pod.
        false => end_shim(&task_socket(&dir, &flags.namespace, &flags.id)),
    }
    if let Err(error) = delete_pod(&dir, flags, &config) {
        log(&format!("cannot tidy up behind the pod of {}: {error}", flags.id));
    }
    let answer = DeleteResponse {
        exit_status: 137,
        exited_at: Some(timestamp(SystemTime::now())).into(),
        ..Default::default()
    };
    io::stdout().write_all(&answer.write_to_bytes().map_err(io::Error::other)?)
}

fn delete_container(root: &Path, id: &str, bundle: &Path, config: &Path) -> io::Result<()> {
    let spec: Value = serde_json::from_slice(&std::fs::read(config)?).unwrap_or_default();
    let state = root.join(id);
    if ours::is_marked(root, id) {
        ours::delete(root, id, config);
    } else if state.exists() {
        // A shim that is alive has removed what runc knows of the container.
        let hooks = spec["hooks"].as_object().is_some_and(|hooks| !hooks.is_empty());
        match spec["linux"]["cgroupsPath"].as_str().and_then(oci::cgroup_folder) {
            Some(folder) if !hooks && folder.exists() => end_runcs(&state, folder),
            _ => delete_by_runc(root, id)?,
        }
    }
    let _ = std::fs::remove_dir_all(state);
    if let Err(error) = userns::clean(id).and_then(|()| mount::unmount(&bundle.join("rootfs"))) {
        log(&format!("cannot unmount the root of {id}: {error}"));
    }
    Ok(())
}

/// Does what `runc delete --force` does for a container with a cgroup of its own and without hooks.
fn end_runcs(state: &Path, cgroup: PathBuf) {
    let read = std::fs::read(state.join("state.json"));
    let known: Value = read.ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let pid = known["init_process_pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    let start = known["init_process_start"].as_u64();
    ours::end(pid.zip(start), cgroup);
}

/// Tells a shim that lives still to end with its pod: nobody knows of it any more. One that was told does not listen.
fn end_shim(socket: &Path) {
    if UnixStream::connect(socket).is_err() {
        return;
    }
    let address = format!("unix://{}", socket.display());
    let call = async {
        let client = Client::connect(&address).await.map_err(io::Error::other)?;
        let limit = i64::try_from(PATIENCE.as_nanos()).unwrap_or(i64::MAX);
        let request = ShutdownSandboxRequest::default();
        let answer = SandboxClient::new(client).shutdown_sandbox(with_timeout(limit), &request).await;
        answer.map(drop).map_err(io::Error::other)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    if let Err(error) = runtime.and_then(|runtime| runtime.block_on(call)) {
        log(&format!("cannot end the shim at {address}: {error}"));
    }
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

/// Removes what a dead shim left of its pod: sockets and files, and of a pod that an earlier version made its shared
/// memory, which containerd unmounts only in a pod that it stops itself.
fn delete_pod(dir: &Path, flags: &Flags, config: &Path) -> io::Result<()> {
    let spec: Value = match std::fs::read(config) {
        Ok(text) => serde_json::from_slice(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Value::Null,
        Err(error) => return Err(error),
    };
    let group = spec["annotations"][SANDBOX].as_str().unwrap_or(&flags.id);
    let task = task_socket(dir, &flags.namespace, group);
    // The IDs of pods do not come again: a shim that listens is alive.
    if UnixStream::connect(&task).is_err() {
        for socket in [task, dir.join(socket_name(group))] {
            let _ = std::fs::remove_file(socket);
        }
    }
    if group != flags.id {
        return Ok(());
    }
    pod::remove(&folder(dir, group))?;
    let mounts = spec["mounts"].as_array().into_iter().flatten();
    let mut memory = mounts.filter(|m| m["destination"] == SHM).filter_map(|m| m["source"].as_str());
    match memory.next().filter(|source| source.contains(group)) {
        Some(source) => mount::unmount(Path::new(source)),
        None => Ok(()),
    }
}
