//! What the engine remembers of one exec: a process that was added to a running container.

use crate::model::container::ExecSpec;
use crate::model::id::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An exec's record. It goes with its container, or some minutes after its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// Stable; also what containerd and the shim call it.
    pub id: ContainerId,
    /// ID of its container: a record's, or CRI's own where the container is somebody else's.
    pub container: ContainerId,
    /// CRI's ID of the container that it runs in.
    pub task: String,
    /// Attributes that its events have when its container has no record.
    pub attributes: BTreeMap<String, String>,
    /// As it was asked for.
    pub spec: ExecSpec,
    /// When it was made.
    pub created: Timestamp,
    /// What became of it.
    pub state: ExecState,
}

/// What became of an exec.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecState {
    /// It was made and not started.
    Created,
    /// It was started.
    Running {
        /// As the engine's host numbers it.
        pid: u32,
    },
    /// It has ended, or could not be started.
    Ended {
        /// 0-255.
        code: i32,
        /// When that was seen.
        at: Timestamp,
    },
}
