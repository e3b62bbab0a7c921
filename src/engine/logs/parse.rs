//! CRI's log format: `TIME stdout|stderr F|P TEXT` and a line end. `P` says that the line goes on in the next entry.

use crate::model::container::{LogEntry, LogPosition, Stream};

/// One line, without its line end, of no position yet; `None` for what is no log line (a torn one after a crash).
pub(super) fn parse(line: &[u8]) -> Option<LogEntry> {
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
    Some(LogEntry { stream, time, data, partial, position: LogPosition::default() })
}

/// Does the line end an entry of the container's (rather than going on)?
pub(super) fn is_full(line: &[u8]) -> bool {
    line.splitn(4, |b| *b == b' ').nth(2).is_some_and(|tag| tag != b"P")
}

#[cfg(test)]
mod tests {
    use super::*;

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
