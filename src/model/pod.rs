//! Files of a pod that its shim makes, and its containers see.

use std::path::{Path, PathBuf};

/// Names of a pod's files, and where its containers see them.
pub const FILES: [(&str, &str); 3] =
    [("hostname", "/etc/hostname"), ("hosts", "/etc/hosts"), ("resolv.conf", "/etc/resolv.conf")];
/// The name of the folder that a pod's containers share as [`SHM`].
pub const MEMORY: &str = "shm";
/// Where containers see the memory that they share.
pub const SHM: &str = "/dev/shm";

/// The folder of a pod's files, in the folder of the shims.
pub fn folder(shims: &Path, pod: &str) -> PathBuf {
    shims.join("pods").join(pod)
}
