//! Signals on Unix.

use nix::sys::signal::Signal;
use std::io;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// SIGINT and SIGTERM.
pub(crate) struct Termination {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Termination {
    /// Takes them over from the kernel's default.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// The number of the next one.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 2,
            _ = self.terminate.recv() => 15,
        }
    }
}

/// All signals that can be caught, by name, but for those that are about ourselves: our children, our pipes, our turn at
/// the terminal (a read or a change of it out of turn raises them again and again until they stop us), and our own
/// mistakes.
pub(crate) struct Forwarded(mpsc::Receiver<&'static str>);

impl Forwarded {
    /// Takes them over.
    pub(crate) fn listen() -> io::Result<Self> {
        let (sender, receiver) = mpsc::channel(16);
        for which in Signal::iterator().filter(|s| !is_our_own(*s)) {
            let mut stream = signal(SignalKind::from_raw(which as i32))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    if sender.send(which.as_str()).await.is_err() {
                        break;
                    }
                }
            });
        }
        Ok(Self(receiver))
    }

    /// The name of the next one, `SIGINT`.
    pub(crate) async fn next(&mut self) -> Option<&'static str> {
        self.0.recv().await
    }
}

/// Changes of our terminal's size.
pub(crate) struct Resized(tokio::signal::unix::Signal);

impl Resized {
    /// SIGWINCH.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(signal(SignalKind::window_change())?))
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        self.0.recv().await;
    }
}

fn is_our_own(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::SIGCHLD
            | Signal::SIGPIPE
            | Signal::SIGURG
            | Signal::SIGTTIN
            | Signal::SIGTTOU
            | Signal::SIGKILL
            | Signal::SIGSTOP
            | Signal::SIGILL
            | Signal::SIGFPE
            | Signal::SIGSEGV
            | Signal::SIGBUS
            | Signal::SIGTRAP
            | Signal::SIGABRT
            | Signal::SIGSYS
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn forwards_by_name() {
        let mut forwarded = Forwarded::listen().unwrap();
        nix::sys::signal::raise(Signal::SIGUSR2).unwrap();
        assert_eq!(forwarded.next().await, Some("SIGUSR2"));
    }
}
