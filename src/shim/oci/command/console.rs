//! Terminals: handed over to the socket of who asked for one (runc's docs/terminals.md), or joined to our own streams.

use super::{Refusal, at};
use crate::sys::terminal::{self, Raw};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::termios::{Winsize, tcsetwinsize};
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::unix::net::UnixStream;
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Sends the controlling side of a terminal.
pub(super) fn send(socket: &Path, terminal: &OwnedFd) -> Result<(), Refusal> {
    let sent = || -> io::Result<()> {
        let stream = UnixStream::connect(socket)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let fds = [terminal.as_fd()];
        ancillary.push(SendAncillaryMessage::ScmRights(&fds));
        sendmsg(&stream, &[IoSlice::new(b"/dev/ptmx")], &mut ancillary, SendFlags::NOSIGNAL)?;
        Ok(())
    };
    sent().map_err(at("send the terminal to", socket))
}

/// Our own streams, joined to a terminal.
pub(super) struct Joined {
    output: std::thread::JoinHandle<()>,
    _raw: Option<Raw>,
}

/// Joins our own streams to a terminal. Only once nothing is executed any more that counts on being the only thread.
pub(super) fn join(terminal: OwnedFd) -> io::Result<Joined> {
    let size = |terminal: &OwnedFd| {
        if let Some((columns, rows)) = terminal::size() {
            let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
            let _ = tcsetwinsize(terminal, size);
        }
    };
    size(&terminal);
    let raw = Raw::enter().ok();
    let mut keys = std::fs::File::from(terminal.try_clone()?);
    let mut shown = std::fs::File::from(terminal.try_clone()?);
    let mut changed = signal(SignalKind::window_change())?;
    tokio::spawn(async move {
        while changed.recv().await.is_some() {
            size(&terminal);
        }
    });
    std::thread::spawn(move || copy(&mut io::stdin(), &mut keys));
    let output = std::thread::spawn(move || copy(&mut shown, &mut io::stdout()));
    Ok(Joined { output, _raw: raw })
}

/// Copies until one side has ended: a terminal whose other side is closed ends with an error.
fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = [0_u8; 8192];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..length]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

impl Joined {
    /// Waits until all was shown.
    pub(super) fn finish(self) {
        let _ = self.output.join();
    }
}
