//! `k3c daemon reload`: the running engine is replaced by the installed binary's.
//!
//! ```text
//! k3c daemon reload ── SIGHUP ──▶ daemon ── __unpack ──▶ the installed binary unpacks its bundle
//!                                       └─ Reload ────▶ holder kills the engine, starts the new one
//! ```

use super::error::DaemonError;
use super::{Daemon, lock, print, warn};
use crate::children::bundle;
use crate::config::Dirs;
use crate::model::holder::DaemonToHolder;
use crate::model::reason::chain;
use crate::supervise::greeting::{self, GreetingError};
use crate::sys::{packet, process};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::Signal;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Command;

/// The hidden stage that unpacks this binary's bundle and prints the folder.
pub const UNPACK_STAGE: &str = "__unpack";

/// Tells the daemon that holds the lock to replace its engine, if the holder understands this binary's.
pub(super) fn reload() -> Result<(), DaemonError> {
    let dirs = Dirs::discover()?;
    let daemon = lock::owner(&dirs.lock())?;
    // A holder that is being started anew takes an engine of its own version anyway.
    if let Ok(holder) = packet::connect_to(&dirs.holder_socket()) {
        let pid = packet::peer(&holder).unwrap_or_default();
        look_at(&holder).map_err(|source| DaemonError::Reload { pid, source })?;
    }
    process::signal_pinned(daemon.as_fd(), Signal::HUP).map_err(DaemonError::step("signal the daemon"))
}

/// Takes the holder's greeting and gives none: the holder keeps its daemon.
fn look_at(holder: &OwnedFd) -> Result<(), GreetingError> {
    packet::set_patience(holder, Some(super::PATIENCE)).map_err(GreetingError::Socket)?;
    match greeting::take(holder) {
        Err(GreetingError::Gone) => Ok(()),
        taken => taken,
    }
}

/// The stage.
pub fn unpack_stage() -> i32 {
    let unpacked = Dirs::discover().map_err(DaemonError::from).and_then(|dirs| Ok(bundle::ensure(&dirs)?));
    match unpacked {
        Ok(bundle) => i32::from(writeln!(io::stdout(), "{}", bundle.dir.display()).is_err()),
        Err(e) => {
            print(&chain(&e));
            1
        }
    }
}

impl Daemon {
    /// The installed binary unpacks its own bundle, and the engine is started from there.
    pub(super) fn replace_engine(&self, holder: &OwnedFd) {
        let installed = installed_binary();
        #[expect(
            clippy::disallowed_methods,
            reason = "a short stage of the installed binary, whose end the daemon waits for"
        )]
        let unpacked = Command::new(&installed).arg(UNPACK_STAGE).output();
        match unpacked {
            Ok(output) if output.status.success() => {
                let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
                let binary = folder.join("bin").join("k3c");
                print(&format!("k3c: reloading the engine from {}", installed.display()));
                let _ = packet::write(holder, &DaemonToHolder::Reload { binary });
            }
            Ok(output) => warn(&format!("cannot reload: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(e) => warn(&format!("cannot reload: {}: {e}", installed.display())),
        }
    }
}

fn installed_binary() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| "k3c".into());
    // After an upgrade by rename the kernel says ` (deleted)`.
    PathBuf::from(own.to_string_lossy().trim_end_matches(" (deleted)"))
}
