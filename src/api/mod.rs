//! The conversions between the wire and our nouns: `k3c.v1` messages to and from `model`, reasons to and from gRPC
//! statuses, nouns to Docker's documents.
//!
//! Nothing else converts; the engine never sees a message, and the command line never sees a status.

mod attach;
mod container;
pub mod docker;
mod event;
mod image;
mod network;
mod port;
pub mod reason;
mod spec;
mod system;
mod time;
mod volume;

pub use attach::{attach_request, exec_request};
pub use container::{
    commit_from, commit_to, condition_from, condition_to, list_from, list_to, logs_from, logs_to,
};

use crate::model::filter::{InvalidFilter, RawFilters};
use crate::model::reason::Reason;
use crate::proto::k3c::v1 as wire;
use std::collections::HashMap;
use std::fmt::Display;

/// The version of `k3c.v1` that this program speaks.
pub const API_VERSION: &str = "1.0";

/// A message says something that has no meaning.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid {field}: {why}")]
pub struct Invalid {
    /// As it is called in the definition.
    pub field: &'static str,
    /// Explanation, in words.
    pub why: String,
}

impl Invalid {
    pub(crate) fn new(field: &'static str, why: impl Display) -> Self {
        Self { field, why: why.to_string() }
    }
}

impl From<Invalid> for tonic::Status {
    fn from(invalid: Invalid) -> Self {
        reason::status(Reason::InvalidArgument, invalid.to_string())
    }
}

impl From<InvalidFilter> for tonic::Status {
    fn from(invalid: InvalidFilter) -> Self {
        reason::status(Reason::InvalidArgument, invalid.to_string())
    }
}

/// `map<string, Strings>`, as our filters.
pub fn filters_from(wire: HashMap<String, wire::Strings>) -> RawFilters {
    wire.into_iter().map(|(name, values)| (name, values.values)).collect()
}

/// Our filters, as `map<string, Strings>`.
pub fn filters_to(filters: RawFilters) -> HashMap<String, wire::Strings> {
    filters.into_iter().map(|(name, values)| (name, wire::Strings { values })).collect()
}

/// The empty string means absent.
pub fn present(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Docker's document out of its text.
pub fn document(text: &str) -> Result<serde_json::Value, Invalid> {
    serde_json::from_str(text).map_err(|error| Invalid::new("document", error))
}

fn count(field: &'static str, number: i32) -> Result<u32, Invalid> {
    u32::try_from(number).map_err(|_| Invalid::new(field, format_args!("{number} is negative")))
}

fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
