//! `prune` and `system df`: what nobody uses, and what everything takes.

use super::error::EngineError;
use super::{Engine, Inner, blocking};
use crate::model::container::{ListFilter, Pruned, Status};
use crate::model::filter::{ImageFilter, PruneFilter, VolumeFilter};
use crate::model::image::{ImageSummary, Removed};
use crate::model::system::{DiskUsage, UsageRow};
use crate::model::volume::VolumeSummary;
use crate::store::Record;
use crate::sys::tree::Tree;
use std::collections::BTreeMap;
use std::path::PathBuf;

impl Engine {
    /// Removes the containers that do not run.
    ///
    /// # Errors
    /// Only those of every verb, as [`Engine`] says: a container that cannot be removed is left out, and named in the log.
    pub async fn prune_containers(&self, filter: PruneFilter) -> Result<Pruned, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let mut pruned = Pruned::default();
        for record in inner.records.all() {
            let rests = matches!(record.status, Status::Created | Status::Exited | Status::Dead);
            if !rests || !filter.matches(&record.resolved.labels, Some(record.created)) {
                continue;
            }
            let size = inner.written(&record).await.unwrap_or(0);
            match inner.remove_one(&record.id, false, false).await {
                Ok(()) => {
                    pruned.deleted.push(record.id.to_string());
                    pruned.reclaimed += size;
                }
                // The container was started, or removed, meanwhile.
                Err(error) => tracing::info!(%error, container = record.name, "is not pruned"),
            }
        }
        Ok(pruned)
    }

    /// Removes the images that no container uses: those without a name, with `dangling=false` all. What pulls left that
    /// did not come to their end goes, too.
    ///
    /// # Errors
    /// Only those of every verb, as [`Engine`] says: an image that cannot be removed is left out, and named in the log.
    pub async fn prune_images(&self, filter: PruneFilter) -> Result<(Vec<Removed>, i64), EngineError> {
        let mut lines = Vec::new();
        let mut reclaimed = 0;
        self.inner().end_partial_pulls(None).await?;
        for image in self.images(ImageFilter::default()).await?.0 {
            let goes = image.containers == 0
                && (image.repo_tags.is_empty() || filter.dangling == Some(false))
                && filter.matches(&image.labels, image.created);
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
    ///
    /// # Errors
    /// Only those of every verb, as [`Engine`] says: a volume that cannot be removed is left out, and named in the log.
    pub async fn prune_volumes(&self, filter: &PruneFilter) -> Result<Pruned, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let mut pruned = Pruned::default();
        for volume in inner.records.book().volumes.values() {
            if !(volume.anonymous || filter.all) || !filter.matches(&volume.labels, None) {
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

    /// Disk usage of images, containers and volumes.
    ///
    /// # Errors
    /// Only those of every verb, as [`Engine`] says.
    pub async fn disk_usage(&self) -> Result<DiskUsage, EngineError> {
        let (images, warnings) = self.images(ImageFilter::default()).await?;
        let filter = ListFilter { all: true, size: true, ..ListFilter::default() };
        let containers = self.list(filter).await?;
        let volumes = self.volumes(&VolumeFilter::default(), true).await?;
        let (layers_size, shared) = self.inner().shared_sizes().await;
        let image = |image: ImageSummary| UsageRow {
            shared_size: shared.get(&image.id).copied().unwrap_or_default(),
            id: image.id,
            size: image.size,
            containers: image.containers,
            active: image.containers > 0,
            created: image.created,
            more: image.repo_tags.join(","),
            name: image.repo_tags.into_iter().next().unwrap_or_default(),
        };
        let container = |row: crate::model::container::ContainerSummary| UsageRow {
            active: row.state.status.is_up(),
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
            layers_size,
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

    /// Bytes of all images, each piece of content and each snapshot once; and of each image those that others have, too.
    async fn shared_sizes(&self) -> (i64, BTreeMap<String, i64>) {
        let mut pieces: BTreeMap<String, (i64, Vec<String>)> = BTreeMap::new();
        for group in self.image_groups().await.unwrap_or_default().into_values() {
            if self.is_hidden(&group) {
                continue;
            }
            let Ok(facts) = self.facts(&group.id).await else { continue };
            let mut own: BTreeMap<String, i64> = facts.blobs.iter().cloned().collect();
            for chain in &facts.chain {
                let size = self.containerd.usage(&self.config.snapshotter, chain).await.unwrap_or(0);
                own.insert(format!("snapshot {chain}"), size);
            }
            for (piece, size) in own {
                pieces.entry(piece).or_insert((size, Vec::new())).1.push(group.id.clone());
            }
        }
        let mut shared: BTreeMap<String, i64> = BTreeMap::new();
        for (size, users) in pieces.values().filter(|(_, users)| users.len() > 1) {
            for user in users {
                *shared.entry(user.clone()).or_default() += size;
            }
        }
        (pieces.values().map(|(size, _)| size).sum(), shared)
    }
}
