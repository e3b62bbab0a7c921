//! `prune` and `system df`: what nobody uses, and what everything takes.

use super::error::EngineError;
use super::{Engine, Inner, blocking};
use crate::model::container::{ListFilter, Pruned, Status};
use crate::model::image::{ImageSummary, Removed};
use crate::model::system::{DiskUsage, UsageRow};
use crate::model::volume::VolumeSummary;
use crate::store::Record;
use crate::sys::tree::Tree;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Filters of Docker's `prune`.
#[derive(Debug, Default)]
struct Filters {
    until: Option<Timestamp>,
    labels: Vec<String>,
    without: Vec<String>,
    all: bool,
    dangling: Option<bool>,
}

impl Filters {
    /// `allowed` beside `label` and `label!`.
    fn parse(filters: &BTreeMap<String, Vec<String>>, allowed: &[&str]) -> Result<Self, EngineError> {
        let mut wanted = Self::default();
        for (key, values) in filters {
            let invalid = |value: &str| EngineError::invalid(format!("invalid filter '{key}={value}'"));
            for value in values {
                let switch = || match value.as_str() {
                    "1" | "true" => Ok(true),
                    "0" | "false" => Ok(false),
                    _ => Err(invalid(value)),
                };
                match key.as_str() {
                    "label" => wanted.labels.push(value.clone()),
                    "label!" => wanted.without.push(value.clone()),
                    "until" if allowed.contains(&"until") => {
                        wanted.until = Some(value.parse().map_err(|_| invalid(value))?);
                    }
                    "all" if allowed.contains(&"all") => wanted.all = switch()?,
                    "dangling" if allowed.contains(&"dangling") => wanted.dangling = Some(switch()?),
                    _ => return Err(EngineError::invalid(format!("invalid filter '{key}'"))),
                }
            }
        }
        Ok(wanted)
    }

    fn lets_through(&self, labels: &BTreeMap<String, String>, time: Option<Timestamp>) -> bool {
        let has = |text: &String| match text.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|v| v == value),
            None => labels.contains_key(text),
        };
        self.labels.iter().all(has)
            && !self.without.iter().any(has)
            && self.until.is_none_or(|until| time.is_some_and(|time| time < until))
    }
}

impl Engine {
    /// Removes the containers that do not run.
    pub async fn prune_containers(
        &self,
        filters: BTreeMap<String, Vec<String>>,
    ) -> Result<Pruned, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let wanted = Filters::parse(&filters, &["until"])?;
        let mut pruned = Pruned::default();
        for record in inner.records.all() {
            let rests = matches!(record.status, Status::Created | Status::Exited | Status::Dead);
            if !rests || !wanted.lets_through(&record.resolved.labels, Some(record.created)) {
                continue;
            }
            let size = inner.written(&record).await.unwrap_or(0);
            match inner.remove_one(&record.id, false, false).await {
                Ok(()) => {
                    pruned.deleted.push(record.id.to_string());
                    pruned.reclaimed += size;
                }
                // It was started, or removed, meanwhile.
                Err(error) => tracing::info!(%error, container = record.name, "is not pruned"),
            }
        }
        Ok(pruned)
    }

    /// Removes the images that no container uses: those without a name, with `dangling=false` all.
    pub async fn prune_images(
        &self,
        filters: BTreeMap<String, Vec<String>>,
    ) -> Result<(Vec<Removed>, i64), EngineError> {
        let wanted = Filters::parse(&filters, &["until", "dangling"])?;
        let mut lines = Vec::new();
        let mut reclaimed = 0;
        for image in self.images(true, BTreeMap::new()).await?.0 {
            let goes = image.containers == 0
                && (image.repo_tags.is_empty() || wanted.dangling == Some(false))
                && wanted.lets_through(&image.labels, image.created);
            if !goes {
                continue;
            }
            match self.remove_image(&image.id, true, false).await {
                Ok(removed) => {
                    reclaimed += image.size;
                    lines.extend(removed);
                }
                Err(error) => tracing::info!(%error, image = image.id, "is not pruned"),
            }
        }
        Ok((lines, reclaimed))
    }

    /// Removes the volumes that no container uses: the anonymous ones, with `all=true` also the others.
    pub async fn prune_volumes(&self, filters: BTreeMap<String, Vec<String>>) -> Result<Pruned, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let wanted = Filters::parse(&filters, &["all"])?;
        let mut pruned = Pruned::default();
        for volume in inner.records.book().volumes.values() {
            if !(volume.anonymous || wanted.all) || !wanted.lets_through(&volume.labels, None) {
                continue;
            }
            let size = inner.volume_size(&volume.name).await;
            match self.remove_volume(&volume.name, false).await {
                Ok(()) => {
                    pruned.deleted.push(volume.name.clone());
                    pruned.reclaimed += size;
                }
                Err(error) => tracing::debug!(%error, volume = volume.name, "is not pruned"),
            }
        }
        Ok(pruned)
    }

    /// What everything takes.
    pub async fn disk_usage(&self) -> Result<DiskUsage, EngineError> {
        let (images, warnings) = self.images(true, BTreeMap::new()).await?;
        let filter = ListFilter { all: true, size: true, ..ListFilter::default() };
        let containers = self.list(filter).await?;
        let volumes = self.volumes(BTreeMap::new(), true).await?;
        let image = |image: ImageSummary| UsageRow {
            id: image.id,
            size: image.size,
            shared_size: 0,
            containers: image.containers,
            active: image.containers > 0,
            created: image.created,
            more: image.repo_tags.join(","),
            name: image.repo_tags.into_iter().next().unwrap_or_default(),
        };
        let container = |row: crate::model::container::ContainerSummary| UsageRow {
            active: matches!(row.state.status, Status::Running | Status::Paused | Status::Restarting),
            id: row.id.to_string(),
            name: row.names.first().cloned().unwrap_or_default(),
            size: row.size.map_or(0, |(own, _)| own),
            shared_size: 0,
            containers: 1,
            created: Some(row.created),
            more: row.image,
        };
        let volume = |row: VolumeSummary| UsageRow {
            active: row.containers > 0,
            id: row.volume.name.clone(),
            name: row.volume.name,
            size: row.size.unwrap_or(0),
            shared_size: 0,
            containers: row.containers,
            created: Some(row.volume.created),
            more: String::new(),
        };
        Ok(DiskUsage {
            warnings,
            layers_size: self.inner().layers_size().await,
            images: images.into_iter().map(image).collect(),
            containers: containers.into_iter().filter(|c| !c.foreign).map(container).collect(),
            volumes: volumes.into_iter().map(volume).collect(),
        })
    }
}

