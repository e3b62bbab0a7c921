//! Everything that keeps an engine from serving, in words for the user.

use crate::children::bundle::BundleError;
use crate::engine::EngineError;
use crate::supervise::{ConnectError, NotReady};
use std::io;
use std::path::PathBuf;

/// Failure that ends the stage before it was told to end.
#[derive(Debug, thiserror::Error)]
pub(super) enum StageError {
    /// The holder's end of the socket.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The programs that the binary brings.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The engine itself.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A child does not come up.
    #[error(transparent)]
    NotReady(#[from] NotReady),
    /// A child does not come up, and its program is not what was unpacked.
    #[error(
        "{child}: damaged in {}: {}; it is unpacked anew when the daemon is started again",
        folder.display(),
        files.join(", ")
    )]
    Damaged {
        /// The child's state.
        child: NotReady,
        /// The bundle.
        folder: PathBuf,
        /// Names of files in it.
        files: Vec<String>,
    },
    /// Data of one snapshotter and the wish for another.
    #[error(
        "the data in {} was made with the snapshotter {chosen}, and the configuration says {wish}: change it back, or move \
         the data away",
        data.display()
    )]
    Snapshotter {
        /// The data directory.
        data: PathBuf,
        /// The snapshotter that the first start chose.
        chosen: String,
        /// The setting.
        wish: String,
    },
    /// The namespaces went away under the engine.
    #[error("the holder is gone")]
    HolderGone,
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

impl StageError {
    /// For `map_err`.
    pub(super) fn step<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        |source| Self::Step { what: what.into(), source: source.into() }
    }
}
