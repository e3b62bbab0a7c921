//! One process's output, and everybody who reads it: containerd's log FIFOs and any number of attached clients.
//!
//! ```text
//! pipe or pty ──> stream (a window of bytes, by offset) ──> log FIFO       presses back beyond 4 MiB
//!                                                      ├──> starter        presses back beyond 1 MiB unacknowledged
//!                                                      └──> later clients  cut when they are 1 MiB behind
//! ```
//!
//! A window begins at the smallest offset that a reader still needs, so that one that comes again goes on where it was.
//! With no reader behind it is empty.

use super::reaper::Exit;
use super::stdio::Input;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Bytes that the log may be behind.
const LOG_WINDOW: u64 = 4 << 20;
/// Bytes that a client may be behind.
const CLIENT_WINDOW: u64 = 1 << 20;
/// Bytes that are read or sent at once.
pub(super) const CHUNK: usize = 64 << 10;

/// A reader's name.
pub(super) type ReaderId = u64;

/// Kinds of readers, by how they press back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The writer of a log or of containerd's FIFO.
    Log,
    /// The client that started the process.
    Starter,
    /// A client that came while the process ran.
    Later,
}

/// The answer to a reader who looks at an offset.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Data(Bytes),
    /// Nothing yet.
    Wait,
    /// The stream has ended and all of it was read.
    End,
    /// The reader was too slow, and is cut off.
    Cut,
}

#[derive(Debug)]
struct Stream {
    /// Offset of the window's first byte.
    base: u64,
    window: VecDeque<u8>,
    open: bool,
}

impl Stream {
    fn end(&self) -> u64 {
        self.base + self.window.len() as u64
    }
}

#[derive(Debug)]
struct Reader {
    kind: Kind,
    /// Offsets before which the reader needs nothing any more, by stream; `None`: not interested.
    done: [Option<u64>; 2],
    cut: bool,
}

#[derive(Debug)]
struct State {
    streams: [Stream; 2],
    readers: HashMap<ReaderId, Reader>,
    next: ReaderId,
    exit: Option<Exit>,
    /// The way to the process that writes here.
    input: Option<Input>,
}

/// The streams of one process and their readers, as the module's diagram shows.
#[derive(Debug)]
pub(super) struct Hub {
    state: Mutex<State>,
    changed: watch::Sender<u64>,
}

impl Hub {
    pub(super) fn new() -> Self {
        let stream = || Stream { base: 0, window: VecDeque::new(), open: true };
        let state = State {
            streams: [stream(), stream()],
            readers: HashMap::new(),
            next: 1,
            exit: None,
            input: None,
        };
        Self { state: Mutex::new(state), changed: watch::channel(0).0 }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// A receiver that wakes whenever something has changed.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Binds a process: it writes here and reads from `input`.
    pub(super) fn bind(&self, input: Input) {
        self.state().input = Some(input);
        self.tell();
    }

    /// The way to the process that writes here, also when that is over.
    pub(super) fn input(&self) -> Option<Input> {
        self.state().input.clone()
    }

    /// Adds a reader of the streams that `wants` names, from offset `from` on: nothing before it is kept for him.
    pub(super) fn join(&self, kind: Kind, wants: [bool; 2], from: Option<[u64; 2]>) -> ReaderId {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        let start = |at: usize| {
            let stream = &state.streams[at];
            match from {
                Some(from) => from[at].clamp(stream.base, stream.end()),
                None if kind == Kind::Later => stream.end(),
                None => stream.base,
            }
        };
        let done = [wants[0].then(|| start(0)), wants[1].then(|| start(1))];
        state.readers.insert(id, Reader { kind, done, cut: false });
        id
    }

    /// The offsets at which a reader begins, by stream.
    pub(super) fn position(&self, reader: ReaderId) -> [u64; 2] {
        self.state().readers.get(&reader).map_or([0, 0], |r| r.done.map(|d| d.unwrap_or(0)))
    }

    /// Removes a reader, who needs nothing any more.
    pub(super) fn leave(&self, reader: ReaderId) {
        let mut state = self.state();
        state.readers.remove(&reader);
        trim(&mut state);
        drop(state);
        self.tell();
    }

    /// Bytes that may be appended to a stream before a reader who presses back has read.
    pub(super) fn room(&self, stream: usize) -> usize {
        let state = self.state();
        let end = state.streams[stream].end();
        let room = state
            .readers
            .values()
            .filter_map(|reader| {
                let behind = end - reader.done[stream]?.min(end);
                match reader.kind {
                    Kind::Log => Some(LOG_WINDOW.saturating_sub(behind)),
                    Kind::Starter => Some(CLIENT_WINDOW.saturating_sub(behind)),
                    Kind::Later => None,
                }
            })
            .min();
        usize::try_from(room.unwrap_or(CHUNK as u64)).unwrap_or(CHUNK).min(CHUNK)
    }

    /// Appends output of the process.
    pub(super) fn append(&self, stream: usize, bytes: &[u8]) {
        let mut state = self.state();
        state.streams[stream].window.extend(bytes);
        let end = state.streams[stream].end();
        for reader in state.readers.values_mut().filter(|r| r.kind == Kind::Later) {
            if reader.done[stream].is_some_and(|done| end - done > CLIENT_WINDOW) {
                reader.cut = true;
                reader.done = [None, None];
            }
        }
        trim(&mut state);
        drop(state);
        self.tell();
    }

    /// Ends a stream.
    pub(super) fn close(&self, stream: usize) {
        self.state().streams[stream].open = false;
        self.tell();
    }

    /// Notes how the process ended.
    pub(super) fn exited(&self, exit: Exit) {
        self.state().exit = Some(exit);
        self.tell();
    }

    /// How the process ended; `None` while it runs.
    pub(super) fn exit(&self) -> Option<Exit> {
        self.state().exit
    }

    /// Looks at `offset` of a stream for a reader.
    pub(super) fn look(&self, reader: ReaderId, stream: usize, offset: u64) -> Found {
        let state = self.state();
        let Some(own) = state.readers.get(&reader) else { return Found::Cut };
        if own.cut {
            return Found::Cut;
        }
        let from = &state.streams[stream];
        let skip = usize::try_from(offset.saturating_sub(from.base)).unwrap_or(usize::MAX);
        let left = from.window.len().saturating_sub(skip);
        if left == 0 {
            return if from.open { Found::Wait } else { Found::End };
        }
        let (first, second) = from.window.as_slices();
        let part = if skip < first.len() { &first[skip..] } else { &second[skip - first.len()..] };
        Found::Data(Bytes::copy_from_slice(&part[..part.len().min(CHUNK)]))
    }

    /// Notes that a reader needs nothing before `offset` any more.
    pub(super) fn done(&self, reader: ReaderId, stream: usize, offset: u64) {
        let mut state = self.state();
        let end = state.streams[stream].end();
        let Some(own) = state.readers.get_mut(&reader) else { return };
        if let Some(done) = &mut own.done[stream] {
            *done = (*done).max(offset.min(end));
        }
        trim(&mut state);
        drop(state);
        self.tell();
    }

    /// Whether each log has all of the output.
    pub(super) fn logged(&self) -> bool {
        let state = self.state();
        !state.readers.values().any(|r| r.kind == Kind::Log)
    }
}

/// Reads one stream to its end for a log, which presses back; leaves the hub when it is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    hub: Arc<Hub>,
    reader: ReaderId,
    stream: usize,
    at: u64,
    changed: watch::Receiver<u64>,
}

