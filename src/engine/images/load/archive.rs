//! Reads an archive of images, which anybody may have made: its files leave it in pieces, and what has no place in such
//! an archive is refused. No name of it is ever a path here.

use crate::engine::error::EngineError;
use bytes::Bytes;
use std::cell::Cell;
use std::collections::HashSet;
use std::io::{self, Read};

/// Size of a piece, in bytes.
const PIECE: usize = 1 << 20;
/// The most entries in an archive; images with 100 layers each make some hundred.
const MOST: usize = 100_000;
/// Size of the largest document, in bytes: manifests, indexes and configurations are read as a whole.
pub(super) const LARGEST_DOCUMENT: u64 = 8 << 20;

/// The most bytes between two files: headers, and long names in headers of their own.
const LARGEST_HEADER: u64 = 1 << 20;

/// Documents that are read and not kept.
pub(super) const DOCUMENTS: [&str; 3] = ["oci-layout", "index.json", "manifest.json"];

/// The next thing in an archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A file begins, with a name without `.` and `..`.
    File { name: String, size: u64 },
    /// Its bytes.
    Data(Bytes),
    /// It has ended.
    End,
    /// Another name of a file.
    Link { name: String, target: String },
}

/// Sends each item of a tar archive.
///
/// # Errors
/// `InvalidArgument`: it is none, is cut off, or has what it should not have. An error of `send` ends it.
pub(super) fn read<E: From<EngineError>>(
    input: impl Read,
    mut send: impl FnMut(Item) -> Result<(), E>,
) -> Result<(), E> {
    let left = Cell::new(LARGEST_HEADER);
    let mut archive = tar::Archive::new(Rationed { input, left: &left });
    let mut seen = HashSet::new();
    let mut entries = archive.entries().map_err(broken)?;
    loop {
        left.set(LARGEST_HEADER);
        let Some(entry) = entries.next() else { break };
        let mut entry = entry.map_err(broken)?;
        let kind = entry.header().entry_type();
        if kind.is_pax_global_extensions() {
            continue;
        }
        let name = text(&entry.path_bytes())?;
        if kind.is_dir() {
            clean(&name, &name)?;
            continue;
        }
        let name = clean(&name, &name)?;
        if seen.len() >= MOST {
            return Err(bad(format!("it has more than {MOST} files")).into());
        }
        if !seen.insert(name.clone()) {
            return Err(bad(format!("it has {name:?} twice")).into());
        }
        let link = entry.link_name_bytes().map(|bytes| text(&bytes)).transpose()?.unwrap_or_default();
        if kind.is_symlink() {
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let target = if link.starts_with('/') { link.clone() } else { format!("{folder}/{link}") };
            let target = resolved(target.trim_start_matches('/'), link.starts_with('/'));
            let target = target.ok_or_else(|| bad(format!("the link {name:?} leads out of it: {link:?}")))?;
            send(Item::Link { name, target })?;
        } else if kind.is_hard_link() {
            let target = clean(&link, &name)?;
            send(Item::Link { name, target })?;
        } else if kind.is_file() || kind.is_contiguous() {
            left.set(u64::MAX);
            file(&mut entry, name, &mut send)?;
        } else {
            return Err(bad(format!("{name:?} is no file, folder or link")).into());
        }
    }
    Ok(())
}

/// An input of which only so many bytes may be read: the library keeps headers in memory.
struct Rationed<'a, R> {
    input: R,
    left: &'a Cell<u64>,
}

impl<R: Read> Read for Rationed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        match self.left.get().checked_sub(read as u64) {
            Some(left) => self.left.set(left),
            None => return Err(io::Error::other("a header is too long")),
        }
        Ok(read)
    }
}

fn file<R: Read, E: From<EngineError>>(
    entry: &mut tar::Entry<'_, R>,
    name: String,
    send: &mut impl FnMut(Item) -> Result<(), E>,
) -> Result<(), E> {
    let size = entry.size();
    if DOCUMENTS.contains(&name.as_str()) && size > LARGEST_DOCUMENT {
        return Err(bad(format!("{name:?} has {size} bytes, more than {LARGEST_DOCUMENT}")).into());
    }
    send(Item::File { name: name.clone(), size })?;
    let mut left = size;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; length];
        entry.read_exact(&mut piece).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => bad(format!("it is cut off in {name:?}")),
            _ => broken(error),
        })?;
        left -= length as u64;
        send(Item::Data(piece.into()))?;
    }
    send(Item::End)
}

/// A refusal of what the archive is or has.
pub(super) fn bad(why: impl std::fmt::Display) -> EngineError {
    EngineError::invalid(format!("invalid archive: {why}"))
}

pub(super) fn broken(error: io::Error) -> EngineError {
    // Words of the library.
    let words = error.to_string();
    let cut = ["failed to read entire block", "unexpected EOF"].iter().any(|said| words.contains(said));
    match cut || error.kind() == io::ErrorKind::UnexpectedEof {
        true => bad("it is cut off"),
        false => bad(words),
    }
}

