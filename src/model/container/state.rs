//! States of a container, and how it ends.

use super::health::Health;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Phase of a container's life, as people see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started.
    Created,
    /// The first process runs.
    Running,
    /// Frozen.
    Paused,
    /// Waiting for a restart by policy, after an attempt.
    Restarting,
    /// Being removed.
    Removing,
    /// Has run.
    Exited,
    /// Could not be removed.
    Dead,
}

impl Status {
    /// True for a container that counts as running with Docker: also a paused one, and one between two attempts.
    pub fn is_up(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }

    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Removing => "removing",
            Self::Exited => "exited",
            Self::Dead => "dead",
        }
    }
}

/// Observed state of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerState {
    /// Phase.
    pub status: Status,
    /// On the engine's host; 0 = none.
    pub pid: i32,
    /// Exit code of the last attempt.
    pub exit_code: i32,
    /// Why it could not be started.
    pub error: String,
    /// Killed by the kernel for its memory.
    pub oom_killed: bool,
    /// `None`: never.
    pub started_at: Option<Timestamp>,
    /// `None`: never.
    pub finished_at: Option<Timestamp>,
    /// 0 is the one that `create` makes.
    pub attempt: u32,
    /// Restarts by policy.
    pub restart_count: u32,
    /// `None`: it has no checks, or does not run.
    pub health: Option<Health>,
}

/// Condition on which `wait` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitCondition {
    /// At once if it does not run.
    NotRunning,
    /// The next exit.
    NextExit,
    /// The record is gone.
    Removed,
}

/// End of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// 0-255.
    pub code: i32,
    /// Why it could not be started.
    pub error: String,
    /// Killed by the kernel for its memory.
    pub oom_killed: bool,
}
