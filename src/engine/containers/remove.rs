//! `rm`: the record goes in one commit when the process is over; what realised the container is torn down behind that
//! (see `burial`).

use super::stop::SIGKILL;
use crate::engine::error::EngineError;
use crate::engine::lifecycle::{self, Verb};
use crate::engine::point::point;
use crate::engine::{Engine, Inner};
use crate::model::container::Status;
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::{Change, Record, Removal};
use std::sync::Arc;
use std::time::Duration;
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
        let mut one = self.records.lock(id).await;
        let mut record = self.records.get(id)?;
        if lifecycle::lives(record.status) && force {
            // Recorded before it is ended: the next engine goes on with it.
            lifecycle::removal_wanted(&mut record, Removal { volumes, failed: 0 });
            self.records.commit(Change::new().put(&record)).await?;
            drop(one);
            point("remove.recorded");
            let hurry = CancellationToken::new();
            if let Err(error) = self.end(&record, SIGKILL, Some(Duration::ZERO), &hurry).await {
                self.keep(id).await;
                return Err(error);
            }
            one = self.records.lock(id).await;
            record = match self.records.get(id) {
                Ok(record) => record,
                // The removal that `--rm` asks for was faster.
                Err(_) => return Ok(()),
            };
        }
        if lifecycle::lives(record.status) {
            if record.removing.take().is_some() {
                self.records.commit(Change::new().put(&record)).await?;
            }
            return Err(EngineError::refused(
                Reason::Conflict,
                format!(
                    "cannot remove container \"{}\": container is running: stop the container before removing or force remove",
                    record.name
                ),
            ));
        }
        // A removal that failed before is waited for.
        if record.status == Status::Dead
            && let Err(error) = self.cri.remove_pod(&record.attempt.pod).await
        {
            let removal = record.removing.unwrap_or_default();
            self.keep_dead(record, removal, &error).await?;
            return Err(error);
        }
        point("remove.ended");
        self.bury(record, Change::new(), volumes).await?;
        drop(one);
        Ok(())
    }

    /// Records that a container is dead: its pod cannot be removed. `rm` may be repeated, and so does the engine by itself.
    pub(super) async fn keep_dead(
        self: &Arc<Self>,
        mut record: Record,
        before: Removal,
        error: &EngineError,
    ) -> Result<(), EngineError> {
        let removal = Removal { failed: before.failed.saturating_add(1), ..before };
        record.status = Status::Dead;
        record.exit.error = error.to_string();
        record.removing = Some(removal);
        self.records.commit(Change::new().put(&record)).await?;
        self.remove_later(record.id, removal);
        Ok(())
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
}

/// The pause after the n-th failed removal; it doubles.
pub(super) fn pause(failed: u32) -> Duration {
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
