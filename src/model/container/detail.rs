//! All that is known of one container.

use super::health::HealthLog;
use super::mount::Mount;
use super::network::EndpointSpec;
use super::resolved::Resolved;
use super::spec::ContainerSpec;
use super::state::ContainerState;
use crate::model::id::ContainerId;
use crate::model::port::Published;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A container, as `inspect` shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ContainerDetail {
    /// Stable identifier (for a foreign container, CRI's).
    pub id: ContainerId,
    /// Without a leading slash; `pod/container` for a foreign one.
    pub name: String,
    /// When the record was made.
    pub created: Timestamp,
    /// Specification that was asked for; for a foreign container only the image.
    pub spec: ContainerSpec,
    /// Program and settings, worked out from the spec and the image.
    pub resolved: Resolved,
    /// State of the container.
    pub state: ContainerState,
    /// Results of this attempt's checks.
    pub health: HealthLog,
    /// Bytes written, and bytes of all that it sees; `None` unless asked for.
    pub sizes: Option<(i64, i64)>,
    /// Mounts in force.
    pub mounts: Vec<MountPoint>,
    /// IDs of the processes that were added and have not ended.
    pub execs: Vec<String>,
    /// Files of the engine's host.
    pub files: ContainerFiles,
    /// Ports of the host that lead to it, while it runs.
    pub published: Vec<Published>,
    /// Its parts in networks, the one that is its way out first.
    pub endpoints: Vec<Endpoint>,
    /// Path of its network namespace on the engine's host; empty while it does not run.
    pub namespace: String,
    /// Paths that are hidden from it.
    pub masked_paths: Vec<String>,
    /// Paths that it cannot write to.
    pub readonly_paths: Vec<String>,
    /// Snapshotter.
    pub driver: String,
    /// Name of the OCI runtime.
    pub runtime: String,
    /// CRI's ID of this attempt's pod.
    pub pod: String,
    /// CRI's ID of this attempt's container.
    pub container: String,
    /// Made through CRI by somebody else.
    pub foreign: bool,
}

/// A mount, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// Mount that was asked for, a volume with its name filled in.
    pub mount: Mount,
    /// Path on the engine's host; empty: none.
    pub source: String,
}

/// Paths on the engine's host; empty: none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerFiles {
    /// Mounted at /etc/resolv.conf.
    pub resolv_conf: String,
    /// Mounted at /etc/hostname.
    pub hostname: String,
    /// Mounted at /etc/hosts.
    pub hosts: String,
    /// The log of this attempt.
    pub log: String,
}

/// A container's part in a network; all but the network and the wishes is empty while it does not run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The network's name, and what is wished for there.
    pub wish: EndpointSpec,
    /// 64 hex digits, the same for as long as there is the network.
    pub network_id: String,
    /// 64 hex digits, one for each attempt.
    pub id: String,
    /// Address.
    pub address: String,
    /// Bits of the network's part of the address.
    pub prefix_len: u32,
    /// Address of the way out.
    pub gateway: String,
    /// Hardware address, `aa:bb:cc:dd:ee:ff`.
    pub mac: String,
    /// Its address of version 6; empty: none.
    pub address_6: String,
    /// Address of the way out of version 6; empty: none.
    pub gateway_6: String,
}

/// A container as CRI has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CriDetail {
    /// CRI's.
    pub id: String,
    /// Name in its pod.
    pub name: String,
    /// CRI's own count.
    pub attempt: u32,
    /// `CONTAINER_RUNNING` ...
    pub state: String,
    /// `None`: never.
    pub created: Option<Timestamp>,
    /// `None`: never.
    pub started: Option<Timestamp>,
    /// `None`: never.
    pub finished: Option<Timestamp>,
    /// 0-255.
    pub exit_code: i32,
    /// Image that was asked for.
    pub image: String,
    /// Digest of the configuration.
    pub image_id: String,
    /// One word.
    pub reason: String,
    /// Explanation, in words.
    pub message: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Path of the log on the engine's host.
    pub log: String,
    /// Path in the container, path on the host, read-only.
    pub mounts: Vec<(String, String, bool)>,
    /// containerd's own description: name -> JSON.
    pub info: BTreeMap<String, String>,
}
