//! Processes that are added to running containers.

use serde::{Deserialize, Serialize};

/// One more process in a running container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecSpec {
    /// Program and arguments.
    pub command: Vec<String>,
    /// `KEY=value`, beside the container's.
    pub env: Vec<String>,
    /// `name|uid[:group|gid]`; empty: the container's.
    pub user: String,
    /// Empty: the container's.
    pub working_dir: String,
    /// Has a terminal.
    pub tty: bool,
    /// Has a standard input.
    pub stdin: bool,
    /// All capabilities.
    pub privileged: bool,
    /// The terminal's first size: columns, rows.
    pub terminal_size: Option<(u16, u16)>,
}
