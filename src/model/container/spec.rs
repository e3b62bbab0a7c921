//! The spec of a container: all that a user asks for when making it.

use super::health::Healthcheck;
use super::mount::Mount;
use super::network::{EndpointSpec, NetworkMode};
use super::resources::Resources;
use super::restart::RestartPolicy;
use super::sharing::Sharing;
use crate::model::port::Publish;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A user's request; stored in the record as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// Image as the user typed it.
    pub image: String,
    /// `None`: the image's; `Some([])`: none.
    pub entrypoint: Option<Vec<String>>,
    /// Empty: the image's, unless `entrypoint` is given.
    pub command: Vec<String>,
    /// `KEY=value`, resolved by the client.
    pub env: Vec<String>,
    /// Empty: the image's.
    pub working_dir: String,
    /// `name|uid[:group|gid]`; empty: the image's.
    pub user: String,
    /// Empty: the short ID.
    pub hostname: String,
    /// Docker's labels.
    pub labels: BTreeMap<String, String>,
    /// Mounts, in the order given.
    pub mounts: Vec<Mount>,
    /// The root filesystem is mounted read-only.
    pub read_only: bool,
    /// Added capabilities: in upper case without `CAP_`, or `ALL`.
    pub cap_add: Vec<String>,
    /// Dropped capabilities: in upper case without `CAP_`, or `ALL`.
    pub cap_drop: Vec<String>,
    /// All capabilities and devices, no seccomp.
    pub privileged: bool,
    /// Zero means unlimited.
    pub resources: Resources,
    /// `--rm`
    pub auto_remove: bool,
    /// Restart policy.
    pub restart: RestartPolicy,
    /// Empty: the image's, else `SIGTERM`.
    pub stop_signal: String,
    /// Seconds; negative: for ever; `None`: 10.
    pub stop_timeout: Option<i64>,
    /// True when the first process has a terminal.
    pub tty: bool,
    /// The terminal's first size: columns, rows.
    pub terminal_size: Option<(u16, u16)>,
    /// True when the first process has a standard input.
    pub open_stdin: bool,
    /// True when the standard input ends with the first client's.
    pub stdin_once: bool,
    /// NIS domain.
    pub domainname: String,
    /// `name:address` or `name:host-gateway`, for `/etc/hosts`.
    pub extra_hosts: Vec<String>,
    /// Empty parts: the host's.
    pub dns: Dns,
    /// More groups of its user, names or numbers.
    pub group_add: Vec<String>,
    /// `container[:ro|rw]` whose mounts it has too.
    pub volumes_from: Vec<String>,
    /// setrlimit(2)
    pub ulimits: Vec<Ulimit>,
    /// sysctl(8) of its own namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of /dev/shm; 0 = 64 MiB.
    pub shm_size: i64,
    /// Security options as typed; of `seccomp=FILE` the file's content.
    pub security_opt: Vec<String>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Network.
    pub network: NetworkMode,
    /// Its places in networks, the one that is its way out first; none: one in that of its mode, without a wish.
    pub endpoints: Vec<EndpointSpec>,
    /// PID namespace.
    pub pid: Sharing,
    /// Namespace of System V IPC, and /dev/shm.
    pub ipc: Sharing,
    /// Namespace of the host name.
    pub uts: Sharing,
    /// cgroup namespace.
    pub cgroupns: Sharing,
    /// A small init is its first process.
    pub init: bool,
    /// `None`: the image's.
    pub health: Option<Healthcheck>,
    /// Log of the container's output.
    pub log: LogConfig,
    /// Annotations for the OCI runtime.
    pub annotations: BTreeMap<String, String>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// `os[/arch[/variant]]`; empty: the host's.
    pub platform: String,
    /// Empty: our own.
    pub runtime: String,
    /// Parent cgroup, below the delegated one.
    pub cgroup_parent: String,
    /// The kernel is not to kill it for its memory.
    pub oom_kill_disable: bool,
    /// Ports of the host that lead to its own.
    pub publish: Vec<Publish>,
    /// Each port that it exposes is published, at one of the host's that is free.
    pub publish_all: bool,
    /// Ports that it exposes beside its image's (`80/tcp`).
    pub expose: Vec<String>,
}

impl ContainerSpec {
    /// The places in networks that it is to have, the one that is its way out first.
    pub fn places(&self) -> Vec<EndpointSpec> {
        match (self.network.has_address(), self.endpoints.is_empty()) {
            (false, _) => Vec::new(),
            (true, true) => vec![EndpointSpec::plain(self.network.to_string())],
            (true, false) => self.endpoints.clone(),
        }
    }
}

/// Name resolution, as in resolv.conf(5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dns {
    /// Addresses.
    pub servers: Vec<String>,
    /// Domains.
    pub searches: Vec<String>,
    /// `ndots:2` ...
    pub options: Vec<String>,
}

/// The names of a container and its address, as its own hosts(5) has them.
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a> {
    /// Its name for itself.
    pub hostname: &'a str,
    /// Behind the host name; may be empty.
    pub domainname: &'a str,
    /// Empty: it has none of its own.
    pub address: &'a str,
    /// `name:address`, more names that it knows.
    pub extra_hosts: &'a [String],
    /// It is in the host's network: it knows the host's names.
    pub of_host: bool,
}

/// A limit of setrlimit(2); -1 is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Lower case, without `RLIMIT_`.
    pub name: String,
    /// Limit in force.
    pub soft: i64,
    /// Highest limit that the process may set itself.
    pub hard: i64,
}

/// A device of the host in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Absolute path on the host.
    pub host: String,
    /// Absolute path in the container.
    pub container: String,
    /// Letters of `rwm`.
    pub permissions: String,
}

/// Log of a container's output: its driver and the driver's options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// Empty is `json-file`; or `journald`, `none`.
    pub driver: String,
    /// `max-size`, `max-file`.
    pub options: BTreeMap<String, String>,
}

/// Time that a container has to stop when nothing else was said.
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);
