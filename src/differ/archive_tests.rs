//! Archives that the crate `tar` or we ourselves wrote.

use super::*;
use std::io::{Cursor, Read};

fn header(path: &str, kind: tar::EntryType, size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).unwrap();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o640);
    header.set_uid(7);
    header.set_gid(8);
    header.set_mtime(9);
    header.set_cksum();
    header
}

fn all(bytes: &[u8]) -> io::Result<Vec<(Entry, Vec<u8>)>> {
    let mut archive = Archive::new(Cursor::new(bytes));
    let mut entries = Vec::new();
    while let Some(entry) = archive.next()? {
        let mut content = Vec::new();
        archive.read_to_end(&mut content)?;
        entries.push((entry, content));
    }
    Ok(entries)
}

fn record(key: &str, value: &str) -> String {
    let rest = 3 + key.len() + value.len();
    let length = (rest + 1..).find(|length| length - rest == length.to_string().len()).unwrap();
    format!("{length} {key}={value}\n")
}

#[test]
fn entries_of_all_formats() {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header("f", tar::EntryType::Regular, 3), &b"abc"[..]).unwrap();
    // GNU's long names.
    let long = "n".repeat(150);
    let mut gnu = tar::Header::new_gnu();
    gnu.set_size(0);
    gnu.set_uid(3_000_000);
    gnu.set_entry_type(tar::EntryType::Symlink);
    builder.append_link(&mut gnu, &long, "t".repeat(200)).unwrap();
    // Extended headers.
    let text = record("path", "other")
        + &record("uid", "4000000000")
        + &record("mtime", "1.25")
        + &record("size", "2");
    builder.append(&header("pax", tar::EntryType::XHeader, text.len() as u64), text.as_bytes()).unwrap();
    builder.append(&header("x", tar::EntryType::Regular, 2), &b"de"[..]).unwrap();
    // A prefix, and a size where none belongs.
    let deep = format!("{}/{}", "p".repeat(90), "q".repeat(90));
    builder.append(&header(&deep, tar::EntryType::Directory, 0), io::empty()).unwrap();
    let entries = all(&builder.into_inner().unwrap()).unwrap();
    let paths: Vec<_> =
        entries.iter().map(|(entry, _)| String::from_utf8_lossy(&entry.path).into_owned()).collect();
    assert_eq!(paths, ["f", &long, "other", &deep]);
    let (f, content) = &entries[0];
    assert_eq!((&f.kind, content.as_slice()), (&Kind::File { size: 3, parts: None }, &b"abc"[..]));
    assert_eq!((f.mode, f.uid, f.gid, f.times.1.tv_sec), (0o640, 7, 8, 9));
    assert_eq!((&entries[1].0.kind, entries[1].0.uid), (&Kind::Symlink(vec![b't'; 200]), 3_000_000));
    let (other, content) = &entries[2];
    assert_eq!(
        (other.uid, other.times.1.tv_nsec, content.as_slice()),
        (4_000_000_000, 250_000_000, &b"de"[..])
    );
}

#[test]
fn sparse_files() {
    let names = record("GNU.sparse.name", "real") + &record("GNU.sparse.realsize", "5000");
    let version = names.clone() + &record("GNU.sparse.major", "1") + &record("GNU.sparse.minor", "0");
    let map = names + &record("GNU.sparse.map", "0,1,4999,1");
    let mut content = b"2\n0\n1\n4999\n1\n".to_vec();
    content.resize(512, 0);
    content.extend(b"ab");
    for (text, content) in [(version, content), (map, b"ab".to_vec())] {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header("pax", tar::EntryType::XHeader, text.len() as u64), text.as_bytes()).unwrap();
        builder
            .append(&header("x", tar::EntryType::Regular, content.len() as u64), content.as_slice())
            .unwrap();
        builder.append(&header("next", tar::EntryType::Regular, 0), io::empty()).unwrap();
        let entries = all(&builder.into_inner().unwrap()).unwrap();
        assert_eq!(entries[0].0.path, b"real");
        assert_eq!(entries[0].0.kind, Kind::File { size: 5000, parts: Some(vec![(0, 1), (4999, 1)]) });
        assert_eq!(entries[0].1, b"ab");
        assert_eq!(entries[1].0.path, b"next");
    }
    for map in ["0,1,0,1", "5,10", "18446744073709551615,2", "0,100"] {
        let text = record("GNU.sparse.size", "12") + &record("GNU.sparse.map", map);
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header("pax", tar::EntryType::XHeader, text.len() as u64), text.as_bytes()).unwrap();
        builder.append(&header("x", tar::EntryType::Regular, 2), &b"ab"[..]).unwrap();
        assert!(all(&builder.into_inner().unwrap()).is_err(), "{map}");
    }
}

#[test]
fn what_is_damaged_is_refused() {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header("f", tar::EntryType::Regular, 3), &b"abc"[..]).unwrap();
    let whole = builder.into_inner().unwrap();
    assert_eq!(all(&whole).unwrap().len(), 1);
    // The end may be missing, but no content.
    assert_eq!(all(&whole[..1024]).unwrap().len(), 1);
    assert_eq!(all(&whole[..515]).unwrap().len(), 1);
    for length in [1, 511, 513, 514] {
        assert!(all(&whole[..length]).is_err(), "{length}");
    }
    let mut wrong = whole.clone();
    wrong[0] = b'g';
    assert!(all(&wrong).is_err(), "the checksum is another");
    for kind in [tar::EntryType::GNUSparse, tar::EntryType::new(b'Q')] {
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header("f", kind, 0), io::empty()).unwrap();
        assert!(all(&builder.into_inner().unwrap()).is_err());
    }
    // Headers that would fill the memory.
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header("f", tar::EntryType::XHeader, 2 << 20), io::repeat(0).take(2 << 20)).unwrap();
    assert!(all(&builder.into_inner().unwrap()).is_err());
    assert!(all(b"no archive").is_err());
    assert!(all(b"").unwrap().is_empty());
}

#[test]
fn numbers() {
    for (field, expected) in [
        (&b"0000644\0"[..], Some(0o644)),
        (b"  12 \0", Some(0o12)),
        (b"\0\0", Some(0)),
        (b"\x80\0\0\0\0\0\x01\0", Some(256)),
        (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
        (b"\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        (b"9", None),
        (b"-1", None),
    ] {
        assert_eq!(signed(field).ok(), expected, "{field:?}");
    }
}
