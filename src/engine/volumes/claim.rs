//! Volumes of a container that is being created: nobody removes them before its record says that it uses them, and no
//! two creations make one volume.

use crate::engine::error::EngineError;
use crate::engine::images::Facts;
use crate::engine::leftovers::NEW;
use crate::engine::locks::{Locks, held};
use crate::engine::{Inner, events};
use crate::model::container::{Mount, MountKind};
use crate::model::id::ContainerId;
use crate::model::volume::Volume;
use crate::store::Change;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Operations on volumes that are under way.
#[derive(Debug, Default)]
pub(in crate::engine) struct Volumes {
    /// One lock per volume: held while the volume is made, filled or removed.
    locks: Locks<String, AsyncMutex<()>>,
    /// Volumes of containers that are being created, with the IDs of these.
    claims: Arc<Mutex<Claims>>,
}

type Claims = HashMap<String, Vec<ContainerId>>;

impl Volumes {
    /// Waits until nobody else makes, fills or removes the volume.
    pub(super) async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        self.locks.of(&name.to_owned()).lock_owned().await
    }

    /// Locks a volume without waiting; `None`: somebody makes, fills or removes it, or is about to use it.
    pub(in crate::engine) fn try_lock(&self, name: &str) -> Option<OwnedMutexGuard<()>> {
        let lock = self.locks.of(&name.to_owned()).try_lock_owned().ok()?;
        self.claimed_by(name).is_empty().then_some(lock)
    }

    /// IDs of the containers that are being created with this volume.
    pub(super) fn claimed_by(&self, name: &str) -> Vec<ContainerId> {
        held(&self.claims).get(name).cloned().unwrap_or_default()
    }
}

/// Hold of a creation on its volumes, until its record is written or it failed.
#[derive(Debug)]
pub(in crate::engine) struct Claim {
    container: ContainerId,
    names: Vec<String>,
    /// Volumes that this creation made. Nobody else sees them before they are recorded.
    made: Vec<Volume>,
    locks: Vec<OwnedMutexGuard<()>>,
    claims: Arc<Mutex<Claims>>,
}

impl Claim {
    fn add(&mut self, name: &str) {
        held(&self.claims).entry(name.to_owned()).or_default().push(self.container.clone());
        self.names.push(name.to_owned());
    }

    /// Adds the volumes that were made to the change that writes the container's record.
    pub(in crate::engine) fn record(&self, change: Change) -> Change {
        self.made.iter().fold(change, |change, volume| {
            change.put_volume(volume.clone()).event(events::volume(&volume.name, "create"))
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = held(&self.claims);
        for name in &self.names {
            if let Some(ids) = claims.get_mut(name) {
                ids.retain(|id| *id != self.container);
                if ids.is_empty() {
                    claims.remove(name);
                }
            }
        }
    }
}

impl Inner {
    /// Names the volumes of a new container, makes those that are not there, and fills empty ones from the image.
    pub(in crate::engine) async fn claim_volumes(
        &self,
        container: &ContainerId,
        mounts: &mut [Mount],
        image: &Facts,
    ) -> Result<Claim, EngineError> {
        let mut claim = Claim {
            container: container.clone(),
            names: Vec::new(),
            made: Vec::new(),
            locks: Vec::new(),
            claims: self.volumes.claims.clone(),
        };
        match self.claim_all(&mut claim, mounts, image).await {
            Ok(()) => Ok(claim),
            Err(error) => {
                self.undo_claim(claim).await;
                Err(error)
            }
        }
    }

    async fn claim_all(
        &self,
        claim: &mut Claim,
        mounts: &mut [Mount],
        image: &Facts,
    ) -> Result<(), EngineError> {
        let mut anonymous: BTreeMap<String, Volume> = BTreeMap::new();
        for mount in mounts.iter_mut() {
            if let MountKind::Volume { name, .. } = &mut mount.kind
                && name.is_empty()
            {
                let volume = super::new_volume("")?;
                volume.name.clone_into(name);
                anonymous.insert(volume.name.clone(), volume);
            }
        }
        // In one order, so that no two creations wait for each other.
        let names: BTreeSet<&str> = mounts.iter().filter_map(Mount::volume).collect();
        for name in names {
            let lock = self.volumes.lock(name).await;
            let known = self.records.book().volumes.contains_key(name);
            if !known {
                let volume = anonymous.remove(name).map_or_else(|| super::new_volume(name), Ok)?;
                // Claimed before it is made, so that half of a volume is undone, too.
                claim.made.push(volume);
                self.make_volume_dir(name).await?;
            }
            for mount in mounts.iter().filter(|m| m.volume() == Some(name)) {
                if !matches!(mount.kind, MountKind::Volume { no_copy: true, .. }) {
                    self.fill(name, &mount.target, image, known).await?;
                }
            }
            claim.add(name);
            if !known {
                claim.locks.push(lock);
            }
        }
        for mount in mounts.iter() {
            if let Some(name) = mount.volume() {
                self.check_subpath(name, &mount.subpath).await?;
            }
        }
        Ok(())
    }

    /// Releases the volumes of a container whose record is written.
    pub(in crate::engine) async fn settle_claim(&self, claim: Claim) {
        for volume in &claim.made {
            self.unmark_volume(&volume.name, NEW).await;
        }
    }

    /// Removes the volumes that a failed creation has made.
    pub(in crate::engine) async fn undo_claim(&self, claim: Claim) {
        for volume in &claim.made {
            self.delete_volume_dir(&volume.name).await;
        }
    }
}
