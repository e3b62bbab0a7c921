//! Mounts.

use serde::{Deserialize, Serialize};

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Thing that is mounted.
    pub kind: MountKind,
    /// Absolute path in the container.
    pub target: String,
    /// Recursively read-only.
    pub read_only: bool,
    /// Empty or one of `[r]private`, `[r]shared`, `[r]slave`.
    pub propagation: String,
    /// A bind mount without the mounts below.
    #[serde(default)]
    pub non_recursive: bool,
    /// A folder in the volume or image; empty: all of it.
    #[serde(default)]
    pub subpath: String,
}

impl Mount {
    /// A writable mount without options.
    pub fn new(kind: MountKind, target: impl Into<String>) -> Self {
        Self {
            kind,
            target: target.into(),
            read_only: false,
            propagation: String::new(),
            non_recursive: false,
            subpath: String::new(),
        }
    }

    /// Name of the volume that it brings; `None`: it brings something else.
    pub fn volume(&self) -> Option<&str> {
        match &self.kind {
            MountKind::Volume { name, .. } => Some(name),
            _ => None,
        }
    }
}

/// Things that can be mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountKind {
    /// A path of the host.
    Bind {
        /// Absolute.
        source: String,
        /// A missing source is made as a directory (`-v`).
        create: bool,
    },
    /// A volume; an empty name asks for an anonymous one.
    Volume {
        /// Name, or empty.
        name: String,
        /// True when the volume is not filled from the image.
        #[serde(default)]
        no_copy: bool,
    },
    /// Memory.
    Tmpfs {
        /// Options of tmpfs(5), and flags of mount(8).
        #[serde(default)]
        options: Vec<String>,
    },
    /// An image's files, read-only.
    Image {
        /// Image as typed.
        reference: String,
    },
}
