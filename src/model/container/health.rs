//! Health checks: how it is found out whether a container is well, and what was found.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A health check: the command that tells whether a container is well, and its times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Healthcheck {
    /// `CMD` and words, `CMD-SHELL` and a text, `NONE`; empty: the image's.
    pub test: Vec<String>,
    /// Pause between two checks.
    pub interval: Option<Duration>,
    /// Longest time of one check.
    pub timeout: Option<Duration>,
    /// Time after the start in which failures do not count.
    pub start_period: Option<Duration>,
    /// Pause between two checks in the start period.
    pub start_interval: Option<Duration>,
    /// Failures in a row; 0 = 3.
    pub retries: u32,
}

/// Result of the checks so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Not known yet.
    Starting,
    /// The last one went well.
    Healthy,
    /// Too many failed in a row.
    Unhealthy,
}

impl Health {
    /// Docker's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The last health checks of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthLog {
    /// `None`: there are no checks.
    pub status: Option<Health>,
    /// Failures in a row.
    pub failing: u32,
    /// The last five.
    pub probes: Vec<Probe>,
}

/// One health check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When it began.
    pub start: Timestamp,
    /// When it was over.
    pub end: Timestamp,
    /// 0 is well; -1: it took too long.
    pub code: i32,
    /// The beginning of what it wrote.
    pub output: String,
}
