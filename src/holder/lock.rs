//! The lock of a data directory: the holder has it for as long as it uses the data.

use crate::config::Instance;
use crate::sys::patience;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::time::Duration;

/// Time for an instance that ends at this moment, or a holder that was just killed, to let go.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes the lock. Nobody else may use the data: not another runtime directory's instance, not another host with the same
/// home. What is written into the lock is for people alone.
///
/// # Errors
/// Another instance has it.
pub(super) fn take(instance: &Instance) -> io::Result<File> {
    let path = instance.dirs.data_lock();
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    let mut outcome = Ok(());
    patience::until(PATIENCE, Duration::from_millis(50), || {
        outcome = file.try_lock();
        !matches!(outcome, Err(TryLockError::WouldBlock))
    });
    match outcome {
        Ok(()) => {
            file.set_len(0)?;
            let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
            write!(file, "process {} on {host}", std::process::id())?;
            Ok(file)
        }
        Err(TryLockError::Error(e)) => Err(e),
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            Err(io::Error::other(format!(
                "{} is used by another k3c ({owner}): stop that one, or give this one a place of its own with \
                 XDG_DATA_HOME",
                instance.dirs.data.display()
            )))
        }
    }
}
