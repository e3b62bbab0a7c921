//! Systems on which a daemon is not started yet.

use super::StartError;
use std::path::Path;

/// A daemon that we have started: on these systems there is none.
pub(super) enum Daemon {}

impl Daemon {
    /// Refuses.
    #[expect(clippy::unused_async, reason = "the same on every system")]
    pub(super) async fn start(_: &Path) -> Result<Self, StartError> {
        Err(StartError::NoDaemon)
    }

    /// The way in which it was started, for people.
    pub(super) fn how(&self) -> &str {
        match *self {}
    }

    /// Whether it has ended.
    #[expect(clippy::unused_async, reason = "the same on every system")]
    pub(super) async fn ended(&mut self) -> bool {
        match *self {}
    }

    /// The last lines that it wrote.
    #[expect(clippy::unused_async, reason = "the same on every system")]
    pub(super) async fn last_words(&self) -> String {
        match *self {}
    }
}
