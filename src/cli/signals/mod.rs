//! Signals to the command line: before a command takes them over they end it (128 + n), afterwards they are the
//! container's, or an answer.

#[cfg(unix)]
#[path = "unix.rs"]
mod imp;
#[cfg(windows)]
#[path = "windows.rs"]
mod imp;

pub(crate) use imp::{Forwarded, Resized, Termination};

use std::sync::atomic::{AtomicBool, Ordering};

/// The signals of this process: they end it, or go to a container.
#[derive(Debug, Default)]
pub(crate) struct Signals {
    taken: AtomicBool,
}

impl Signals {
    /// Answers with `n` when a signal should end the command; never once they were taken over.
    pub(crate) async fn ended(&self) -> std::io::Result<u8> {
        let mut termination = Termination::listen()?;
        loop {
            let number = termination.next().await;
            if !self.taken.load(Ordering::SeqCst) {
                return Ok(number);
            }
        }
    }

    /// Takes the signals: from now on they come out of what this returns.
    pub(crate) fn forward(&self) -> std::io::Result<Forwarded> {
        let forwarded = Forwarded::listen()?;
        self.taken.store(true, Ordering::SeqCst);
        Ok(forwarded)
    }

    /// Waits for an answer; a signal is one too (`None`).
    pub(crate) async fn unless<T>(&self, answer: impl Future<Output = T>) -> std::io::Result<Option<T>> {
        let mut termination = Termination::listen()?;
        self.taken.store(true, Ordering::SeqCst);
        let answered = tokio::select! {
            answer = answer => answer,
            _ = termination.next() => return Ok(None),
        };
        self.taken.store(false, Ordering::SeqCst);
        Ok(Some(answered))
    }
}
