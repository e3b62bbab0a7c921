//! `exec`.

use super::args::Exec;
use super::folder::{Folder, Record, Status};
use super::make::{Maker, attend, check_console, streams, write_pid};
use super::{Refusal, at, console};
use crate::shim::cgroup::Cgroup;
use crate::shim::oci::client::Ours;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Adds a process to a container; answers its exit code, or 0 when it is not waited for.
pub(super) async fn exec(root: &Path, asked: &Exec) -> Result<i32, Refusal> {
    let folder = Folder::look(root, &asked.id)?;
    let record = folder.record()?;
    match folder.status(&record) {
        Status::Stopped => {
            return Err(Refusal::Said("cannot exec in a stopped container".to_owned()));
        }
        Status::Paused if !asked.ignore_paused => {
            let text = "cannot exec in a paused container (use --ignore-paused to override)";
            return Err(Refusal::Said(text.to_owned()));
        }
        Status::Created | Status::Running | Status::Paused => {}
    }
    let ours = folder.ours(&record)?;
    let process = describe(asked, &ours)?;
    let terminal = process["terminal"] == true;
    check_console(terminal, asked.detach, asked.console_socket.as_ref())?;
    let maker = Maker::new()?;
    let made = maker.stage.exec(&ours, &process, cgroups(&record), streams(terminal)?).await;
    let mut waiting = made.map_err(Refusal::Process)?;
    if let (Some(socket), Some(terminal)) = (&asked.console_socket, &waiting.terminal) {
        console::send(socket, terminal)?;
    }
    let terminal = waiting.terminal.take();
    let exit = maker.reaper.watch(waiting.pid);
    write_pid(asked.pid_file.as_ref(), waiting.pid)?;
    waiting.go().await.map_err(|error| Refusal::Process(error.to_string()))?;
    if asked.detach {
        return Ok(0);
    }
    attend(waiting.pid, terminal, exit).await
}

/// The container's cgroup, and the one that its first process is in.
fn cgroups(record: &Record) -> Vec<PathBuf> {
    let now = Cgroup::of(record.pid).map(|now| now.folder().to_owned());
    let own = record.cgroup.clone();
    let within = now.filter(|now| own.as_ref().is_some_and(|own| now != own && now.starts_with(own)));
    own.into_iter().chain(within).collect()
}

/// The process: a file's, or the container's own with other words.
fn describe(asked: &Exec, ours: &Ours) -> Result<Value, Refusal> {
    if let Some(path) = &asked.process {
        let text = fs::read(path).map_err(at("read", path))?;
        return serde_json::from_slice(&text).map_err(|e| at("read", path)(e.into()));
    }
    let said = |text: String| Refusal::Said(text);
    if asked.words.is_empty() {
        return Err(said("exec args cannot be empty".to_owned()));
    }
    let mut process = serde_json::to_value(&ours.made.spec.process).map_err(|e| said(e.to_string()))?;
    process["args"] = json!(asked.words);
    process["terminal"] = json!(asked.tty);
    if let Some(cwd) = &asked.cwd {
        process["cwd"] = json!(cwd);
    }
    let variables = process["env"].as_array_mut();
    if let Some(variables) = variables {
        variables.extend(asked.env.iter().map(|entry| json!(entry)));
    }
    if asked.no_new_privs {
        process["noNewPrivileges"] = json!(true);
    }
    for set in ["bounding", "effective", "permitted"] {
        for name in &asked.cap {
            let all = process.pointer_mut(&format!("/capabilities/{set}")).and_then(Value::as_array_mut);
            all.ok_or_else(|| said("the container has no capabilities".to_owned()))?.push(json!(name));
        }
    }
    if let Some(user) = &asked.user {
        let number = |text: &str| {
            text.parse::<u32>().map_err(|_| said(format!("parsing {text:?} as int for user failed")))
        };
        let (uid, gid) = user.split_once(':').map_or((user.as_str(), None), |(uid, gid)| (uid, Some(gid)));
        process["user"]["uid"] = json!(number(uid)?);
        if let Some(gid) = gid {
            process["user"]["gid"] = json!(number(gid)?);
        }
    }
    Ok(process)
}
