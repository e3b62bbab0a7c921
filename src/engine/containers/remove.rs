//! `rm`: the attempt goes first, the record last, so that a crash between leaves something to go on with.

use super::stop::SIGKILL;
use crate::engine::error::EngineError;
use crate::engine::leftovers::GONE;
use crate::engine::{Engine, Inner, events};
use crate::model::container::{MountKind, Status};
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::{Change, Desired, Record, Removal, Tombstone};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

impl Engine {
    /// Removes a container; `force` kills it first, `volumes` takes its anonymous volumes along.
    pub async fn remove(&self, who: &str, force: bool, volumes: bool) -> Result<(), EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let record = match inner.find(who) {
            Ok(record) => record,
            Err(error) => return inner.remove_foreign(who, force, error).await,
        };
        if !force {
            let text = match record.status {
                Status::Running => "container is running: stop the container before removing or force remove",
                Status::Paused => "container is paused and must be unpaused first",
                Status::Restarting => {
                    "container is restarting: stop the container before removing or force remove"
                }
                _ => "",
            };
            if !text.is_empty() {
                let text = format!("cannot remove container \"{who}\": {text}");
                return Err(EngineError::refused(Reason::Conflict, text));
            }
        }
        tokio::spawn(async move { inner.remove_one(&record.id, force, volumes).await })
            .await
            .map_err(|e| EngineError::Broken(format!("remove died: {e}")))?
    }
}

impl Inner {
    pub(in crate::engine) async fn remove_one(
        self: &Arc<Self>,
        id: &ContainerId,
        force: bool,
        volumes: bool,
    ) -> Result<(), EngineError> {
        // This is how people free space.
        self.store.make_room();
        let mut record = {
            let _one = self.lock(id).await;
            let mut record = self.record(id)?;
            record.desired = Desired::Stopped;
            record.stopped_by_user = true;
            record.removing = Some(Removal { volumes });
            if record.status == Status::Restarting {
                record.status = Status::Exited;
            }
            self.commit(Change::new().put(&record)).await?;
            record
        };
        if matches!(record.status, Status::Running | Status::Paused) && force {
            let hurry = CancellationToken::new();
            if let Err(error) = self.end(&record, SIGKILL, Some(Duration::ZERO), &hurry).await {
                self.keep(id).await;
                return Err(error);
            }
        }
        let _one = self.lock(id).await;
        record = match self.record(id) {
            Ok(record) => record,
            // `--rm` was faster.
            Err(_) => return Ok(()),
        };
        if record.status == Status::Running {
            record.removing = None;
            self.commit(Change::new().put(&record)).await?;
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
            self.commit(Change::new().put(&record)).await?;
        }
        if let Err(error) = self.cri.remove_pod(&record.pod).await {
            record.status = Status::Dead;
            self.commit(Change::new().put(&record)).await?;
            return Err(error);
        }
        self.finish_removal(&record, volumes).await?;
        if let Ok(mut locks) = self.locks.lock() {
            locks.remove(id);
        }
        Ok(())
    }

    /// It could not be removed, and stays.
    async fn keep(&self, id: &ContainerId) {
        let _one = self.lock(id).await;
        let Ok(mut record) = self.record(id) else { return };
        record.removing = None;
        if let Err(error) = self.commit(Change::new().put(&record)).await {
            tracing::warn!(%error, container = record.name, "cannot record that it stays");
        }
    }

    /// The attempt is gone: so go files, anonymous volumes and the record.
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
            for name in self.anonymous_of(record) {
                change = change.remove_volume(&name).event(events::volume(&name, "destroy"));
                self.mark_volume(&name, GONE).await.ok();
                gone.push(name);
            }
        }
        let change = change.event(events::container(record, "destroy", now, &[]));
        for dir in [self.config.data.join("logs").join(record.id.as_str()), self.own_dir(record)] {
            tokio::fs::remove_dir_all(dir).await.ok();
        }
        self.commit(change).await?;
        for name in gone {
            self.delete_volume_dir(&name).await;
        }
        Ok(())
    }

    /// Its anonymous volumes that nobody else uses.
    fn anonymous_of(&self, record: &Record) -> Vec<String> {
        let Ok(book) = self.book.read() else { return Vec::new() };
        let uses = |other: &Record, wanted: &str| {
            other
                .resolved
                .mounts
                .iter()
                .any(|m| matches!(&m.kind, MountKind::Volume { name, .. } if name == wanted))
        };
        record
            .resolved
            .mounts
            .iter()
            .filter_map(|m| match &m.kind {
                MountKind::Volume { name, .. } => Some(name),
                _ => None,
            })
            .filter(|name| book.volumes.get(*name).is_some_and(|v| v.anonymous))
            .filter(|name| !book.records.values().any(|other| other.id != record.id && uses(other, name)))
            .cloned()
            .collect()
    }
}
