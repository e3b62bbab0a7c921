//! The daemon and what it is made of.

use jiff::Timestamp;
use std::collections::BTreeMap;

/// Version of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Version of k3c.
    pub version: String,
    /// Version of `k3c.v1`.
    pub api_version: String,
    /// Commit that it was built from.
    pub git_commit: String,
    /// Time of the build.
    pub built: String,
    /// `linux`
    pub os: String,
    /// In Go's words: `amd64`, `arm64`.
    pub arch: String,
    /// Kernel of the engine's host.
    pub kernel_version: String,
    /// containerd, buildkit, runc -> version
    pub components: BTreeMap<String, String>,
}

/// The engine, what it has, and its host: `info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// UUID of the data directory.
    pub id: String,
    /// Containers that run, or are about to again.
    pub running: usize,
    /// Containers that are frozen.
    pub paused: usize,
    /// All other containers.
    pub stopped: usize,
    /// Images that people see.
    pub images: usize,
    /// Snapshotter.
    pub driver: String,
    /// cgroup controllers that can be applied.
    pub controllers: Vec<String>,
    /// Clock of the engine's host.
    pub time: Timestamp,
    /// Kernel of the engine's host.
    pub kernel_version: String,
    /// Name and version of the host's distribution.
    pub operating_system: String,
    /// In the kernel's words: `x86_64`, `aarch64`.
    pub architecture: String,
    /// CPUs that the engine may use.
    pub cpus: usize,
    /// Bytes of the host's memory.
    pub memory: u64,
    /// Folder of the records, logs and volumes.
    pub data: String,
    /// The host's name.
    pub host_name: String,
    /// Version of k3c.
    pub version: String,
    /// Name of the OCI runtime.
    pub runtime: String,
    /// Inside a user namespace.
    pub rootless: bool,
    /// containerd, buildkit, runc -> version
    pub components: BTreeMap<String, String>,
    /// containerd's namespace that everything is in.
    pub containerd_namespace: String,
    /// Warnings: things that may be missing in the figures, and why.
    pub warnings: Vec<String>,
}

/// Bytes that everything takes on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Images.
    pub images: Vec<UsageRow>,
    /// Containers: what they wrote.
    pub containers: Vec<UsageRow>,
    /// Volumes.
    pub volumes: Vec<UsageRow>,
    /// Bytes of all images, each layer once.
    pub layers_size: i64,
    /// Bytes of the images that containers use, each layer once.
    pub layers_used: i64,
    /// Warnings: things that may be missing, and why.
    pub warnings: Vec<String>,
}

/// One thing on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// ID, or a volume's name.
    pub id: String,
    /// Name.
    pub name: String,
    /// Bytes.
    pub size: i64,
    /// Bytes that others have too.
    pub shared_size: i64,
    /// How many containers use it.
    pub containers: i64,
    /// True when it is in use.
    pub active: bool,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// An image's names, a container's image.
    pub more: String,
}
