//! The one place where children are waited for: ours, and the orphans of a runtime that fall to us as their subreaper.
//!
//! Everything here happens on one thread (the shim's async runtime has no other), so no child can end between its
//! fork and the moment when it is in the table, and `std`'s own waiting for a program that could not be executed is
//! never disturbed.

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

/// Ends that are kept until somebody asks for them: the pid file of a process may still be unread when it ends.
const KEPT: usize = 1024;

/// The end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exit {
    /// The exit code as a shell has it: 0 to 255, or 128 + the signal.
    pub(super) status: u32,
    pub(super) time: SystemTime,
}

/// The table of children. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Reaper(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    awaited: HashMap<i32, oneshot::Sender<Exit>>,
    unclaimed: VecDeque<(i32, Exit)>,
}

impl Reaper {
    /// Begins to wait for children; to be called before the first fork.
    pub(super) fn start() -> io::Result<Self> {
        let reaper = Self::default();
        let mut signals = signal(SignalKind::child())?;
        let own = reaper.clone();
        tokio::spawn(async move {
            loop {
                own.reap();
                if signals.recv().await.is_none() {
                    return;
                }
            }
        });
        Ok(reaper)
    }

    fn reap(&self) {
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code & 0xff),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, 128 + signal as i32),
                Err(nix::errno::Errno::EINTR) => continue,
                Ok(WaitStatus::StillAlive) | Err(_) => return,
                Ok(_) => continue,
            };
            let exit = Exit { status: u32::try_from(status).unwrap_or(255), time: SystemTime::now() };
            let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match table.awaited.remove(&pid.as_raw()) {
                Some(awaiting) => drop(awaiting.send(exit)),
                None => {
                    table.unclaimed.push_back((pid.as_raw(), exit));
                    if table.unclaimed.len() > KEPT {
                        table.unclaimed.pop_front();
                    }
                }
            }
        }
    }

    /// The end of a process that fell to us, also one that is over.
    pub(super) fn watch(&self, pid: i32) -> oneshot::Receiver<Exit> {
        let (sender, receiver) = oneshot::channel();
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The newest counts, should the number have come round.
        match table.unclaimed.iter().rposition(|(p, _)| *p == pid) {
            Some(at) => {
                if let Some((_, exit)) = table.unclaimed.remove(at) {
                    let _ = sender.send(exit);
                }
            }
            None => drop(table.awaited.insert(pid, sender)),
        }
        receiver
    }

    /// Starts a program and watches it.
    pub(super) fn spawn(&self, command: &mut Command) -> io::Result<oneshot::Receiver<Exit>> {
        self.start_child(command).map(|(_, end)| end)
    }

    /// The same, with the program's own ends of what is piped.
    pub(super) fn start_child(
        &self,
        command: &mut Command,
    ) -> io::Result<(std::process::Child, oneshot::Receiver<Exit>)> {
        let child = command.spawn()?;
        let pid = i32::try_from(child.id()).unwrap_or(0);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.unclaimed.retain(|(p, _)| *p != pid);
        let (sender, receiver) = oneshot::channel();
        table.awaited.insert(pid, sender);
        Ok((child, receiver))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_loses_nobody() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let reaper = Reaper::start().unwrap();
            let mut all = Vec::new();
            for code in 0..200_u32 {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", &format!("exit {}", code % 50)]);
                all.push((code % 50, reaper.spawn(&mut command).unwrap()));
            }
            for (code, exit) in all {
                assert_eq!(exit.await.unwrap().status, code);
            }
            let killed = reaper.spawn(Command::new("/bin/sh").args(["-c", "kill -9 $$"])).unwrap();
            assert_eq!(killed.await.unwrap().status, 137);
        });
    }
}
