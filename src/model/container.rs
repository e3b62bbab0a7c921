//! What a user asks for when making a container, and what became of it.

use crate::model::id::ContainerId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
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
    /// It has a standard input.
    pub open_stdin: bool,
    /// Which ends with the first client's.
    pub stdin_once: bool,
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
    },
    /// Memory.
    Tmpfs,
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
}

/// Time that a container has to stop when nothing else was said.
pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(10);
