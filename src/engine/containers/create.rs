//! `create`: a name, an ID, what to run, volumes, attempt 0, then the record. A crash before the record leaves CRI objects
//! that carry our label and belong to no record: the reconciler removes them.

use super::check::check_platform;
use super::limits::{complete, in_range, limits};
use super::spec::resolve;
use crate::engine::error::EngineError;
use crate::engine::leftovers::NEW;
use crate::engine::{Engine, Inner, events};
use crate::model::container::{ContainerSpec, RestartPolicy, Status};
use crate::model::id::ContainerId;
use crate::model::name;
use crate::model::volume::Volume;
use crate::store::{Change, Desired, Exit, HealthLog, Record};
use jiff::Timestamp;
use std::sync::Arc;

impl Engine {
    /// Makes a container and its attempt 0. Finishes what it began even when nobody waits for it any more.
    pub async fn create(
        &self,
        spec: ContainerSpec,
        name: Option<String>,
    ) -> Result<(ContainerId, Vec<String>), EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        tokio::spawn(async move { inner.create(spec, name).await })
            .await
            .map_err(|e| EngineError::Broken(format!("create died: {e}")))?
    }
}

/// A name that nobody else can take while the container is being made.
pub(super) struct Reservation {
    inner: Arc<Inner>,
    name: String,
    id: ContainerId,
}

impl Reservation {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Ok(mut reserved) = self.inner.reserved.lock() {
            reserved.remove(&self.name);
        }
        if let Ok(mut creating) = self.inner.creating.lock() {
            creating.remove(&self.id);
        }
    }
}

impl Inner {
    async fn create(
        self: &Arc<Self>,
        spec: ContainerSpec,
        name: Option<String>,
    ) -> Result<(ContainerId, Vec<String>), EngineError> {
        if spec.auto_remove && spec.restart != RestartPolicy::No {
            return Err(EngineError::invalid("can't create 'AutoRemove' container with restart policy"));
        }
        let spec = ContainerSpec { resources: complete(spec.resources), ..spec };
        in_range(&spec.resources, &self.config.controllers).map_err(EngineError::invalid)?;
        let mut warnings = self.check(&spec)?;
        let id = ContainerId::from_bytes(rand::random());
        let reservation = self.reserve(&id, name.filter(|n| !n.is_empty()))?;
        let (found, image) = self.open_image(&spec.image).await?;
        let reference = found.reference.map(|r| r.to_string()).unwrap_or_default();
        check_platform(&spec, &image.config)?;
        let mut resolved = resolve(&spec, &id, reference, &image)?;
        self.borrow_mounts(&spec.volumes_from, &mut resolved.mounts)?;
        self.find_mounted_images(&mut resolved.mounts).await?;
        let limits = limits(&spec.resources, &self.config.controllers);
        warnings.extend(limits.warnings);
        resolved.warnings = warnings;
        resolved.dropped_limits = limits.dropped;
        self.prepare_binds(&resolved.mounts).await?;
        let volumes = self.prepare_volumes(&mut resolved.mounts, &image).await?;
        let mut record = Record {
            id: id.clone(),
            name: reservation.name.clone(),
            spec,
            created: Timestamp::now(),
            resolved,
            desired: Desired::Stopped,
            stopped_by_user: false,
            status: Status::Created,
            attempt: 0,
            used: false,
            pod: String::new(),
            container: String::new(),
            address: String::new(),
            pid: 0,
            exit: Exit::default(),
            restart_count: 0,
            backoff_ms: 0,
            health: HealthLog::default(),
            removing: None,
        };
        let made = self.make_attempt(&mut record, &image).await;
        let answer = match made {
            Ok(()) => self.record_created(&record, &volumes).await,
            Err(error) => Err(error),
        };
        if let Err(error) = answer {
            self.discard(&record).await;
            self.undo_volumes(&volumes).await;
            return Err(error);
        }
        Ok((id, record.resolved.warnings))
    }

    async fn record_created(&self, record: &Record, volumes: &[Volume]) -> Result<(), EngineError> {
        let mut change = Change::new().put(record);
        for volume in volumes {
            change = change.put_volume(volume.clone()).event(events::volume(&volume.name, "create"));
        }
        self.commit(change.event(events::container(record, "create", record.created, &[]))).await?;
        for volume in volumes {
            self.unmark_volume(&volume.name, NEW).await;
        }
        Ok(())
    }

    pub(super) fn reserve(
        self: &Arc<Self>,
        id: &ContainerId,
        wanted: Option<String>,
    ) -> Result<Reservation, EngineError> {
        let records = self.records();
        let broken = || EngineError::Broken("the list of names is broken".to_owned());
        let mut reserved = self.reserved.lock().map_err(|_| broken())?;
        let owner = |name: &str| records.iter().find(|r| r.name == name).map(|r| r.id.to_string());
        let name = if let Some(wanted) = wanted {
            let name = name::container(&wanted)?;
            if let Some(id) = owner(&name) {
                return Err(EngineError::NameTaken { name, id });
            }
            if reserved.contains(&name) {
                return Err(EngineError::NameTaken { name, id: "being created".to_owned() });
            }
            name
        } else {
            (0..6)
                .map(|attempt| {
                    name::random(rand::random_range(0..1_000_000), rand::random_range(0..1_000_000), attempt)
                })
                .find(|n| owner(n).is_none() && !reserved.contains(n))
                .unwrap_or_else(|| id.short().to_owned())
        };
        reserved.insert(name.clone());
        self.creating.lock().map_err(|_| broken())?.insert(id.clone());
        Ok(Reservation { inner: self.clone(), name, id: id.clone() })
    }
}
