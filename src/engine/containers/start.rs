//! `start`: the first start takes the attempt that `create` made, every later one a fresh attempt.

use crate::engine::containerd::words;
use crate::engine::error::EngineError;
use crate::engine::lifecycle::{self, Verb, Verdict};
use crate::engine::point::point;
use crate::engine::{Engine, Inner, events};
use crate::model::container::Status;
use crate::model::failure::start_code;
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::{Change, Record};
use jiff::Timestamp;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Longest wait for a start that another engine began.
const OTHERS_PATIENCE: Duration = Duration::from_secs(10);

/// Origin of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) enum Starter {
    /// A person.
    User,
    /// The restart policy, while the engine runs.
    Policy,
    /// The engine, after it came up.
    Engine,
}

impl Engine {
    /// Starts a container; one that runs already is success. Answers the warnings of its creation.
    ///
    /// # Errors
    /// `NotFound`: no such container, or its image is gone; `Conflict`: it is paused or being removed, or one that it
    /// joins does not run; `CommandNotFound`, `CommandNotExecutable`: its command; `InvalidArgument`: a bind mount has
    /// no source; `Unavailable`: the daemon stops.
    pub async fn start_container(&self, who: &str) -> Result<Vec<String>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        inner.start_one(&id, Starter::User).await
    }
}

impl Inner {
    pub(in crate::engine) async fn start_one(
        self: &Arc<Self>,
        id: &ContainerId,
        starter: Starter,
    ) -> Result<Vec<String>, EngineError> {
        let _one = self.records.lock(id).await;
        let mut record = self.records.get(id)?;
        if lifecycle::may(Verb::Start, record.status, &record.id, id.as_str())? == Verdict::Done {
            return Ok(Vec::new());
        }
        if self.course.draining.load(Ordering::SeqCst) {
            return Err(EngineError::refused(Reason::Unavailable, "the daemon is stopping"));
        }
        // A person may have ended the pause before a restart by policy.
        if starter == Starter::Policy && record.status != Status::Restarting {
            return Ok(Vec::new());
        }
        lifecycle::start_wanted(&mut record, starter);
        let answer = self.start_attempt(&mut record).await;
        if let Err(error) = answer {
            return Err(self.record_failed_start(record, starter, error).await);
        }
        point("start.started");
        let now = Timestamp::now();
        let pid = self.containerd.pid(&record.attempt.container).await.unwrap_or(0);
        lifecycle::started(&mut record, starter, pid, now);
        self.records
            .commit(Change::new().put(&record).event(events::container(&record, "start", now, &[])))
            .await?;
        point("start.recorded");
        self.watch_health(&record);
        Ok(record.resolved.warnings)
    }

    async fn start_attempt(&self, record: &mut Record) -> Result<(), EngineError> {
        if record.attempt.used || record.attempt.container.is_empty() || !self.is_in_place(record) {
            self.fresh_attempt(record).await?;
        }
        self.prepare_binds(&record.resolved.mounts).await?;
        self.join_others(record).await?;
        self.publish(record).await?;
        self.is_known_to_ask(record).await;
        point("start.published");
        match self.start_made(record).await {
            // Attempt 0 went away with its pod (a restart of the host), or an engine that is no more has started it: a
            // fresh one is as good.
            Err(error)
                if error.is_missing() || error.says(words::has_no_pod) || error.says(words::has_exited) =>
            {
                self.withdraw(record).await;
                self.fresh_attempt(record).await?;
                self.join_others(record).await?;
                self.publish(record).await?;
                self.is_known_to_ask(record).await;
                self.start_made(record).await
            }
            answer => answer,
        }
    }

    /// Starts the attempt that was made. The start of an engine that is no more may still be under way, and is then ours.
    async fn start_made(&self, record: &Record) -> Result<(), EngineError> {
        let end = Instant::now() + OTHERS_PATIENCE;
        loop {
            match self.cri.start_container(&record.attempt.container).await {
                Err(error) if error.says(words::runs_already) => return Ok(()),
                Err(error) if error.says(words::is_starting) && Instant::now() < end => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                answer => return answer,
            }
        }
    }

    pub(super) async fn fresh_attempt(&self, record: &mut Record) -> Result<(), EngineError> {
        let image = match self.facts(&record.resolved.image_id).await {
            Ok(image) => image,
            Err(error) if error.is_missing() => {
                return Err(EngineError::NoSuchImage(record.spec.image.clone()));
            }
            Err(error) => return Err(error),
        };
        // Nothing of the old attempt is in the way of the new one; what stays behind a crash is swept later.
        let (cri, old) = (self.cri.clone(), record.attempt.pod.clone());
        tokio::spawn(async move {
            if let Err(error) = cri.remove_pod(&old).await {
                tracing::warn!(%error, pod = old, "cannot remove the pod of an earlier attempt");
            }
        });
        record.attempt.number += 1;
        record.attempt.container = String::new();
        record.attempt.pod = String::new();
        let made = self.make_attempt(record, &image).await;
        if made.is_err() && !record.attempt.pod.is_empty() {
            self.cri.remove_pod(&record.attempt.pod).await.ok();
            record.attempt.pod = String::new();
        }
        made?;
        // Recorded before the start, because the end may be told sooner than the start is written down.
        self.records.commit(Change::new().put(record)).await
    }

    /// Records the exit code and the words of a start that failed; by policy it may be tried again.
    async fn record_failed_start(
        self: &Arc<Self>,
        mut record: Record,
        starter: Starter,
        error: EngineError,
    ) -> EngineError {
        self.withdraw(&record).await;
        record.attempt.published = Vec::new();
        let error = in_dockers_words(error);
        let again = lifecycle::start_failed(&mut record, starter, &error);
        if !record.attempt.pod.is_empty() {
            self.cri.stop_pod(&record.attempt.pod).await.ok();
        }
        let change = Change::new().put(&record);
        let code = record.exit.code.to_string();
        let die = events::container(&record, "die", Timestamp::now(), &[("exitCode", code)]);
        if let Err(error) = self.records.commit(change.event(die)).await {
            tracing::warn!(%error, container = record.name, "cannot record a failed start");
        }
        if again {
            self.restart_later(&record);
        }
        error
    }
}

fn in_dockers_words(error: EngineError) -> EngineError {
    match error {
        EngineError::Containerd { what: "failed to start container", status } => {
            let text = status
                .message()
                .replace("failed to create containerd task:", "failed to create task for container:");
            EngineError::Start { code: start_code(&text), text }
        }
        other => other,
    }
}
