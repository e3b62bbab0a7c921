//! CRI's log format: `TIME stdout|stderr F|P TEXT` and a line end. `P` says that the line goes on in the next entry, or
//! that the output has ended without a line end.

use super::container::{LogEntry, LogPosition, Stream};
use std::collections::BTreeMap;

/// The longest text of an entry, in bytes; a longer line is in pieces. (As containerd's CRI has it.)
pub const LONGEST: usize = 16 << 10;

/// Adds an entry with its line end. `time` is RFC 3339 with nanoseconds; `text` has no line end.
pub fn write(to: &mut Vec<u8>, time: &str, stream: Stream, partial: bool, text: &[u8]) {
    let stream = match stream {
        Stream::Stdout => " stdout ",
        Stream::Stderr => " stderr ",
    };
    let tag = if partial { "P " } else { "F " };
    for part in [time.as_bytes(), stream.as_bytes(), tag.as_bytes(), text, b"\n"] {
        to.extend_from_slice(part);
    }
}

/// One line, without its line end, of no position yet; `None` for what is no log line (a torn one after a crash).
pub fn parse(line: &[u8]) -> Option<LogEntry> {
    let mut parts = line.splitn(4, |b| *b == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
    let stream = match parts.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let partial = parts.next()?.split(|b| *b == b':').next()? == b"P";
    let mut data = parts.next().unwrap_or_default().to_vec();
    if !partial {
        data.push(b'\n');
    }
    let (position, attributes) = (LogPosition::default(), BTreeMap::new());
    Some(LogEntry { stream, time, data, partial, position, attributes })
}

/// True when the line ends an entry of the container's, rather than going on.
pub fn is_full(line: &[u8]) -> bool {
    line.splitn(4, |b| *b == b' ').nth(2).is_some_and(|tag| tag != b"P")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let mut text = Vec::new();
        write(&mut text, "2026-01-02T15:04:05.000000001Z", Stream::Stderr, true, b"a \xff");
        assert_eq!(text, b"2026-01-02T15:04:05.000000001Z stderr P a \xff\n");
        let entry = parse(&text[..text.len() - 1]).unwrap();
        assert_eq!(
            (entry.stream, entry.data.as_slice(), entry.partial),
            (Stream::Stderr, &b"a \xff"[..], true)
        );
    }

    #[test]
    fn lines() {
        let entry = parse(b"2026-01-02T15:04:05.000000001Z stdout F a  b").unwrap();
        assert_eq!(
            (entry.stream, entry.data.as_slice(), entry.partial),
            (Stream::Stdout, &b"a  b\n"[..], false)
        );
        let entry = parse(b"2026-01-02T15:04:05+01:00 stderr P \xff").unwrap();
        assert_eq!(
            (entry.stream, entry.data.as_slice(), entry.partial),
            (Stream::Stderr, &b"\xff"[..], true)
        );
        assert_eq!(parse(b"2026-01-02T15:04:05Z stdout F ").unwrap().data, b"\n");
        for bad in
            [&b""[..], b"x stdout F a", b"2026-01-02T15:04:05Z stdin F a", b"2026-01-02T15:04:05Z stdout"]
        {
            assert!(parse(bad).is_none());
        }
    }
}
