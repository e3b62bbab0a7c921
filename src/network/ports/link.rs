//! A TCP connection through us: two sockets, and what is on its way between them.
//!
//! ```text
//!            way 0
//! client ──────────────> container      each way: read ─> held ─> written; the end of one is passed on by itself
//!        <──────────────
//!            way 1
//! ```
//!
//! Little is copied through the worker's buffer. A way that fills the buffer is spliced through a pipe from then on, until
//! nothing comes any more.

use super::pipes::{Pipe, Pipes, ROOM};
use super::table::Listening;
use super::waiting::Turn;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, read, write};
use rustix::net::{Shutdown, shutdown, sockopt};
use rustix::pipe::{SpliceFlags, splice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes that one way carries before others have their turn.
const TURN: usize = 1 << 20;
/// Bytes of a worker's buffer.
pub(super) const BUFFER: usize = 64 << 10;

/// The end towards the client, and towards the container.
pub(super) const CLIENT: usize = 0;
pub(super) const CONTAINER: usize = 1;

/// A connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) listening: Arc<Listening>,
    pub(super) client: SocketAddr,
    /// Towards the client, and towards the container.
    pub(super) ends: [OwnedFd; 2],
    /// From the client, and from the container.
    ways: [Way; 2],
    /// The container has not answered yet: when it is asked again.
    pub(super) connecting: Option<Turn>,
    /// The container's other address was tried.
    pub(super) retried: bool,
    /// It was refused once when it was asked again.
    pub(super) doubted: bool,
    /// Time at which it is cut.
    pub(super) until: Option<Instant>,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// The kernel did not say yet that there is nothing to read, or no room to write.
    readable: bool,
    writable: bool,
    /// The source has ended; the sink knows.
    ended: bool,
    passed: bool,
    /// What was read and not written.
    held: Vec<u8>,
    written: usize,
    pipe: Option<Pipe>,
    /// Much comes: it is spliced.
    much: bool,
}

/// The state after a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for one of its ends.
    Waits,
    /// It has more to do.
    More,
    /// Both ways have ended.
    Over,
    /// One end is broken.
    Broken,
}

impl Link {
    pub(super) fn new(
        listening: Arc<Listening>,
        client: SocketAddr,
        ends: [OwnedFd; 2],
        patience: Duration,
    ) -> Self {
        let ready = || Way { readable: true, writable: true, ..Way::default() };
        let now = Instant::now();
        let (connecting, until) = (Some(Turn::first(now)), Some(now + patience));
        Self {
            listening,
            client,
            ends,
            ways: [ready(), ready()],
            connecting,
            retried: false,
            doubted: false,
            until,
        }
    }

    /// The container's address that is tried.
    pub(super) fn to(&self) -> SocketAddr {
        let lead = &self.listening.lead;
        lead.other.filter(|_| self.retried).unwrap_or(lead.to)
    }

    /// Notes what an end is ready for.
    pub(super) fn ready(&mut self, end: usize, to_read: bool, to_write: bool) {
        self.ways[end].readable |= to_read;
        self.ways[1 - end].writable |= to_write;
    }

    /// Carries what there is, up to a turn's share.
    pub(super) fn carry(&mut self, buffer: &mut [u8], pipes: &mut Pipes) -> State {
        let [one, two] = &mut self.ways;
        let [client, container] = &self.ends;
        let states =
            [one.carry(client, container, buffer, pipes), two.carry(container, client, buffer, pipes)];
        let any = |wanted| states.contains(&wanted);
        match states {
            _ if any(State::Broken) => State::Broken,
            [State::Over, State::Over] => State::Over,
            _ if any(State::More) => State::More,
            _ => State::Waits,
        }
    }

    /// Whether the container has said all that it had to say.
    pub(super) fn container_has_ended(&self) -> bool {
        self.ways[CONTAINER].ended
    }

    /// Cuts both ends, so that each learns that it is no regular end.
    pub(super) fn reset(&self) {
        for end in &self.ends {
            reset(end);
        }
    }

    /// Gives back what is not needed any more.
    pub(super) fn release(self, pipes: &mut Pipes) {
        for way in self.ways {
            if let Some(pipe) = way.pipe {
                pipes.give(pipe);
            }
        }
    }
}

