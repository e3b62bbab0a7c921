//! Volumes: directories with a name below the data directory; and where bind mounts come from.

use super::error::EngineError;
use super::images::Facts;
use super::leftovers::{GONE, NEW, PASSING};
use super::{Engine, Inner, blocking, events};
use crate::model::container::{Mount, MountKind};
use crate::model::id::ContainerId;
use crate::model::name::{self, InvalidName};
use crate::model::reason::Reason;
use crate::model::volume::{Volume, VolumeSummary};
use crate::store::{Change, Record};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

impl Engine {
    /// Makes a volume; one that is there is success. An empty name asks for an anonymous one.
    pub async fn create_volume(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<VolumeSummary, EngineError> {
        let inner = self.inner();
        let known = inner.book.read().ok().and_then(|b| b.volumes.get(name).cloned());
        let volume = match known {
            Some(volume) => volume,
            None => {
                let mut volume = new_volume(name)?;
                volume.labels = labels;
                inner.make_volume_dir(&volume.name).await?;
                let event = events::volume(&volume.name, "create");
                inner.commit(Change::new().put_volume(volume.clone()).event(event)).await?;
                inner.unmark_volume(&volume.name, NEW).await;
                volume
            }
        };
        Ok(inner.volume_summary(volume))
    }

    /// The volumes that the filters let through, by name.
    pub async fn volumes(
        &self,
        filters: BTreeMap<String, Vec<String>>,
        size: bool,
    ) -> Result<Vec<VolumeSummary>, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        for (key, values) in &filters {
            let bad = match key.as_str() {
                "name" | "label" | "driver" => None,
                "dangling" => values.iter().find(|v| !["true", "1", "false", "0"].contains(&v.as_str())),
                _ => return Err(EngineError::invalid(format!("invalid filter '{key}'"))),
            };
            if let Some(bad) = bad {
                return Err(EngineError::invalid(format!("invalid filter '{key}={bad}'")));
            }
        }
        let volumes: Vec<Volume> =
            inner.book.read().map(|b| b.volumes.values().cloned().collect()).unwrap_or_default();
        let mut rows: Vec<VolumeSummary> = volumes.into_iter().map(|v| inner.volume_summary(v)).collect();
        rows.retain(|row| filters.iter().all(|(key, values)| matches(row, key, values)));
        if size {
            for row in &mut rows {
                row.size = Some(inner.volume_size(&row.volume.name).await);
            }
        }
        Ok(rows)
    }

    /// Removes a volume that no container uses; with `force` one that is not there is success.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<(), EngineError> {
        let inner = self.inner();
        let _one = inner.filling.lock().await;
        if !inner.book.read().is_ok_and(|b| b.volumes.contains_key(name)) {
            return if force { Ok(()) } else { Err(EngineError::NoSuchVolume(name.to_owned())) };
        }
        let users: Vec<String> =
            inner.records().iter().filter(|r| uses(r, name)).map(|r| r.id.to_string()).collect();
        if !users.is_empty() {
            return Err(EngineError::refused(
                Reason::InUse,
                format!("remove {name}: volume is in use - [{}]", users.join(", ")),
            ));
        }
        inner.mark_volume(name, GONE).await.ok();
        inner.commit(Change::new().remove_volume(name).event(events::volume(name, "destroy"))).await?;
        inner.delete_volume_dir(name).await;
        Ok(())
    }
}

fn uses(record: &Record, wanted: &str) -> bool {
    record.resolved.mounts.iter().any(|m| matches!(&m.kind, MountKind::Volume { name, .. } if name == wanted))
}

/// Values of one key are alternatives (labels must all be there).
fn matches(row: &VolumeSummary, key: &str, values: &[String]) -> bool {
    let volume = &row.volume;
    match key {
        "name" => values.iter().any(|v| volume.name.contains(v.as_str())),
        "driver" => values.iter().any(|v| v == "local"),
        "dangling" => values.iter().any(|v| matches!(v.as_str(), "true" | "1") == (row.containers == 0)),
        _ => values.iter().all(|v| match v.split_once('=') {
            Some((key, value)) => volume.labels.get(key).is_some_and(|l| l == value),
            None => volume.labels.contains_key(v),
        }),
    }
}

