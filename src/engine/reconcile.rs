//! Desired and observed state brought together: once at the start, and after every time containerd was away. Between, its
//! events say what ends.
//!
//! ```text
//! subscribe -> compare all -> events ... connection lost -> subscribe -> compare all -> ...
//! ```

use super::Inner;
use super::containerd::{LABEL_ID, ended, request};
use super::containers::{Starter, nanoseconds};

use super::error::EngineError;
use super::lifecycle::{self, Unfinished};
use crate::model::container::Status;
use crate::model::id::ContainerId;
use crate::proto::cri;
use crate::store::{Change, Desired, Record};
use containerd_client::events::{TaskExit, TaskOom};
use containerd_client::services::v1::{PublishRequest, SubscribeRequest};
use containerd_client::types::Envelope;
use futures::future::join_all;
use jiff::Timestamp;
use prost::Message;
use prost_types::Any;
use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tonic::{Status as Answer, Streaming};

/// Time in which containerd has done what a dead engine had asked for.
const LATE: Duration = Duration::from_secs(10);
/// An event of our own.
const HELLO: &str = "/k3c/hello";
/// CRI's reason of an attempt that could not be started.
const START_ERROR: &str = "StartError";
/// Exit code of an attempt that vanished.
const LOST: i32 = 255;

pub(super) async fn run(engine: Weak<Inner>) {
    let mut first = true;
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let Ok(mut stream) = inner.subscribe().await else {
            drop(inner);
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let ready = async {
            inner
                .containerd
                .make_namespace()
                .await
                .map_err(EngineError::call("cannot make the namespace"))?;
            inner.compare_all(first).await
        };
        if let Err(error) = ready.await {
            tracing::warn!(%error, "cannot compare the records with what runs");
            drop(inner);
            tokio::time::sleep(Duration::from_millis(200)).await;
            continue;
        }
        inner.course.synced.send_replace(true);
        if first {
            first = false;
            let others = inner.clone();
            tokio::spawn(async move { others.import_embedded_images().await });
            inner.watch_all_health();
            let tidying = inner.clone();
            tokio::spawn(async move { tidying.tidy_networks().await });
            inner.finish_all();
        }
        // CRI itself learns of exits from events, and may have been catching up.
        let again = Arc::downgrade(&inner);
        tokio::spawn(async move {
            for pause in [500, 1000, 3000] {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let Some(inner) = again.upgrade() else { return };
                inner.compare_all(false).await.ok();
            }
        });
        drop(inner);
        while let Ok(Some(event)) = stream.message().await {
            let Some(inner) = engine.upgrade() else { return };
            inner.on_event(&event);
        }
        tracing::info!("containerd is away");
    }
}