fn text(bytes: &[u8]) -> Result<String, EngineError> {
    let text = String::from_utf8(bytes.to_vec());
    text.map_err(|_| bad(format!("the name {:?} is not UTF-8", String::from_utf8_lossy(bytes))))
}

/// A name without `.`; one that leads out of the archive is refused. `of`: whose name it is.
pub(super) fn clean(name: &str, of: &str) -> Result<String, EngineError> {
    let inside = !name.starts_with('/') && !name.split('/').any(|part| part == "..");
    let all: Vec<&str> = name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    match inside {
        true => Ok(all.join("/")),
        false => Err(bad(format!("{of:?} leads out of it: {name:?}"))),
    }
}

/// A path without `..`, if it stays inside.
fn resolved(path: &str, absolute: bool) -> Option<String> {
    let mut all = Vec::new();
    for part in path.split('/').filter(|part| !part.is_empty() && *part != ".") {
        match part {
            ".." => drop(all.pop()?),
            part => all.push(part),
        }
    }
    (!absolute && !all.is_empty()).then(|| all.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, EntryType, Header};

    /// An archive with one entry after a good file.
    fn with(kind: EntryType, name: &str, link: &str) -> Vec<u8> {
        let mut archive = Builder::new(Vec::new());
        let mut add = |kind, name: &str, link: &str, bytes: &[u8]| {
            let mut header = Header::new_gnu();
            // As they are: the library would refuse some.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
            header.set_entry_type(kind);
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            archive.append(&header, bytes).unwrap();
        };
        add(EntryType::Regular, "./good/file", "", b"good");
        add(kind, name, link, b"");
        archive.into_inner().unwrap()
    }

    fn items(bytes: &[u8]) -> Result<Vec<Item>, String> {
        let mut items = Vec::new();
        let read = read(bytes, |item| {
            items.push(item);
            Ok::<_, EngineError>(())
        });
        read.map(|()| items).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_in_it() {
        let link = |name: &str, target: &str| Item::Link { name: name.into(), target: target.into() };
        let good = vec![
            Item::File { name: "good/file".into(), size: 4 },
            Item::Data(Bytes::from_static(b"good")),
            Item::End,
        ];
        for (kind, name, to, last) in [
            (EntryType::Symlink, "id/layer.tar", "../good/file", link("id/layer.tar", "good/file")),
            (EntryType::Link, "./other", "./good/file", link("other", "good/file")),
        ] {
            let found = items(&with(kind, name, to)).unwrap();
            assert_eq!((&found[..3], &found[3..]), (&good[..], &[last][..]), "{name}");
        }
        for kind in [EntryType::Directory, EntryType::XGlobalHeader] {
            assert_eq!(items(&with(kind, "folder/", "")).unwrap(), good);
        }
    }

    #[test]
    fn what_has_no_place_in_it() {
        let cases = [
            (EntryType::Regular, "../x", "", "\"../x\" leads out of it"),
            (EntryType::Regular, "a/../../x", "", "leads out of it"),
            (EntryType::Regular, "/etc/passwd", "", "\"/etc/passwd\" leads out of it"),
            (EntryType::Directory, "../d", "", "leads out of it"),
            (EntryType::Symlink, "l", "/etc/passwd", "the link \"l\" leads out of it: \"/etc/passwd\""),
            (EntryType::Symlink, "a/l", "../../x", "leads out of it"),
            (EntryType::Symlink, "a/l", "..", "leads out of it"),
            (EntryType::Link, "l", "../x", "\"l\" leads out of it: \"../x\""),
            (EntryType::Regular, "good/./file", "", "it has \"good/file\" twice"),
            (EntryType::Char, "null", "", "is no file, folder or link"),
            // The library reads of which parts a file with holes has bytes.
            (EntryType::GNUSparse, "holes", "", "real_size"),
        ];
        for (kind, name, link, why) in cases {
            let error = items(&with(kind, name, link)).unwrap_err();
            assert!(error.starts_with("invalid archive: ") && error.contains(why), "{name}: {error}");
        }
    }

    #[test]
    fn what_is_cut_off_or_absurd() {
        let whole = with(EntryType::Directory, "d", "");
        assert!(items(&whole[..514]).unwrap_err().contains("it is cut off in \"good/file\""));
        assert!(items(&whole[..700]).unwrap_err().contains("cut off"));
        assert!(items(&[7; 2000]).unwrap_err().starts_with("invalid archive: "));
        let mut huge = Header::new_gnu();
        huge.set_path("index.json").unwrap();
        huge.set_size(u64::MAX / 2);
        huge.set_cksum();
        assert!(items(huge.as_bytes()).unwrap_err().contains("more than 8388608"));
        let mut huge = Header::new_gnu();
        huge.set_path("x").unwrap();
        huge.set_size(u64::MAX / 2);
        huge.set_cksum();
        assert!(items(huge.as_bytes()).unwrap_err().contains("cut off"));
        let mut long = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::GNULongName);
        header.set_size(2 << 20);
        header.set_cksum();
        long.append(&header, io::repeat(b'x').take(2 << 20)).unwrap();
        assert!(items(&long.into_inner().unwrap()).unwrap_err().contains("a header is too long"));
    }
}
