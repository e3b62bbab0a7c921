//! Files of a container, and images that are made of it.

use jiff::Timestamp;

/// Options of `commit`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommitOptions {
    /// Empty: the image has no name.
    pub reference: String,
    /// Author.
    pub author: String,
    /// Comment.
    pub comment: String,
    /// Instructions of a Dockerfile.
    pub changes: Vec<String>,
    /// The container runs on meanwhile.
    pub no_pause: bool,
}

/// A path in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathStat {
    /// Last component of the path.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Mode, as in stat(2).
    pub mode: u32,
    /// Last change of its content.
    pub modified: Option<Timestamp>,
    /// Target of a symbolic link, resolved in the container; else empty.
    pub link_target: String,
}
