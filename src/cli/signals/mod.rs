//! Signals to the command line: before a command takes them over they end it (128 + n), afterwards they are the
//! container's.

#[cfg(unix)]
#[path = "unix.rs"]
mod imp;
#[cfg(windows)]
#[path = "windows.rs"]
mod imp;

pub(crate) use imp::{Forwarded, Resized, Termination};

use std::sync::atomic::{AtomicBool, Ordering};

/// Who gets the signals.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    forwarding: AtomicBool,
}

impl Signals {
    /// Answers with `n` when a signal should end the command; never while they are forwarded.
    pub(crate) async fn ended(&self) -> std::io::Result<u8> {
        let mut termination = Termination::listen()?;
        loop {
            let number = termination.next().await;
            if !self.forwarding.load(Ordering::SeqCst) {
                return Ok(number);
            }
        }
    }

    /// From now on signals come out of what this returns.
    pub(crate) fn forward(&self) -> std::io::Result<Forwarded> {
        let forwarded = Forwarded::listen()?;
        self.forwarding.store(true, Ordering::SeqCst);
        Ok(forwarded)
    }
}
