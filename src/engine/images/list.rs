//! `images`: one row per image, filters as Docker has them.

use super::Group;
use crate::engine::error::EngineError;
use crate::engine::locks::held;
use crate::engine::{Engine, Inner};
use crate::model::image::ImageSummary;
use crate::model::reference::{self, Reference};
use jiff::Timestamp;
use std::collections::BTreeMap;

impl Engine {
    /// The images, newest first; and warnings about what may be missing in the list.
    ///
    /// # Errors
    /// `InvalidArgument`: a filter; `NotFound`: the image of a `before` or `since` filter.
    pub async fn images(
        &self,
        _all: bool,
        filters: BTreeMap<String, Vec<String>>,
    ) -> Result<(Vec<ImageSummary>, Vec<String>), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let wanted = Filters::parse(filters)?;
        let warnings = inner.embedded_images().await;
        let mut rows = Vec::new();
        for group in inner.image_groups().await?.into_values() {
            if !inner.is_hidden(&group) {
                rows.push(inner.summary(&group).await);
            }
        }
        let created_of = |who: &str| {
            let full = Reference::parse(who).map(|r| r.familiar()).unwrap_or_default();
            rows.iter()
                .find(|r| {
                    r.repo_tags.contains(&full)
                        || r.id.trim_start_matches("sha256:").starts_with(who)
                        || r.id == who
                })
                .map(|r| r.created)
                .ok_or_else(|| EngineError::NoSuchImage(who.to_owned()))
        };
        let before = wanted.before.as_deref().map(created_of).transpose()?;
        let since = wanted.since.as_deref().map(created_of).transpose()?;
        rows.retain(|row| {
            wanted.matches(row)
                && before.is_none_or(|b| row.created < b)
                && since.is_none_or(|s| row.created > s)
        });
        for row in &mut rows {
            wanted.narrow(row);
        }
        rows.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.repo_tags.cmp(&b.repo_tags)));
        Ok((rows, warnings))
    }
}

impl Inner {
    async fn summary(&self, group: &Group) -> ImageSummary {
        let mut row = ImageSummary {
            id: group.id.clone(),
            repo_tags: group.tags().iter().map(|t| reference::familiar(t)).collect(),
            repo_digests: group.digests(),
            created: None,
            size: 0,
            labels: BTreeMap::new(),
            containers: 0,
            config_digest: String::new(),
        };
        // A group whose content is for another platform, or gone, is still shown.
        if let Ok(facts) = self.facts(&group.id).await {
            row.created = facts.config["created"].as_str().and_then(|t| t.parse::<Timestamp>().ok());
            row.size = facts.content_size + self.unpacked_size(&facts).await;
            row.labels = facts.labels();
            row.config_digest = facts.config_digest.clone();
        }
        let count = self.records.all().iter().filter(|r| r.resolved.image_id == group.id).count();
        row.containers = i64::try_from(count).unwrap_or(i64::MAX);
        row
    }

    /// Bytes of an image's snapshots, as far as it is unpacked.
    pub(in crate::engine) async fn unpacked_size(&self, facts: &super::Facts) -> i64 {
        let mut size = 0;
        for chain in &facts.chain {
            let known = held(&self.images.sizes).get(chain).copied();
            size += match known {
                Some(known) => known,
                None => match self.containerd.usage(&self.config.snapshotter, chain).await {
                    Ok(size) => {
                        held(&self.images.sizes).insert(chain.clone(), size);
                        size
                    }
                    Err(_) => 0,
                },
            };
        }
        size
    }
}

struct Filters {
    references: Vec<globset::GlobMatcher>,
    dangling: Option<bool>,
    labels: Vec<String>,
    before: Option<String>,
    since: Option<String>,
}

impl Filters {
    fn parse(filters: BTreeMap<String, Vec<String>>) -> Result<Self, EngineError> {
        let mut wanted =
            Self { references: Vec::new(), dangling: None, labels: Vec::new(), before: None, since: None };
        for (key, values) in filters {
            for value in values {
                match key.as_str() {
                    "reference" => {
                        let glob =
                            globset::GlobBuilder::new(&value).literal_separator(true).build().map_err(
                                |e| EngineError::invalid(format!("invalid filter 'reference={value}': {e}")),
                            )?;
                        wanted.references.push(glob.compile_matcher());
                    }
                    "dangling" => {
                        wanted.dangling = Some(match value.as_str() {
                            "true" | "1" => true,
                            "false" | "0" => false,
                            _ => {
                                return Err(EngineError::invalid(format!(
                                    "invalid filter 'dangling=[{value}]'"
                                )));
                            }
                        });
                    }
                    "label" => wanted.labels.push(value),
                    "before" => wanted.before = Some(value),
                    "since" => wanted.since = Some(value),
                    _ => return Err(EngineError::invalid(format!("invalid filter '{key}'"))),
                }
            }
        }
        Ok(wanted)
    }

    fn matches(&self, row: &ImageSummary) -> bool {
        (self.references.is_empty() || row.repo_tags.iter().any(|t| self.names(t)))
            && self.dangling.is_none_or(|d| d == row.repo_tags.is_empty())
            && self.labels.iter().all(|l| match l.split_once('=') {
                Some((key, value)) => row.labels.get(key).is_some_and(|v| v == value),
                None => row.labels.contains_key(l),
            })
    }

    /// Leaves only the names that match a reference filter.
    fn narrow(&self, row: &mut ImageSummary) {
        if !self.references.is_empty() {
            row.repo_tags.retain(|t| self.names(t));
        }
    }

    fn names(&self, tag: &str) -> bool {
        let repository = tag.rsplit_once(':').map_or(tag, |(r, _)| r);
        self.references.iter().any(|g| g.is_match(tag) || g.is_match(repository))
    }
}
