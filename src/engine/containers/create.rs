//! `create`: an ID, a name, the command to run, volumes, attempt 0, then the record. A crash before the record leaves
//! CRI objects
//! that carry our label and belong to no record: the reconciler removes them.

use super::binfmt;
use super::check::check_platform;
use super::limits::{complete, in_range, limits};
use super::spec::resolve;
use crate::engine::error::EngineError;
use crate::engine::point::point;
use crate::engine::{Engine, Inner, events};
use crate::model::container::{ContainerSpec, RestartPolicy, Status};
use crate::model::id::ContainerId;
use crate::store::{Attempt, Change, Desired, Exit, HealthLog, Record};
use jiff::Timestamp;
use std::path::Path;
use std::sync::Arc;

impl Engine {
    /// Makes a container and its attempt 0.
    ///
    /// # Errors
    /// `InvalidArgument`: the specification; `NotFound`: the image, for that platform, or a container that is joined;
    /// `AlreadyExists`: the name is taken; `Unsupported`: `host-gateway`, or this host cannot run the image's programs; `Unavailable`: the image is still being
    /// imported.
    pub async fn create(
        &self,
        spec: ContainerSpec,
        name: Option<String>,
    ) -> Result<(ContainerId, Vec<String>), EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        inner.create(spec, name).await
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
        let mut spec = ContainerSpec { resources: complete(spec.resources), ..spec };
        self.join_by_id(&mut spec)?;
        self.settle_places(&mut spec)?;
        let network_warning = self.check_network(&spec)?;
        let hostname = self.adopt_network(&mut spec)?;
        in_range(&spec.resources, &self.config.controllers).map_err(EngineError::invalid)?;
        let mut warnings = self.check(&spec)?;
        warnings.extend(network_warning);
        let id = ContainerId::from_bytes(rand::random());
        let reservation = self.records.reserve(&id, name.filter(|n| !n.is_empty()))?;
        let (found, image) = self.open_image(&spec.image).await?;
        let reference = found.reference.map(|r| r.to_string()).unwrap_or_default();
        check_platform(&spec, &image, Path::new(binfmt::HANDLERS))?;
        self.burials.room().await;
        let mut resolved = resolve(&spec, &id, reference, &image)?;
        if let Some(hostname) = hostname {
            resolved.hostname = hostname;
        }
        self.borrow_mounts(&spec.volumes_from, &mut resolved.mounts)?;
        self.find_mounted_images(&mut resolved.mounts).await?;
        let limits = limits(&spec.resources, &self.config.controllers);
        warnings.extend(limits.warnings);
        resolved.warnings = warnings;
        resolved.dropped_limits = limits.dropped;
        self.prepare_binds(&resolved.mounts).await?;
        let claim = self.claim_volumes(&id, &mut resolved.mounts, &image).await?;
        point("create.volumes");
        let mut record = Record {
            id: id.clone(),
            name: reservation.name().to_owned(),
            spec,
            created: Timestamp::now(),
            resolved,
            desired: Desired::Stopped,
            stopped_by_user: false,
            status: Status::Created,
            attempt: Attempt::default(),
            exit: Exit::default(),
            restart_count: 0,
            backoff_ms: 0,
            health: HealthLog::default(),
            stopping: None,
            removing: None,
        };
        let made = match self.make_attempt(&mut record, &image).await {
            Ok(()) => {
                let event = events::container(&record, "create", record.created, &[]);
                self.records.commit(claim.record(Change::new().put(&record)).event(event)).await
            }
            Err(error) => Err(error),
        };
        point("create.recorded");
        if let Err(error) = made {
            self.discard(&record).await;
            self.undo_claim(claim).await;
            return Err(error);
        }
        self.settle_claim(claim).await;
        Ok((id, record.resolved.warnings))
    }
}
