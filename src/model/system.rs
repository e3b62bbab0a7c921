//! The daemon and what it is made of.

use std::collections::BTreeMap;

/// What `version` says of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Ours.
    pub version: String,
    /// Of `k3c.v1`.
    pub api_version: String,
    /// What it was built from.
    pub git_commit: String,
    /// When.
    pub built: String,
    /// `linux`
    pub os: String,
    /// In Go's words: `amd64`, `arm64`.
    pub arch: String,
    /// Of the engine's host.
    pub kernel_version: String,
    /// containerd, buildkit, runc -> version
    pub components: BTreeMap<String, String>,
}
