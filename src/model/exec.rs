//! A process that `exec` adds to a running container: asked for by the engine, made by the shim from what really runs.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The type of an [`Addition`] in an exec request of containerd; its value is JSON.
pub const ADDITION: &str = "k3c.v1.Addition";

/// The shim's words for an exec whose container ended meanwhile.
pub const STOPPED: &str = "cannot exec in a stopped container";

/// Differences of an exec's process from the container's own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Addition {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `KEY=value` sets a variable, `KEY` removes it.
    pub env: Vec<String>,
    /// The user; `None`: the container's.
    pub user: Option<User>,
    /// Absolute path; empty: the container's.
    pub working_dir: String,
    /// Has a terminal.
    pub terminal: bool,
    /// The terminal's first size: columns, rows.
    pub terminal_size: Option<(u16, u16)>,
    /// Has all capabilities.
    pub privileged: bool,
}

/// A process's user and groups, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User ID.
    pub uid: u32,
    /// Primary group ID.
    pub gid: u32,
    /// Other group IDs.
    pub groups: Vec<u32>,
}

impl User {
    /// The `user` of an OCI process. The primary group is listed among the others, too: a process that drops it keeps the
    /// restrictions that files may place on it.
    pub fn document(&self) -> Value {
        let mut groups = vec![self.gid];
        groups.extend(self.groups.iter().filter(|g| **g != self.gid));
        json!({ "uid": self.uid, "gid": self.gid, "additionalGids": groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_primary_group_is_listed_once() {
        let user = User { uid: 1, gid: 2, groups: vec![3, 2] };
        assert_eq!(user.document(), json!({"uid": 1, "gid": 2, "additionalGids": [2, 3]}));
    }
}
