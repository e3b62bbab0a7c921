//! A container and its processes: made by runc, then followed by us.

use super::adapt;
use super::amend;
use super::cgroup::{Cgroup, counted};
use super::console::Console;
use super::exec;
use super::journal;
use super::oci::{Ours, Waiting};
use super::process::{Process, raw_kill};
use super::runc::{RuncError, Stdio3};
use super::stdio::{self, Ends, Paths};
use super::userns;
use super::{Shared, log};
use crate::model::exec::STOPPED;
use crate::sys::mount::{self, Layer};
use containerd_shim_protos::cgroups_v2::metrics::Metrics;
use serde_json::Value;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use thiserror::Error;

/// The time for a program to take the place of runc's init; usually it is less than a millisecond.
const EXECVE: Duration = Duration::from_millis(500);

/// Failure to make or change a container. containerd gets the text.
#[derive(Debug, Error)]
pub(super) enum ContainerError {
    #[error("{0}{why}", why = why(.0))]
    Runc(#[from] RuncError),
    #[error("cannot {what} {path}: {source}")]
    File { what: &'static str, path: PathBuf, source: io::Error },
    #[error("cannot set up the process's streams: {0}")]
    Streams(#[source] io::Error),
    #[error("{0}")]
    Refused(&'static str),
    #[error("cannot change the container's limits: {0}")]
    Limits(String),
    #[error("cannot freeze the container: {0}")]
    Freeze(#[source] io::Error),
    #[error("cannot read the annotation {annotation}: {source}", annotation = crate::model::amendment::ANNOTATION)]
    Amendment { source: serde_json::Error },
    #[error("cannot read what the exec asks for: {source}")]
    Exec { source: serde_json::Error },
}

/// The explanation that runc's own words leave out.
fn why(error: &RuncError) -> &'static str {
    match error.to_string().contains("MOUNT_ATTR_IDMAP") {
        true => {
            ": the kernel maps owners only on file systems that were mounted in the daemon's own user namespace"
        }
        false => "",
    }
}

pub(super) fn file(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContainerError {
    let path = path.to_owned();
    move |source| ContainerError::File { what, path, source }
}

/// A container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) bundle: PathBuf,
    pub(super) init: Arc<Process>,
    pub(super) execs: Mutex<HashMap<String, Arc<Process>>>,
    pub(super) cgroup: Option<Cgroup>,
    has_rootfs: bool,
    /// Whether there are hooks, which only runc runs.
    hooks: bool,
    /// Of one that our own runtime made.
    pub(super) ours: Option<Ours>,
    /// Its first process, until it is started.
    pub(super) waiting: Mutex<Option<Waiting>>,
}

impl Container {
    /// Makes a container: root filesystem, streams, `runc create`. A failure undoes what was begun.
    pub(super) async fn create(
        shared: &Shared,
        id: &str,
        bundle: &Path,
        layers: &[Layer],
        mut paths: Paths,
    ) -> Result<Self, ContainerError> {
        let config = bundle.join("config.json");
        let mut spec: Value = std::fs::read(&config)
            .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
            .map_err(file("read", &config))?;
        if let Some(pod) = shared.pod() {
            pod.furnish(&mut spec);
        }
        let amendment = amend::amend(&mut spec, &shared.runc.init())?;
        let host = adapt::probe();
        adapt::adapt(&mut spec, &host);
        let own_users = userns::lead_to_root(&mut spec, id);
        std::fs::write(&config, spec.to_string()).map_err(file("write", &config))?;
        let root = bundle.join("rootfs");
        if !layers.is_empty() {
            std::fs::create_dir_all(&root).map_err(file("make", &root))?;
            mount_root(layers, &root, id, own_users).await?;
        }
        let hub = shared.hub(id, "");
        paths.log.clone_from(&amendment.log);
        let init = Arc::new(Process::new(String::new(), paths, hub, None));
        let mut container = Self {
            id: id.to_owned(),
            bundle: bundle.to_owned(),
            init: init.clone(),
            execs: Mutex::default(),
            cgroup: None,
            has_rootfs: !layers.is_empty(),
            hooks: spec["hooks"].as_object().is_some_and(|h| !h.is_empty()),
            ours: None,
            waiting: Mutex::default(),
        };
        if !container.create_here(shared, &spec, &host).await? {
            let args: Vec<OsString> = vec!["--bundle".into(), bundle.into()];
            if let Err(error) = container.launch(shared, "create", &init, args).await {
                container.clean(shared).await;
                return Err(error);
            }
        }
        if !amendment.journal.is_empty() {
            // Nothing of its output was read yet: we are one thread, and have not waited since it was connected.
            journal::follow(&init.hub, &amendment.journal);
        }
        container.cgroup = Cgroup::of(init.pid());
        Ok(container)
    }

    /// Calls runc for a process, and connects its streams.
    async fn launch(
        &self,
        shared: &Shared,
        command: &'static str,
        process: &Process,
        mut args: Vec<OsString>,
    ) -> Result<(), ContainerError> {
        let label = if process.exec.is_empty() { "init".to_owned() } else { short_name(&process.exec) };
        let pid_file = self.bundle.join(format!("{label}.pid"));
        let log_file = self.bundle.join(format!("{label}.log.json"));
        args.extend(["--pid-file".into(), pid_file.clone().into()]);
        let console = match process.paths.terminal {
            true => Some(Console::listen(&shared.dir).map_err(ContainerError::Streams)?),
            false => None,
        };
        if let Some(console) = &console {
            args.extend(["--console-socket".into(), console.path().into()]);
        }
        args.push(self.id.clone().into());
        let args: Vec<&OsStr> = args.iter().map(OsString::as_os_str).collect();
        let (ends, theirs) = match console {
            Some(_) => (None, Stdio3::default()),
            None => {
                let (ends, theirs) = pipes(&process.paths).map_err(ContainerError::Streams)?;
                (Some(ends), theirs)
            }
        };
        let call = shared.runc.call(command, &log_file, &args, theirs);
        let ends = match (console, ends) {
            (Some(console), _) => {
                let mut call = pin!(call);
                let master = tokio::select! {
                    master = console.receive() => Some(master.map_err(ContainerError::Streams)?),
                    answer = &mut call => { answer?; None }
                };
                match master {
                    Some(master) => {
                        call.await?;
                        Ends::Terminal(master)
                    }
                    None => return Err(ContainerError::Refused("runc sent no terminal")),
                }
            }
            (None, Some(ends)) => {
                call.await?;
                ends
            }
            (None, None) => return Err(ContainerError::Refused("no streams")),
        };
        let text = std::fs::read_to_string(&pid_file).map_err(file("read", &pid_file))?;
        process.made(text.trim().parse().unwrap_or(0));
        for done in [&pid_file, &log_file] {
            let _ = std::fs::remove_file(done);
        }
        stdio::connect(&process.hub, ends, &process.paths).map_err(ContainerError::Streams)
    }

    /// Lets the first process go on into its program.
    pub(super) async fn start(&self, shared: &Shared) -> Result<(), ContainerError> {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        match waiting {
            Some(waiting) => self.start_here(waiting).await,
            None => self.start_by_runc(shared).await,
        }
    }

    /// runc's init waits at a FIFO for somebody to open it.
    async fn start_by_runc(&self, shared: &Shared) -> Result<(), ContainerError> {
        let fifo = shared.runc.root.join(&self.id).join("exec.fifo");
        let program = PathBuf::from(format!("/proc/{}/exe", self.init.pid()));
        let runc = std::fs::read_link(&program).ok();
        let opened = fifo.clone();
        let read = tokio::task::spawn_blocking(move || -> io::Result<Vec<u8>> { std::fs::read(opened) });
        let mut go = pin!(async { read.await.map_err(io::Error::other)? });
        let said = tokio::select! {
            said = &mut go => said,
            () = self.init.dead.cancelled() => {
                // Frees the thread that waits for a writer. A program that was quick has come by, and said so.
                let _ = std::fs::OpenOptions::new().read(true).write(true).open(&fifo);
                go.await
            }
        };
        if said.map_err(file("open", &fifo))?.is_empty() {
            return Err(ContainerError::Refused("cannot start a container that has stopped"));
        }
        let _ = std::fs::remove_file(&fifo);
        // runc's init is still there for a moment, and would end with 2 at a signal that is meant for the program.
        let end = Instant::now() + EXECVE;
        while runc.is_some() && std::fs::read_link(&program).ok() == runc && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.init.runs();
        Ok(())
    }

    /// Describes a process to add, from the wishes of an exec and the specification that this container was made from.
    pub(super) fn describe(&self, kind: &str, asked: &[u8]) -> Result<Value, ContainerError> {
        let config = self.bundle.join("config.json");
        let made: Value = std::fs::read(&config)
            .and_then(|bytes| Ok(serde_json::from_slice(&bytes)?))
            .map_err(file("read", &config))?;
        let host = adapt::probe();
        exec::describe(&made["process"], kind, asked, &host).map_err(|source| ContainerError::Exec { source })
    }

    /// Starts a process that `exec` added.
    pub(super) async fn start_exec(&self, shared: &Shared, process: &Process) -> Result<(), ContainerError> {
        if self.init.is_over() {
            return Err(ContainerError::Refused(STOPPED));
        }
        if let Some(ours) = &self.ours {
            return self.exec_here(shared, ours, process).await;
        }
        let path = self.bundle.join(format!("{}.process.json", short_name(&process.exec)));
        let spec = process.spec.as_ref().map(Value::to_string).unwrap_or_default();
        std::fs::write(&path, spec).map_err(file("write", &path))?;
        let args: Vec<OsString> = vec!["--process".into(), path.clone().into(), "--detach".into()];
        let answer = self.launch(shared, "exec", process, args).await;
        let _ = std::fs::remove_file(&path);
        answer?;
        process.runs();
        Ok(())
    }

    /// IDs of all of its processes.
    pub(super) fn pids(&self) -> Vec<i32> {
        match &self.cgroup {
            Some(cgroup) => cgroup.pids(),
            None => descendants(self.init.pid()),
        }
    }

    /// Sends a signal to all of its processes.
    pub(super) fn signal_all(&self, signal: i32) {
        for pid in self.pids() {
            let _ = raw_kill(pid, signal);
        }
    }

    pub(super) fn metrics(&self) -> Metrics {
        match &self.cgroup {
            Some(cgroup) => cgroup.metrics(),
            None => counted(&self.pids()),
        }
    }

    pub(super) fn cgroup(&self) -> Option<&Cgroup> {
        self.cgroup.as_ref()
    }

    pub(super) async fn freeze(&self, frozen: bool) -> Result<(), ContainerError> {
        let cgroup = self.cgroup.as_ref().ok_or(ContainerError::Refused(
            "cannot pause: no cgroup is delegated to this user on this host, and freezing needs one",
        ))?;
        cgroup.freeze(frozen).await.map_err(ContainerError::Freeze)
    }

    /// Removes all that the kernel and runc keep of the container.
    pub(super) async fn clean(&self, shared: &Shared) {
        let pid = self.init.pid();
        if pid > 0 && !self.init.is_over() {
            let _ = raw_kill(pid, 9);
        }
        if self.hooks {
            let log_file = self.bundle.join("delete.log.json");
            let args: [&OsStr; 2] = [OsStr::new("--force"), OsStr::new(&self.id)];
            if let Err(error) = shared.runc.call("delete", &log_file, &args, Stdio3::default()).await {
                log(&error.to_string());
            }
        }
        if let Some(cgroup) = &self.cgroup
            && let Err(error) = cgroup.remove().await
        {
            log(&format!("cannot remove the cgroup of {}: {error}", self.id));
        }
        let _ = std::fs::remove_dir_all(shared.runc.root.join(&self.id));
        if self.has_rootfs {
            let (root, id) = (self.bundle.join("rootfs"), self.id.clone());
            let unmount = move || userns::clean(&id).and_then(|()| mount::unmount(&root));
            let done = tokio::task::spawn_blocking(unmount).await;
            if let Ok(Err(error)) = done {
                log(&format!("cannot unmount the root of {}: {error}", self.id));
            }
        }
    }
}

/// Mounts the root filesystem, and prepares it for a user namespace of its own (`own`).
async fn mount_root(layers: &[Layer], root: &Path, id: &str, own: bool) -> Result<(), ContainerError> {
    mount::mount_all(layers, root).map_err(file("mount", root))?;
    if !own {
        return Ok(());
    }
    let (all, there, name) = (layers.to_vec(), root.to_owned(), id.to_owned());
    let prepared = tokio::task::spawn_blocking(move || userns::prepare(&all, &there, &name)).await;
    prepared.map_err(io::Error::other).flatten().map_err(|error| {
        let _ = userns::clean(id);
        let _ = mount::unmount(root);
        file("prepare for a user namespace", root)(error)
    })
}

pub(super) fn pipes(paths: &Paths) -> io::Result<(Ends, Stdio3)> {
    let (out, their_out) = stdio::pipe()?;
    let (err, their_err) = stdio::pipe()?;
    let (stdin, their_in) = match paths.stdin.is_empty() {
        true => (None, None),
        false => {
            let (theirs, ours) = stdio::pipe()?;
            (Some(ours), Some(theirs))
        }
    };
    let ends = Ends::Pipes { stdin, stdout: out, stderr: err };
    Ok((ends, Stdio3 { stdin: their_in, stdout: Some(their_out), stderr: Some(their_err) }))
}

/// The name of an exec's files: its ID has 64 characters and more.
fn short_name(exec: &str) -> String {
    exec.chars().filter(char::is_ascii_alphanumeric).take(32).collect()
}

fn descendants(pid: i32) -> Vec<i32> {
    let mut all = vec![pid];
    let mut at = 0;
    while let Some(parent) = all.get(at).copied() {
        let text =
            std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        all.extend(text.split_whitespace().filter_map(|p| p.parse::<i32>().ok()));
        at += 1;
    }
    all
}
