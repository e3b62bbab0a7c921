//! Volumes: directories with a name.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A volume's record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// `[a-zA-Z0-9][a-zA-Z0-9_.-]+`, or 64 hex digits when anonymous.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// The user's.
    pub labels: BTreeMap<String, String>,
    /// Made for one container, without a name.
    pub anonymous: bool,
}

impl Volume {
    /// Labels as they are shown: with the one by which Docker marks a volume without a name.
    pub fn shown_labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.labels.clone();
        if self.anonymous {
            labels.insert("com.docker.volume.anonymous".to_owned(), String::new());
        }
        labels
    }
}

/// One row of `volume ls`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSummary {
    /// Record of the volume.
    pub volume: Volume,
    /// On the engine's host.
    pub mountpoint: String,
    /// Bytes; `None` unless asked for.
    pub size: Option<i64>,
    /// How many use it.
    pub containers: i64,
}
