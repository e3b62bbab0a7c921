//! Changes of a container that make no new one: `rename`, `pause`, `unpause`, `restart`.

use super::start::Starter;
use crate::engine::containerd::{call, request};
use crate::engine::error::EngineError;
use crate::engine::lifecycle::{self, Verb};
use crate::engine::{Engine, Inner, events};
use crate::model::container::Status;
use crate::model::id::ContainerId;
use crate::store::{Change, Record};
use containerd_client::services::v1::{PauseTaskRequest, ResumeTaskRequest};
use jiff::Timestamp;
use std::sync::Arc;

impl Engine {
    /// Gives a container another name.
    ///
    /// # Errors
    /// `NotFound`: no such container; `InvalidArgument`: the name is none, or is the one it has; `AlreadyExists`: it is
    /// taken.
    pub async fn rename(&self, who: &str, name: &str) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        let name = name.strip_prefix('/').unwrap_or(name);
        if name.is_empty() {
            return Err(EngineError::invalid("Neither old nor new names may be empty"));
        }
        let _one = inner.records.lock(&id).await;
        let mut record = inner.records.get(&id)?;
        if record.name == name {
            return Err(EngineError::invalid("Renaming a container with the same name as its current name"));
        }
        let reservation = inner.records.reserve(&id, Some(name.to_owned())).map_err(|error| {
            EngineError::refused(error.reason(), format!("Error when allocating new name: {error}"))
        })?;
        let old = ("oldName", format!("/{}", record.name));
        reservation.name().clone_into(&mut record.name);
        let event = events::container(&record, "rename", Timestamp::now(), &[old]);
        inner.records.commit(Change::new().put(&record).event(event)).await
    }

    /// Freezes all processes of a container.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: it does not run, is restarting, or is paused already.
    pub async fn pause(&self, who: &str) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        let _one = inner.records.lock(&id).await;
        let mut record = inner.records.get(&id)?;
        lifecycle::may(Verb::Pause, record.status, &record.id, who)?;
        inner.freeze(&record).await?;
        record.status = Status::Paused;
        let event = events::container(&record, "pause", Timestamp::now(), &[]);
        inner.records.commit(Change::new().put(&record).event(event)).await
    }

    /// Lets a paused container's processes go on.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: it is not paused.
    pub async fn unpause(&self, who: &str) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        let _one = inner.records.lock(&id).await;
        let mut record = inner.records.get(&id)?;
        lifecycle::may(Verb::Unpause, record.status, &record.id, who)?;
        inner.unfreeze(&mut record).await
    }

    /// Stops a container, if it runs, and starts it afresh. Answers the start's warnings.
    ///
    /// # Errors
    /// `NotFound`: no such container; `InvalidArgument`: the signal; else as [`Engine::start_container`].
    pub async fn restart(
        &self,
        who: &str,
        timeout: Option<i64>,
        signal: Option<String>,
    ) -> Result<Vec<String>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let id: ContainerId = inner.records.find(who)?.id;
        inner.stop_one(&id, timeout, signal, true).await?;
        inner.start_again(&id).await
    }
}

impl Inner {
    /// Stops all of a container's processes where they are.
    pub(in crate::engine) async fn freeze(&self, record: &Record) -> Result<(), EngineError> {
        call("cannot pause container", || {
            let mut tasks = self.containerd.tasks();
            let message = PauseTaskRequest { container_id: record.attempt.container.clone() };
            async move { tasks.pause(request(message)).await }
        })
        .await
        .map(drop)
    }

    /// Starts a container that a restart has stopped, and records the restart.
    pub(in crate::engine) async fn start_again(
        self: &Arc<Self>,
        id: &ContainerId,
    ) -> Result<Vec<String>, EngineError> {
        let warnings = self.start_one(id, Starter::User).await?;
        let event = events::container(&self.records.get(id)?, "restart", Timestamp::now(), &[]);
        self.records.commit(Change::new().event(event)).await?;
        Ok(warnings)
    }

    /// Lets a container go on if it is paused: a frozen process receives no signal but SIGKILL. The caller holds its lock.
    pub(super) async fn thaw_if_paused(&self, id: &ContainerId) -> Result<(), EngineError> {
        let mut record = self.records.get(id)?;
        match record.status {
            Status::Paused => self.unfreeze(&mut record).await,
            _ => Ok(()),
        }
    }

    /// Thaws a paused container and records it. The caller holds its lock.
    async fn unfreeze(&self, record: &mut Record) -> Result<(), EngineError> {
        self.thaw(record).await?;
        record.status = Status::Running;
        let event = events::container(record, "unpause", Timestamp::now(), &[]);
        self.records.commit(Change::new().put(record).event(event)).await
    }

    /// Lets a frozen container's processes run.
    pub(in crate::engine) async fn thaw(&self, record: &Record) -> Result<(), EngineError> {
        call("cannot unpause container", || {
            let mut tasks = self.containerd.tasks();
            let message = ResumeTaskRequest { container_id: record.attempt.container.clone() };
            async move { tasks.resume(request(message)).await }
        })
        .await
        .map(drop)
    }
}
