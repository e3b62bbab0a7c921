//! What the engine remembers of one container.

use crate::model::container::{ContainerSpec, Status};
pub use crate::model::container::{HealthLog, Probe, Resolved};
use crate::model::id::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
    /// What realises it at the moment.
    pub attempt: Attempt,
    /// Of the last attempt.
    pub exit: Exit,
    /// Restarts by policy.
    pub restart_count: u32,
    /// Next pause before a restart by policy, in milliseconds.
    pub backoff_ms: u64,
    /// What the checks of this attempt said.
    #[serde(default)]
    pub health: HealthLog,
    /// A stop that is under way.
    #[serde(default)]
    pub stopping: Option<Stopping>,
    /// A person wants it removed; what came between is made up for.
    #[serde(default)]
    pub removing: Option<Removal>,
}

/// The pod and the container that realise a record for one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// 0 is the one that `create` makes; each later start that needs a fresh one counts up.
    pub number: u32,
    /// CRI's ID of the pod; empty: none.
    pub pod: String,
    /// CRI's ID of the container; empty: none.
    pub container: String,
    /// Where the pod is reached, one for each network.
    pub endpoints: Vec<Endpoint>,
    /// First process, as the engine's host numbers it; 0: none.
    pub pid: u32,
    /// It was started, or could not be: the next start takes a fresh one.
    pub used: bool,
}

impl Attempt {
    /// First address of the pod; empty: none.
    pub fn address(&self) -> &str {
        self.endpoints.first().map_or("", |e| &e.address)
    }
}

/// A pod's place in one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Endpoint {
    /// Name of the network.
    pub network: String,
    /// IP address, without a prefix length.
    pub address: String,
}

/// How a container is being stopped; an engine that is killed meanwhile leaves this to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// Number of the signal that asks it to end.
    pub signal: i32,
    /// When it is killed; `None`: never.
    pub until: Option<Timestamp>,
    /// It is started afterwards: a restart.
    pub then_start: bool,
}

/// How a container is to be removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// With its anonymous volumes.
    pub volumes: bool,
    /// How often it was tried in vain.
    #[serde(default)]
    pub failed: u32,
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