impl Inner {
    /// Bytes of a volume's files.
    pub(super) async fn volume_size(&self, name: &str) -> i64 {
        let dir = self.volume_dir(name);
        let size = blocking(move || Tree::open(&dir)?.size()).await;
        size.ok().and_then(Result::ok).and_then(|n| i64::try_from(n).ok()).unwrap_or(0)
    }

    /// Bytes that a container wrote: those of its files, as Docker counts them. Folders do not count, so that a container
    /// that wrote nothing has none. A snapshot without a layer of its own is a copy, and counts as a whole.
    pub(super) async fn written(&self, record: &Record) -> Result<i64, EngineError> {
        let layers = self.snapshot(record, false).await?;
        let upper = layers.iter().flat_map(|layer| &layer.options).find_map(|o| o.strip_prefix("upperdir="));
        let Some(upper) = upper.map(PathBuf::from) else {
            return self.containerd.usage(&self.config.snapshotter, &record.attempt.container).await;
        };
        let shown = upper.clone();
        let size = blocking(move || Tree::open(&upper)?.size()).await?;
        let size = size.map_err(EngineError::file("cannot measure", shown))?;
        Ok(i64::try_from(size).unwrap_or(i64::MAX))
    }

    /// Bytes of all images, each layer once.
    async fn layers_size(&self) -> i64 {
        let mut seen = std::collections::BTreeSet::new();
        let mut sum = 0;
        for group in self.image_groups().await.unwrap_or_default().into_values() {
            if self.is_hidden(&group) {
                continue;
            }
            let Ok(facts) = self.facts(&group.id).await else { continue };
            sum += facts.content_size;
            for chain in &facts.chain {
                if seen.insert(chain.clone()) {
                    sum += self.containerd.usage(&self.config.snapshotter, chain).await.unwrap_or(0);
                }
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        let parse = |pairs: &[(&str, &str)]| {
            let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for (key, value) in pairs {
                map.entry((*key).to_owned()).or_default().push((*value).to_owned());
            }
            Filters::parse(&map, &["until"])
        };
        let labels = [("a".to_owned(), "1".to_owned())].into();
        let wanted = parse(&[("label", "a=1"), ("until", "2026-01-01T00:00:00Z")]).unwrap();
        assert!(wanted.lets_through(&labels, Some(Timestamp::UNIX_EPOCH)));
        assert!(!wanted.lets_through(&labels, Some(Timestamp::MAX)));
        assert!(!wanted.lets_through(&BTreeMap::new(), Some(Timestamp::UNIX_EPOCH)));
        assert!(!parse(&[("label!", "a")]).unwrap().lets_through(&labels, None));
        assert!(parse(&[("until", "soon")]).is_err() && parse(&[("all", "1")]).is_err());
    }
}
