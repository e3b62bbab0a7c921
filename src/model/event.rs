//! Things that happened.

use crate::model::filter::RawFilters;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One event, in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rises by one with each event; never reused.
    pub sequence: u64,
    /// Time at which it happened, which may be before it was noticed.
    pub time: Timestamp,
    /// `container`, `image`, `volume`, `network`, `daemon`.
    pub kind: String,
    /// `create`, `start`, `die`, ...
    pub action: String,
    /// ID or name of what it happened to.
    pub actor: String,
    /// `image`, `name`, `exitCode`, labels ...
    pub attributes: BTreeMap<String, String>,
}

/// A request of `events`; where it is answered, `F` is an [`EventMatch`](crate::model::filter::EventMatch).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter<F = RawFilters> {
    /// Earliest time.
    pub since: Option<Timestamp>,
    /// The stream ends there.
    pub until: Option<Timestamp>,
    /// The sequence of the last one that was seen: all behind it, also of the past.
    pub after: Option<u64>,
    /// `--filter`
    pub filters: F,
}
