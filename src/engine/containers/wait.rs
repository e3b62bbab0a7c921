//! `wait`: from the records and from the events of ends, and for a while from the tombstones of removed containers.

use crate::engine::Engine;
use crate::engine::error::EngineError;
use crate::model::container::{ExitStatus, Status, WaitCondition};
use crate::model::event::Event;
use crate::model::id::ContainerId;
use crate::model::reason::Reason;
use crate::store::{Exit, Record};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

impl Engine {
    /// Answers when the condition is met; the exit code of a container that was removed is kept for ten minutes.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: the removal that is waited for failed.
    pub async fn wait(&self, who: &str, condition: WaitCondition) -> Result<ExitStatus, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        // Changes and ends from here on are seen. A record alone does not tell of every end: a restart forgets it.
        let mut changed = inner.records.changes();
        let mut events = inner.records.live_events();
        let first = match inner.records.find(who) {
            Ok(record) => record,
            Err(error @ EngineError::NoSuchContainer(_)) => {
                return match inner.records.tombstone(who)? {
                    Some(tombstone) if condition != WaitCondition::NextExit => Ok(status(&tombstone.exit)),
                    _ => inner.wait_foreign(who, error).await,
                };
            }
            Err(error) => return Err(error),
        };
        loop {
            changed.borrow_and_update();
            let Ok(record) = inner.records.get(&first.id) else {
                let tombstone = inner.records.tombstone(first.id.as_str())?;
                return Ok(tombstone.map_or_else(|| status(&first.exit), |t| status(&t.exit)));
            };
            if is_met(condition, &record, &first)? {
                return Ok(status(&record.exit));
            }
            tokio::select! {
                changed = changed.changed() => if changed.is_err() {
                    return Err(EngineError::Broken("the engine is stopping".to_owned()));
                },
                code = next_exit(&mut events, &first.id), if condition != WaitCondition::Removed => {
                    return Ok(ExitStatus { code, error: String::new(), oom_killed: record.exit.oom_killed });
                }
            }
        }
    }
}

/// True when the condition is met by now. `first`: the record when it was asked for.
fn is_met(condition: WaitCondition, record: &Record, first: &Record) -> Result<bool, EngineError> {
    match (condition, record.status) {
        // A container that waits for its restart counts as running, as in Docker.
        (WaitCondition::NotRunning, status) => Ok(!status.is_up()),
        (WaitCondition::NextExit, _) => {
            let end = |record: &Record| (record.attempt.number, record.exit.finished);
            Ok(record.exit.finished.is_some() && end(record) != end(first))
        }
        (WaitCondition::Removed, Status::Dead) => Err(EngineError::refused(
            Reason::Conflict,
            format!(
                "cannot remove container \"{}\": {}: it is dead and stays until it can be removed, which is tried again",
                record.name, record.exit.error
            ),
        )),
        (WaitCondition::Removed, _) => Ok(false),
    }
}

/// The exit code of the next end of a container. Events that were missed are made up for by the records.
async fn next_exit(events: &mut Receiver<Event>, id: &ContainerId) -> i32 {
    loop {
        match events.recv().await {
            Ok(event) if event.action == "die" && event.actor == id.as_str() => {
                return event.attributes.get("exitCode").and_then(|code| code.parse().ok()).unwrap_or(0);
            }
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return std::future::pending().await,
        }
    }
}

fn status(exit: &Exit) -> ExitStatus {
    ExitStatus { code: exit.code, error: exit.error.clone(), oom_killed: exit.oom_killed }
}
