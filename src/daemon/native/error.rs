//! Everything that keeps the daemon from its work, in words for the user.

use super::lock::LockError;
use crate::children::bundle::BundleError;
use crate::config::ConfigError;
use crate::rootless::RootlessError;
use crate::rootless::preflight::Problem;
use crate::supervise::greeting::GreetingError;
use std::io;
use std::path::PathBuf;

/// Failure of `k3c daemon` or of `k3c daemon reload`.
#[derive(Debug, thiserror::Error)]
pub(super) enum DaemonError {
    /// Settings or places.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The lock of the runtime directory.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The programs that the binary brings.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The way into the user namespace.
    #[error(transparent)]
    Rootless(#[from] RootlessError),
    /// The host lacks something.
    #[error("this host is not ready:\n\n{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))]
    Host(Vec<Problem>),
    /// `--group` without root.
    #[error("--group is for root's daemon: yours serves you alone")]
    GroupOfUser,
    /// `--group` with a name that nobody knows.
    #[error("there is no group {0:?}")]
    NoGroup(String),
    /// The API's socket belongs to another program.
    #[error("somebody else listens on {}", .0.display())]
    SocketTaken(PathBuf),
    /// A holder runs that this daemon cannot talk to.
    #[error(
        "the holder that runs (process {pid}) cannot be taken over, and its containers go on; `kill {pid}` ends it \
         together with them"
    )]
    TakeOver {
        /// The holder.
        pid: i32,
        /// The cause.
        #[source]
        source: GreetingError,
    },
    /// A new engine of this binary would not be understood by the holder.
    #[error(
        "this k3c's engine cannot be put under the holder that runs (process {pid}): stop the daemon, which stops its \
         containers, and start it again"
    )]
    Reload {
        /// The holder.
        pid: i32,
        /// The cause.
        #[source]
        source: GreetingError,
    },
    /// The new holder does not greet.
    #[error("cannot talk to the holder; see {}", log.display())]
    Greeting {
        /// The holder's output.
        log: PathBuf,
        /// The cause.
        #[source]
        source: GreetingError,
    },
    /// The new holder ended without a word.
    #[error("the holder ended at once; see {}", .0.display())]
    HolderEnded(PathBuf),
    /// The new holder's messages come in another order than drawn in [`crate::rootless`].
    #[error("the holder said {0} too early")]
    TooEarly(String),
    /// The holder or the engine failed; its own words.
    #[error("{0}")]
    Said(String),
    /// A system call or a file.
    #[error("cannot {what}")]
    Step {
        /// The step that failed, in words.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl DaemonError {
    /// For `map_err`.
    pub(super) fn step<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        |source| Self::Step { what: what.into(), source: source.into() }
    }
}
