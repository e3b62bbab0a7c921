//! Rows of `ps`.

use super::mount::Mount;
use super::state::ContainerState;
use crate::model::filter::RawFilters;
use crate::model::id::ContainerId;
use crate::model::port::ShownPort;
use jiff::Timestamp;
use std::collections::BTreeMap;

/// One row of `ps`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerSummary {
    /// Stable identifier (for a foreign container, CRI's).
    pub id: ContainerId,
    /// Names, without a leading slash; `pod/container` for a foreign container.
    pub names: Vec<String>,
    /// Image as it is shown: its familiar name, or a short ID when the tag has moved away.
    pub image: String,
    /// `sha256:...`
    pub image_id: String,
    /// Entrypoint and command, joined by spaces.
    pub command: String,
    /// When the record was made.
    pub created: Timestamp,
    /// State of the container.
    pub state: ContainerState,
    /// Labels of the user.
    pub labels: BTreeMap<String, String>,
    /// Mounts, volumes with their names filled in.
    pub mounts: Vec<Mount>,
    /// Bytes written; `None` unless asked for.
    pub size: Option<(i64, i64)>,
    /// Names of its networks, with commas between; empty: it has none of its own.
    pub network: String,
    /// Ports, while it runs.
    pub ports: Vec<ShownPort>,
    /// Made through CRI by somebody else.
    pub foreign: bool,
}

impl ContainerSummary {
    /// Names of its networks.
    pub fn networks(&self) -> impl Iterator<Item = &str> {
        self.network.split(',').filter(|name| !name.is_empty())
    }
}

/// A request of `ps`; where it is answered, `F` is a [`ContainerFilter`](crate::model::filter::ContainerFilter).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListFilter<F = RawFilters> {
    /// True when containers that do not run are listed, too.
    pub all: bool,
    /// `--filter`
    pub filters: F,
    /// The newest N, of any state.
    pub limit: Option<usize>,
    /// Compute sizes.
    pub size: bool,
}

/// Things that `prune` removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// IDs or names.
    pub deleted: Vec<String>,
    /// Bytes.
    pub reclaimed: i64,
}
