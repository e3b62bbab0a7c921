//! `create`, `start`, `run`.

use super::args::{Make, Run};
use super::folder::{Folder, Record, Status};
use super::hooks::{self, Hooks};
use super::log::Log;
use super::{NAME, Refusal, at, console, end};
use crate::shim::adapt::{self, Host};
use crate::shim::cgroup::Cgroup;
use crate::shim::oci::accept::Accepted;
use crate::shim::oci::client::{Hook, More, Stage, Waiting, cgroup_folder};
use crate::shim::oci::process::words;
use crate::shim::process::raw_kill;
use crate::shim::reaper::Reaper;
use crate::shim::runc::Stdio3;
use crate::sys::process;
use rustix::fd::{AsFd, OwnedFd};
use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Signals that whoever waits here passes on.
const PASSED_ON: [i32; 6] = [1, 2, 3, 10, 12, 15];

/// A container that was made.
struct New {
    folder: Folder,
    record: Record,
    waiting: Waiting,
    terminal: Option<OwnedFd>,
}

/// The one who makes processes, and waits for them.
pub(super) struct Maker {
    pub(super) stage: Stage,
    pub(super) reaper: Reaper,
}

impl Maker {
    pub(super) fn new() -> Result<Self, Refusal> {
        let new = || -> io::Result<Self> {
            // Ours until we end: then they are those of who called us.
            nix::sys::prctl::set_child_subreaper(true)?;
            let reaper = Reaper::start()?;
            Ok(Self { stage: Stage::new(reaper.clone())?, reaper })
        };
        new().map_err(|error| Refusal::Process(error.to_string()))
    }
}

/// Our own streams for a process; one with a terminal has none of them.
pub(super) fn streams(terminal: bool) -> Result<Stdio3, Refusal> {
    if terminal {
        return Ok(Stdio3::default());
    }
    let own = |fd: io::Result<OwnedFd>| fd.map(Some).map_err(|e| Refusal::Said(format!("own streams: {e}")));
    Ok(Stdio3 {
        stdin: own(io::stdin().as_fd().try_clone_to_owned())?,
        stdout: own(io::stdout().as_fd().try_clone_to_owned())?,
        stderr: own(io::stderr().as_fd().try_clone_to_owned())?,
    })
}

/// Whether who asks for a terminal has a place for it.
pub(super) fn check_console(terminal: bool, detached: bool, socket: Option<&PathBuf>) -> Result<(), Refusal> {
    let said = |text: &str| Err(Refusal::Said(text.to_owned()));
    match (terminal, detached, socket) {
        (true, true, None) => said("cannot allocate tty if runc will detach without setting console socket"),
        (false, _, Some(_)) | (_, false, Some(_)) => {
            said("cannot use console socket if runc will not detach or allocate tty")
        }
        _ => Ok(()),
    }
}

/// Writes the ID of a process, whole or not at all.
pub(super) fn write_pid(path: Option<&PathBuf>, pid: i32) -> Result<(), Refusal> {
    let Some(path) = path else { return Ok(()) };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}"));
    fs::write(&new, pid.to_string()).and_then(|()| fs::rename(&new, path)).map_err(at("write", path))
}

