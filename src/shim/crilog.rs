//! The writer of a container's log, in CRI's format, with its rotation. Output that containerd would have read from its
//! FIFOs is not lost when it is killed, and a file is never much longer than it may be.
//!
//! containerd opens the same file and writes nothing to it; it is told of new files by the engine.

use super::hub::Follower;
use crate::model::amendment::Log;
use crate::model::container::Stream;
use crate::model::crilog::{LONGEST, write};
use crate::sys::rotated;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The wait for the rest of a line, before its beginning is written.
const PATIENCE: Duration = Duration::from_secs(1);

/// The file of both streams.
#[derive(Debug)]
pub(super) struct Writer {
    log: Log,
    /// The open file; `None`: it could not be opened yet.
    file: Option<File>,
    /// Size of the file, in bytes.
    size: u64,
    /// Whether the file ends in the middle of an entry.
    torn: bool,
    /// Bytes of output that the file lacks, because it could not be written.
    missed: u64,
}

impl Writer {
    pub(super) fn new(log: Log) -> Self {
        let mut new = Self { log, file: None, size: 0, torn: false, missed: 0 };
        // The first line says so if it cannot be opened.
        let _ = new.open();
        new
    }

    fn open(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            let file = OpenOptions::new().create(true).append(true).open(&self.log.path)?;
            self.size = file.metadata()?.len();
            self.file = Some(file);
        }
        Ok(())
    }

    /// Writes entries; begins a new file before the one that no longer fits.
    fn entries<'a>(&mut self, stream: Stream, entries: impl Iterator<Item = (&'a [u8], bool)>) {
        let time = now();
        let mut pending = Vec::new();
        let mut output = 0;
        for (text, partial) in entries {
            if self.size + pending.len() as u64 >= self.log.size {
                self.flush(&mut pending, &mut output, &time);
                self.rotate();
            }
            output += text.len() as u64 + u64::from(!partial);
            write(&mut pending, &time, stream, partial, text);
        }
        self.flush(&mut pending, &mut output, &time);
    }

    /// Writes the pending entries. Output that cannot be written (a full disk) is counted and told of as soon as it is
    /// possible, and the container goes on.
    fn flush(&mut self, pending: &mut Vec<u8>, output: &mut u64, time: &str) {
        let bytes = std::mem::take(pending);
        let output = std::mem::take(output);
        if bytes.is_empty() {
            return;
        }
        let mut all = Vec::new();
        if self.torn {
            all.push(b'\n');
        }
        if self.missed > 0 {
            let text = format!("k3c: {} bytes of output could not be logged here", self.missed);
            write(&mut all, time, Stream::Stderr, false, text.as_bytes());
        }
        all.extend_from_slice(&bytes);
        match self.write(&all) {
            Ok(()) => (self.missed, self.torn) = (0, false),
            Err(error) => {
                if self.missed == 0 {
                    super::log(&format!("cannot write {}: {error}", self.log.path.display()));
                }
                self.missed += output;
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.open()?;
        let Some(file) = &mut self.file else { return Ok(()) };
        let begun = self.size;
        while !bytes.is_empty() {
            match file.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    self.size += written as u64;
                    bytes = &bytes[written..];
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    // The file is cut back, as if the write had not been tried; where that fails, the torn entry ends
                    // with a line of its own.
                    if self.size > begun && file.set_len(begun).is_ok() {
                        self.size = begun;
                    }
                    self.torn |= self.size > begun;
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn rotate(&mut self) {
        if let Err(error) = rotated::shift(&self.log.path, self.log.files) {
            super::log(&format!("cannot rotate {}: {error}", self.log.path.display()));
        }
        self.file = None;
        self.size = 0;
        let _ = self.open();
    }
}

/// The time in RFC 3339 with nanoseconds.
fn now() -> String {
    let now = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{now:.9}")
}

/// The part of a stream that is not a whole line yet.
#[derive(Debug, Default)]
struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The entries that `bytes` completes: text and whether the line goes on.
    fn take(&mut self, bytes: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let mut all = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.rest.extend_from_slice(part);
            let ended = self.rest.last() == Some(&b'\n');
            if ended {
                self.rest.pop();
            }
            while self.rest.len() > LONGEST {
                let rest = self.rest.split_off(LONGEST);
                all.push((std::mem::replace(&mut self.rest, rest), true));
            }
            if ended {
                all.push((std::mem::take(&mut self.rest), false));
            }
        }
        all
    }
}

/// Follows a stream to its end.
pub(super) async fn follow(mut follower: Follower, writer: &Mutex<Writer>) {
    let name = if follower.stream() == 0 { Stream::Stdout } else { Stream::Stderr };
    let write = |entries: &[(Vec<u8>, bool)]| {
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        writer.entries(name, entries.iter().map(|(text, partial)| (text.as_slice(), *partial)));
    };
    let mut lines = Lines::default();
    loop {
        let more = match lines.rest.is_empty() {
            true => Ok(follower.next().await),
            false => tokio::time::timeout(PATIENCE, follower.next()).await,
        };
        match more {
            Ok(Some(bytes)) => {
                write(&lines.take(&bytes));
                follower.done(bytes.len());
            }
            Ok(None) => break,
            // A prompt, or a line of progress, is in the log although it has no end yet.
            Err(_) => write(&[(std::mem::take(&mut lines.rest), true)]),
        }
    }
    if !lines.rest.is_empty() {
        // Output that ended without a line end is shown without one.
        write(&[(lines.rest, true)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::crilog::parse;

    fn read(log: &std::path::Path) -> String {
        let mut text = String::new();
        for path in rotated::files(log).unwrap() {
            for line in std::fs::read(path).unwrap().split(|b| *b == b'\n') {
                if let Some(entry) = parse(line) {
                    text.push_str(&String::from_utf8(entry.data).unwrap());
                }
            }
        }
        text
    }

    #[test]
    fn lines_and_pieces() {
        let mut lines = Lines::default();
        assert_eq!(lines.take(b"a\nb"), [(b"a".to_vec(), false)]);
        assert_eq!(lines.take(b"c\n\n"), [(b"bc".to_vec(), false), (Vec::new(), false)]);
        let long = vec![b'x'; 2 * LONGEST + 1];
        let lengths = |all: Vec<(Vec<u8>, bool)>| all.iter().map(|(t, p)| (t.len(), *p)).collect::<Vec<_>>();
        assert_eq!(lengths(lines.take(&long)), [(LONGEST, true), (LONGEST, true)]);
        assert_eq!(lengths(lines.take(b"\n")), [(1, false)]);
        // A line that is exactly as long as it may be is in one piece.
        assert_eq!(lengths(lines.take(&long[..LONGEST])), []);
        assert_eq!(lengths(lines.take(b"\n")), [(LONGEST, false)]);
        assert!(lines.rest.is_empty());
    }

    #[test]
    fn rotates_before_a_line_that_does_not_fit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("container.log");
        let mut writer = Writer::new(Log { path: path.clone(), size: 200, files: 100 });
        let wanted: String = (0..60).map(|n| format!("{n}\n")).collect();
        let mut lines = Lines::default();
        for part in wanted.as_bytes().chunks(70) {
            let entries = lines.take(part);
            writer.entries(Stream::Stdout, entries.iter().map(|(t, p)| (t.as_slice(), *p)));
        }
        assert_eq!(read(&path), wanted);
        let files = rotated::files(&path).unwrap();
        assert!(files.len() > 9, "{files:?}");
        assert!(files.iter().all(|f| std::fs::metadata(f).unwrap().len() < 300));
    }

    #[test]
    fn what_could_not_be_written_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("not-yet").join("container.log");
        let mut writer = Writer::new(Log { path: path.clone(), size: 1 << 20, files: 2 });
        let mut say = |text: &[u8]| writer.entries(Stream::Stdout, [(text, false)].into_iter());
        say(b"lost");
        say(b"this too");
        std::fs::create_dir(path.parent().unwrap()).unwrap();
        say(b"back");
        assert_eq!(read(&path), "k3c: 14 bytes of output could not be logged here\nback\n");
    }
}
