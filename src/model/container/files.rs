//! Files of a container, and images that are made of it.

use jiff::Timestamp;

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
