//! Images as people see them.

use jiff::Timestamp;
use std::collections::BTreeMap;

/// One image: all the names of one manifest or index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// `sha256:...` of the manifest or index.
    pub id: String,
    /// Familiar form, `name:tag`.
    pub repo_tags: Vec<String>,
    /// `name@sha256:...`
    pub repo_digests: Vec<String>,
    /// From the configuration.
    pub created: Option<Timestamp>,
    /// Bytes: content and snapshots.
    pub size: i64,
    /// From the configuration.
    pub labels: BTreeMap<String, String>,
    /// How many containers use it.
    pub containers: i64,
    /// CRI's image ID.
    pub config_digest: String,
}

/// One line of `rmi`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(String),
    /// Content is gone.
    Deleted(String),
}

/// How far a long operation is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What it is about.
    pub id: String,
    /// In words.
    pub status: String,
    /// Bytes so far.
    pub current: i64,
    /// Bytes in all; 0 = not known.
    pub total: i64,
}

/// What `load` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadOutcome {
    /// How far it is.
    Progress(Progress),
    /// A familiar reference.
    Image(String),
    /// An image without a name: its ID.
    Id(String),
}

/// What `pull` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PullOutcome {
    /// How far it is.
    Progress(Progress),
    /// At its end.
    Done {
        /// Canonical reference.
        reference: String,
        /// `sha256:...` of the manifest or index.
        id: String,
    },
}
