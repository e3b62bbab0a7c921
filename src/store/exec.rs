//! The record of one exec: a process that was added to a running container.

use crate::model::container::ExecSpec;
use crate::model::id::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An exec's record. It goes with its container, or some minutes after its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exec {
    /// Stable ID; containerd and the shim call it so, too.
    pub id: ContainerId,
    /// ID of its container: a record's, or CRI's own where the container is somebody else's.
    pub container: ContainerId,
    /// CRI's ID of the container that it runs in.
    pub task: String,
    /// Attributes that its events have when its container has no record.
    pub attributes: BTreeMap<String, String>,
    /// Specification that was asked for.
    pub spec: ExecSpec,
    /// Time of its creation.
    pub created: Timestamp,
    /// State of its process.
    pub state: ExecState,
}

/// State of an exec's process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecState {
    /// Made and not started.
    Created,
    /// Started, and not ended as far as is known.
    Running {
        /// Process ID on the engine's host.
        pid: u32,
    },
    /// Ended, or could not be started.
    Ended {
        /// Exit code, 0-255.
        code: i32,
        /// Time at which the end was seen.
        at: Timestamp,
    },
}
