//! `stop` and `kill`, and the drain at shutdown.

use super::attempt::stop_signal;
use crate::engine::containerd::words;
use crate::engine::error::EngineError;
use crate::engine::lifecycle::{self, Verb, Verdict};
use crate::engine::point::point;
use crate::engine::{Engine, Inner, events};
use crate::model::container::{DEFAULT_STOP_TIMEOUT, Status};
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::model::signal;
use crate::store::{Change, Record, Stopping};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Longest time that a killed process may take to be gone.
const AFTER_KILL: Duration = Duration::from_secs(10);
pub(super) const SIGKILL: i32 = 9;

impl Engine {
    /// Asks a container to end, and kills it after `timeout`, in seconds. Negative: never; absent: the container's own.
    ///
    /// # Errors
    /// `NotFound`: no such container; `InvalidArgument`: the signal; `Internal`: it did not end after SIGKILL.
    pub async fn stop(
        &self,
        who: &str,
        timeout: Option<i64>,
        signal: Option<String>,
    ) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        // A wrong signal is refused in every state of the container.
        signal.as_deref().filter(|s| !s.is_empty()).map(signal::parse).transpose()?;
        let record = match inner.records.find(who) {
            Ok(record) => record,
            Err(error) => return inner.stop_foreign(who, timeout, error).await,
        };
        inner.stop_one(&record.id, timeout, signal, false).await
    }

    /// Sends a signal to a container's first process.
    ///
    /// # Errors
    /// `NotFound`: no such container; `NotRunning`; `InvalidArgument`: the signal.
    pub async fn kill(&self, who: &str, signal: &str) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let number = signal::parse(if signal.is_empty() { "KILL" } else { signal })
            .map_err(|error| EngineError::invalid(format!("cannot kill container: {who}: {error}")))?;
        let record = match inner.records.find(who) {
            Ok(record) => record,
            Err(EngineError::NoSuchContainer(_)) => {
                let missing = EngineError::refused(
                    Reason::NotFound,
                    format!("cannot kill container: {who}: No such container: {who}"),
                );
                return inner.kill_foreign(who, number, missing).await;
            }
            Err(error) => return Err(error),
        };
        lifecycle::may(Verb::Kill, record.status, &record.id, who)?;
        // A signal that ends it is a person's will, as in Docker.
        if number == SIGKILL || number == stop_signal(&record) {
            inner.give_up(&record.id).await?;
        }
        let thaw = number != SIGKILL && number == stop_signal(&record);
        match inner.send_signal(&record, number, thaw).await {
            Ok(()) => {}
            Err(error) if error.says(words::is_over) => {
                return Err(EngineError::refused(
                    Reason::NotRunning,
                    format!("cannot kill container: {who}: container {} is not running", record.id),
                ));
            }
            Err(error) => return Err(error),
        }
        if number == SIGKILL {
            inner
                .until_stopped(
                    &record.id,
                    &record.attempt.container,
                    Some(AFTER_KILL),
                    &CancellationToken::new(),
                )
                .await;
        }
        Ok(())
    }

    /// Stops all containers, each with its own grace, at once when `hurry` is cancelled. People's wishes do not change:
    /// the next start brings back the containers that should run.
    pub async fn drain(&self, hurry: CancellationToken) {
        let inner = self.inner();
        inner.course.draining.store(true, Ordering::SeqCst);
        let running: Vec<Record> =
            inner.records.all().into_iter().filter(|r| lifecycle::lives(r.status)).collect();
        let work = running.into_iter().map(|record| {
            let (inner, hurry) = (inner.clone(), hurry.clone());
            async move {
                let signal = stop_signal(&record);
                if let Err(error) = inner.end(&record, signal, grace(record.spec.stop_timeout), &hurry).await
                {
                    tracing::warn!(%error, container = record.name, "cannot stop a container");
                }
                inner.rest(&record.id).await;
            }
        });
        futures::future::join_all(work).await;
        inner.burials.over().await;
        // Attempts that wait for their first start have a pod that runs, too.
        for record in inner.records.all() {
            if record.status == Status::Created && !record.attempt.pod.is_empty() {
                inner.cri.stop_pod(&record.attempt.pod).await.ok();
            }
        }
    }
}

impl Inner {
    /// Records that a person does not want a container to run any more.
    async fn give_up(&self, id: &ContainerId) -> Result<(), EngineError> {
        let _one = self.records.lock(id).await;
        let mut record = self.records.get(id)?;
        let before = record.clone();
        lifecycle::given_up(&mut record);
        match record == before {
            true => Ok(()),
            false => self.records.commit(Change::new().put(&record)).await,
        }
    }

