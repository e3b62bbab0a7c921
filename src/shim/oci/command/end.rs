//! Signals, freezing, limits, and the end of a container.

use super::folder::{Folder, Record, Status};
use super::log::Log;
use super::{Refusal, at, hooks};
use crate::shim::cgroup::Cgroup;
use crate::shim::oci::client;
use crate::shim::process::raw_kill;
use crate::shim::reaper::Reaper;
use crate::sys::{patience, process};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// The time for a process that was killed to end.
const LONGEST_DEATH: Duration = Duration::from_secs(10);

/// Sends a signal.
pub(super) fn kill(root: &Path, id: &str, name: &str, all: bool) -> Result<(), Refusal> {
    let number = match name {
        // Asks only whether it is there.
        "0" => 0,
        name => crate::model::signal::parse(name)
            .map_err(|_| Refusal::Said(format!("unknown signal {name:?}")))?,
    };
    let folder = Folder::look(root, id)?;
    let record = folder.record()?;
    let within = || record.cgroup.as_deref().map(process::in_cgroup).unwrap_or_default();
    let Some(_pinned) = record.pin() else {
        // Without a pid namespace of its own others live on, which `delete` ends.
        return Err(Refusal::NotRunning);
    };
    if all {
        for pid in within() {
            let _ = raw_kill(pid, number);
        }
        return Ok(());
    }
    // It cannot come round: who is pinned keeps its number.
    match process::kill_raw(record.pid, number) {
        Ok(()) => Ok(()),
        Err(_) => Err(Refusal::NotRunning),
    }
}

/// Deletes a container.
pub(super) async fn delete(root: &Path, id: &str, force: bool, log: &Log) -> Result<(), Refusal> {
    let folder = match Folder::open(root, id) {
        Err(Refusal::Missing) if force => return Ok(()),
        found => found?,
    };
    let record = match folder.record() {
        // Whoever made it died before anything was kept: it goes, and without `force` it is said that it was none.
        Err(Refusal::Missing) => {
            folder.remove()?;
            return if force { Ok(()) } else { Err(Refusal::Missing) };
        }
        record => record?,
    };
    let status = folder.status(&record);
    if !force && !matches!(status, Status::Stopped | Status::Created) {
        let text = format!("cannot delete container {id} that is not stopped: {}", status.word());
        return Err(Refusal::Said(text));
    }
    clean(folder, &record, log).await
}

/// Ends all that is left of a container, and forgets it.
pub(super) async fn clean(folder: Folder, record: &Record, log: &Log) -> Result<(), Refusal> {
    let pinned = record.pin();
    if pinned.is_some() {
        let _ = raw_kill(record.pid, 9);
    }
    if let Some(cgroup) = &record.cgroup {
        Cgroup::at(cgroup.clone()).remove().await.map_err(at("remove", cgroup))?;
    }
    if pinned.is_some() {
        let gone = || record.pin().is_none();
        if !patience::until(LONGEST_DEATH, Duration::from_millis(2), gone) {
            return Err(Refusal::Said(format!("container {} does not end", record.id)));
        }
    }
    if record.hooks.poststop.is_some() {
        let done = match Reaper::start() {
            Ok(reaper) => hooks::run(&reaper, record.hooks.poststop.as_ref(), record, "stopped").await,
            Err(error) => Err(error.to_string()),
        };
        if let Err(why) = done {
            log.warn(&format!("poststop hooks: {why}"));
        }
    }
    folder.remove()
}

/// Freezes a container, or lets it go on.
pub(super) async fn freeze(root: &Path, id: &str, frozen: bool) -> Result<(), Refusal> {
    let folder = Folder::open(root, id)?;
    let record = folder.record()?;
    let status = folder.status(&record);
    match (frozen, status) {
        (true, Status::Running | Status::Created) | (false, Status::Paused) => {}
        (true, _) => return Err(Refusal::NotRunning),
        (false, _) => return Err(Refusal::Said("container not paused".to_owned())),
    }
    let cgroup = record.cgroup.ok_or_else(|| Refusal::Undone("freezing without a cgroup".to_owned()))?;
    Cgroup::at(cgroup.clone()).freeze(frozen).await.map_err(at("freeze", cgroup))
}

/// Changes limits.
pub(super) fn update(root: &Path, id: &str, resources: &Path) -> Result<(), Refusal> {
    let folder = Folder::open(root, id)?;
    let record = folder.record()?;
    if folder.status(&record) == Status::Stopped {
        return Err(Refusal::NotRunning);
    }
    let mut text = Vec::new();
    match resources.as_os_str() == "-" {
        true => std::io::stdin().read_to_end(&mut text).map(drop).map_err(at("read", "standard input"))?,
        false => text = fs::read(resources).map_err(at("read", resources))?,
    }
    let asked: Value = serde_json::from_slice(&text).map_err(|e| at("read", resources)(e.into()))?;
    let cgroup = record.cgroup.ok_or_else(|| Refusal::Undone("limits without a cgroup".to_owned()))?;
    client::update(&cgroup, &asked).map_err(Refusal::Undone)
}
