//! `images`: one row per image, filters as Docker has them.

use super::Group;
use super::footprint::Here;
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::filter::ImageFilter;
use crate::model::image::ImageSummary;
use crate::model::reference::{self, Reference};
use jiff::Timestamp;
use std::collections::BTreeMap;

impl Engine {
    /// The images, newest first; and warnings about what may be missing in the list.
    ///
    /// # Errors
    /// `NotFound`: the image of a `before` or `since` filter.
    pub async fn images(&self, filter: ImageFilter) -> Result<(Vec<ImageSummary>, Vec<String>), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let warnings = inner.embedded_images().await;
        let mut rows = Vec::new();
        let here = inner.content_here().await?;
        for group in inner.image_groups().await?.into_values() {
            if !inner.is_hidden(&group) {
                rows.push(inner.summary(&group, &here).await);
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
        let before = filter.before.as_deref().map(created_of).transpose()?;
        let since = filter.since.as_deref().map(created_of).transpose()?;
        rows.retain(|row| {
            filter.matches(row)
                && before.is_none_or(|b| row.created < b)
                && since.is_none_or(|s| row.created > s)
        });
        for row in &mut rows {
            filter.narrow(row);
        }
        rows.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.repo_tags.cmp(&b.repo_tags)));
        Ok((rows, warnings))
    }
}

impl Inner {
    async fn summary(&self, group: &Group, here: &Here) -> ImageSummary {
        let mut row = ImageSummary {
            id: group.id.clone(),
            repo_tags: group.tags().iter().map(|t| reference::familiar(t)).collect(),
            repo_digests: group.digests(),
            created: None,
            size: 0,
            labels: BTreeMap::new(),
            containers: 0,
            config_digest: String::new(),
            content_size: 0,
            manifests: Vec::new(),
        };
        let count = self.records.all().iter().filter(|r| r.resolved.image_id == group.id).count();
        row.containers = i64::try_from(count).unwrap_or(i64::MAX);
        let mut used = String::new();
        // A group whose content is for another platform, or gone, is still shown.
        if let Ok(facts) = self.facts(&group.id).await {
            row.created = facts.config["created"].as_str().and_then(|t| t.parse::<Timestamp>().ok());
            row.labels = facts.labels();
            row.config_digest = facts.config_digest.clone();
            used.clone_from(&facts.manifest);
        }
        if let Ok(footprint) = self.footprint(&group.id, here).await {
            row.size = footprint.size();
            row.content_size = footprint.content_size();
            row.manifests = footprint.manifests((&used, row.containers));
        }
        row
    }

    /// Size of an image's snapshots, as far as it is unpacked, in bytes.
    pub(in crate::engine) async fn unpacked_size(&self, facts: &super::Facts) -> i64 {
        let mut size = 0;
        for chain in &facts.chain {
            size += self.snapshot_size(chain).await.unwrap_or_default();
        }
        size
    }
}
