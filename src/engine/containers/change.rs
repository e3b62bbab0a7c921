//! What changes a container without making a new one: `rename`, `pause`, `unpause`, `restart`.

use super::start::Starter;
use crate::engine::containerd::{patiently, request};
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner, events};
use crate::model::container::Status;
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::{Change, Record};
use containerd_client::services::v1::{PauseTaskRequest, ResumeTaskRequest};
use jiff::Timestamp;

impl Engine {
    /// Gives a container another name.
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

    /// Freezes all of its processes.
    pub async fn pause(&self, who: &str) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        let _one = inner.records.lock(&id).await;
        let mut record = inner.records.get(&id)?;
        let refuse = |text: String| Err(EngineError::refused(Reason::Conflict, text));
        match record.status {
            Status::Running => {}
            Status::Paused => return refuse(format!("Container {id} is already paused")),
            Status::Restarting => {
                return refuse(format!("Container {id} is restarting, wait until the container is running"));
            }
            _ => return refuse(format!("container {id} is not running")),
        }
        inner.freeze(&record).await?;
        record.status = Status::Paused;
        let event = events::container(&record, "pause", Timestamp::now(), &[]);
        inner.records.commit(Change::new().put(&record).event(event)).await
    }

    /// Lets them go on.
    pub async fn unpause(&self, who: &str) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        match inner.resume(&id).await? {
            true => Ok(()),
            false => Err(EngineError::refused(Reason::Conflict, format!("Container {id} is not paused"))),
        }
    }

    /// Stops it, if it runs, and starts it afresh.
    pub async fn restart(
        &self,
        who: &str,
        timeout: Option<i64>,
        signal: Option<String>,
    ) -> Result<Vec<String>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let id: ContainerId = inner.records.find(who)?.id;
        self.stop(id.as_str(), timeout, signal).await?;
        let own = inner.clone();
        let started = id.clone();
        let warnings = tokio::spawn(async move { own.start_one(&started, Starter::User).await })
            .await
            .map_err(|e| EngineError::Broken(format!("restart died: {e}")))??;
        let event = events::container(&inner.records.get(&id)?, "restart", Timestamp::now(), &[]);
        inner.records.commit(Change::new().event(event)).await?;
        Ok(warnings)
    }
}

impl Inner {
    /// Stops all of a container's processes where they are.
    pub(in crate::engine) async fn freeze(&self, record: &Record) -> Result<(), EngineError> {
        patiently(|| {
            let mut tasks = self.containerd.tasks();
            let message = PauseTaskRequest { container_id: record.attempt.container.clone() };
            async move { tasks.pause(request(message)).await }
        })
        .await
        .map(drop)
        .map_err(EngineError::call("cannot pause container"))
    }

    /// Lets a paused container go on; false when it was not paused.
    pub(super) async fn resume(&self, id: &ContainerId) -> Result<bool, EngineError> {
        let _one = self.records.lock(id).await;
        let mut record = self.records.get(id)?;
        if record.status != Status::Paused {
            return Ok(false);
        }
        self.thaw(&record).await?;
        record.status = Status::Running;
        let event = events::container(&record, "unpause", Timestamp::now(), &[]);
        self.records.commit(Change::new().put(&record).event(event)).await?;
        Ok(true)
    }

    /// Lets a frozen container's processes run.
    pub(in crate::engine) async fn thaw(&self, record: &Record) -> Result<(), EngineError> {
        patiently(|| {
            let mut tasks = self.containerd.tasks();
            let message = ResumeTaskRequest { container_id: record.attempt.container.clone() };
            async move { tasks.resume(request(message)).await }
        })
        .await
        .map(drop)
        .map_err(EngineError::call("cannot unpause container"))
    }
}
