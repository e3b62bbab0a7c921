//! Containers that our own runtime makes: where `container` goes when runc is not needed.

use super::adapt::Host;
use super::cgroup::Cgroup;
use super::container::{Container, ContainerError, file, pipes};
use super::oci::{self, Ours, Waiting};
use super::process::{Process, raw_kill};
use super::runc::{RuncError, Stdio3};
use super::stdio::{self, Ends};
use super::{Shared, log};
use crate::sys::process;
use serde_json::{Value, json};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

/// The file that says that a container is ours, in the place of runc's state: the first process, once it is known.
const MARK: &str = "stage.json";

impl Container {
    pub(super) fn is_ours(&self) -> bool {
        self.ours.is_some()
    }

    /// Makes the container without runc; false when that is to make it. A failure leaves nothing behind.
    pub(super) async fn create_here(
        &mut self,
        shared: &Shared,
        spec: &Value,
        host: &Host,
    ) -> Result<bool, ContainerError> {
        let Some(stage) = &shared.stage else { return Ok(false) };
        let read = match stage.read(spec, host) {
            Ok(read) => read,
            Err(why) => {
                log(&format!("container {} is runc's: {why}", self.id));
                return Ok(false);
            }
        };
        let state = shared.runc.root.join(&self.id);
        mark(&state, &json!({})).map_err(file("write", &state))?;
        let (ends, theirs) = self.streams(&self.init)?;
        match stage.create(&self.id, &self.bundle, read, theirs).await {
            Ok((waiting, ours)) => {
                let pid = waiting.pid;
                let start = process::start_time(pid).unwrap_or(0);
                mark(&state, &json!({ "pid": pid, "start": start })).map_err(file("write", &state))?;
                self.init.made(pid);
                self.ours = Some(ours);
                let waiting = self.connect(&self.init, ends, waiting)?;
                self.waiting.lock().unwrap_or_else(PoisonError::into_inner).replace(waiting);
                Ok(true)
            }
            Err(why) => {
                log(&format!("container {} is tried with runc: {why}", self.id));
                if let Some(cgroup) = folder(spec) {
                    let _ = Cgroup::at(cgroup).remove().await;
                }
                let _ = std::fs::remove_dir_all(&state);
                Ok(false)
            }
        }
    }

    fn streams(&self, process: &Process) -> Result<(Option<Ends>, Stdio3), ContainerError> {
        if process.paths.terminal {
            return Ok((None, Stdio3::default()));
        }
        let (ends, theirs) = pipes(&process.paths).map_err(ContainerError::Streams)?;
        Ok((Some(ends), theirs))
    }

    fn connect(
        &self,
        process: &Process,
        ends: Option<Ends>,
        mut waiting: Waiting,
    ) -> Result<Waiting, ContainerError> {
        let ends = match (ends, waiting.terminal.take()) {
            (Some(ends), None) => ends,
            (None, Some(terminal)) => Ends::Terminal(terminal),
            _ => return Err(ContainerError::Refused("the streams are not those that were asked for")),
        };
        stdio::connect(&process.hub, ends, &process.paths).map_err(ContainerError::Streams)?;
        Ok(waiting)
    }

    /// Lets the first process go on into its program.
    pub(super) async fn start_here(&self, waiting: Waiting) -> Result<(), ContainerError> {
        let stopped = ContainerError::Refused("cannot start a container that has stopped");
        tokio::select! {
            gone = waiting.go() => gone.map_err(|_| stopped)?,
            () = self.init.dead.cancelled() => return Err(stopped),
        }
        self.init.runs();
        Ok(())
    }

