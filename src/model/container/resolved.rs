//! The program of a container and its settings, worked out from its spec and its image.

use super::health::Healthcheck;
use super::mount::Mount;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Program and settings, worked out from the spec and the image when the container was created.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resolved {
    /// `sha256:...` of the manifest or index.
    pub image_id: String,
    /// `sha256:...` of the configuration: CRI's image ID.
    pub config_digest: String,
    /// Complete reference, empty when it was named by an ID.
    pub reference: String,
    /// Words before the command.
    pub entrypoint: Vec<String>,
    /// Words after the entrypoint.
    pub command: Vec<String>,
    /// The image's and the user's.
    pub env: Vec<String>,
    /// Empty is `/`.
    pub working_dir: String,
    /// `name|uid[:group|gid]`.
    pub user: String,
    /// Never empty.
    pub hostname: String,
    /// The image's and the user's.
    pub labels: BTreeMap<String, String>,
    /// Mounts, with volumes' names filled in, and the volumes that the image declares.
    pub mounts: Vec<Mount>,
    /// Ports that the image and the user expose (`80/tcp`).
    pub exposed: Vec<String>,
    /// Never empty.
    pub stop_signal: String,
    /// Health check; `None`: there is none.
    pub health: Option<Healthcheck>,
    /// Limits that this host cannot apply, in words.
    pub warnings: Vec<String>,
    /// Names of these limits, as in Docker's `HostConfig`.
    pub dropped_limits: Vec<String>,
}
