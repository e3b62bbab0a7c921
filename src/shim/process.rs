//! A process of a container: its stages, its end, signals.

use super::hub::Hub;
use super::reaper::Exit;
use super::stdio::Paths;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The time for output to flow on after the end of a process.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A process's stage of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Created,
    Running,
    Stopped(Exit),
}

/// The first process of a container, or one that `exec` added.
#[derive(Debug)]
pub(super) struct Process {
    /// The exec's ID; empty for the first process.
    pub(super) exec: String,
    pub(super) paths: Paths,
    pub(super) hub: Arc<Hub>,
    /// The description of an exec, the OCI specification's `process`.
    pub(super) spec: Option<Value>,
    pid: Mutex<i32>,
    stage: watch::Sender<Stage>,
    /// Cancelled by the kernel's word that it is dead, which its stage tells of when the gate is free.
    pub(super) dead: CancellationToken,
    /// Held while the process starts, so that nobody hears of its end before its beginning.
    pub(super) gate: tokio::sync::Mutex<()>,
}

impl Process {
    pub(super) fn new(exec: String, paths: Paths, hub: Arc<Hub>, spec: Option<Value>) -> Self {
        Self {
            exec,
            paths,
            hub,
            spec,
            pid: Mutex::new(0),
            stage: watch::channel(Stage::Created).0,
            dead: CancellationToken::new(),
            gate: tokio::sync::Mutex::default(),
        }
    }

    /// The process ID; 0 before it was made.
    pub(super) fn pid(&self) -> i32 {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the ID of a process that was made.
    pub(super) fn made(&self, pid: i32) {
        *self.pid.lock().unwrap_or_else(PoisonError::into_inner) = pid;
    }

    pub(super) fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.stage(), Stage::Stopped(_))
    }

    pub(super) async fn ended(&self) -> Exit {
        let mut stage = self.stage.subscribe();
        loop {
            if let Stage::Stopped(exit) = *stage.borrow_and_update() {
                return exit;
            }
            // The sender is ours.
            let _ = stage.changed().await;
        }
    }

    pub(super) fn runs(&self) {
        self.stage.send_if_modified(|stage| {
            let first = *stage == Stage::Created;
            if first {
                *stage = Stage::Running;
            }
            first
        });
    }

    pub(super) fn has_ended(&self, exit: Exit) {
        self.stage.send_replace(Stage::Stopped(exit));
        self.hub.exited(exit);
    }

    /// Sends a signal by number.
    pub(super) fn signal(&self, signal: i32) -> nix::Result<()> {
        let pid = self.pid();
        if pid <= 0 || self.is_over() {
            return Err(nix::errno::Errno::ESRCH);
        }
        nix::errno::Errno::result(raw_kill(pid, signal)).map(drop)
    }

    /// Waits until all of the output is where it belongs, but not for ever: another process may hold the streams.
    pub(super) async fn flush(&self) {
        let mut changed = self.hub.subscribe();
        let all = async {
            while !self.hub.logged() {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            self.hub.close(0);
            self.hub.close(1);
        }
    }
}

/// Sends a signal by number to a process; -1 when that fails, and `errno` says why.
pub(super) fn raw_kill(pid: i32, signal: i32) -> i32 {
    match Signal::try_from(signal) {
        Ok(signal) => kill(Pid::from_raw(pid), signal).map_or(-1, |()| 0),
        // Real-time signals have no names.
        Err(_) => crate::sys::process::kill_raw(pid, signal).map_or(-1, |()| 0),
    }
}
