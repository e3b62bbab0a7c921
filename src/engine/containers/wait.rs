//! `wait`: from the records, and for a while from what is left of removed ones.

use crate::engine::Engine;
use crate::engine::error::EngineError;
use crate::model::container::{ExitStatus, Status, WaitCondition};
use crate::store::Exit;

impl Engine {
    /// Answers when the condition is met; the exit code of a container that was removed is kept for ten minutes.
    pub async fn wait(&self, who: &str, condition: WaitCondition) -> Result<ExitStatus, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        // Changes from here on are seen.
        let mut changed = inner.records.changes();
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
        let before = (first.attempt, first.exit.finished);
        loop {
            changed.borrow_and_update();
            let Ok(record) = inner.records.get(&first.id) else {
                let tombstone = inner.records.tombstone(first.id.as_str())?;
                return Ok(tombstone.map_or_else(|| status(&first.exit), |t| status(&t.exit)));
            };
            let running = matches!(record.status, Status::Running | Status::Paused | Status::Restarting);
            let met = match condition {
                WaitCondition::NotRunning => !running,
                WaitCondition::NextExit => {
                    record.exit.finished.is_some() && (record.attempt, record.exit.finished) != before
                }
                WaitCondition::Removed => false,
            };
            if met {
                return Ok(status(&record.exit));
            }
            if changed.changed().await.is_err() {
                return Err(EngineError::Broken("the engine is stopping".to_owned()));
            }
        }
    }
}

fn status(exit: &Exit) -> ExitStatus {
    ExitStatus { code: exit.code, error: exit.error.clone(), oom_killed: exit.oom_killed }
}
