//! The daemon at rest: it passes on what the holder reports and what signals ask for.

use super::error::DaemonError;
use super::holder::Holder;
use super::{Daemon, leftovers, print, warn};
use crate::model::holder::{DaemonToHolder, HolderToDaemon};
use crate::sys::{memory, packet};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::AsFd;

/// The signals that arrive by descriptor from here on.
pub(super) fn block_signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
        set.add(signal);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

impl Daemon {
    /// Watches until the holder ends: true if that was wanted.
    pub(super) fn watch(&mut self, mut holder: Holder) -> Result<bool, DaemonError> {
        let mut open = true;
        loop {
            let (sent, ended) = self.wait(&holder, open)?;
            if sent {
                match packet::read::<HolderToDaemon>(&holder.socket) {
                    Ok(Some(news)) => self.pass_on(news, &holder)?,
                    Ok(None) => open = false,
                    Err(_) => {}
                }
            }
            self.obey_signals(&holder);
            if ended || (!open && holder.pidfd.is_none()) {
                if let Some(child) = &mut holder.child {
                    let _ = child.wait();
                }
                return Ok(self.stops > 0);
            }
        }
    }

    /// Waits for the holder and for signals: whether the holder has sent something, and whether it has ended. When nothing
    /// comes for a while, memory is given back.
    fn wait(&self, holder: &Holder, open: bool) -> Result<(bool, bool), DaemonError> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
        if open {
            fds.push(PollFd::from_borrowed_fd(holder.socket.as_fd(), PollFlags::IN));
        }
        let pidfd_at = fds.len();
        if let Some(pidfd) = &holder.pidfd {
            fds.push(PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN));
        }
        let pause = Timespec::try_from(memory::PAUSE).ok();
        let mut answer = poll(&mut fds, pause.as_ref());
        if answer == Ok(0) {
            let _ = memory::give_back();
            answer = poll(&mut fds, None);
        }
        match answer {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(DaemonError::step("wait for the holder")(e)),
        }
        let ready = |at: usize| fds.get(at).is_some_and(|fd| !fd.revents().is_empty());
        Ok((open && ready(1), ready(pidfd_at)))
    }

    fn pass_on(&mut self, news: HolderToDaemon, holder: &Holder) -> Result<(), DaemonError> {
        match news {
            HolderToDaemon::EngineReady => self.ready(),
            // An engine of a new holder that never was ready will not be: the user reads why. Otherwise containers may run.
            HolderToDaemon::EngineFailed { message } if !self.told && holder.child.is_some() => {
                let _ = packet::write(&holder.socket, &DaemonToHolder::Hurry);
                leftovers::clean_up(&self.dirs);
                return Err(DaemonError::Said(message));
            }
            HolderToDaemon::EngineFailed { message } => warn(&format!("the engine: {message}; trying again")),
            HolderToDaemon::Warning { message } => warn(&message),
            HolderToDaemon::Failed { message } => return Err(DaemonError::Said(message)),
            HolderToDaemon::Status(_) | HolderToDaemon::UserNamespace | HolderToDaemon::Stopped => {}
        }
        Ok(())
    }

    /// Says once that the API answers.
    pub(super) fn ready(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            print(&format!("k3c: ready on {}", self.dirs.socket().display()));
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        }
    }

    fn obey_signals(&mut self, holder: &Holder) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).unwrap_or_default();
            if signal == libc::SIGHUP {
                self.replace_engine(&holder.socket);
            } else if signal == libc::SIGTERM || signal == libc::SIGINT {
                self.stops += 1;
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
                let (order, words) = match self.stops {
                    1 => (DaemonToHolder::Stop, "k3c: stopping"),
                    _ => (DaemonToHolder::Hurry, "k3c: stopping at once"),
                };
                print(words);
                let _ = packet::write(&holder.socket, &order);
            }
        }
    }
}
