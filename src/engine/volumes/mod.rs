//! Volumes: directories with a name below the data directory.

mod claim;
mod folder;

pub(super) use claim::Volumes;

use super::error::EngineError;
use super::leftovers::{GONE, NEW};
use super::{Engine, Inner, events};
use crate::model::filter::VolumeFilter;
use crate::model::id::ContainerId;
use crate::model::name::{self, InvalidName};
use crate::model::reason::Reason;
use crate::model::volume::{Volume, VolumeSummary};
use crate::store::Change;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

impl Engine {
    /// Makes a volume; one that is there is success. An empty name asks for an anonymous one.
    ///
    /// # Errors
    /// `InvalidArgument`: the name is none.
    pub async fn create_volume(
        &self,
        name: &str,
        labels: BTreeMap<String, String>,
    ) -> Result<VolumeSummary, EngineError> {
        let inner = self.inner();
        let _one = match name {
            "" => None,
            name => Some(inner.volumes.lock(name).await),
        };
        let known = inner.records.book().volumes.get(name).cloned();
        let volume = match known {
            Some(volume) => Volume::clone(&volume),
            None => {
                let mut volume = new_volume(name)?;
                volume.labels = labels;
                inner.make_volume_dir(&volume.name).await?;
                let event = events::volume(&volume.name, "create");
                inner.records.commit(Change::new().put_volume(volume.clone()).event(event)).await?;
                inner.unmark_volume(&volume.name, NEW).await;
                volume
            }
        };
        Ok(inner.volume_summary(volume))
    }

    /// The volumes that the filter lets through, by name.
    ///
    /// # Errors
    /// Only those of every verb, as [`Engine`] says.
    pub async fn volumes(
        &self,
        filter: &VolumeFilter,
        size: bool,
    ) -> Result<Vec<VolumeSummary>, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let book = inner.records.book();
        let mut rows: Vec<VolumeSummary> =
            book.volumes.values().map(|v| inner.volume_summary(Volume::clone(v))).collect();
        rows.retain(|row| filter.matches(row));
        if size {
            for row in &mut rows {
                row.size = Some(inner.volume_size(&row.volume.name).await);
            }
        }
        Ok(rows)
    }

    /// Removes a volume that no container uses; with `force` one that is not there is success.
    ///
    /// # Errors
    /// `NotFound`: no such volume, without `force`; `InUse`: a container uses it.
    pub async fn remove_volume(&self, name: &str, force: bool) -> Result<(), EngineError> {
        let inner = self.inner();
        let _one = inner.volumes.lock(name).await;
        let book = inner.records.book();
        if !book.volumes.contains_key(name) {
            return if force { Ok(()) } else { Err(EngineError::NoSuchVolume(name.to_owned())) };
        }
        let ids = book.users_of(name).map(|r| r.id.clone()).chain(inner.volumes.claimed_by(name));
        let users: BTreeSet<String> = ids.map(|id| id.to_string()).collect();
        if !users.is_empty() {
            return Err(EngineError::refused(
                Reason::InUse,
                format!(
                    "remove {name}: volume is in use - [{}]",
                    users.into_iter().collect::<Vec<_>>().join(", ")
                ),
            ));
        }
        inner.mark_volume(name, GONE).await.ok();
        inner
            .records
            .commit(Change::new().remove_volume(name).event(events::volume(name, "destroy")))
            .await?;
        inner.burials.let_go_of(name).await;
        inner.delete_volume_dir(name).await;
        Ok(())
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
        let users = self.records.book().users_of(&volume.name).count();
        let containers = i64::try_from(users).unwrap_or(i64::MAX);
        VolumeSummary { volume, mountpoint, size: None, containers }
    }
}
