//! The lock of a runtime directory: its daemon holds it for as long as it lives, and its identity is in it.

use crate::model::holder::ProcessIdentity;
use crate::supervise::identity;
use crate::sys::patience;
use rustix::fd::OwnedFd;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time that a new daemon waits for the lock: `k3c daemon reload` takes it for a moment to see whether it is free.
const PATIENCE: Duration = Duration::from_millis(500);

/// Failure to get the lock, or to find a daemon by it.
#[derive(Debug, thiserror::Error)]
pub(super) enum LockError {
    /// The file cannot be used.
    #[error("cannot {what} the lock {}", path.display())]
    Io {
        /// The step that failed, in words.
        what: &'static str,
        /// The lock.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Another daemon has the lock.
    #[error("a daemon runs already ({owner}, lock {})", path.display())]
    Taken {
        /// The process, in words.
        owner: String,
        /// The lock.
        path: PathBuf,
    },
    /// Nobody has the lock.
    #[error("no daemon runs: nobody holds the lock {}", path.display())]
    Free {
        /// The lock.
        path: PathBuf,
    },
    /// Somebody has the lock, and it names no living process.
    #[error(
        "the lock {} is held, but does not say by which process: a daemon starts or ends at this moment, or is of \
         another version of k3c (then start it again instead)",
        path.display()
    )]
    Nameless {
        /// The lock.
        path: PathBuf,
    },
}

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock for the calling process.
    ///
    /// # Errors
    /// Another daemon has it; the file cannot be written.
    pub(super) fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |what| move |source| LockError::Io { what, path: path.to_path_buf(), source };
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(path).map_err(failed("open"))?;
        let mut outcome = Ok(());
        patience::until(PATIENCE, Duration::from_millis(20), || {
            outcome = file.try_lock();
            !matches!(outcome, Err(TryLockError::WouldBlock))
        });
        match outcome {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = named(&mut file).map_or_else(
                    || "which does not say its number".into(),
                    |owner| format!("process {}", owner.pid),
                );
                return Err(LockError::Taken { owner, path: path.to_path_buf() });
            }
            Err(TryLockError::Error(source)) => return Err(failed("take")(source)),
        }
        let own = identity::own().and_then(|own| Ok(serde_json::to_string(&own)?)).map_err(failed("fill"))?;
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed("empty"))?;
        writeln!(file, "{own}").map_err(failed("write"))?;
        Ok(Self { _file: file })
    }
}

/// The daemon that holds the lock, pinned. It is in nobody's power to make this another process: the lock must be held,
/// and the identity in it be that of a living process.
///
/// # Errors
/// No daemon, or none that can be told.
pub(super) fn owner(path: &Path) -> Result<OwnedFd, LockError> {
    let failed = |what| move |source| LockError::Io { what, path: path.to_path_buf(), source };
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(LockError::Free { path: path.to_path_buf() });
        }
        Err(e) => return Err(failed("open")(e)),
    };
    match file.try_lock_shared() {
        Ok(()) => return Err(LockError::Free { path: path.to_path_buf() }),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(source)) => return Err(failed("look at")(source)),
    }
    let pinned = named(&mut file).map(|owner| identity::pin(&owner)).transpose().map_err(failed("follow"))?;
    pinned.flatten().ok_or_else(|| LockError::Nameless { path: path.to_path_buf() })
}

/// The identity in the file; `None` for anything else, such as the bare number that former versions wrote.
fn named(file: &mut File) -> Option<ProcessIdentity> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn leads_to_its_owner_while_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        assert!(matches!(owner(&path), Err(LockError::Free { .. })));
        let lock = Lock::take(&path).unwrap();
        owner(&path).unwrap();
        let refused = Lock::take(&path).unwrap_err().to_string();
        assert!(refused.contains(&format!("(process {}, lock ", std::process::id())), "{refused}");
        drop(lock);
        // The text is still there.
        assert!(matches!(owner(&path), Err(LockError::Free { .. })));
    }

    #[test]
    fn another_text_in_a_held_lock_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let _lock = Lock::take(&path).unwrap();
        let own = identity::own().unwrap();
        let older = ProcessIdentity { start_time: own.start_time - 1, ..own.clone() };
        for text in [String::new(), own.pid.to_string(), serde_json::to_string(&older).unwrap()] {
            fs::write(&path, &text).unwrap();
            assert!(matches!(owner(&path), Err(LockError::Nameless { .. })), "{text}");
        }
    }
}