impl Inner {
    /// Listens to containerd's events. Its answer to that call begins with the first event: one of our own makes it come,
    /// and proves that whatever happens from here on is seen.
    async fn subscribe(&self) -> Result<Streaming<Envelope>, Answer> {
        let filters = ["/tasks/exit", "/tasks/oom", HELLO]
            .map(|topic| format!("topic==\"{topic}\",namespace=={}", super::NAMESPACE))
            .to_vec();
        let mut events = self.containerd.events();
        let listening = events.subscribe(request(SubscribeRequest { filters }));
        let knocking = async {
            let mut events = self.containerd.events();
            loop {
                let event = Some(Any { type_url: "io.k3c.hello".to_owned(), value: Vec::new() });
                let message = PublishRequest { topic: HELLO.to_owned(), event };
                if let Err(status) = events.publish(request(message)).await {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            answer = listening => Ok(answer?.into_inner()),
            status = knocking => Err(status),
        }
    }

    fn on_event(self: &Arc<Self>, envelope: &Envelope) {
        let Some(event) = &envelope.event else { return };
        match envelope.topic.as_str() {
            "/tasks/exit" => {
                let Ok(exit) = TaskExit::decode(event.value.as_slice()) else { return };
                if exit.id != exit.container_id {
                    let inner = self.clone();
                    let code = i32::try_from(exit.exit_status).unwrap_or(LOST);
                    tokio::spawn(async move { inner.on_exec_exit(&exit.id, code).await });
                    return;
                }
                let code = i32::try_from(exit.exit_status).unwrap_or(LOST);
                let time = exit
                    .exited_at
                    .and_then(|t| Timestamp::new(t.seconds, t.nanos).ok())
                    .unwrap_or_else(Timestamp::now);
                let inner = self.clone();
                tokio::spawn(async move { inner.on_exit(&exit.container_id, code, time).await });
            }
            "/tasks/oom" => {
                let Ok(oom) = TaskOom::decode(event.value.as_slice()) else { return };
                self.ooms.note(&oom.container_id);
                let inner = self.clone();
                tokio::spawn(async move { inner.on_oom(&oom.container_id).await });
            }
            _ => {}
        }
    }

    /// Compares every record with CRI. At the start also finishes or undoes what was under way.
    async fn compare_all(self: &Arc<Self>, start: bool) -> Result<(), EngineError> {
        let containers = self.cri.containers().await?;
        let pods = self.cri.pods(None).await?;
        let by_id: HashMap<&str, &cri::Container> = containers.iter().map(|c| (c.id.as_str(), c)).collect();
        for record in self.records.all() {
            if start && record.status == Status::Removing {
                let volumes = record.removing.is_some_and(|r| r.volumes);
                let name = record.name.clone();
                if let Err(error) = self.bury(record, Change::new(), volumes).await {
                    tracing::warn!(%error, container = name, "cannot finish a removal");
                }
                continue;
            }
            let seen = by_id.get(record.attempt.container.as_str()).map(|c| c.state());
            self.compare_one(&record, seen).await;
        }
        if start {
            let running = self.records.all().into_iter().filter(|r| lifecycle::lives(r.status));
            join_all(running.map(|r| async move { self.follow_record(&r.id).await })).await;
            let recursive = self.runtime_is_recursive().await;
            self.course.recursive_read_only.store(recursive, Ordering::Relaxed);
        }
        self.compare_execs(None).await;
        self.sweep(&pods).await;
        self.drop_dead_leases().await;
        if start {
            // containerd may be busy with the last calls of the engine before this one.
            let late = Arc::downgrade(self);
            tokio::spawn(async move {
                tokio::time::sleep(LATE).await;
                if let Some(inner) = late.upgrade() {
                    inner.drop_dead_leases().await;
                }
            });
        }
        Ok(())
    }

    /// Compares one record with CRI.
    pub(super) async fn compare(self: &Arc<Self>, record: &Record) {
        let seen = match self.cri.status(&record.attempt.container, false).await {
            Ok(answer) => answer.status.map(|s| s.state()),
            Err(error) if error.is_missing() => None,
            Err(_) => return,
        };
        self.compare_one(record, seen).await;
    }

    async fn compare_one(self: &Arc<Self>, record: &Record, seen: Option<cri::ContainerState>) {
        use cri::ContainerState as S;
        match (record.status, seen) {
            (Status::Running | Status::Paused, Some(S::ContainerRunning)) => {
                // CRI learns of an exit later than containerd's tasks do.
                if let Ok(Some(process)) = self.containerd.task(&record.attempt.container).await
                    && let Some((code, time)) = ended(&process)
                {
                    self.on_exit(&record.attempt.container, code, time).await;
                }
            }
            (Status::Running | Status::Paused, Some(S::ContainerExited)) => {
                let status =
                    self.cri.status(&record.attempt.container, false).await.ok().and_then(|s| s.status);
                let status = status.unwrap_or_default();
                if status.reason == "OOMKilled" && !record.exit.oom_killed {
                    self.ooms.note(&record.attempt.container);
                }
                let time = nanoseconds(status.finished_at).unwrap_or_else(Timestamp::now);
                self.on_exit(&record.attempt.container, status.exit_code, time).await;
            }
            (Status::Running | Status::Paused, _) => {
                self.on_exit(&record.attempt.container, LOST, Timestamp::now()).await;
            }
            // Started just before the engine died.
            (
                Status::Created | Status::Exited | Status::Restarting,
                Some(S::ContainerRunning | S::ContainerExited),
            ) if !record.attempt.used => self.adopt(record).await,
            _ => {}
        }
    }

    /// Records the start, and the end, of an attempt of which the record does not know yet.
    async fn adopt(self: &Arc<Self>, record: &Record) {
        let lock = self.records.lock(&record.id).await;
        let Ok(mut record) = self.records.get(&record.id) else { return };
        if record.attempt.used || matches!(record.status, Status::Running | Status::Paused | Status::Removing)
        {
            return;
        }
        let Some(status) =
            self.cri.status(&record.attempt.container, false).await.ok().and_then(|s| s.status)
        else {
            return;
        };
        let over = match status.state() {
            cri::ContainerState::ContainerRunning => false,
            cri::ContainerState::ContainerExited => true,
            _ => return,
        };
        record.attempt.used = true;
        if over && status.reason == START_ERROR {
            record.exit.code = status.exit_code;
            record.exit.error = status.message;
            let code = ("exitCode", status.exit_code.to_string());
            let time = nanoseconds(status.finished_at).unwrap_or_else(Timestamp::now);
            let event = super::events::container(&record, "die", time, &[code]);
            if let Err(error) = self.records.commit(Change::new().put(&record).event(event)).await {
                tracing::warn!(%error, container = record.name, "cannot record a failed start");
            }
            return;
        }
        record.status = Status::Running;
        record.desired = Desired::Running;
        record.exit.started = nanoseconds(status.started_at);
        record.exit.finished = None;
        record.attempt.pid = self.containerd.pid(&record.attempt.container).await.unwrap_or(0);
        if !over && let Err(error) = self.publish(&mut record).await {
            tracing::warn!(%error, container = record.name, "cannot publish the ports of a container that runs");
        }
        let time = record.exit.started.unwrap_or_else(Timestamp::now);
        let event = super::events::container(&record, "start", time, &[]);
        if let Err(error) = self.records.commit(Change::new().put(&record).event(event)).await {
            tracing::warn!(%error, container = record.name, "cannot record a start");
            return;
        }
        drop(lock);
        if over {
            let time = nanoseconds(status.finished_at).unwrap_or_else(Timestamp::now);
            self.on_exit(&record.attempt.container, status.exit_code, time).await;
        }
    }

    /// Removes pods of ours that are the current attempt of no record.
    async fn sweep(self: &Arc<Self>, pods: &[cri::PodSandbox]) {
        for pod in pods {
            let Some(id) = pod.labels.get(LABEL_ID) else { continue };
            let Ok(id) = crate::model::id::ContainerId::try_from(id.clone()) else { continue };
            if self.records.is_being_made(&id) || self.burials.has(&id) {
                continue;
            }
            let _one = self.records.lock(&id).await;
            let mine = self.records.get(&id).is_ok_and(|r| r.attempt.pod == pod.id);
            if !mine {
                self.remove_leftover(&pod.id);
            }
        }
    }

    /// Finishes the work that an earlier engine left, and starts the containers that should run by their policy.
    fn finish_all(self: &Arc<Self>) {
        for record in self.records.all() {
            let Some(left) = lifecycle::unfinished(&record) else { continue };
            let inner = self.clone();
            tokio::spawn(async move {
                if let Err(error) = inner.finish(&record.id, left).await {
                    tracing::warn!(%error, container = record.name, ?left, "cannot finish what was begun");
                }
            });
        }
    }

    async fn finish(self: &Arc<Self>, id: &ContainerId, left: Unfinished) -> Result<(), EngineError> {
        match left {
            Unfinished::Remove { volumes } => self.remove_one(id, true, volumes).await,
            Unfinished::Stop(stopping) => {
                self.finish_stop(id, stopping).await?;
                match stopping.then_start {
                    true => self.start_again(id).await.map(drop),
                    false => Ok(()),
                }
            }
            Unfinished::Start(Starter::User) => self.start_again(id).await.map(drop),
            Unfinished::Start(starter) => self.start_one(id, starter).await.map(drop),
        }
    }

    /// Makes the kernel's state of a container that runs what the record says: an engine that was killed in the middle of
    /// a pause, a commit or an update may have left another one.
    async fn follow_record(&self, id: &ContainerId) {
        let _one = self.records.lock(id).await;
        let Ok(record) = self.records.get(id) else { return };
        let done = match record.status {
            Status::Running => self.thaw(&record).await,
            Status::Paused => self.freeze(&record).await,
            _ => return,
        };
        // A host where nothing can be frozen has nothing to thaw.
        if let Err(error) = done {
            tracing::debug!(%error, container = record.name, "cannot freeze or thaw");
        }
        if let Err(error) = self.apply_limits(&record).await {
            tracing::debug!(%error, container = record.name, "cannot apply the limits");
        }
    }

    /// True when the runtime can make mounts read-only with all that is below them.
    async fn runtime_is_recursive(&self) -> bool {
        let message = cri::StatusRequest { verbose: false };
        let Ok(answer) = self.cri.runtime().status(message).await else { return false };
        answer
            .into_inner()
            .runtime_handlers
            .iter()
            .find(|h| h.name == self.config.runtime_handler)
            .and_then(|h| h.features.as_ref())
            .is_some_and(|f| f.recursive_read_only_mounts)
    }
}
