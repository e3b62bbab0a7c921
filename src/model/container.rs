//! What a user asks for when making a container, and what became of it.

use crate::model::id::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What the user asked for; stored in the record as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ContainerSpec {
    /// As the user typed it.
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
    /// In the order given.
    pub mounts: Vec<Mount>,
    /// The root filesystem is mounted read-only.
    pub read_only: bool,
    /// Without `CAP_`, upper case, or `ALL`.
    pub cap_add: Vec<String>,
    /// Without `CAP_`, upper case, or `ALL`.
    pub cap_drop: Vec<String>,
    /// All capabilities and devices, no seccomp.
    pub privileged: bool,
    /// Zero means unlimited.
    pub resources: Resources,
    /// `--rm`
    pub auto_remove: bool,
    /// What to do when it exits.
    pub restart: RestartPolicy,
    /// Empty: the image's, else `SIGTERM`.
    pub stop_signal: String,
    /// Seconds; negative: for ever; `None`: 10.
    pub stop_timeout: Option<i64>,
    /// Its first process has a terminal.
    pub tty: bool,
    /// The terminal's first size: columns, rows.
    pub terminal_size: Option<(u16, u16)>,
    /// It has a standard input.
    pub open_stdin: bool,
    /// Which ends with the first client's.
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
    /// As typed; of `seccomp=FILE` the file's content.
    pub security_opt: Vec<String>,
    /// Devices of the host.
    pub devices: Vec<Device>,
    /// Whose processes it sees.
    pub pid: Sharing,
    /// Whose System V IPC and /dev/shm it has.
    pub ipc: Sharing,
    /// Whose host name it has.
    pub uts: Sharing,
    /// Whose cgroup tree it sees.
    pub cgroupns: Sharing,
    /// A small init is its first process.
    pub init: bool,
    /// `None`: the image's.
    pub health: Option<Healthcheck>,
    /// Where its output is kept.
    pub log: LogConfig,
    /// For the OCI runtime.
    pub annotations: BTreeMap<String, String>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// `os[/arch[/variant]]`; empty: the host's.
    pub platform: String,
    /// Empty: our own.
    pub runtime: String,
    /// Below the delegated cgroup.
    pub cgroup_parent: String,
    /// The kernel is not to kill it for its memory.
    pub oom_kill_disable: bool,
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

/// A limit of setrlimit(2); -1 is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// Lower case, without `RLIMIT_`.
    pub name: String,
    /// In force.
    pub soft: i64,
    /// How far it may be raised.
    pub hard: i64,
}

/// A device of the host in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Absolute path on the host.
    pub host: String,
    /// Absolute path in the container.
    pub container: String,
    /// Of `rwm`.
    pub permissions: String,
}

/// Whose namespace a container has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// What is usual.
    #[default]
    Default,
    /// Its own.
    Private,
    /// Its own, which others may join.
    Shareable,
    /// Its own, without /dev/shm.
    None,
    /// The host's.
    Host,
    /// Another container's: its name or ID.
    Container(String),
}

impl Sharing {
    /// One of Docker's words, if it is among `allowed` (`container` stands for `container:<name|id>`); empty is the default.
    pub fn parse(text: &str, allowed: &[&str]) -> Option<Self> {
        let (word, who) = text.split_once(':').map_or((text, None), |(word, who)| (word, Some(who)));
        if !word.is_empty() && !allowed.contains(&word) {
            return None;
        }
        match (word, who) {
            ("", None) => Some(Self::Default),
            ("private", None) => Some(Self::Private),
            ("shareable", None) => Some(Self::Shareable),
            ("none", None) => Some(Self::None),
            ("host", None) => Some(Self::Host),
            ("container", Some(who)) if !who.is_empty() => Some(Self::Container(who.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Private => f.write_str("private"),
            Self::Shareable => f.write_str("shareable"),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Container(who) => write!(f, "container:{who}"),
        }
    }
}

/// How it is found out whether a container is well.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// `CMD` and words, `CMD-SHELL` and a text, `NONE`; empty: the image's.
    pub test: Vec<String>,
    /// Between two.
    pub interval: Option<Duration>,
    /// Of one.
    pub timeout: Option<Duration>,
    /// In which failures do not count.
    pub start_period: Option<Duration>,
    /// Between two in the start period.
    pub start_interval: Option<Duration>,
    /// Failures in a row; 0 = 3.
    pub retries: u32,
}

/// What the checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not known yet.
    Starting,
    /// The last one went well.
    Healthy,
    /// Too many failed in a row.
    Unhealthy,
}