/// Has the kernel cut a connection when its socket is closed.
pub(super) fn reset(socket: &OwnedFd) {
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

impl Way {
    fn carry(&mut self, from: &OwnedFd, to: &OwnedFd, buffer: &mut [u8], pipes: &mut Pipes) -> State {
        let mut carried = 0;
        while carried < TURN {
            match self.step(from, to, buffer, pipes) {
                Ok(Some(bytes)) => carried += bytes,
                Ok(None) => return if self.passed { State::Over } else { State::Waits },
                Err(Errno::INTR) => {}
                Err(_) => return State::Broken,
            }
        }
        State::More
    }

    /// One call of the kernel's; answers the bytes that came further, or nothing if there is nothing to do.
    fn step(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        buffer: &mut [u8],
        pipes: &mut Pipes,
    ) -> Result<Option<usize>, Errno> {
        if self.written < self.held.len() || self.pipe.as_ref().is_some_and(|pipe| pipe.held > 0) {
            return if self.writable { self.write(to).map(Some) } else { Ok(None) };
        }
        if self.ended {
            if !self.passed {
                self.passed = true;
                self.held = Vec::new();
                // It may be gone already.
                let _ = shutdown(to, Shutdown::Write);
            }
            self.rest(pipes);
            return Ok(None);
        }
        if !self.readable {
            self.rest(pipes);
            return Ok(None);
        }
        let answer = match self.much {
            true => self.splice(from, pipes),
            false => self.copy(from, to, buffer),
        };
        match answer {
            Ok(0) => {
                self.ended = true;
                Ok(Some(0))
            }
            Err(Errno::AGAIN) => {
                self.readable = false;
                Ok(Some(0))
            }
            answer => answer.map(Some),
        }
    }

    /// Reads into the buffer, and writes at once as much as the sink takes.
    fn copy(&mut self, from: &OwnedFd, to: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        let count = read(from, &mut *buffer)?;
        let written = match write(to, &buffer[..count]) {
            _ if count == 0 => return Ok(0),
            Err(Errno::AGAIN | Errno::INTR) => 0,
            written => written?,
        };
        if written < count {
            self.writable = false;
            self.held = buffer[written..count].to_vec();
            self.written = 0;
        }
        self.much = count == buffer.len();
        Ok(count)
    }

    fn splice(&mut self, from: &OwnedFd, pipes: &mut Pipes) -> Result<usize, Errno> {
        if self.pipe.is_none() {
            match pipes.take() {
                Ok(pipe) => self.pipe = Some(pipe),
                Err(_) => {
                    self.much = false;
                    return Err(Errno::INTR);
                }
            }
        }
        let Some(pipe) = &mut self.pipe else { return Err(Errno::INTR) };
        let count = splice(from, None, &pipe.into, None, ROOM, flags())?;
        pipe.held += count;
        Ok(count)
    }

    fn write(&mut self, to: &OwnedFd) -> Result<usize, Errno> {
        let outcome = match &mut self.pipe {
            Some(pipe) if pipe.held > 0 => splice(pipe.from.as_fd(), None, to, None, pipe.held, flags())
                .inspect(|count| pipe.held -= count),
            _ => write(to, &self.held[self.written..]).inspect(|count| self.written += count),
        };
        if self.written == self.held.len() {
            self.held = Vec::new();
            self.written = 0;
        }
        match outcome {
            Err(Errno::AGAIN) => {
                self.writable = false;
                Ok(0)
            }
            outcome => outcome,
        }
    }

    /// Gives the pipe back while nothing comes.
    fn rest(&mut self, pipes: &mut Pipes) {
        self.much = false;
        if let Some(pipe) = self.pipe.take() {
            pipes.give(pipe);
        }
    }
}

fn flags() -> SpliceFlags {
    SpliceFlags::NONBLOCK | SpliceFlags::MOVE
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// A way between two sockets, and the sockets at its outer ends.
    struct Bed {
        way: Way,
        from: OwnedFd,
        to: OwnedFd,
        source: UnixStream,
        sink: UnixStream,
        buffer: Vec<u8>,
        pipes: Pipes,
    }

    impl Bed {
        fn new() -> Self {
            let pair = || {
                let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
                socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap()
            };
            let ((source, from), (to, sink)) = (pair(), pair());
            Self {
                way: Way { readable: true, writable: true, ..Way::default() },
                from,
                to,
                source: source.into(),
                sink: sink.into(),
                buffer: vec![0; BUFFER],
                pipes: Pipes::default(),
            }
        }

        fn carry(&mut self) -> State {
            self.way.readable = true;
            self.way.writable = true;
            self.way.carry(&self.from, &self.to, &mut self.buffer, &mut self.pipes)
        }

        fn taken(&mut self) -> usize {
            let mut all = 0;
            let mut buffer = vec![0; 1 << 20];
            while let Ok(count) = self.sink.read(&mut buffer) {
                all += count;
                if count == 0 {
                    break;
                }
            }
            all
        }
    }

    #[test]
    fn much_and_little_arrive_and_ends_are_passed_on() {
        for piece in [10, BUFFER, 3 * BUFFER + 1] {
            let mut bed = Bed::new();
            let bytes = vec![7; piece];
            let (mut sent, mut taken) = (0, 0);
            for _ in 0..1000 {
                sent += bed.source.write(&bytes[..piece.min(10 * BUFFER)]).unwrap_or(0);
                bed.carry();
                taken += bed.taken();
            }
            assert!(sent > 0);
            bed.source.shutdown(std::net::Shutdown::Write).unwrap();
            for _ in 0..100 {
                let state = bed.carry();
                taken += bed.taken();
                if state == State::Over {
                    break;
                }
            }
            assert_eq!(taken, sent, "{piece}");
            assert!(bed.way.passed && bed.way.pipe.is_none() && bed.way.held.is_empty());
        }
    }

    #[test]
    fn what_does_not_fit_is_held_and_reading_stops() {
        let mut bed = Bed::new();
        let mut sent = 0;
        for _ in 0..200 {
            sent += bed.source.write(&[1; 4096]).unwrap_or(0);
            bed.carry();
        }
        assert!(bed.source.write(&[1; 1]).is_err(), "its own buffers would grow");
        assert_eq!(bed.carry(), State::Waits);
        let mut taken = 0;
        for _ in 0..1000 {
            taken += bed.taken();
            bed.carry();
        }
        assert_eq!(taken, sent);
    }

    #[test]
    fn a_broken_sink_breaks_it() {
        let mut bed = Bed::new();
        drop(std::mem::replace(&mut bed.sink, UnixStream::pair().unwrap().0));
        bed.source.write_all(b"x").unwrap();
        assert_eq!(bed.carry(), State::Broken);
    }
}
