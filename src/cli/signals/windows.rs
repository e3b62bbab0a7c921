//! Signals as Windows has them: Ctrl-C and Ctrl-Break.

use std::io;
use tokio::signal::windows::{CtrlBreak, CtrlC, ctrl_break, ctrl_c};

/// Ctrl-C and Ctrl-Break.
pub(crate) struct Termination(CtrlC, CtrlBreak);

impl Termination {
    /// Takes them over from the system's default.
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(ctrl_c()?, ctrl_break()?))
    }

    /// The number of the next one, as Unix counts.
    pub(crate) async fn next(&mut self) -> u8 {
        tokio::select! {
            _ = self.0.recv() => 2,
            _ = self.1.recv() => 15,
        }
    }
}

/// Signals that end us, by the names that containers know.
pub(crate) struct Forwarded(Termination);

impl Forwarded {
    /// Takes them over.
    pub(crate) fn listen() -> io::Result<Self> {
        Termination::listen().map(Self)
    }

    /// The name of the next one, `SIGINT`.
    pub(crate) async fn next(&mut self) -> Option<&'static str> {
        Some(if self.0.next().await == 2 { "SIGINT" } else { "SIGTERM" })
    }
}

/// Changes of our console's size: nobody tells, so it is looked at.
pub(crate) struct Resized(Option<(u16, u16)>);

impl Resized {
    /// From now on.
    #[expect(clippy::unnecessary_wraps, reason = "the same as on Unix")]
    pub(crate) fn listen() -> io::Result<Self> {
        Ok(Self(crate::sys::terminal::size()))
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
            let now = crate::sys::terminal::size();
            if now != self.0 {
                self.0 = now;
                return;
            }
        }
    }
}
