//! The burial of a removed container, behind the answer: its record is gone in one commit, with all that people see of it;
//! pod, shim, snapshot, network, files and anonymous volumes go after it, a few containers at a time.
//!
//! An engine that is killed meanwhile leaves a pod without a record, which the next one's sweep removes, and files that
//! `leftovers` knows. A pod that cannot be removed brings the record back, as a dead container.

use super::remove::pause;
use crate::engine::error::EngineError;
use crate::engine::leftovers::GONE;
use crate::engine::locks::held;
use crate::engine::point::point;
use crate::engine::{Inner, events};
use crate::model::container::Mount;
use crate::model::id::ContainerId;
use crate::store::{Change, Record, Removal, Tombstone};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, Semaphore, watch};

/// Number of containers that are torn down at one time.
const AT_ONCE: usize = 4;
/// Number of burials under way from which on nothing new is made: a loop of `run --rm` is quicker than what it leaves.
const MANY: usize = 32;
/// Longest wait for burials: one may take longer, and then nobody waits for it any more.
const PATIENCE: Duration = Duration::from_secs(10);

type Pending = BTreeMap<ContainerId, Arc<Record>>;

/// Burials under way.
#[derive(Debug)]
pub(in crate::engine) struct Burials {
    pending: watch::Sender<Pending>,
    turns: Semaphore,
    /// Pods of no record that are being removed.
    leftovers: Mutex<HashSet<String>>,
}

impl Default for Burials {
    fn default() -> Self {
        Self {
            pending: watch::channel(Pending::new()).0,
            turns: Semaphore::new(AT_ONCE),
            leftovers: Mutex::default(),
        }
    }
}

impl Burials {
    /// True while the container with this ID is torn down: its pod is no leftover.
    pub(in crate::engine) fn has(&self, id: &ContainerId) -> bool {
        self.pending.borrow().contains_key(id)
    }

    /// Waits until no removed container has the volume any more.
    pub(in crate::engine) async fn let_go_of(&self, volume: &str) {
        self.until(|pending| !pending.values().any(|r| volumes_of(r).any(|name| name == volume))).await;
    }

    /// Waits until no removed container of the image is left: its snapshot holds layers.
    pub(in crate::engine) async fn let_go_of_image(&self, id: &str) {
        self.until(|pending| !pending.values().any(|r| r.resolved.image_id == id)).await;
    }

    /// Waits until there is room for one more.
    pub(super) async fn room(&self) {
        self.until(|pending| pending.len() < MANY).await;
    }

    /// Waits until all are over.
    pub(super) async fn over(&self) {
        self.until(BTreeMap::is_empty).await;
    }

    async fn until(&self, met: impl FnMut(&Pending) -> bool) {
        let mut pending = self.pending.subscribe();
        if tokio::time::timeout(PATIENCE, pending.wait_for(met)).await.is_err() {
            tracing::warn!(after = ?PATIENCE, "removed containers are still being torn down");
        }
    }

    fn begin(&self, record: &Record) {
        self.pending.send_modify(|pending| drop(pending.insert(record.id.clone(), Arc::new(record.clone()))));
    }

    fn end(&self, id: &ContainerId) {
        self.pending.send_modify(|pending| drop(pending.remove(id)));
    }
}

impl Inner {
    /// Commits `change` with the end of a record, and tears down behind it what realised the container. `volumes`: its
    /// anonymous ones go along. To be called under the record's lock, when its process is known to be over.
    pub(in crate::engine) async fn bury(
        self: &Arc<Self>,
        record: Record,
        mut change: Change,
        volumes: bool,
    ) -> Result<(), EngineError> {
        let now = Timestamp::now();
        let mut gone = Vec::new();
        if volumes || record.spec.auto_remove {
            for (name, lock) in self.lock_anonymous(&record) {
                change = change.remove_volume(&name).event(events::volume(&name, "destroy"));
                self.mark_volume(&name, GONE).await.ok();
                gone.push((name, lock));
            }
        }
        let change = change
            .bury(Tombstone {
                id: record.id.clone(),
                name: record.name.clone(),
                removed: now,
                exit: record.exit.clone(),
            })
            .event(events::container(&record, "destroy", now, &[]));
        // Before the record is gone: a pod without one is a leftover.
        self.burials.begin(&record);
        if let Err(error) = self.records.commit(change).await {
            self.burials.end(&record.id);
            return Err(error);
        }
        point("remove.buried");
        let inner = self.clone();
        tokio::spawn(async move {
            let id = record.id.clone();
            inner.tear_down(record, gone).await;
            inner.burials.end(&id);
        });
        Ok(())
    }