impl Health {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// Where a container's output is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LogConfig {
    /// Empty is `json-file`; or `journald`, `none`.
    pub driver: String,
    /// `max-size`, `max-file`.
    pub options: BTreeMap<String, String>,
}

/// One more process in a running container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `KEY=value`, beside the container's.
    pub env: Vec<String>,
    /// `name|uid[:group|gid]`; empty: the container's.
    pub user: String,
    /// Empty: the container's.
    pub working_dir: String,
    /// Has a terminal.
    pub tty: bool,
    /// Has a standard input.
    pub stdin: bool,
    /// All capabilities.
    pub privileged: bool,
    /// The terminal's first size: columns, rows.
    pub terminal_size: Option<(u16, u16)>,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Absolute path in the container.
    pub target: String,
    /// Recursively read-only.
    pub read_only: bool,
    /// Empty or one of `[r]private`, `[r]shared`, `[r]slave`.
    pub propagation: String,
    /// A bind mount without the mounts below.
    #[serde(default)]
    pub non_recursive: bool,
    /// A folder in the volume or image; empty: all of it.
    #[serde(default)]
    pub subpath: String,
}

impl Mount {
    /// A writable mount without options.
    pub fn new(kind: MountKind, target: impl Into<String>) -> Self {
        Self {
            kind,
            target: target.into(),
            read_only: false,
            propagation: String::new(),
            non_recursive: false,
            subpath: String::new(),
        }
    }
}

/// What a mount brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A path of the host.
    Bind {
        /// Absolute.
        source: String,
        /// A missing source is made as a directory (`-v`).
        create: bool,
    },
    /// A volume; an empty name asks for an anonymous one.
    Volume {
        /// Name, or empty.
        name: String,
        /// It is not filled from the image.
        #[serde(default)]
        no_copy: bool,
    },
    /// Memory.
    Tmpfs {
        /// Of tmpfs(5), and flags of mount(8).
        #[serde(default)]
        options: Vec<String>,
    },
    /// An image's files, read-only.
    Image {
        /// As typed.
        reference: String,
    },
}

/// Limits. Zero means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Bytes.
    pub memory: i64,
    /// Memory + swap in bytes; -1 is unlimited swap.
    pub memory_swap: i64,
    /// 1e9 is one CPU.
    pub nano_cpus: i64,
    /// Relative weight, 2 to 262144.
    pub cpu_shares: i64,
    /// A list such as `0-2,4`.
    pub cpuset_cpus: String,
    /// Number of processes.
    pub pids_limit: i64,
    /// Bytes that are left to it when memory is short.
    pub memory_reservation: i64,
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds in each period.
    pub cpu_quota: i64,
    /// A list such as `0-1`.
    pub cpuset_mems: String,
    /// 10 to 1000.
    pub blkio_weight: i64,
    /// Of single devices.
    pub blkio_rates: Vec<DeviceRate>,
}

/// A limit on one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// Of the host.
    pub path: String,
    /// `rbps`, `wbps`, `riops`, `wiops` or `weight`.
    pub kind: String,
    /// Per second, or a weight.
    pub rate: i64,
}

/// `--restart`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Also when the engine starts.
    Always,
    /// As `Always`, but not after a `stop` by the user.
    UnlessStopped,
    /// When the exit code is not 0.
    OnFailure {
        /// 0 = no limit.
        max: u32,
    },
}

/// What people see of a container's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Never started.
    Created,
    /// Its process runs.
    Running,
    /// Frozen.
    Paused,
    /// Between two attempts, by policy.
    Restarting,
    /// On its way out.
    Removing,
    /// Has run.
    Exited,
    /// Could not be removed.
    Dead,
}

