//! Pipes for data on its way from one socket to another, kept for the next connection that needs one.

use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use std::io;

/// Bytes of a pipe, where the user may have that much.
pub(super) const ROOM: usize = 256 << 10;
/// Pipes that are kept.
const SPARE: usize = 16;

/// A pipe, and the bytes in it.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) from: OwnedFd,
    pub(super) into: OwnedFd,
    pub(super) held: usize,
}

/// Empty pipes.
#[derive(Debug, Default)]
pub(super) struct Pipes(Vec<Pipe>);

impl Pipes {
    /// An empty pipe.
    ///
    /// # Errors
    /// pipe2(2): there are no descriptors.
    pub(super) fn take(&mut self) -> io::Result<Pipe> {
        if let Some(pipe) = self.0.pop() {
            return Ok(pipe);
        }
        let (from, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // Smaller ones do as well.
        let _ = fcntl_setpipe_size(&into, ROOM);
        Ok(Pipe { from, into, held: 0 })
    }

    /// Keeps a pipe that is empty, and closes any other.
    pub(super) fn give(&mut self, pipe: Pipe) {
        if pipe.held == 0 && self.0.len() < SPARE {
            self.0.push(pipe);
        }
    }
}
