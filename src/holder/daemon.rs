//! The holder's side of the daemon: the one that it listens to, and those that want to take over.

use super::{Holder, Source};
use crate::model::holder::{DaemonToHolder, HolderStatus, HolderToDaemon};
use crate::model::reason::chain;
use crate::supervise::greeting::{self, GreetingError};
use crate::sys::packet;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::io;

/// The sockets to daemons.
pub(super) struct Daemons {
    listener: OwnedFd,
    /// The daemon whose orders count; `None` after its death.
    current: Option<OwnedFd>,
    /// Connections that have not greeted yet: a daemon that starts, or somebody who only looks.
    callers: Vec<OwnedFd>,
}

impl Daemons {
    /// Connections that may be silent at the same time; the oldest goes for the next.
    pub(super) const MOST_CALLERS: usize = 8;

    pub(super) fn new(listener: OwnedFd, current: OwnedFd) -> Self {
        Self { listener, current: Some(current), callers: Vec::new() }
    }

    pub(super) fn sources(&self) -> impl Iterator<Item = (Source, BorrowedFd<'_>)> {
        let callers = self.callers.iter().enumerate().map(|(at, fd)| (Source::Caller(at), fd.as_fd()));
        let current = self.current.iter().map(|fd| (Source::Daemon, fd.as_fd()));
        current.chain(callers).chain([(Source::Listener, self.listener.as_fd())])
    }

    pub(super) fn accept(&mut self) -> io::Result<()> {
        let caller = packet::accept_one(&self.listener)?;
        if greeting::give(&caller).is_ok() {
            if self.callers.len() == Self::MOST_CALLERS {
                self.callers.remove(0);
            }
            self.callers.push(caller);
        }
        Ok(())
    }

    /// Takes a caller's greeting: from then on it is the daemon, if it speaks our version.
    pub(super) fn hear_caller(&mut self, at: usize, status: &HolderStatus) {
        let caller = self.callers.remove(at);
        match greeting::take(&caller) {
            Ok(()) => {
                self.current = Some(caller);
                self.report(&HolderToDaemon::Status(status.clone()));
            }
            // The caller only looked.
            Err(GreetingError::Gone) => {}
            Err(e) => drop(packet::write(&caller, &HolderToDaemon::Failed { message: chain(&e) })),
        }
    }

    pub(super) fn report(&mut self, news: &HolderToDaemon) {
        if self.current.as_ref().is_some_and(|daemon| packet::write(daemon, news).is_err()) {
            self.current = None;
        }
    }

    fn order(&mut self) -> Option<DaemonToHolder> {
        match packet::read(self.current.as_ref()?) {
            Ok(Some(order)) => Some(order),
            Err(e) if packet::is_foreign(&e) => None,
            Ok(None) | Err(_) => {
                self.current = None;
                None
            }
        }
    }
}

impl Holder {
    pub(super) fn hear_daemon(&mut self) {
        match self.daemons.order() {
            Some(DaemonToHolder::Stop) => self.stop(),
            Some(DaemonToHolder::Hurry) => self.hurry(),
            Some(DaemonToHolder::Reload { binary }) => self.replace_engine(binary),
            // Expected on the way into the user namespace only.
            Some(DaemonToHolder::MapsWritten) | None => {}
        }
    }
}