fn new_volume(name: &str) -> Result<Volume, EngineError> {
    let anonymous = name.is_empty();
    let name = if anonymous { ContainerId::from_bytes(rand::random()).to_string() } else { name.to_owned() };
    if name.len() < 2 {
        return Err(EngineError::invalid(format!(
            "create {name}: volume name is too short, names should be at least two alphanumeric characters"
        )));
    }
    if !name::is_valid(&name) {
        return Err(InvalidName { what: "volume", name }.into());
    }
    Ok(Volume { name, created: Timestamp::now(), labels: BTreeMap::new(), anonymous })
}

impl Inner {
    fn volume_summary(&self, volume: Volume) -> VolumeSummary {
        let mountpoint = self.volume_dir(&volume.name).to_string_lossy().into_owned();
        let users = self.records().iter().filter(|r| uses(r, &volume.name)).count();
        let containers = i64::try_from(users).unwrap_or(i64::MAX);
        VolumeSummary { volume, mountpoint, size: None, containers }
    }

    /// What is mounted for a volume.
    pub(super) fn volume_dir(&self, name: &str) -> PathBuf {
        self.config.data.join("volumes").join(name).join("_data")
    }

    /// Until it is recorded, its mark says that it is being made.
    async fn make_volume_dir(&self, name: &str) -> Result<(), EngineError> {
        let dir = self.volume_dir(name);
        let folder = self.config.data.join("volumes").join(name);
        if !folder.exists() {
            // Nowhere without its mark.
            let aside = self.config.data.join("volumes").join(format!("{PASSING}{NEW}.{name}"));
            let (made, wanted) = (aside.clone(), folder.clone());
            let done = blocking(move || {
                std::fs::create_dir_all(&made)?;
                std::fs::write(made.join(NEW), "")?;
                std::fs::rename(&made, &wanted)
            });
            done.await?.map_err(EngineError::file("cannot make", &folder))?;
        }
        tokio::fs::create_dir_all(&dir).await.map_err(EngineError::file("cannot make", &dir))
    }

    /// Says in a volume's folder what is under way (`leftovers`).
    pub(super) async fn mark_volume(&self, name: &str, mark: &str) -> Result<(), EngineError> {
        let path = self.config.data.join("volumes").join(name).join(mark);
        tokio::fs::write(&path, "").await.map_err(EngineError::file("cannot make", &path))
    }

    /// It is done.
    pub(super) async fn unmark_volume(&self, name: &str, mark: &str) {
        tokio::fs::remove_file(self.config.data.join("volumes").join(name).join(mark)).await.ok();
    }

