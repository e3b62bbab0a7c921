//! `prune` and `system df`: what nobody uses, and what everything takes.

use super::error::EngineError;
use super::images::Pieces;
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
        self.inner().end_partial_pulls(None).await?;
        let before = self.inner().pieces_of_all().await?;
        for image in self.images(ImageFilter::default()).await?.0 {
            let goes = image.containers == 0
                && (image.repo_tags.is_empty() || filter.dangling == Some(false))
                && filter.matches(&image.labels, image.created);
            if !goes {
                continue;
            }
            match self.remove_image(&image.id, true, false, &[]).await {
                Ok(removed) => lines.extend(removed),
                Err(error) => tracing::info!(%error, image = image.id, "is not pruned"),
            }
        }
        let (before, after) = (Shares::of(&before, []), Shares::of(&self.inner().pieces_of_all().await?, []));
        Ok((lines, (before.all - after.all).max(0)))
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
        let used = images.iter().filter(|image| image.containers > 0).map(|image| image.id.as_str());
        let shares = Shares::of(&self.inner().pieces_of_all().await?, used);
        let image = |image: ImageSummary| UsageRow {
            shared_size: shares.shared.get(&image.id).copied().unwrap_or_default(),
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
            layers_size: shares.all,
            layers_used: shares.used,
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
}

/// Bytes of images that share pieces.
struct Shares {
    /// Of all images, each piece once.
    all: i64,
    /// Of the images that are in use, each piece once.
    used: i64,
    /// Of each image: what others have, too.
    shared: BTreeMap<String, i64>,
}

impl Shares {
    fn of<'a>(images: &BTreeMap<String, Pieces>, used: impl IntoIterator<Item = &'a str>) -> Self {
        let used: Vec<&str> = used.into_iter().collect();
        let mut users: BTreeMap<&str, (i64, Vec<&str>)> = BTreeMap::new();
        for (id, pieces) in images {
            for (piece, size) in pieces {
                users.entry(piece).or_insert((*size, Vec::new())).1.push(id);
            }
        }
        let mut shares = Self { all: 0, used: 0, shared: BTreeMap::new() };
        for (size, users) in users.into_values() {
            shares.all += size;
            if users.iter().any(|user| used.contains(user)) {
                shares.used += size;
            }
            for user in users.iter().filter(|_| users.len() > 1) {
                *shares.shared.entry((*user).to_owned()).or_default() += size;
            }
        }
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_reclaimed_is_what_no_used_image_has() {
        let image = |id: &str, pieces: &[(&str, i64)]| {
            let pieces = pieces.iter().map(|(piece, size)| ((*piece).to_owned(), *size)).collect();
            (id.to_owned(), pieces)
        };
        let images = BTreeMap::from([
            image("a", &[("base", 100), ("a", 1)]),
            image("b", &[("base", 100), ("b", 10)]),
            image("c", &[("c", 1000)]),
        ]);
        let of = |used: &[&'static str]| {
            let shares = Shares::of(&images, used.iter().copied());
            (shares.all, shares.used)
        };
        assert_eq!(of(&[]), (1111, 0));
        assert_eq!(of(&["a"]), (1111, 101));
        assert_eq!(of(&["a", "b"]), (1111, 111));
        assert_eq!(of(&["a", "b", "c"]), (1111, 1111));
        let shared = Shares::of(&images, []).shared;
        assert_eq!(shared, BTreeMap::from([("a".to_owned(), 100), ("b".to_owned(), 100)]));
    }
}