impl Status {
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
    /// The word.
    pub status: Status,
    /// On the engine's host; 0 = none.
    pub pid: i32,
    /// Of the last attempt.
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

/// One row of `ps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSummary {
    /// Stable identifier (for a foreign container, CRI's).
    pub id: ContainerId,
    /// Without a leading slash; `pod/container` for a foreign one.
    pub names: Vec<String>,
    /// As shown: familiar, or a short ID when the tag has moved away.
    pub image: String,
    /// `sha256:...`
    pub image_id: String,
    /// Entrypoint and command, joined by spaces.
    pub command: String,
    /// When the record was made.
    pub created: Timestamp,
    /// Its state.
    pub state: ContainerState,
    /// Labels of the user.
    pub labels: BTreeMap<String, String>,
    /// Mounts, volumes with their names filled in.
    pub mounts: Vec<Mount>,
    /// Bytes written; `None` unless asked for.
    pub size: Option<(i64, i64)>,
    /// Made through CRI by somebody else.
    pub foreign: bool,
}

/// When `wait` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitCondition {
    /// At once if it does not run.
    NotRunning,
    /// The next exit.
    NextExit,
    /// The record is gone.
    Removed,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// 0-255.
    pub code: i32,
    /// Why it could not be started.
    pub error: String,
    /// Killed by the kernel for its memory.
    pub oom_killed: bool,
}

/// What `ps` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Also those that do not run.
    pub all: bool,
    /// By name: `id name label status ancestor exited volume before since`.
    pub filters: BTreeMap<String, Vec<String>>,
    /// The newest N, of any state.
    pub limit: Option<usize>,
    /// Compute sizes.
    pub size: bool,
}

/// What `logs` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsOptions {
    /// Go on until the container stops.
    pub follow: bool,
    /// The last N lines.
    pub tail: Option<u64>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// Wanted.
    pub stdout: bool,
    /// Wanted.
    pub stderr: bool,
    /// Only the attempt that is created or running now, from its first byte; waits for its start.
    pub current_attempt: bool,
    /// Goes on behind an entry that was seen, instead of `tail`.
    pub after: Option<LogPosition>,
}

/// Where an entry of a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// Names a file of the log.
    pub file: u64,
    /// In bytes.
    pub offset: u64,
}

/// Which of a container's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Which output.
    pub stream: Stream,
    /// When it was written.
    pub time: Timestamp,
    /// With its line end, unless `partial`.
    pub data: Vec<u8>,
    /// The line goes on in the next entry of this stream.
    pub partial: bool,
    /// Where it ends.
    pub position: LogPosition,
}

/// Time that a container has to stop when nothing else was said.
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// What ps(1) says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processes {
    /// Columns.
    pub titles: Vec<String>,
    /// One per process.
    pub rows: Vec<Vec<String>>,
}

/// Figures of one container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Stable identifier.
    pub id: String,
    /// Without a leading slash.
    pub name: String,
    /// It runs, and the host counts.
    pub known: bool,
    /// Nanoseconds used since the start.
    pub cpu_nanos: u64,
    /// Over the last second; 100 is one CPU.
    pub cpu_percent: f64,
    /// Bytes, without inactive file cache.
    pub memory_usage: u64,
    /// Bytes; the host's memory where there is no limit.
    pub memory_limit: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Bytes read from and written to block devices.
    pub block: (u64, u64),
    /// Bytes received and sent.
    pub net: (u64, u64),
    /// Of the host.
    pub online_cpus: u32,
}

/// What `commit` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// Empty: the image has no name.
    pub reference: String,
    /// Who made it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Instructions of a Dockerfile.
    pub changes: Vec<String>,
    /// It runs on meanwhile.
    pub no_pause: bool,
}

/// A path in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Its last component.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Of stat(2).
    pub mode: u32,
    /// Last change of its content.
    pub modified: Option<Timestamp>,
    /// Where a symbolic link leads, resolved in the container; else empty.
    pub link_target: String,
}

/// What `prune` removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// IDs or names.
    pub deleted: Vec<String>,
    /// Bytes.
    pub reclaimed: i64,
}
