//! Logs.

use jiff::Timestamp;
use std::collections::BTreeMap;

/// Options of `logs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogsOptions {
    /// Go on until the container stops.
    pub follow: bool,
    /// The last N lines.
    pub tail: Option<u64>,
    /// Earliest time.
    pub since: Option<Timestamp>,
    /// Latest time.
    pub until: Option<Timestamp>,
    /// Wanted.
    pub stdout: bool,
    /// Wanted.
    pub stderr: bool,
    /// Only the attempt that is created or running now, from its first byte; waits for its start.
    pub current_attempt: bool,
    /// Goes on behind an entry that was seen, instead of `tail`.
    pub after: Option<LogPosition>,
    /// True when entries come with their attributes.
    pub details: bool,
}

/// Position at which an entry of a log ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogPosition {
    /// Names a file of the log.
    pub file: u64,
    /// Offset in the file, in bytes.
    pub offset: u64,
}

/// One of a container's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One entry of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Output that it came from.
    pub stream: Stream,
    /// When it was written.
    pub time: Timestamp,
    /// Bytes of the line, with its end unless `partial`.
    pub data: Vec<u8>,
    /// The line goes on in the next entry of this stream.
    pub partial: bool,
    /// Position at which it ends.
    pub position: LogPosition,
    /// Labels, variables and tag that go along by the container's log options; empty unless they were asked for.
    pub attributes: BTreeMap<String, String>,
}