    /// Starts one more process.
    pub(super) async fn exec_here(
        &self,
        shared: &Shared,
        ours: &Ours,
        process: &Process,
    ) -> Result<(), ContainerError> {
        let failed = |why: String| {
            let message = format!("exec failed: unable to start container process: {why}");
            ContainerError::Runc(RuncError::Failed { command: "exec", message })
        };
        let stage = shared.stage.as_ref().ok_or(ContainerError::Refused("no runtime"))?;
        let spec = process.spec.as_ref().ok_or(ContainerError::Refused("no process"))?;
        let mut cgroups: Vec<PathBuf> = self.cgroup.iter().map(|c| c.folder().to_owned()).collect();
        if let (Some(own), Some(now)) = (&self.cgroup, Cgroup::of(self.init.pid()))
            && now.folder() != own.folder()
            && now.folder().starts_with(own.folder())
        {
            cgroups.push(now.folder().to_owned());
        }
        let (ends, theirs) = self.streams(process)?;
        let waiting = stage.exec(ours, spec, cgroups, theirs).await.map_err(failed)?;
        process.made(waiting.pid);
        let waiting = self.connect(process, ends, waiting)?;
        waiting.go().await.map_err(|error| failed(error.to_string()))?;
        process.runs();
        Ok(())
    }

    /// Changes the limits. `resources` is OCI's.
    pub(super) fn update_here(&self, resources: &Value) -> Result<(), ContainerError> {
        match &self.cgroup {
            Some(cgroup) => oci::update(cgroup.folder(), resources).map_err(ContainerError::Limits),
            // Without a cgroup there are none, and all that were asked for were taken out.
            None => Ok(()),
        }
    }
}

/// Writes the mark, whole or not at all.
fn mark(state: &Path, text: &Value) -> io::Result<()> {
    std::fs::create_dir_all(state)?;
    let new = state.join("new");
    std::fs::write(&new, text.to_string())?;
    std::fs::rename(new, state.join(MARK))
}

/// Whether a container is ours, by what its shim left.
pub(super) fn is_marked(root: &Path, id: &str) -> bool {
    root.join(id).join(MARK).exists()
}

/// The cgroup of a specification that the stage does.
fn folder(spec: &Value) -> Option<PathBuf> {
    oci::cgroup_folder(spec["linux"]["cgroupsPath"].as_str().unwrap_or_default())
}

/// Ends a container whose shim died, whatever state it is in. A first process that was not started ends by itself.
pub(super) fn delete(root: &Path, id: &str, config: &Path) {
    let read = |path: &Path| -> Value {
        std::fs::read(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
    };
    let mark = read(&root.join(id).join(MARK));
    let pid = mark["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    kill(pid.zip(mark["start"].as_u64()));
    if let Some(folder) = folder(&read(config)) {
        end(None, folder);
    }
}

/// Kills a process, known by its number and the time of its start.
fn kill(known: Option<(i32, u64)>) {
    if let Some((pid, start)) = known
        && process::start_time(pid).is_ok_and(|now| now == start)
    {
        raw_kill(pid, 9);
    }
}

/// Ends a container whose shim died: its first process, and all in its cgroup, which goes.
pub(super) fn end(first: Option<(i32, u64)>, folder: PathBuf) {
    kill(first);
    let name = folder.display().to_string();
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .and_then(|runtime| runtime.block_on(Cgroup::at(folder).remove()));
    if let Err(error) = outcome {
        log(&format!("cannot remove the cgroup {name}: {error}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_and_does_not_kill_another_process() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_marked(dir.path(), "x"));
        let state = dir.path().join("x");
        mark(&state, &json!({})).unwrap();
        assert!(is_marked(dir.path(), "x"));
        // Its number has come round: another process has it.
        #[expect(clippy::disallowed_methods, reason = "a process to be spared")]
        let mut other = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        mark(&state, &json!({ "pid": other.id(), "start": 1 })).unwrap();
        delete(dir.path(), "x", Path::new("/no/such"));
        crate::sys::patience::pause(std::time::Duration::from_millis(200));
        assert!(other.try_wait().unwrap().is_none());
        let pid = i32::try_from(other.id()).unwrap();
        mark(&state, &json!({ "pid": pid, "start": process::start_time(pid).unwrap() })).unwrap();
        delete(dir.path(), "x", Path::new("/no/such"));
        assert!(!other.wait().unwrap().success());
    }
}
