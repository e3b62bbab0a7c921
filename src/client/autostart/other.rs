//! Systems on which a daemon is not started yet.

use std::path::Path;

/// None can be made.
pub(super) enum Daemon {}

impl Daemon {
    /// Refuses.
    #[expect(clippy::unused_async, reason = "the same on every system")]
    pub(super) async fn start(_: &Path) -> Result<Self, String> {
        Err("there is no k3c daemon for this system yet; set K3C_ADDRESS".to_owned())
    }

    /// In words.
    pub(super) fn how(&self) -> &str {
        match *self {}
    }

    /// Has it ended?
    #[expect(clippy::unused_async, reason = "the same on every system")]
    pub(super) async fn ended(&mut self) -> bool {
        match *self {}
    }

    /// What it said.
    #[expect(clippy::unused_async, reason = "the same on every system")]
    pub(super) async fn last_words(&self) -> String {
        match *self {}
    }
}