/// The name of a cgroup as the specification means it: one that is relative, or not there, is beside our own.
fn place_cgroup(spec: &mut Value, id: &str, host: &Host) {
    let given = spec["linux"]["cgroupsPath"].as_str().unwrap_or_default().to_owned();
    if !host.cgroups || given.starts_with('/') {
        return;
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let above = Path::new(own).parent().unwrap_or(Path::new("/"));
    let name = if given.is_empty() { id } else { &given };
    if let Some(linux) = spec.get_mut("linux").and_then(Value::as_object_mut) {
        linux.insert("cgroupsPath".into(), above.join(name).display().to_string().into());
    }
}

/// A specification that was read.
struct Read {
    bundle: PathBuf,
    accepted: Accepted,
    hooks: Hooks,
    terminal: bool,
    cgroup: Option<PathBuf>,
    rootfs: PathBuf,
}

fn read(stage: &Stage, asked: &Make) -> Result<Read, Refusal> {
    let bundle = fs::canonicalize(&asked.bundle)
        .map_err(|error| Refusal::Said(format!("chdir {}: {}", asked.bundle.display(), words(&error))))?;
    let path = bundle.join("config.json");
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Refusal::Said("JSON specification file config.json not found".to_owned()));
        }
        text => text.map_err(at("read", &path))?,
    };
    let mut spec: Value = serde_json::from_slice(&text).map_err(|e| at("read", &path)(e.into()))?;
    if spec["process"].is_null() {
        return Err(Refusal::Said("process property must not be empty".to_owned()));
    }
    let hooks = Hooks::take(&mut spec)?;
    let host = adapt::probe();
    place_cgroup(&mut spec, &asked.id, &host);
    let accepted = stage.read(&spec, &host).map_err(Refusal::Undone)?;
    let rootfs = bundle.join(&accepted.spec.root.path);
    if !rootfs.is_dir() {
        return Err(Refusal::Said(format!(
            "invalid rootfs: stat {}: no such file or directory",
            rootfs.display()
        )));
    }
    let cgroup = cgroup_folder(&accepted.spec.linux.cgroups_path);
    let terminal = accepted.spec.process.terminal;
    Ok(Read { bundle, accepted, hooks, terminal, cgroup, rootfs })
}

/// Makes a container. A failure leaves nothing behind.
async fn make(maker: &Maker, root: &Path, asked: &Make, detached: bool) -> Result<New, Refusal> {
    let read = read(&maker.stage, asked)?;
    check_console(read.terminal, detached, asked.console_socket.as_ref())?;
    let folder = Folder::make(root, &asked.id)?;
    let cgroup = read.cgroup.clone();
    let within = cgroup.as_deref().map_or(0, |cgroup| process::in_cgroup(cgroup).len());
    if within > 0 {
        // It is another's, and stays.
        folder.remove()?;
        let text = format!("container's cgroup is not empty: {within} process(es) found");
        return Err(Refusal::Process(text));
    }
    match fill(maker, &folder, asked, read).await {
        Ok((record, waiting, terminal)) => Ok(New { folder, record, waiting, terminal }),
        Err(refusal) => {
            if let Some(cgroup) = cgroup {
                let _ = Cgroup::at(cgroup).remove().await;
            }
            let _ = folder.remove();
            Err(refusal)
        }
    }
}

async fn fill(
    maker: &Maker,
    folder: &Folder,
    asked: &Make,
    read: Read,
) -> Result<(Record, Waiting, Option<OwnedFd>), Refusal> {
    let Read { bundle, accepted, hooks, terminal, cgroup, rootfs } = read;
    let mut record = Record {
        id: asked.id.clone(),
        pid: 0,
        start: 0,
        bundle,
        rootfs,
        created: jiff::Timestamp::now().to_string(),
        annotations: accepted.spec.annotations.clone(),
        cgroup,
        hooks,
    };
    // One that dies halfway can be deleted by it.
    folder.keep(&record)?;
    let early: Option<Hook<'_>> = record.hooks.early().then(|| -> Hook<'_> {
        let (known, reaper) = (record.clone(), &maker.reaper);
        Box::new(move |pid| {
            Box::pin(async move {
                let known = Record { pid, ..known };
                hooks::run(reaper, known.hooks.prestart.as_ref(), &known, "creating").await?;
                hooks::run(reaper, known.hooks.create_runtime.as_ref(), &known, "creating").await
            })
        })
    });
    let more = More { door: Some(folder.door()?), hook: early };
    let made = maker.stage.create_with(&asked.id, &record.bundle, accepted, streams(terminal)?, more).await;
    let (mut waiting, ours) =
        made.map_err(|why| Refusal::Process(format!("error during container init: {why}")))?;
    let mut finished = || -> Result<(), Refusal> {
        folder.keep_made(&ours.made)?;
        record.pid = waiting.pid;
        record.start = process::start_time(waiting.pid).unwrap_or(0);
        folder.keep(&record)?;
        if let (Some(socket), Some(terminal)) = (&asked.console_socket, &waiting.terminal) {
            console::send(socket, terminal)?;
        }
        write_pid(asked.pid_file.as_ref(), waiting.pid)
    };
    match finished() {
        Ok(()) => {
            let terminal = waiting.terminal.take();
            Ok((record, waiting, terminal))
        }
        Err(refusal) => {
            let _ = raw_kill(waiting.pid, 9);
            Err(refusal)
        }
    }
}

