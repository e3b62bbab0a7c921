//! Named points of verbs at which tests kill the engine; the next one finishes or undoes what was begun.

use crate::config::env;
use nix::sys::signal::{Signal, raise};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;

static FILE: LazyLock<Option<PathBuf>> =
    LazyLock::new(|| std::env::var_os(env::TEST_ENGINE_DIES).map(PathBuf::from));

/// Dies here when a test wants that: once, whoever takes the file away.
pub(super) fn point(name: &str) {
    let Some(file) = &*FILE else { return };
    if fs::read_to_string(file).is_ok_and(|wanted| wanted == name) && fs::remove_file(file).is_ok() {
        let _ = raise(Signal::SIGKILL);
    }
}
