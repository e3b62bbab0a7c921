//! The way from an ordinary user to root in a user namespace, and out again without a trace.
//!
//! ```text
//!  daemon (the user)                          holder (k3c __holder, one thread)
//!  preflight, lock, k3c.sock
//!  spawn ────────────────────────────────────▶ unshare(CLONE_NEWUSER)
//!        ◀──────────────── UserNamespace ─────
//!  newuidmap, newgidmap
//!        ───────────────── MapsWritten ──────▶ setresgid(0), setresuid(0)
//!                                              unshare(CLONE_NEWNS | CLONE_NEWCGROUP)
//!                                              copy-up, cgroup2, detached network namespace
//!        ◀──────────────── Status ────────────
//!                                              spawn the engine
//!        ◀──────────────── EngineReady ───────
//!  sd_notify(READY=1)
//! ```
//!
//! `Failed` may come instead of any message of the holder. As root there is no user namespace: the holder goes
//! straight to `unshare(CLONE_NEWNS | CLONE_NEWCGROUP)`, and the host's network namespace is used.
//!
//! `unshare(CLONE_NEWUSER)` fails in a process with threads (unshare(2)), so nothing here uses tokio.

pub mod cgroup;
pub mod enter;
pub mod ids;
pub mod mounts;
pub mod netns;
pub mod preflight;

use std::io;
use std::path::{Path, PathBuf};

/// A step that could not be done.
#[derive(Debug, thiserror::Error)]
pub enum RootlessError {
    /// A system call or a file.
    #[error("cannot {what}")]
    Step {
        /// The step that failed, in words.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// newuidmap or newgidmap said no.
    #[error("{program} failed: {output}")]
    Map {
        /// newuidmap or newgidmap.
        program: String,
        /// The program's standard error.
        output: String,
    },
}

impl RootlessError {
    /// An error's way into `Step`, for `map_err`.
    pub fn step<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        |source| Self::Step { what: what.into(), source: source.into() }
    }

    /// As `step`, for a step about a path.
    pub fn at<E: Into<io::Error>>(what: &str, path: &Path) -> impl FnOnce(E) -> Self {
        let what = format!("{what} {}", path.display());
        |source| Self::Step { what, source: source.into() }
    }
}

/// The first executable called `name` in `PATH`, then in the folders where distributions put system programs.
pub fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| {
            std::fs::metadata(file).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        })
}

impl From<RootlessError> for io::Error {
    fn from(error: RootlessError) -> Self {
        Self::other(crate::model::reason::chain(&error))
    }
}
