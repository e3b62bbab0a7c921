//! Filters of the `prune` verbs.

use super::{InvalidFilter, LabelFilter, RawFilters, switch};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// Filter of the unused things that a prune may remove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PruneFilter {
    until: Option<Timestamp>,
    labels: LabelFilter,
    /// Volumes: also those with a name.
    pub all: bool,
    /// Images: `Some(false)` means also those with a name.
    pub dangling: Option<bool>,
}

impl PruneFilter {
    /// Filter of containers: `until`, `label`, `label!`.
    ///
    /// # Errors
    /// A key that there is not, or a value that it cannot have.
    pub fn containers(filters: RawFilters) -> Result<Self, InvalidFilter> {
        Self::parse(filters, &["until"])
    }

    /// Filter of images: as of containers, and `dangling`.
    ///
    /// # Errors
    /// As [`PruneFilter::containers`].
    pub fn images(filters: RawFilters) -> Result<Self, InvalidFilter> {
        Self::parse(filters, &["until", "dangling"])
    }

    /// Filter of volumes: `all`, `label`, `label!`.
    ///
    /// # Errors
    /// As [`PruneFilter::containers`].
    pub fn volumes(filters: RawFilters) -> Result<Self, InvalidFilter> {
        Self::parse(filters, &["all"])
    }

    /// `allowed` beside `label` and `label!`.
    fn parse(filters: RawFilters, allowed: &[&str]) -> Result<Self, InvalidFilter> {
        let mut wanted = Self::default();
        for (key, values) in filters {
            for value in values {
                let invalid = || InvalidFilter::value(&key, &value);
                match key.as_str() {
                    "label" => wanted.labels.add(&value),
                    "label!" => wanted.labels.add_unwanted(&value),
                    other if !allowed.contains(&other) => return Err(InvalidFilter::key(other)),
                    "until" => wanted.until = Some(value.parse().map_err(|_| invalid())?),
                    "all" => wanted.all = switch(&value).ok_or_else(invalid)?,
                    _ => wanted.dangling = Some(switch(&value).ok_or_else(invalid)?),
                }
            }
        }
        Ok(wanted)
    }

    /// True when a thing with these labels, made at this time, may be removed.
    pub fn matches(&self, labels: &BTreeMap<String, String>, made: Option<Timestamp>) -> bool {
        self.labels.matches(labels) && self.until.is_none_or(|until| made.is_some_and(|made| made < until))
    }
}
