//! A running instance, as its processes hand it on.

use super::{DaemonConfig, Dirs};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Decisions of the daemon, for the holder and the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Inside a user namespace of an ordinary user.
    pub rootless: bool,
    /// The user who started it, on the host.
    pub uid: u32,
    /// The user's group, on the host.
    pub gid: u32,
    /// Places.
    pub dirs: Dirs,
    /// Settings.
    pub config: DaemonConfig,
    /// The bundle's folder with our own binary in it.
    pub bundle: PathBuf,
    /// The delegated cgroup in which everything lives, as a path on the host; `None` without delegation.
    pub cgroup: Option<PathBuf>,
    /// slirp4netns, for a rootless instance.
    pub slirp4netns: Option<PathBuf>,
}
