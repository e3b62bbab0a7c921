//! Restart policies.

use serde::{Deserialize, Serialize};

/// `--restart`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Also when the engine starts.
    Always,
    /// As `Always`, but not after a `stop` by the user.
    UnlessStopped,
    /// When the exit code is not 0.
    OnFailure {
        /// 0 = no limit.
        max: u32,
    },
}
