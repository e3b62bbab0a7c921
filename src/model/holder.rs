//! What the holder says to the daemon and to the engine, and they to it: one JSON message a packet of a
//! `SOCK_SEQPACKET` socket. [`PROTOCOL`] is in the first message of each side's greeting.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Version of both protocols; a holder outlives engines of other versions.
pub const PROTOCOL: u32 = 1;

/// A process, and never another one that gets its number later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process ID as the holder sees it (there is no pid namespace: the host's).
    pub pid: i32,
    /// Clock ticks after boot, field 22 of `/proc/PID/stat`.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`
    pub boot_id: String,
}

/// From the daemon to the holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToHolder {
    /// newuidmap and newgidmap have done their work.
    MapsWritten,
    /// A daemon that took over asks who is there.
    Attach,
    /// Stop everything, with grace.
    Stop,
    /// Stop everything at once.
    Hurry,
    /// Start a new engine from this binary.
    Reload {
        /// A copy of k3c in a bundle folder.
        binary: PathBuf,
    },
}

/// From the holder to the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromHolder {
    /// The user namespace exists and wants its maps.
    UserNamespace,
    /// All namespaces exist.
    Status(HolderStatus),
    /// The API answers.
    EngineReady,
    /// The engine ended before its API answered.
    EngineFailed {
        /// In words.
        message: String,
    },
    /// A step on the way into the namespaces failed.
    Failed {
        /// In words.
        message: String,
    },
    /// A warning for the user.
    Warning {
        /// In words.
        message: String,
    },
    /// Everything has ended; the holder is about to.
    Stopped,
}

/// Who the holder is; kept in a file too, so that what is left of a killed one can be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderStatus {
    /// See [`PROTOCOL`].
    pub protocol: u32,
    /// The holder.
    pub process: ProcessIdentity,
    /// Inode of its user namespace, `None` for root.
    pub user_namespace: Option<u64>,
    /// The cgroup in which everything lives, as a path on the host.
    pub cgroup: Option<PathBuf>,
    /// Whether the API answers.
    pub engine_ready: bool,
}

/// From the engine to the holder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToKeeper {
    /// Start a process.
    Spawn(SpawnRequest),
    /// Send a signal to a process that this protocol started.
    Signal {
        /// Its key.
        key: String,
        /// A signal's number.
        signal: i32,
    },
    /// The exit of this process was dealt with.
    Forget {
        /// Its key.
        key: String,
    },
    /// The API answers.
    Ready,
    /// Why the engine cannot go on; it exits next.
    Failed {
        /// In words.
        message: String,
    },
    /// A warning for the user.
    Warning {
        /// In words.
        message: String,
    },
    /// All containers and children have ended.
    Drained,
}

/// From the holder to the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromKeeper {
    /// First message: what runs, and what ended meanwhile.
    Hello {
        /// See [`PROTOCOL`].
        protocol: u32,
        /// Children that run.
        running: Vec<Child>,
        /// Children that ended and were not forgotten yet.
        exited: Vec<(String, Exit)>,
    },
    /// Answer to `Spawn`.
    Spawned {
        /// Its key.
        key: String,
        /// Process ID.
        pid: i32,
    },
    /// Answer to `Spawn`.
    SpawnFailed {
        /// Its key.
        key: String,
        /// In words.
        message: String,
    },
    /// A child ended.
    Exited {
        /// Its key.
        key: String,
        /// How.
        exit: Exit,
    },
    /// Stop containers and children with their grace, then say `Drained`.
    Drain,
    /// The same, at once.
    Hurry,
}

/// A child that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// What the engine called it.
    pub key: String,
    /// Process ID.
    pub pid: i32,
    /// What was started.
    pub argv: Vec<String>,
}

/// What to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnRequest {
    /// What the engine calls it; one process a key at a time.
    pub key: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to the holder's environment.
    pub env: Vec<(String, String)>,
    /// Standard output and error are appended to this file.
    pub log: PathBuf,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