    /// Takes a volume's directory away; what cannot be removed is named in the log.
    pub(super) async fn delete_volume_dir(&self, name: &str) {
        let all = self.config.data.join("volumes");
        let (dir, aside) = (all.join(name), all.join(format!("{PASSING}{GONE}.{name}")));
        // What is removed in part may have lost its mark.
        let done = blocking(move || {
            std::fs::rename(&dir, &aside)?;
            std::fs::remove_dir_all(&aside)
        });
        if let Ok(Err(error)) = done.await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, volume = name, "cannot remove a volume's directory");
        }
    }

    /// Names the volumes of a new container, makes those that are not there, and fills an empty one from the image.
    /// Returns the new ones, which the record's transaction writes.
    pub(super) async fn prepare_volumes(
        &self,
        mounts: &mut [Mount],
        image: &Facts,
    ) -> Result<Vec<Volume>, EngineError> {
        let mut made: Vec<Volume> = Vec::new();
        let _one = self.filling.lock().await;
        for mount in mounts {
            let MountKind::Volume { name, no_copy } = &mut mount.kind else { continue };
            let known = !name.is_empty()
                && (made.iter().any(|v| v.name == *name)
                    || self.book.read().is_ok_and(|b| b.volumes.contains_key(name.as_str())));
            if !known {
                let volume = new_volume(name)?;
                volume.name.clone_into(name);
                if let Err(error) = self.make_volume_dir(name).await {
                    self.undo_volumes(&made).await;
                    return Err(error);
                }
                made.push(volume);
            }
            let filled = match no_copy {
                true => Ok(()),
                false => self.fill(name, &mount.target, image, known).await,
            };
            let ready = match filled {
                Ok(()) => self.check_subpath(name, &mount.subpath).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ready {
                self.undo_volumes(&made).await;
                return Err(error);
            }
        }
        Ok(made)
    }

    /// A folder in a volume must be there, and in the volume: nothing leads out of it.
    async fn check_subpath(&self, name: &str, subpath: &str) -> Result<(), EngineError> {
        if subpath.is_empty() {
            return Ok(());
        }
        let dir = self.volume_dir(name);
        let wanted = dir.join(subpath);
        let real = blocking(move || -> std::io::Result<bool> {
            Ok(std::fs::canonicalize(&wanted)?.starts_with(std::fs::canonicalize(&dir)?))
        });
        match real.await?.unwrap_or(false) {
            true => Ok(()),
            false => Err(EngineError::invalid(format!(
                "cannot access path {subpath} of volume {name}: no such file or directory"
            ))),
        }
    }

    /// Takes back what a create that failed has made.
    pub(super) async fn undo_volumes(&self, made: &[Volume]) {
        for volume in made {
            self.delete_volume_dir(&volume.name).await;
        }
    }

    /// Copies what the image has at the target into a volume that is still empty.
    async fn fill(&self, name: &str, target: &str, image: &Facts, known: bool) -> Result<(), EngineError> {
        let dir = self.volume_dir(name);
        let empty = {
            let dir = dir.clone();
            blocking(move || std::fs::read_dir(&dir).map(|mut d| d.next().is_none())).await?
        };
        if empty.map_err(EngineError::file("cannot read", &dir))? {
            if known {
                self.mark_volume(name, NEW).await?;
            }
            self.copy_from_image(image, Path::new(target), &dir).await?;
            if known {
                self.unmark_volume(name, NEW).await;
            }
        }
        Ok(())
    }

    /// Where a path of the user's is, seen from the engine: parts of the host's tree may be bound aside.
    pub(super) fn host_path(&self, source: &str) -> PathBuf {
        let source = Path::new(source);
        for (shown, aside) in &self.config.host_trees {
            if let Ok(rest) = source.strip_prefix(shown) {
                return if rest.as_os_str().is_empty() { aside.clone() } else { aside.join(rest) };
            }
        }
        source.to_owned()
    }

    /// Checks the sources of bind mounts; makes the missing ones that may be made.
    pub(super) async fn prepare_binds(&self, mounts: &[Mount]) -> Result<(), EngineError> {
        for mount in mounts {
            let MountKind::Bind { source, create } = &mount.kind else { continue };
            if !source.starts_with('/') {
                return Err(EngineError::invalid(format!(
                    "invalid mount config for type \"bind\": invalid mount path: '{source}' mount path must be absolute"
                )));
            }
            let path = self.host_path(source);
            match tokio::fs::metadata(&path).await {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && *create => {
                    tokio::fs::create_dir_all(&path).await.map_err(|e| {
                        EngineError::invalid(format!(
                            "error while creating mount source path '{source}': {e}"
                        ))
                    })?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(EngineError::invalid(format!(
                        "invalid mount config for type \"bind\": bind source path does not exist: {source}"
                    )));
                }
                Err(error) => {
                    return Err(EngineError::invalid(format!(
                        "invalid mount config for type \"bind\": {source}: {error}"
                    )));
                }
            }
        }
        Ok(())
    }
}