    /// Removes a pod of ours that is no record's, after each failure once more.
    pub(in crate::engine) fn remove_leftover(self: &Arc<Self>, pod: &str) {
        if !held(&self.burials.leftovers).insert(pod.to_owned()) {
            return;
        }
        tracing::info!(pod, "removing what an interrupted operation left");
        let (inner, pod) = (Arc::downgrade(self), pod.to_owned());
        tokio::spawn(async move {
            for failed in 1.. {
                let Some(inner) = inner.upgrade() else { return };
                let turn = inner.burials.turns.acquire().await;
                let Err(error) = inner.cri.remove_pod(&pod).await else {
                    held(&inner.burials.leftovers).remove(&pod);
                    return;
                };
                tracing::warn!(%error, pod, "cannot remove a leftover");
                drop(turn);
                drop(inner);
                tokio::time::sleep(pause(failed)).await;
            }
        });
    }

    async fn tear_down(self: &Arc<Self>, record: Record, volumes: Vec<(String, OwnedMutexGuard<()>)>) {
        let _turn = self.burials.turns.acquire().await;
        if let Err(error) = self.cri.remove_pod(&record.attempt.pod).await {
            tracing::warn!(%error, container = record.name, "cannot remove the pod of a removed container");
            let volumes = !volumes.is_empty();
            if let Err(error) = self.bring_back(record, volumes, &error).await {
                tracing::error!(%error, "cannot record that a removed container is still there");
            }
            return;
        }
        point("remove.without-pod");
        for dir in [self.config.data.join("logs").join(record.id.as_str()), self.own_dir(&record)] {
            tokio::fs::remove_dir_all(dir).await.ok();
        }
        point("remove.without-files");
        for (name, _lock) in volumes {
            self.delete_volume_dir(&name).await;
        }
    }

    /// The record of a container whose pod is still there, as a dead one: under its name, or under one that tells of it
    /// when that was taken meanwhile.
    async fn bring_back(
        self: &Arc<Self>,
        mut record: Record,
        volumes: bool,
        error: &EngineError,
    ) -> Result<(), EngineError> {
        let name = self.records.reserve(&record.id, Some(record.name.clone())).or_else(|_| {
            let other = format!("{}_{}", record.id.short(), record.name);
            self.records.reserve(&record.id, Some(other))
        })?;
        name.name().clone_into(&mut record.name);
        let _one = self.records.lock(&record.id).await;
        self.keep_dead(record, Removal { volumes, failed: 0 }, error).await
    }

    /// Anonymous volumes of a container that no other uses, each with the lock under which it is removed: those that are
    /// known, and those whose removal failed with the container's. One that somebody is about to mount is left.
    fn lock_anonymous(&self, record: &Record) -> Vec<(String, OwnedMutexGuard<()>)> {
        let names: BTreeSet<&str> = volumes_of(record).collect();
        let locked =
            names.into_iter().filter_map(|name| Some((name.to_owned(), self.volumes.try_lock(name)?)));
        let locked: Vec<_> = locked.collect();
        let book = self.records.book();
        let unused = |name: &str| {
            let known = book.volumes.get(name);
            known.map_or_else(|| self.volume_has_mark(name, GONE), |v| v.anonymous)
                && book.users_of(name).all(|other| other.id == record.id)
        };
        locked.into_iter().filter(|(name, _)| unused(name)).collect()
    }
}

/// Names of the volumes that a container has mounted.
fn volumes_of(record: &Record) -> impl Iterator<Item = &str> {
    record.resolved.mounts.iter().filter_map(Mount::volume)
}
