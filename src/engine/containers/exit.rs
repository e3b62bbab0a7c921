//! The end of an attempt: how it went is recorded, then policy decides what comes next.

use super::start::Starter;
use crate::engine::lifecycle::{self, End, Next};
use crate::engine::locks::held;
use crate::engine::{Inner, events};
use crate::model::container::Status;
use crate::model::id::ContainerId;
use crate::store::{Change, Record};
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Pause before an exit that could not be recorded (the disk is full) is recorded again.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// CRI containers of which the kernel killed a process for its memory, until that is recorded.
#[derive(Debug, Default)]
pub(in crate::engine) struct Ooms(Mutex<HashSet<String>>);

impl Ooms {
    pub(in crate::engine) fn note(&self, container: &str) {
        held(&self.0).insert(container.to_owned());
    }

    /// True once for each note: the kill or the exit that it led to records it, whichever comes first.
    fn take(&self, container: &str) -> bool {
        held(&self.0).remove(container)
    }
}

impl Inner {
    /// The first process of a CRI container has ended. Anything that is not the running attempt of a record is ignored.
    ///
    /// Boxed, because what follows from an exit may end in another one.
    pub(in crate::engine) fn on_exit<'a>(
        self: &'a Arc<Self>,
        container: &'a str,
        code: i32,
        time: Timestamp,
    ) -> BoxFuture<'a, ()> {
        Box::pin(self.record_exit(container, code, time))
    }

    /// The kernel killed a process of a container for its memory; the container may live on.
    pub(in crate::engine) async fn on_oom(&self, container: &str) {
        let Some(id) = self.records.of_container(container).map(|r| r.id) else { return };
        let _one = self.records.lock(&id).await;
        let Ok(mut record) = self.records.get(&id) else { return };
        if record.attempt.container != container
            || !lifecycle::lives(record.status)
            || !self.ooms.take(container)
        {
            return;
        }
        record.exit.oom_killed = true;
        let event = events::container(&record, "oom", Timestamp::now(), &[]);
        if let Err(error) = self.records.commit(Change::new().put(&record).event(event)).await {
            tracing::error!(%error, container = record.name, "cannot record that memory ran out");
        }
    }

    async fn record_exit(self: &Arc<Self>, container: &str, code: i32, time: Timestamp) {
        let Some(id) = self.records.of_container(container).map(|r| r.id) else { return };
        let lock = self.records.lock(&id).await;
        let Ok(mut record) = self.records.get(&id) else { return };
        // CRI writes the exit down, too, and tries again only after a while when it could not.
        self.records.make_room();
        if record.attempt.container != container || !lifecycle::lives(record.status) {
            return;
        }
        // A start is noted when CRI has answered, which for a quick one is after its end.
        let time = record.exit.started.map_or(time, |started| time.max(started));
        let oom = self.ooms.take(container);
        let draining = self.course.draining.load(Ordering::SeqCst);
        self.withdraw(&record).await;
        record.attempt.published = Vec::new();
        let (next, ran) = lifecycle::ended(&mut record, End { code, time, oom }, draining);
        let mut change = match next {
            Next::Remove => Change::new(),
            _ => Change::new().put(&record),
        };
        if oom {
            change = change.event(events::container(&record, "oom", time, &[]));
        }
        let exit = ("exitCode", code.to_string());
        let seconds = ("execDuration", ran.as_secs().to_string());
        change = change.event(events::container(&record, "die", time, &[exit, seconds]));
        let done = match next {
            Next::Remove => self.bury(record.clone(), change, true).await,
            _ => self.records.commit(change).await,
        };
        if let Err(error) = done {
            tracing::error!(%error, container = record.name, "cannot record an exit");
            let (inner, container) = (Arc::downgrade(self), container.to_owned());
            tokio::spawn(async move {
                tokio::time::sleep(RECORD_AGAIN).await;
                if let Some(inner) = inner.upgrade() {
                    inner.on_exit(&container, code, time).await;
                }
            });
            return;
        }
        drop(lock);
        let inner = self.clone();
        match next {
            Next::Restart => self.restart_later(&record),
            Next::Remove => {}
            Next::Rest => {
                tokio::spawn(async move { inner.rest(&record.id).await });
            }
        }
    }

    /// Ends the pod of an attempt that is over: nothing of it runs on; its container and snapshot stay.
    pub(in crate::engine) async fn rest(self: &Arc<Self>, id: &ContainerId) {
        let _one = self.records.lock(id).await;
        let Ok(record) = self.records.get(id) else { return };
        self.compare_execs(Some(&record.attempt.container)).await;
        if record.status == Status::Exited
            && !record.attempt.pod.is_empty()
            && let Err(error) = self.cri.stop_pod(&record.attempt.pod).await
        {
            tracing::warn!(%error, container = record.name, "cannot stop a pod");
        }
    }

    /// Starts a container after its restart pause, unless somebody changed his mind meanwhile.
    pub(in crate::engine) fn restart_later(self: &Arc<Self>, record: &Record) {
        let inner = Arc::downgrade(self);
        let id = record.id.clone();
        let pause = Duration::from_millis(record.backoff_ms);
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            let Some(inner) = inner.upgrade() else { return };
            if let Err(error) = Box::pin(inner.start_one(&id, Starter::Policy)).await {
                tracing::warn!(%error, container = %id, "cannot restart a container");
            }
        });
    }
}
