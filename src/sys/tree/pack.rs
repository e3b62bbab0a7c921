//! A tree as a tar archive: GNU headers, with extended ones (pax) for what those cannot hold.

use super::node::{Kind, Node, Sink};
use super::{Moved, Tree};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustix::fs::{Timespec, major, minor};
use std::io::{self, Read, Write};
use std::path::Path;

/// The keys of extended attributes, before their names: raw, and with the value in base64. Readers split extended headers at
/// line ends, so a value that has one goes in the second form.
pub(super) const RAW: &str = "SCHILY.xattr.";
pub(super) const ENCODED: &str = "LIBARCHIVE.xattr.";

impl Tree {
    /// Writes the file or folder at `path`, with all that is below, into an archive as `name` (empty: the folder's
    /// entries, without a name of its own).
    pub fn pack<W: Write>(
        &self,
        path: &Path,
        name: &Path,
        archive: &mut tar::Builder<W>,
    ) -> io::Result<Moved> {
        let mut pack = Pack { archive, extended: 0 };
        let left_out = self.walk(path, name, &mut pack)?;
        Ok(Moved { left_out, extended: pack.extended })
    }
}

struct Pack<'a, W: Write> {
    archive: &'a mut tar::Builder<W>,
    extended: u64,
}

impl<W: Write> Sink for Pack<'_, W> {
    fn put(&mut self, path: &Path, node: &Node, content: &mut dyn Read) -> io::Result<()> {
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        let records = records(node);
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.extended += extended(records.clone());
        self.archive.append_pax_extensions(records)?;
        let mut header = header(node)?;
        match &node.kind {
            Kind::Folder => self.archive.append_data(&mut header, path.join(""), io::empty()),
            Kind::Symlink(target) | Kind::HardLink(target) => {
                self.archive.append_link(&mut header, path, target)
            }
            Kind::File(_) | Kind::Fifo | Kind::Char(_) | Kind::Block(_) => {
                self.archive.append_data(&mut header, path, content)
            }
        }
    }
}

/// Bytes of an extended header with these records: one block of its own, and theirs, whole.
pub(super) fn extended<'a>(records: impl Iterator<Item = (&'a str, &'a [u8])>) -> u64 {
    let length = |(key, value): (&str, &[u8])| {
        // A record has its own length, a blank, `=` and a line end.
        let rest = key.len() + value.len() + 3;
        let digits = (1..).find(|digits| (rest + digits).to_string().len() == *digits).unwrap_or(1);
        rest + digits
    };
    match records.map(length).sum::<usize>() {
        0 => 0,
        all => u64::try_from(512 + all.next_multiple_of(512)).unwrap_or(0),
    }
}

/// Records of properties that the header cannot hold: parts of a second, times before 1970, attributes.
fn records(node: &Node) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    if node.modified.tv_nsec != 0 || node.modified.tv_sec < 0 {
        all.push(("mtime".to_owned(), seconds(node.modified).into_bytes()));
    }
    for (name, value) in &node.attributes {
        all.push(match value.contains(&b'\n') {
            false => (format!("{RAW}{name}"), value.clone()),
            true => (format!("{ENCODED}{name}"), STANDARD_NO_PAD.encode(value).into_bytes()),
        });
    }
    // A key ends where the value begins.
    all.retain(|(key, _)| !key.contains(['=', '\n']));
    all
}

/// Decimal seconds since 1970, with nine digits after the point.
fn seconds(time: Timespec) -> String {
    let nanoseconds = i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec);
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let all = nanoseconds.unsigned_abs();
    format!("{sign}{}.{:09}", all / 1_000_000_000, all % 1_000_000_000)
}

fn header(node: &Node) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    let kind = match node.kind {
        Kind::Folder => tar::EntryType::Directory,
        Kind::File(size) => {
            header.set_size(size);
            tar::EntryType::Regular
        }
        Kind::Symlink(_) => tar::EntryType::Symlink,
        Kind::HardLink(_) => tar::EntryType::Link,
        Kind::Fifo => tar::EntryType::Fifo,
        Kind::Char(_) => tar::EntryType::Char,
        Kind::Block(_) => tar::EntryType::Block,
    };
    header.set_entry_type(kind);
    if let Kind::Char(device) | Kind::Block(device) = node.kind {
        header.set_device_major(major(device))?;
        header.set_device_minor(minor(device))?;
    }
    header.set_mode(node.mode);
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    header.set_mtime(u64::try_from(node.modified.tv_sec).unwrap_or(0));
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let one = |key, length| extended([(key, vec![0; length].as_slice())].into_iter());
        assert_eq!(extended(std::iter::empty()), 0);
        assert_eq!(one("mtime", 20), 1024);
        // `512 k=…` and a line end.
        assert_eq!((one("k", 505), one("k", 506)), (1024, 1536));
        let mut archive = tar::Builder::new(Vec::new());
        archive.append_pax_extensions([("k", [0; 506].as_slice())]).unwrap();
        assert_eq!(archive.get_ref().len(), 1536);
    }

    #[test]
    fn times() {
        for (tv_sec, tv_nsec, text) in [
            (0, 5, "0.000000005"),
            (12, 340_000_000, "12.340000000"),
            (-1, 0, "-1.000000000"),
            (-1, 750_000_000, "-0.250000000"),
        ] {
            assert_eq!(seconds(Timespec { tv_sec, tv_nsec }), text);
        }
    }
}
