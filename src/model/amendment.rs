//! Amendment: wishes for a container that CRI has no words for, written by the engine into an annotation of the pod or
//! the container, applied to the OCI specification by the shim.

use super::container::Ulimit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The annotation; its value is an [`Amendment`] as JSON.
pub const ANNOTATION: &str = "io.k3c.spec";
/// Path of `--init`'s program in a container.
pub const INIT: &str = "/sbin/docker-init";

/// Changes to an OCI specification.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amendment {
    /// NIS domain; of a pod.
    pub domainname: String,
    /// The host's host name; of a pod and its containers.
    pub host_uts: bool,
    /// A network namespace of its own with nothing but a loopback device, which CRI has no word for; of a pod.
    pub no_network: bool,
    /// A host name of its own in the host's network; of a pod.
    pub own_uts: bool,
    /// The host's cgroup tree.
    pub host_cgroupns: bool,
    /// Namespaces of others, by their OCI names (`pid`, `ipc`, `network`): paths.
    pub joins: BTreeMap<String, String>,
    /// Bytes of /dev/shm; 0 leaves it.
    pub shm_size: i64,
    /// There is no /dev/shm.
    pub no_shm: bool,
    /// A folder in the place of the pod's /dev/shm; empty leaves it.
    pub shm_source: String,
    /// More mounts of memory: target, and options of tmpfs(5) and mount(8).
    pub tmpfs: Vec<(String, Vec<String>)>,
    /// Targets of bind mounts that leave out what is mounted below.
    pub non_recursive: Vec<String>,
    /// Limits that replace those of the same name.
    pub ulimits: Vec<Ulimit>,
    /// More annotations, for the OCI runtime.
    pub annotations: BTreeMap<String, String>,
    /// A small init is the first process.
    pub init: bool,
    /// The terminal's first size: columns, rows.
    pub terminal_size: Option<(u16, u16)>,
    /// The shim writes the container's log; `None`: containerd does, from its FIFOs.
    pub log: Option<Log>,
    /// Output goes to systemd's journal, too, with these fields; empty: it does not.
    pub journal: BTreeMap<String, String>,
}

/// A log in CRI's format, with its rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The file that is written; older ones are beside it (`sys::rotated`).
    pub path: PathBuf,
    /// Bytes from which on a new file is begun.
    pub size: u64,
    /// Files there are at most, the one that is written included.
    pub files: u32,
}

impl Amendment {
    /// The annotation's value; `None` when nothing is to be changed.
    pub fn value(&self) -> Option<String> {
        if *self == Self::default() { None } else { serde_json::to_string(self).ok() }
    }
}
