//! The messages between the holder and the daemon, and between the holder and the engine: one JSON message a packet of a
//! `SOCK_SEQPACKET` socket.
//!
//! ```text
//! daemon                      holder                      engine
//!    Greeting ───────────────▶  ◀──────────────── Greeting       each side's first packet; a side that hears of
//!    ◀──────────────── Greeting  Greeting ───────────────▶       another protocol says so, and goes no further
//!
//!    ◀─────────── UserNamespace  Hello ──────────────────▶       what runs, and how ended what ended meanwhile
//!    MapsWritten ────────────▶
//!    ◀────────────────── Status
//!                                ◀─────────── Spawn, Signal
//!                                Spawned, SpawnFailed ───▶
//!                                Exited ─────────────────▶
//!                                ◀────────────────── Forget
//!    ◀───────────── EngineReady  ◀─────────────────── Ready
//!    ◀──── Warning, EngineFailed ◀───────── Warning, Failed
//!    Reload ─────────────────▶                                   another engine, which begins with its Greeting
//!    Stop, Hurry ────────────▶   Drain, Hurry ───────────▶
//!    ◀───────────────── Stopped  ◀───────────────── Drained
//! ```
//!
//! A daemon that takes over connects to `holder.sock`, greets, and is told the `Status` at once. Until its greeting has
//! come, the holder goes on with the daemon that it has, and does nothing that the new one asks for.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The version of all messages below and of `config::Instance`, which goes the same way. A holder outlives daemons and
/// engines of other versions of k3c, so whatever an older peer would misunderstand needs a new number.
pub const PROTOCOL: u32 = 2;

/// The first packet of each side on each connection. Of all messages this one never changes its form, so that peers of
/// any two versions understand it; unknown fields are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The sender's [`PROTOCOL`].
    pub protocol: u32,
    /// The sender's version of k3c, for people.
    #[serde(default)]
    pub version: String,
}

/// A peer speaks another version of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "k3c {version} (version {protocol} of the holder's protocol) and k3c {} (version {PROTOCOL}) do not understand \
     each other",
    env!("CARGO_PKG_VERSION")
)]
pub struct OtherVersion {
    /// The peer's protocol.
    pub protocol: u32,
    /// The peer's version of k3c.
    pub version: String,
}

impl Greeting {
    /// The calling program's own.
    pub fn own() -> Self {
        Self { protocol: PROTOCOL, version: env!("CARGO_PKG_VERSION").to_owned() }
    }

    /// Compares a peer's greeting with our own.
    ///
    /// # Errors
    /// Another protocol.
    pub fn check(self) -> Result<(), OtherVersion> {
        match self.protocol {
            PROTOCOL => Ok(()),
            protocol => Err(OtherVersion { protocol, version: self.version }),
        }
    }
}

/// A process, and never another one that gets its number later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Process ID as the holder sees it (there is no pid namespace: the host's).
    pub pid: i32,
    /// Start of the process, field 22 of `/proc/PID/stat`, in clock ticks after boot.
    pub start_time: u64,
    /// `/proc/sys/kernel/random/boot_id`
    pub boot_id: String,
}

/// Orders of the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DaemonToHolder {
    /// newuidmap and newgidmap have done their work.
    MapsWritten,
    /// Stop everything, with grace.
    Stop,
    /// Stop everything at once.
    Hurry,
    /// Replace the engine by one that is started from this binary.
    Reload {
        /// A copy of k3c in a bundle folder.
        binary: PathBuf,
    },
}

/// News for the daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderToDaemon {
    /// The user namespace exists and wants its maps.
    UserNamespace,
    /// All namespaces exist.
    Status(HolderStatus),
    /// The API answers.
    EngineReady,
    /// The engine ended before its API answered.
    EngineFailed {
        /// Explanation, in words.
        message: String,
    },
    /// The holder cannot go on with this daemon, or not at all.
    Failed {
        /// Explanation, in words.
        message: String,
    },
    /// A warning for the user.
    Warning {
        /// Explanation, in words.
        message: String,
    },
    /// Everything has ended; the holder is about to.
    Stopped,
}

/// The holder's identity and state; kept in a file too, so that what is left of a killed one can be found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HolderStatus {
    /// The holder.
    pub process: ProcessIdentity,
    /// Inode of its user namespace, `None` for root.
    pub user_namespace: Option<u64>,
    /// The cgroup in which everything lives, as a path on the host.
    pub cgroup: Option<PathBuf>,
    /// Whether the API answers.
    pub engine_ready: bool,
}

/// Orders and news of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineToHolder {
    /// Start a process.
    Spawn(SpawnRequest),
    /// Send a signal to a process that this protocol started.
    Signal {
        /// The process's key.
        key: String,
        /// A signal's number.
        signal: i32,
    },
    /// The exit of this process was dealt with.
    Forget {
        /// The process's key.
        key: String,
    },
    /// The API answers.
    Ready,
    /// The engine cannot go on; it exits next.
    Failed {
        /// Explanation, in words.
        message: String,
    },
    /// A warning for the user.
    Warning {
        /// Explanation, in words.
        message: String,
    },
    /// All containers and children have ended.
    Drained,
}

/// Orders and news for the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HolderToEngine {
    /// First message after the greeting.
    Hello {
        /// Children that run.
        running: Vec<Child>,
        /// Children that ended and were not forgotten yet: nobody has dealt with these exits.
        exited: Vec<(String, Exit)>,
    },
    /// Answer to `Spawn`.
    Spawned {
        /// The process's key.
        key: String,
        /// Process ID.
        pid: i32,
    },
    /// Answer to `Spawn`.
    SpawnFailed {
        /// The process's key.
        key: String,
        /// Explanation, in words.
        message: String,
    },
    /// A child ended.
    Exited {
        /// The process's key.
        key: String,
        /// The way in which it ended.
        exit: Exit,
    },
    /// Stop containers and children with their grace, then say `Drained`.
    Drain,
    /// Cut the grace of a drain short: stop everything at once.
    Hurry,
}

/// A child that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// The engine's name for it.
    pub key: String,
    /// Process ID.
    pub pid: i32,
    /// Program and arguments.
    pub argv: Vec<String>,
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpawnRequest {
    /// The engine's name for it; one process a key at a time.
    pub key: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Added to the holder's environment.
    pub env: Vec<(String, String)>,
    /// Standard output and error are appended to this file.
    pub log: PathBuf,
}

/// The way in which a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal, of this number.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_of_all_times_are_understood() {
        for (text, refused) in [
            (serde_json::to_string(&Greeting::own()).unwrap(), None),
            (format!(r#"{{"protocol":{PROTOCOL},"version":"99.0","colour":"red"}}"#), None),
            (r#"{"protocol":99,"version":"7.1"}"#.to_owned(), Some("k3c 7.1 (version 99 of")),
            (r#"{"protocol":1}"#.to_owned(), Some("(version 1 of")),
        ] {
            let checked = serde_json::from_str::<Greeting>(&text).unwrap().check().map_err(|e| e.to_string());
            match (checked, refused) {
                (Ok(()), None) => {}
                (Err(said), Some(words)) if said.contains(words) => {}
                (other, _) => panic!("{text}: {other:?}"),
            }
        }
    }
}