impl Follower {
    /// A follower of all that is written from here on.
    pub(super) fn new(hub: &Arc<Hub>, stream: usize) -> Self {
        let reader = hub.join(Kind::Log, [stream == 0, stream == 1], None);
        let at = hub.position(reader)[stream];
        Self { hub: hub.clone(), reader, stream, at, changed: hub.subscribe() }
    }

    /// The number of the stream: 0 is output, 1 errors.
    pub(super) fn stream(&self) -> usize {
        self.stream
    }

    /// The next bytes, once there are some; `None` at the end. The future may be dropped and asked for again.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.changed.mark_unchanged();
            match self.hub.look(self.reader, self.stream, self.at) {
                Found::Data(bytes) => return Some(bytes),
                Found::Wait => self.changed.changed().await.ok()?,
                Found::End | Found::Cut => return None,
            }
        }
    }

    /// Lets go of so many bytes.
    pub(super) fn done(&mut self, length: usize) {
        self.at += length as u64;
        self.hub.done(self.reader, self.stream, self.at);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.hub.leave(self.reader);
    }
}

fn trim(state: &mut State) {
    for at in 0..2 {
        let stream = &state.streams[at];
        let end = stream.end();
        let needed = state.readers.values().filter_map(|r| r.done[at]).min().unwrap_or(end);
        let drop = usize::try_from(needed.saturating_sub(stream.base)).unwrap_or(0);
        let stream = &mut state.streams[at];
        let drop = drop.min(stream.window.len());
        stream.window.drain(..drop);
        stream.base += drop as u64;
        if stream.window.is_empty() {
            // An idle process costs nothing.
            stream.window = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(found: Found) -> Vec<u8> {
        match found {
            Found::Data(bytes) => bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_starter_presses_back_and_can_come_again() {
        let hub = Hub::new();
        let starter = hub.join(Kind::Starter, [true, true], None);
        hub.append(0, b"hello");
        assert_eq!(data(hub.look(starter, 0, 0)), b"hello");
        // Sent but not acknowledged: still there.
        assert_eq!(data(hub.look(starter, 0, 2)), b"llo");
        hub.done(starter, 0, 5);
        assert_eq!(hub.look(starter, 0, 5), Found::Wait);
        for _ in 0..16 {
            hub.append(0, &vec![0; CHUNK]);
        }
        assert_eq!(hub.room(0), 0);
        hub.done(starter, 0, 5 + CHUNK as u64);
        assert_eq!(hub.room(0), CHUNK);
        hub.close(0);
        hub.done(starter, 0, u64::MAX);
        assert_eq!(hub.look(starter, 0, 5 + 16 * CHUNK as u64), Found::End);
    }

    #[test]
    fn who_comes_later_sees_what_is_new_and_is_cut_when_slow() {
        let hub = Hub::new();
        hub.append(1, b"old");
        let later = hub.join(Kind::Later, [true, true], None);
        let at = hub.position(later)[1];
        assert_eq!((at, hub.look(later, 1, at)), (3, Found::Wait));
        for _ in 0..17 {
            assert_eq!(hub.room(1), CHUNK);
            hub.append(1, &vec![0; CHUNK]);
        }
        assert_eq!(hub.look(later, 1, at), Found::Cut);
        hub.leave(later);
        assert_eq!(hub.state().streams[1].window.len(), 0);
    }
}
