//! Beginning of the last N lines, found from the end.

use crate::model::crilog::is_full;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BLOCK: u64 = 64 << 10;

/// Last entries of a file that are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// Offset at which they begin.
    pub(super) offset: u64,
    /// Number of complete entries behind it.
    pub(super) lines: u64,
}

/// Looks back from the end for `wanted` entries; pieces of one line are one entry.
pub(super) fn tail(file: &File, wanted: u64) -> io::Result<Tail> {
    let end = file.metadata()?.len();
    let mut result = Tail { offset: end, lines: 0 };
    if wanted == 0 {
        return Ok(result);
    }
    // Bytes from `position` to the beginning of the last line looked at.
    let mut position = end;
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        // Lines whose beginning is known, last first.
        while let Some(start) = line_start(&bytes, position == 0) {
            let line = &bytes[start..];
            let full = is_full(line.strip_suffix(b"\n").unwrap_or(line));
            if full || result.lines == 0 {
                if result.lines == wanted {
                    return Ok(result);
                }
                result.lines += 1;
            }
            result.offset = position + start as u64;
            bytes.truncate(start);
        }
        if position == 0 {
            return Ok(result);
        }
        let size = position.min(BLOCK);
        position -= size;
        let mut block = vec![0; usize::try_from(size).unwrap_or(0)];
        file.read_exact_at(&mut block, position)?;
        block.extend_from_slice(&bytes);
        bytes = block;
    }
}

/// Index at which the last line begins; `None`: before the bytes that were read.
fn line_start(bytes: &[u8], from_beginning: bool) -> Option<usize> {
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    match body.iter().rposition(|b| *b == b'\n') {
        Some(at) => Some(at + 1),
        None if from_beginning && !bytes.is_empty() => Some(0),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn finds_the_beginning() {
        let mut file = tempfile::tempfile().unwrap();
        let line = |tag: &str, text: &str| format!("2026-01-02T15:04:05Z stdout {tag} {text}\n");
        let mut all = String::new();
        for n in 0..5000 {
            all += &line("P", "a piece of it, ");
            all += &line("F", &n.to_string());
        }
        file.write_all(all.as_bytes()).unwrap();
        let of = |n: usize| line("P", "a piece of it, ").len() + line("F", &n.to_string()).len();
        let found = tail(&file, 2).unwrap();
        assert_eq!(found, Tail { offset: (all.len() - of(4999) - of(4998)) as u64, lines: 2 });
        assert_eq!(tail(&file, 0).unwrap(), Tail { offset: all.len() as u64, lines: 0 });
        assert_eq!(tail(&file, 9000).unwrap(), Tail { offset: 0, lines: 5000 });
    }
}
