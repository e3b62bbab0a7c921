//! Filters of `images`.

use super::{InvalidFilter, LabelFilter, RawFilters, switch};
use crate::model::image::ImageSummary;
use globset::{GlobBuilder, GlobMatcher};
use jiff::Timestamp;

/// Filter of the images in a list.
#[derive(Clone, Debug, Default)]
pub struct ImageFilter {
    references: Vec<GlobMatcher>,
    dangling: Option<bool>,
    labels: LabelFilter,
    /// An image; only older ones are listed.
    pub before: Option<String>,
    /// An image; only newer ones are listed.
    pub since: Option<String>,
    until: Option<Timestamp>,
}

impl ImageFilter {
    /// # Errors
    /// A key that there is not, or a value that it cannot have.
    pub fn parse(filters: RawFilters) -> Result<Self, InvalidFilter> {
        let mut wanted = Self::default();
        for (key, values) in filters {
            for value in values {
                match key.as_str() {
                    "reference" => {
                        let glob = GlobBuilder::new(&value).literal_separator(true).build();
                        let glob = glob
                            .map_err(|e| InvalidFilter(format!("invalid filter 'reference={value}': {e}")))?;
                        wanted.references.push(glob.compile_matcher());
                    }
                    "dangling" => {
                        let known = switch(&value);
                        let invalid = || InvalidFilter(format!("invalid filter 'dangling=[{value}]'"));
                        wanted.dangling = Some(known.ok_or_else(invalid)?);
                    }
                    "label" => wanted.labels.add(&value),
                    "before" => wanted.before = Some(value),
                    "since" => wanted.since = Some(value),
                    "until" => {
                        let until = value.parse().map_err(|_| InvalidFilter::value("until", &value))?;
                        wanted.until = Some(until);
                    }
                    _ => return Err(InvalidFilter::key(&key)),
                }
            }
        }
        Ok(wanted)
    }

    /// Is this image let through, but for `before` and `since`?
    pub fn matches(&self, row: &ImageSummary) -> bool {
        (self.references.is_empty() || row.repo_tags.iter().any(|tag| self.names(tag)))
            && self.dangling.is_none_or(|dangling| dangling == row.repo_tags.is_empty())
            && self.labels.matches(&row.labels)
            && self.until.is_none_or(|until| row.created.is_some_and(|created| created < until))
    }

    /// Keeps only the names that match the filter's references, if it has any.
    pub fn narrow(&self, row: &mut ImageSummary) {
        if !self.references.is_empty() {
            row.repo_tags.retain(|tag| self.names(tag));
        }
    }

    fn names(&self, tag: &str) -> bool {
        let repository = tag.rsplit_once(':').map_or(tag, |(repository, _)| repository);
        self.references.iter().any(|glob| glob.is_match(tag) || glob.is_match(repository))
    }
}
