//! What the engine remembers of one container.

use crate::model::container::{ContainerSpec, Health, Healthcheck, Mount, Status};
use crate::model::id::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whether people want it to run. Changed by people only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// It was created and not started, or it was stopped or killed by a person.
    #[default]
    Stopped,
    /// It was started.
    Running,
}

/// A container's record: what the user asked for, and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Stable.
    pub id: ContainerId,
    /// Unique, without a slash.
    pub name: String,
    /// As it was asked for.
    pub spec: ContainerSpec,
    /// When the record was made.
    pub created: Timestamp,
    /// What was worked out when it was created.
    pub resolved: Resolved,
    /// What people want.
    pub desired: Desired,
    /// A person stopped it since it was last started.
    pub stopped_by_user: bool,
    /// What is known of it.
    pub status: Status,
    /// 0 is the one that `create` makes.
    pub attempt: u32,
    /// This attempt was started, or could not be: the next start takes a fresh one.
    pub used: bool,
    /// CRI's ID of this attempt's pod.
    pub pod: String,
    /// CRI's ID of this attempt's container.
    pub container: String,
    /// Address in the pod's network; empty = none.
    pub address: String,
    /// On the engine's host; 0 = none.
    pub pid: u32,
    /// Of the last attempt.
    pub exit: Exit,
    /// Restarts by policy.
    pub restart_count: u32,
    /// Next pause before a restart by policy, in milliseconds.
    pub backoff_ms: u64,
    /// What the checks of this attempt said.
    #[serde(default)]
    pub health: HealthLog,
    /// A person wants it removed; what came between is made up for.
    #[serde(default)]
    pub removing: Option<Removal>,
}

/// How a container is to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// With its anonymous volumes.
    pub volumes: bool,
}

/// The last health checks of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthLog {
    /// `None`: there are no checks.
    pub status: Option<Health>,
    /// Failures in a row.
    pub failing: u32,
    /// The last five.
    pub probes: Vec<Probe>,
}

/// One health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it began.
    pub start: Timestamp,
    /// When it was over.
    pub end: Timestamp,
    /// 0 is well; -1: it took too long.
    pub code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}

/// How an attempt went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exit {
    /// 0-255.
    pub code: i32,
    /// Why it could not be started.
    pub error: String,
    /// Killed by the kernel for its memory.
    pub oom_killed: bool,
    /// `None`: never.
    pub started: Option<Timestamp>,
    /// `None`: never.
    pub finished: Option<Timestamp>,
}

/// What was worked out from the spec and the image when the container was created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolved {
    /// `sha256:...` of the manifest or index.
    pub image_id: String,
    /// `sha256:...` of the configuration: CRI's image ID.
    pub config_digest: String,
    /// Complete reference, empty when it was named by an ID.
    pub reference: String,
    /// Before the command.
    pub entrypoint: Vec<String>,
    /// After the entrypoint.
    pub command: Vec<String>,
    /// The image's and the user's.
    pub env: Vec<String>,
    /// Empty is `/`.
    pub working_dir: String,
    /// `name|uid[:group|gid]`.
    pub user: String,
    /// Never empty.
    pub hostname: String,
    /// The image's and the user's.
    pub labels: BTreeMap<String, String>,
    /// With volumes' names filled in, and the volumes that the image declares.
    pub mounts: Vec<Mount>,
    /// What the image exposes (`80/tcp`).
    pub exposed: Vec<String>,
    /// Never empty.
    pub stop_signal: String,
    /// How it is found out whether it is well; `None`: not at all.
    pub health: Option<Healthcheck>,
    /// Limits that this host cannot apply, in words.
    pub warnings: Vec<String>,
    /// Their names, as in Docker's `HostConfig`.
    pub dropped_limits: Vec<String>,
}

/// What is kept of a removed container for those who still wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Stable.
    pub id: ContainerId,
    /// It had this name.
    pub name: String,
    /// When it was removed.
    pub removed: Timestamp,
    /// How it ended.
    pub exit: Exit,
}
