//! The record of one container.

use crate::model::container::{ContainerSpec, Status};
pub use crate::model::container::{HealthLog, Probe, Resolved};
use crate::model::id::ContainerId;
use crate::model::port::Published;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Wish of people whether a container runs. Changed by people only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Created and not started, or stopped or killed by a person.
    #[default]
    Stopped,
    /// Started by a person.
    Running,
}

/// A container's record: the user's wishes, and what became of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Stable.
    pub id: ContainerId,
    /// Unique name, without a slash.
    pub name: String,
    /// Specification that was asked for.
    pub spec: ContainerSpec,
    /// Time of the record's creation.
    pub created: Timestamp,
    /// Settings that were worked out from the specification and the image at the creation.
    pub resolved: Resolved,
    /// Wish of people.
    pub desired: Desired,
    /// True when a person stopped the container since its last start.
    pub stopped_by_user: bool,
    /// State, as far as it is known.
    pub status: Status,
    /// Pod and container that realise the record at the moment.
    pub attempt: Attempt,
    /// Exit of the last attempt.
    pub exit: Exit,
    /// Number of restarts by policy.
    pub restart_count: u32,
    /// Next pause before a restart by policy, in milliseconds.
    pub backoff_ms: u64,
    /// Results of this attempt's health checks.
    #[serde(default)]
    pub health: HealthLog,
    /// A stop that is under way.
    #[serde(default)]
    pub stopping: Option<Stopping>,
    /// A removal that a person asked for, and that is done as soon as it can be.
    #[serde(default)]
    pub removing: Option<Removal>,
}

/// The pod and the container that realise a record for one run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attempt {
    /// Number: 0 is the attempt that `create` makes; each later start that needs a fresh one counts up.
    pub number: u32,
    /// CRI's ID of the pod; empty: none.
    pub pod: String,
    /// CRI's ID of the container; empty: none.
    pub container: String,
    /// Addresses of the pod, one for each network.
    pub endpoints: Vec<Endpoint>,
    /// Ports of the host that lead to it, while it runs.
    pub published: Vec<Published>,
    /// First process, as the engine's host numbers it; 0: none.
    pub pid: u32,
    /// True when it was started, or could not be: the next start takes a fresh attempt.
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
    /// ID of a user's network; empty: the default one.
    pub network_id: String,
    /// Name of the interface; empty: `eth0`.
    pub interface: String,
    /// IP address, without a prefix length.
    pub address: String,
    /// Its address of version 6; empty: none.
    pub address_6: String,
    /// Hardware address; empty: the one that goes with the address.
    pub mac: String,
}

/// A stop that is under way; an engine that is killed meanwhile leaves it to the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopping {
    /// Number of the signal that asks it to end.
    pub signal: i32,
    /// Time of the kill; `None`: never.
    pub until: Option<Timestamp>,
    /// True for a restart: the container is started afterwards.
    pub then_start: bool,
}

/// A removal that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// True when its anonymous volumes go, too.
    pub volumes: bool,
    /// Number of tries that failed.
    #[serde(default)]
    pub failed: u32,
}

/// Start and end of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Exit {
    /// Exit code, 0-255.
    pub code: i32,
    /// Reason why the start, or the container's removal, failed; empty: neither did.
    pub error: String,
    /// True when the kernel killed a process of it for its memory.
    pub oom_killed: bool,
    /// `None`: never.
    pub started: Option<Timestamp>,
    /// `None`: never.
    pub finished: Option<Timestamp>,
}

/// Remains of a removed container, kept for a while for calls that wait for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Stable.
    pub id: ContainerId,
    /// Name that the container had.
    pub name: String,
    /// Time of the removal.
    pub removed: Timestamp,
    /// Exit of its last attempt.
    pub exit: Exit,
}
