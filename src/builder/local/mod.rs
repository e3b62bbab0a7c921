//! A local directory as BuildKit wants to see it: walked lazily in the protocol's order, filtered by patterns, sent
//! file by file.
//!
//! ```text
//! request (names, patterns) ─ Filter ─ walk ─► STAT, STAT, ... ─►  BuildKit
//!                                        └ Index: id → path   ◄─ REQ id
//!                                          file               ─► DATA, DATA, ..., DATA (empty)
//! ```
//!
//! Memory holds one list of names for each open directory, and a few bytes of [`index::Index`] for each entry; contents
//! pass through in pieces.

mod filter;
mod glob;
mod index;
mod links;
mod mode;
mod pattern;
mod platform;
mod send;
mod walk;

pub(super) use filter::{Filter, Request};
use glob::BadPattern;
pub(super) use send::send;

use std::path::{Path, PathBuf};

/// Failure to send a directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// A file or directory that cannot be read.
    #[error("{action} {path}: {source}")]
    Io {
        /// `open`, `lstat`...
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why; part of the text, for it goes to BuildKit as text.
        source: std::io::Error,
    },
    /// A file that is not what BuildKit was told any more.
    #[error("{path} changed while it was sent: {how}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// What became of it.
        how: &'static str,
    },
    /// The protocol has text only.
    #[error("{0:?}: file name is not valid UTF-8")]
    Name(PathBuf),
    /// More entries than a 32-bit id can count.
    #[error("too many files")]
    TooMany,
    /// A pattern of the ignore file that is none.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// BuildKit asks for what it was never offered.
    #[error("invalid file id {0}")]
    Id(u32),
    /// BuildKit gave up.
    #[error("error from receiver: {0}")]
    Receiver(String),
    /// Nobody is there any more.
    #[error("the build has ended")]
    Gone,
}

impl LocalError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    /// The file was there when its directory was read.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
    }

    /// There is no such file.
    fn is_missing(&self) -> bool {
        use std::io::ErrorKind::{NotADirectory, NotFound};
        matches!(self, Self::Io { source, .. } if matches!(source.kind(), NotFound | NotADirectory))
    }
}

/// The system's path of an entry.
fn join(root: &Path, path: &str) -> PathBuf {
    let mut full = root.to_owned();
    full.extend(path.split('/'));
    full
}
