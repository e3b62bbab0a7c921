//! `rm`: the attempt goes first, the record last, so that a crash between leaves a record to go on with.

use super::stop::SIGKILL;
use crate::engine::error::EngineError;
use crate::engine::leftovers::GONE;
use crate::engine::lifecycle::{self, Verb};
use crate::engine::{Engine, Inner, events};
use crate::model::container::{Mount, Status};
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::{Change, Record, Removal, Tombstone};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

/// The longest pause before a failed removal is tried again.
const LAST_PAUSE: Duration = Duration::from_secs(60);

impl Engine {
    /// Removes a container; `force` kills it first, `volumes` takes its anonymous volumes along.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: without `force`, it runs, is paused or restarting, or is foreign;
    /// with it, it was started meanwhile.
    pub async fn remove(&self, who: &str, force: bool, volumes: bool) -> Result<(), EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let record = match inner.records.find(who) {
            Ok(record) => record,
            Err(error) => return inner.remove_foreign(who, force, error).await,
        };
        if !force {
            lifecycle::may(Verb::Remove, record.status, &record.id, who)?;
        }
        inner.remove_one(&record.id, force, volumes).await
    }
}

impl Inner {
    pub(in crate::engine) async fn remove_one(
        self: &Arc<Self>,
        id: &ContainerId,
        force: bool,
        volumes: bool,
    ) -> Result<(), EngineError> {
        // A removal is how people free space, so it must work on a full disk.
        self.records.make_room();
        let mut record = {
            let _one = self.records.lock(id).await;
            let mut record = self.records.get(id)?;
            let failed = record.removing.map_or(0, |r| r.failed);
            lifecycle::removal_wanted(&mut record, Removal { volumes, failed });
            self.records.commit(Change::new().put(&record)).await?;
            record
        };
        if lifecycle::lives(record.status) && force {
            let hurry = CancellationToken::new();
            if let Err(error) = self.end(&record, SIGKILL, Some(Duration::ZERO), &hurry).await {
                self.keep(id).await;
                return Err(error);
            }
        }
        let _one = self.records.lock(id).await;
        record = match self.records.get(id) {
            Ok(record) => record,
            // The removal that `--rm` asks for was faster.
            Err(_) => return Ok(()),
        };
        if record.status == Status::Running {
            record.removing = None;
            self.records.commit(Change::new().put(&record)).await?;
            return Err(EngineError::refused(
                Reason::Conflict,
                format!(
                    "cannot remove container \"{}\": container is running: stop the container before removing or force remove",
                    record.name
                ),
            ));
        }
        record.status = Status::Removing;
        if !record.spec.auto_remove {
            self.records.commit(Change::new().put(&record)).await?;
        }
        if let Err(error) = self.cri.remove_pod(&record.attempt.pod).await {
            return Err(self.keep_dead(record, error).await);
        }
        self.finish_removal(&record, volumes).await
    }

    /// A container whose pod cannot be removed is dead: `rm` may be repeated, and so does the engine by itself.
    async fn keep_dead(self: &Arc<Self>, mut record: Record, error: EngineError) -> EngineError {
        let before = record.removing.unwrap_or_default();
        let removal = Removal { failed: before.failed.saturating_add(1), ..before };
        record.status = Status::Dead;
        record.exit.error = error.to_string();
        record.removing = Some(removal);
        if let Err(error) = self.records.commit(Change::new().put(&record)).await {
            return error;
        }
        self.remove_later(record.id, removal);
        error
    }

    /// Tries a failed removal again after a pause, unless somebody else did meanwhile.
    fn remove_later(self: &Arc<Self>, id: ContainerId, failed: Removal) {
        let inner = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::time::sleep(pause(failed.failed)).await;
            let Some(inner) = inner.upgrade() else { return };
            let same = |r: &Record| r.status == Status::Dead && r.removing == Some(failed);
            if inner.records.get(&id).is_ok_and(|record| same(&record))
                && let Err(error) = Box::pin(inner.remove_one(&id, true, failed.volumes)).await
            {
                tracing::warn!(%error, container = %id, "still cannot remove a container");
            }
        });
    }

    /// Clears the wish to remove a container that could not be removed.
    async fn keep(&self, id: &ContainerId) {
        let _one = self.records.lock(id).await;
        let Ok(mut record) = self.records.get(id) else { return };
        record.removing = None;
        if let Err(error) = self.records.commit(Change::new().put(&record)).await {
            tracing::warn!(%error, container = record.name, "cannot record that it stays");
        }
    }

    /// Removes the files, the anonymous volumes and the record of a container whose attempt is gone.
    pub(in crate::engine) async fn finish_removal(
        &self,
        record: &Record,
        volumes: bool,
    ) -> Result<(), EngineError> {
        let now = Timestamp::now();
        let mut change = Change::new().bury(Tombstone {
            id: record.id.clone(),
            name: record.name.clone(),
            removed: now,
            exit: record.exit.clone(),
        });
        let mut gone = Vec::new();
        if volumes || record.spec.auto_remove {
            for (name, lock) in self.lock_anonymous(record) {
                change = change.remove_volume(&name).event(events::volume(&name, "destroy"));
                self.mark_volume(&name, GONE).await.ok();
                gone.push((name, lock));
            }
        }
        let change = change.event(events::container(record, "destroy", now, &[]));
        for dir in [self.config.data.join("logs").join(record.id.as_str()), self.own_dir(record)] {
            tokio::fs::remove_dir_all(dir).await.ok();
        }
        self.records.commit(change).await?;
        for (name, _lock) in gone {
            self.delete_volume_dir(&name).await;
        }
        Ok(())
    }

    /// Anonymous volumes of a container that no other uses, each with the lock under which it is removed. One that
    /// somebody is about to mount is left.
    fn lock_anonymous(&self, record: &Record) -> Vec<(String, OwnedMutexGuard<()>)> {
        let names: BTreeSet<&str> = record.resolved.mounts.iter().filter_map(Mount::volume).collect();
        let locked =
            names.into_iter().filter_map(|name| Some((name.to_owned(), self.volumes.try_lock(name)?)));
        let locked: Vec<_> = locked.collect();
        let book = self.records.book();
        let unused = |name: &str| {
            book.volumes.get(name).is_some_and(|v| v.anonymous)
                && book.users_of(name).all(|other| other.id == record.id)
        };
        locked.into_iter().filter(|(name, _)| unused(name)).collect()
    }
}

/// The pause after the n-th failed removal; it doubles.
fn pause(failed: u32) -> Duration {
    let doubled = 1u64.checked_shl(failed.saturating_sub(1)).unwrap_or(u64::MAX);
    Duration::from_secs(doubled).min(LAST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses() {
        for (failed, seconds) in [(0, 1), (1, 1), (2, 2), (6, 32), (7, 60), (1000, 60)] {
            assert_eq!(pause(failed), Duration::from_secs(seconds), "{failed}");
        }
    }
}
