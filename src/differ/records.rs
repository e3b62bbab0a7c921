//! Records of extended headers (PAX).

use super::archive::invalid;
use crate::sys::tree::decimal_time;
use rustix::fs::Timespec;
use std::io;

/// Prefix of an attribute's name.
const ATTRIBUTE: &[u8] = b"SCHILY.xattr.";

/// What an extended header says of the next entry.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) accessed: Option<Timespec>,
    pub(super) modified: Option<Timespec>,
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
    /// Format of the map of a sparse file: major and minor version.
    pub(super) sparse_version: Option<(u64, u64)>,
    pub(super) sparse_name: Option<Vec<u8>>,
    pub(super) sparse_size: Option<u64>,
    pub(super) sparse_map: Option<Vec<(u64, u64)>>,
}

/// Parses records `LENGTH KEY=VALUE\n`; the last one of a key counts, and an empty one counts for nothing.
pub(super) fn parse(mut text: &[u8]) -> io::Result<Records> {
    let malformed = || invalid("an extended header that cannot be read");
    let mut records = Records::default();
    let mut starts: Vec<u64> = Vec::new();
    while !text.is_empty() {
        let space = text.iter().position(|byte| *byte == b' ').ok_or_else(malformed)?;
        let length: usize = parse_number(&text[..space]).ok_or_else(malformed)?;
        if length < space + 2 || length > text.len() {
            return Err(malformed());
        }
        let (record, rest) = text.split_at(length);
        text = rest;
        let record = record[space + 1..].strip_suffix(b"\n").ok_or_else(malformed)?;
        let equals =
            record.iter().position(|byte| *byte == b'=').filter(|at| *at > 0).ok_or_else(malformed)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        take(&mut records, &mut starts, key, value).ok_or_else(malformed)?;
    }
    Ok(records)
}

/// Takes one record. `None`: it cannot be read.
fn take(records: &mut Records, starts: &mut Vec<u64>, key: &[u8], value: &[u8]) -> Option<()> {
    if let Some(name) = key.strip_prefix(ATTRIBUTE) {
        records.attributes.retain(|(known, _)| known != name);
        records.attributes.push((name.to_vec(), value.to_vec()));
        return Some(());
    }
    let bytes = || (!value.is_empty()).then(|| value.to_vec());
    let time = || match value {
        b"" => Some(None),
        value => decimal_time(std::str::from_utf8(value).ok()?).map(Some),
    };
    let version = records.sparse_version.unwrap_or_default();
    match key {
        b"path" | b"linkpath" if value.contains(&0) => return None,
        b"path" => records.path = bytes(),
        b"linkpath" => records.link = bytes(),
        b"size" => records.size = number(value)?,
        b"uid" => records.uid = number(value)?,
        b"gid" => records.gid = number(value)?,
        b"atime" => records.accessed = time()?,
        b"mtime" => records.modified = time()?,
        b"GNU.sparse.major" => records.sparse_version = Some((parse_number(value)?, version.1)),
        b"GNU.sparse.minor" => records.sparse_version = Some((version.0, parse_number(value)?)),
        b"GNU.sparse.name" => records.sparse_name = bytes(),
        b"GNU.sparse.size" | b"GNU.sparse.realsize" => records.sparse_size = number(value)?,
        b"GNU.sparse.map" => {
            let numbers = value.split(|byte| *byte == b',').map(parse_number);
            let numbers =
                if value.is_empty() { Vec::new() } else { numbers.collect::<Option<Vec<u64>>>()? };
            let (pairs, []) = numbers.as_chunks() else { return None };
            records.sparse_map = Some(pairs.iter().map(|[start, length]| (*start, *length)).collect());
        }
        // One record each, in the oldest format.
        b"GNU.sparse.offset" => starts.push(parse_number(value)?),
        b"GNU.sparse.numbytes" => {
            let map = records.sparse_map.get_or_insert_default();
            map.push((starts.pop()?, parse_number(value)?));
        }
        _ => {}
    }
    Some(())
}

fn number<N: std::str::FromStr>(value: &[u8]) -> Option<Option<N>> {
    if value.is_empty() { Some(None) } else { parse_number(value).map(Some) }
}

fn parse_number<N: std::str::FromStr>(value: &[u8]) -> Option<N> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, value: &[u8]) -> Vec<u8> {
        let rest = 3 + key.len() + value.len();
        let length = (rest + 1..).find(|length| length - rest == length.to_string().len()).unwrap();
        [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
    }

    #[test]
    fn records_are_read_by_their_lengths() {
        let text = [
            record("path", b"a/b"),
            record("SCHILY.xattr.security.capability", b"\x01\n12 path=evil\n\0"),
            record("mtime", b"1.5"),
            record("uid", b"4000000000"),
            record("size", b""),
        ]
        .concat();
        let records = parse(&text).unwrap();
        assert_eq!(records.path.as_deref(), Some(&b"a/b"[..]));
        let value = b"\x01\n12 path=evil\n\0".to_vec();
        assert_eq!(records.attributes, [(b"security.capability".to_vec(), value)]);
        assert_eq!(records.modified, Some(Timespec { tv_sec: 1, tv_nsec: 500_000_000 }));
        assert_eq!((records.uid, records.size), (Some(4_000_000_000), None));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in
            [&b"x path=a\n"[..], b"99 path=a\n", b"3 a", b"8 path=a", b"5 =a\n", b"1 ", b"11 size=-1\n"]
        {
            assert!(parse(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn maps_of_sparse_files() {
        let old = [record("GNU.sparse.offset", b"3"), record("GNU.sparse.numbytes", b"4")].concat();
        assert_eq!(parse(&old).unwrap().sparse_map, Some(vec![(3, 4)]));
        let map = parse(&record("GNU.sparse.map", b"0,1,5,2")).unwrap().sparse_map;
        assert_eq!(map, Some(vec![(0, 1), (5, 2)]));
        assert!(parse(&record("GNU.sparse.map", b"0,1,5")).is_err());
    }
}
