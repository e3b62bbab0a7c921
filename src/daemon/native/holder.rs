//! The holder, as the daemon sees it: one that a daemon before us left running, or a new one.

use super::error::DaemonError;
use super::{Daemon, PATIENCE, leftovers, print, socket, warn};
use crate::config::{Instance, env as names};
use crate::model::holder::{DaemonToHolder, HolderStatus, HolderToDaemon};
use crate::rootless::{find_program, ids, preflight::Findings};
use crate::supervise::greeting::{self, GreetingError};
use crate::supervise::identity;
use crate::sys::{inherit, packet};
use rustix::fd::{AsFd, OwnedFd};
use std::fs::File;
use std::io;
use std::process::{Child, Command, Stdio};

/// A holder that runs.
pub(super) struct Holder {
    pub(super) socket: OwnedFd,
    /// Readable once it has ended. Without one (an old kernel) the end of its socket is the end of it.
    pub(super) pidfd: Option<OwnedFd>,
    /// The process that we started for it; `None` for one that was taken over.
    pub(super) child: Option<Child>,
}

impl Holder {
    fn new(socket: OwnedFd, status: &HolderStatus, child: Option<Child>) -> Self {
        Self { socket, pidfd: identity::pin(&status.process).ok().flatten(), child }
    }
}

impl Daemon {
    /// Connects to a holder that a daemon before us left running; `None` when there is none.
    pub(super) fn take_over(&mut self) -> Result<Option<Holder>, DaemonError> {
        let Ok(socket) = packet::connect_to(&self.dirs.holder_socket()) else { return Ok(None) };
        let pid = packet::peer(&socket).unwrap_or_default();
        match greeting::exchange(&socket, Some(PATIENCE)) {
            Ok(()) => {}
            Err(GreetingError::Gone) => return Ok(None),
            Err(source) => return Err(DaemonError::TakeOver { pid, source }),
        }
        let status = match packet::read::<HolderToDaemon>(&socket) {
            Ok(Some(HolderToDaemon::Status(status))) => status,
            Ok(Some(HolderToDaemon::Failed { message })) => return Err(DaemonError::Said(message)),
            Ok(Some(other)) => return Err(DaemonError::TooEarly(format!("{other:?}"))),
            Ok(None) => return Ok(None),
            Err(e) => return Err(DaemonError::TakeOver { pid, source: GreetingError::Socket(e) }),
        };
        print(&format!("k3c: taking over what runs (holder {})", status.process.pid));
        if status.engine_ready {
            self.ready();
        }
        Ok(Some(Holder::new(socket, &status, None)))
    }

    /// Starts a holder and waits until all its namespaces exist; the sequence is drawn in [`crate::rootless`].
    pub(super) fn start_holder(&self, instance: &Instance, found: &Findings) -> Result<Holder, DaemonError> {
        let log = self.dirs.child_log("holder");
        let (ours, theirs) = packet::pair().map_err(DaemonError::step("make a socket pair"))?;
        let child = spawn(instance, theirs)?;
        match greeting::exchange(&ours, None) {
            Ok(()) => {}
            Err(GreetingError::Gone) => return Err(DaemonError::HolderEnded(log)),
            Err(source) => return Err(DaemonError::Greeting { log, source }),
        }
        loop {
            let news =
                packet::read::<HolderToDaemon>(&ours).map_err(DaemonError::step("talk to the holder"))?;
            match news {
                Some(HolderToDaemon::UserNamespace) => {
                    // Under systemd-run --scope the process is the same: it executes the holder in place.
                    ids::write_map("newuidmap", child.id(), instance.uid, &found.uids)?;
                    ids::write_map("newgidmap", child.id(), instance.gid, &found.gids)?;
                    packet::write(&ours, &DaemonToHolder::MapsWritten)
                        .map_err(DaemonError::step("talk to the holder"))?;
                }
                Some(HolderToDaemon::Status(status)) => {
                    leftovers::remember(&self.dirs, &status)?;
                    return Ok(Holder::new(ours, &status, Some(child)));
                }
                Some(HolderToDaemon::Warning { message }) => warn(&message),
                Some(HolderToDaemon::Failed { message }) => return Err(DaemonError::Said(message)),
                Some(other) => return Err(DaemonError::TooEarly(format!("{other:?}"))),
                None => return Err(DaemonError::HolderEnded(log)),
            }
        }
    }
}

/// Starts the stage with the API's socket and its end of the socket pair.
fn spawn(instance: &Instance, control: OwnedFd) -> Result<Child, DaemonError> {
    let listener = socket::listen(&instance.dirs.socket(), instance.config.group.as_deref())?;
    let passed =
        |fd: &dyn AsFd| inherit::pass_on(fd.as_fd()).map_err(DaemonError::step("pass a descriptor on"));
    let log = instance.dirs.child_log("holder");
    let output = || File::options().create(true).append(true).open(&log);
    let opened =
        |output: io::Result<File>| output.map_err(DaemonError::step(format!("open {}", log.display())));
    let text = serde_json::to_string(instance).map_err(DaemonError::step("describe the instance"))?;
    let mut command = command(instance);
    command
        .arg(crate::holder::STAGE)
        .env(names::CONTROL_FD, passed(&control)?.to_string())
        .env(names::LISTEN_FD, passed(&listener)?.to_string())
        .env(names::INSTANCE, text)
        .stdin(Stdio::null())
        .stdout(opened(output())?)
        .stderr(opened(output())?);
    if instance.rootless {
        // Programs that find the variable take themselves for rootless.
        command.env(names::ROOTLESSKIT_STATE_DIR, instance.dirs.rootlesskit());
    } else {
        command.env_remove(names::ROOTLESSKIT_STATE_DIR);
    }
    command.spawn().map_err(DaemonError::step("start the holder"))
}

/// Our own binary. With a user manager the holder lives in a delegated scope of its own, so that the death or the restart
/// of the service's main process does not take the containers along.
fn command(instance: &Instance) -> Command {
    let binary = instance.bundle.join("bin").join("k3c");
    let manager = instance.dirs.runtime.parent().is_some_and(|run| run.join("systemd/private").exists());
    if instance.rootless
        && manager
        && instance.cgroup.is_some()
        && let Some(program) = find_program("systemd-run")
    {
        #[expect(clippy::disallowed_methods, reason = "the holder is the daemon's own child")]
        let mut command = Command::new(program);
        command.args(["--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"]).arg(binary);
        return command;
    }
    #[expect(clippy::disallowed_methods, reason = "the holder is the daemon's own child")]
    let command = Command::new(binary);
    command
}