pub(super) async fn create(root: &Path, asked: &Make, log: &Log) -> Result<(), Refusal> {
    let maker = Maker::new()?;
    let new = make(&maker, root, asked, true).await?;
    if let Err(error) = new.waiting.leave() {
        end::clean(new.folder, &new.record, log).await?;
        return Err(Refusal::Process(error.to_string()));
    }
    Ok(())
}

pub(super) async fn start(root: &Path, id: &str, log: &Log) -> Result<(), Refusal> {
    let folder = Folder::open(root, id)?;
    let record = folder.record()?;
    let said = |text: &str| Refusal::Said(text.to_owned());
    match folder.status(&record) {
        Status::Created => {}
        Status::Stopped => return Err(said("cannot start a container that has stopped")),
        Status::Running | Status::Paused => return Err(said("cannot start an already running container")),
    }
    let waiting =
        folder.waiting(&record)?.ok_or_else(|| said("cannot start an already running container"))?;
    let reaper = Reaper::start().map_err(|error| said(&error.to_string()))?;
    begin(&record, &waiting, &reaper, log).await
}

/// Lets the first process go on, and runs what is to be run then.
async fn begin(record: &Record, waiting: &Waiting, reaper: &Reaper, log: &Log) -> Result<(), Refusal> {
    waiting.go().await.map_err(|error| Refusal::Process(error.to_string()))?;
    // The container goes on when one of them fails (OCI's runtime.md, "Lifecycle").
    if let Err(why) = hooks::run(reaper, record.hooks.poststart.as_ref(), record, "running").await {
        log.warn(&format!("poststart hooks: {why}"));
    }
    Ok(())
}

pub(super) async fn run(root: &Path, asked: &Run, log: &Log) -> Result<i32, Refusal> {
    let maker = Maker::new()?;
    let New { folder, record, waiting, terminal } = make(&maker, root, &asked.make, asked.detach).await?;
    let exit = maker.reaper.watch(record.pid);
    if let Err(refusal) = begin(&record, &waiting, &maker.reaper, log).await {
        end::clean(folder, &record, log).await?;
        return Err(refusal);
    }
    if asked.detach {
        return Ok(0);
    }
    let code = attend(record.pid, terminal, exit).await?;
    if !asked.keep {
        end::clean(folder, &record, log).await?;
    }
    Ok(code)
}

/// Waits for a process's end, and passes signals on to it meanwhile.
pub(super) async fn attend(
    pid: i32,
    terminal: Option<OwnedFd>,
    exit: tokio::sync::oneshot::Receiver<crate::shim::reaper::Exit>,
) -> Result<i32, Refusal> {
    let said = |error: io::Error| Refusal::Said(format!("{NAME}: {error}"));
    for number in PASSED_ON {
        let mut signals = signal(SignalKind::from_raw(number)).map_err(said)?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let _ = raw_kill(pid, number);
            }
        });
    }
    let joined = terminal.map(console::join).transpose().map_err(said)?;
    let exit = exit.await;
    if let Some(joined) = joined {
        joined.finish();
    }
    Ok(exit.map_or(255, |exit| i32::try_from(exit.status).unwrap_or(255)))
}
