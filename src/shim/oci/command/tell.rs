//! What is shown: states, lists, abilities.

use super::args::Format;
use super::folder::{self, Folder, Record, Status};
use super::{Refusal, VERSION, at};
use crate::model::capability;
use crate::sys::process;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

fn print(text: &str) -> Result<(), Refusal> {
    writeln!(std::io::stdout(), "{text}").map_err(at("write", "standard output"))
}

fn pretty(value: &Value) -> Result<(), Refusal> {
    print(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// OCI's state, with what runc adds.
fn document(record: &Record, status: Status) -> Value {
    json!({
        "ociVersion": VERSION,
        "id": record.id,
        "pid": if status == Status::Stopped { 0 } else { record.pid },
        "status": status,
        "bundle": record.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "annotations": record.annotations,
        "owner": "",
    })
}

pub(super) fn state(root: &Path, id: &str) -> Result<(), Refusal> {
    let folder = Folder::look(root, id)?;
    let record = folder.record()?;
    pretty(&document(&record, folder.status(&record)))
}

pub(super) fn list(root: &Path, format: Format, quiet: bool) -> Result<(), Refusal> {
    let mut all = Vec::new();
    for id in folder::all(root) {
        // One that goes meanwhile is not there.
        let Ok(folder) = Folder::look(root, &id) else { continue };
        match folder.record() {
            Ok(record) => all.push((folder.status(&record), record)),
            // Whoever made it is at it, or died before anything was kept; `delete` clears it.
            Err(refusal) => {
                let _ = writeln!(std::io::stderr(), "load container {id}: {refusal}");
            }
        }
    }
    if quiet {
        return all.iter().try_for_each(|(_, record)| print(&record.id));
    }
    match format {
        Format::Json => {
            print(&json!(all.iter().map(|(s, r)| document(r, *s)).collect::<Vec<_>>()).to_string())
        }
        Format::Table => {
            print(&format!("{:<12}  {:<8}  {:<8}  {:<32}  CREATED", "ID", "PID", "STATUS", "BUNDLE"))?;
            all.iter().try_for_each(|(status, record)| {
                let pid = if *status == Status::Stopped { 0 } else { record.pid };
                let (word, bundle) = (status.word(), record.bundle.display().to_string());
                print(&format!("{:<12}  {pid:<8}  {word:<8}  {bundle:<32}  {}", record.id, record.created))
            })
        }
    }
}

pub(super) fn processes(root: &Path, id: &str, format: Format) -> Result<(), Refusal> {
    let folder = Folder::look(root, id)?;
    let record = folder.record()?;
    let mut all = match &record.cgroup {
        Some(cgroup) => process::in_cgroup(cgroup),
        None => record.pin().map(|_| record.pid).into_iter().collect(),
    };
    all.sort_unstable();
    if format == Format::Json {
        return print(&json!(all).to_string());
    }
    print(&format!("{:<8}  COMMAND", "PID"))?;
    for pid in all {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        print(&format!("{pid:<8}  {}", line.trim_end()))?;
    }
    Ok(())
}

/// What this runtime can do (OCI's features.md).
pub(super) fn features() -> Result<(), Refusal> {
    let capabilities: Vec<String> = capability::NAMES.iter().map(|name| format!("CAP_{name}")).collect();
    let options = [
        "bind",
        "defaults",
        "dev",
        "diratime",
        "exec",
        "noatime",
        "nodev",
        "nodiratime",
        "noexec",
        "nosuid",
        "private",
        "rbind",
        "relatime",
        "ro",
        "rprivate",
        "rro",
        "rw",
        "strictatime",
        "suid",
    ];
    pretty(&json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": VERSION,
        "hooks": ["prestart", "createRuntime", "poststart", "poststop"],
        "mountOptions": options,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "uts"],
            "capabilities": capabilities,
            "cgroup": {
                "v1": false, "v2": true, "systemd": false, "systemdUser": false, "rdma": false,
            },
            "seccomp": { "enabled": true },
            "apparmor": { "enabled": false },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": false } },
        },
    }))
}
