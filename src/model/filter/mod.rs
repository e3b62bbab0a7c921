//! `--filter`: parsed once, where a request comes in, and matched against our nouns. Values of one key are alternatives
//! (labels must all be there), keys must all agree.

mod container;
mod event;
mod image;
mod network;
mod prune;
mod volume;

pub use container::ContainerFilter;
pub use event::EventMatch;
pub use image::ImageFilter;
pub use network::NetworkFilter;
pub use prune::PruneFilter;
pub use volume::VolumeFilter;

use regex::Regex;
use std::collections::BTreeMap;

/// Filters as they were typed: key -> values.
pub type RawFilters = BTreeMap<String, Vec<String>>;

/// A filter that there is not, or a value that it cannot have; in Docker's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidFilter(String);

impl InvalidFilter {
    fn key(key: &str) -> Self {
        Self(format!("invalid filter '{key}'"))
    }

    fn value(key: &str, value: &str) -> Self {
        Self(format!("invalid filter '{key}={value}'"))
    }
}

/// `label` and `label!`: all of the first must be there, none of the second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelFilter {
    with: Vec<Label>,
    without: Vec<Label>,
}

/// A key, and perhaps its value.
type Label = (String, Option<String>);

impl LabelFilter {
    fn add(&mut self, text: &str) {
        self.with.push(label(text));
    }

    fn add_unwanted(&mut self, text: &str) {
        self.without.push(label(text));
    }

    /// Do these labels agree?
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |(key, value): &Label| {
            labels.get(key).is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
        };
        self.with.iter().all(has) && !self.without.iter().any(has)
    }
}

fn label(text: &str) -> Label {
    match text.split_once('=') {
        Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    }
}

/// `name`, `id`: as in Docker, each value is the name itself or a regular expression that matches some part of it. A value
/// that is no expression is only a name.
#[derive(Clone, Debug, Default)]
pub struct NameFilter(Vec<(String, Option<Regex>)>);

impl NameFilter {
    fn add(&mut self, text: String) {
        let pattern = Regex::new(&text).ok();
        self.0.push((text, pattern));
    }

    /// True when one of the filter's names matches, or it has none.
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|(text, pattern)| {
                text == name || pattern.as_ref().is_some_and(|pattern| pattern.is_match(name))
            })
    }
}

/// `true`, `1`, `false`, `0`.
fn switch(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// True when one of the alternatives matches, or there are none.
fn any<T>(alternatives: &[T], matches: impl FnMut(&T) -> bool) -> bool {
    alternatives.is_empty() || alternatives.iter().any(matches)
}

#[cfg(test)]
mod tests;