    /// Stops a container. How is recorded first, so that an engine that is killed meanwhile leaves the stop to the next
    /// one.
    pub(super) async fn stop_one(
        self: &Arc<Self>,
        id: &ContainerId,
        timeout: Option<i64>,
        signal: Option<String>,
        then_start: bool,
    ) -> Result<(), EngineError> {
        let asked = signal.filter(|s| !s.is_empty()).map(|s| signal::parse(&s)).transpose()?;
        let stopping = {
            let _one = self.records.lock(id).await;
            let mut record = self.records.get(id)?;
            let before = record.clone();
            lifecycle::given_up(&mut record);
            let runs = lifecycle::may(Verb::Stop, record.status, &record.id, id.as_str())? == Verdict::Go;
            let grace = grace(timeout.or(record.spec.stop_timeout));
            let until = grace.map(|grace| Timestamp::now().saturating_add(grace).unwrap_or(Timestamp::MAX));
            let signal = asked.unwrap_or_else(|| stop_signal(&record));
            let stopping = Stopping { signal, until, then_start };
            record.stopping = (runs || then_start).then_some(stopping);
            if record != before {
                self.records.commit(Change::new().put(&record)).await?;
            }
            match runs {
                true => stopping,
                false => return Ok(()),
            }
        };
        point("stop.recorded");
        self.finish_stop(id, stopping).await
    }

    /// Carries out a stop that was recorded.
    pub(in crate::engine) async fn finish_stop(
        self: &Arc<Self>,
        id: &ContainerId,
        stopping: Stopping,
    ) -> Result<(), EngineError> {
        let record = self.records.get(id)?;
        let left =
            |until: Timestamp| Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        let grace = stopping.until.map(left);
        self.end(&record, stopping.signal, grace, &CancellationToken::new()).await?;
        point("stop.ended");
        let event = events::container(&record, "stop", Timestamp::now(), &[]);
        self.records.commit(Change::new().event(event)).await
    }

    /// Sends a signal to an attempt's first process and tells of it. `thaw`: lets the container go on if it is paused, as a
    /// frozen process receives no signal but SIGKILL. The lock keeps the end that may follow at once behind the signal
    /// in the events.
    async fn send_signal(&self, record: &Record, signal: i32, thaw: bool) -> Result<(), EngineError> {
        let _one = self.records.lock(&record.id).await;
        self.containerd.kill(&record.attempt.container, signal).await?;
        point("stop.signalled");
        if thaw {
            self.thaw_if_paused(&record.id).await?;
        }
        let event = events::container(record, "kill", Timestamp::now(), &[("signal", signal.to_string())]);
        self.records.commit(Change::new().event(event)).await
    }

    /// Ends an attempt: signal (unless it is SIGKILL itself), grace, kill; returns when the exit is recorded.
    pub(in crate::engine) async fn end(
        self: &Arc<Self>,
        record: &Record,
        signal: i32,
        grace: Option<Duration>,
        hurry: &CancellationToken,
    ) -> Result<(), EngineError> {
        let container = &record.attempt.container;
        let first = (signal != SIGKILL).then_some((signal, grace));
        for (signal, patience) in first.into_iter().chain([(SIGKILL, Some(AFTER_KILL))]) {
            let last = signal == SIGKILL;
            match self.send_signal(record, signal, !last).await {
                Ok(()) => {}
                Err(error) if error.says(words::is_over) => {}
                Err(error) => return Err(error),
            }
            let never = CancellationToken::new();
            let hurry = if last { &never } else { hurry };
            if self.until_stopped(&record.id, container, patience, hurry).await {
                return Ok(());
            }
        }
        // The exit's event was missed, but CRI knows of the exit.
        self.compare(record).await;
        match self.records.get(&record.id) {
            Ok(now) if now.attempt.container == *container && now.status == Status::Running => {
                Err(EngineError::Broken(format!(
                    "cannot stop container: {}: it did not end after SIGKILL",
                    record.id
                )))
            }
            _ => Ok(()),
        }
    }

    /// Waits until this attempt is over; false when `patience` is over first, or `hurry` was cancelled.
    async fn until_stopped(
        &self,
        id: &ContainerId,
        container: &str,
        patience: Option<Duration>,
        hurry: &CancellationToken,
    ) -> bool {
        let mut changed = self.records.changes();
        // The book is locked meanwhile: it is not asked for again.
        let over = changed.wait_for(|book| {
            let record = book.records.get(id);
            record.is_none_or(|r| r.attempt.container != container || !lifecycle::lives(r.status))
        });
        let time = async {
            match patience {
                Some(patience) => tokio::time::sleep(patience).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = over => true,
            () = time => false,
            () = hurry.cancelled() => false,
        }
    }
}

/// Grace between the signal and the kill; `None`, for a negative number of seconds: for ever.
fn grace(seconds: Option<i64>) -> Option<Duration> {
    match seconds {
        None => Some(DEFAULT_STOP_TIMEOUT),
        Some(seconds) => u64::try_from(seconds).ok().map(Duration::from_secs),
    }
}
