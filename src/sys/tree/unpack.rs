//! Unpacking of an archive into a tree.

use super::node::{Kind, Node, Sink, is_kept};
use super::pack::{ENCODED, RAW, extended};
use super::place::{Place, Unpack, invalid};
use super::{Moved, Tree};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustix::fs::{Timespec, makedev};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

impl Tree {
    /// Unpacks an archive into the folder `path`.
    pub fn unpack(&self, path: &Path, archive: impl Read, how: Unpack) -> io::Result<Moved> {
        let mut bytes = 0;
        let mut place = Place::new(self.folder(path)?, how);
        for entry in tar::Archive::new(archive).entries()? {
            let mut entry = entry?;
            let records = entry.pax_extensions()?.into_iter().flatten().flatten();
            bytes += extended(records.filter_map(|record| Some((record.key().ok()?, record.value_bytes()))));
            let name = entry.path()?.into_owned();
            if name.components().any(|c| c == Component::ParentDir) {
                return Err(invalid(format!("the archive has the path {}, which leads out", name.display())));
            }
            let name: PathBuf = name.components().filter(|c| matches!(c, Component::Normal(_))).collect();
            // The folder that is unpacked into keeps its properties.
            if !name.as_os_str().is_empty()
                && let Some(node) = node(&mut entry)?
            {
                place.put(&name, &node, &mut entry)?;
            }
        }
        Ok(Moved { left_out: place.finish()?, extended: bytes })
    }
}

/// The node of an archive's entry; `None`: the entry is no file.
fn node<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Option<Node>> {
    let target = |entry: &tar::Entry<'_, R>| -> io::Result<PathBuf> {
        Ok(entry.link_name()?.ok_or_else(|| invalid("a link without a target".to_owned()))?.into_owned())
    };
    let kind = match entry.header().entry_type() {
        tar::EntryType::Directory => Kind::Folder,
        tar::EntryType::Symlink => Kind::Symlink(target(entry)?),
        tar::EntryType::Link => Kind::HardLink(target(entry)?),
        tar::EntryType::Fifo => Kind::Fifo,
        tar::EntryType::Char => Kind::Char(device(entry.header())?),
        tar::EntryType::Block => Kind::Block(device(entry.header())?),
        tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
            Kind::File(entry.size())
        }
        // Extended headers were read by the crate.
        _ => return Ok(None),
    };
    let header = entry.header();
    let id = |field: &[u8], id: io::Result<u64>| {
        let id = if is_blank(field) { 0 } else { id? };
        u32::try_from(id).map_err(|_| invalid("an ID that is too large".to_owned()))
    };
    let seconds = i64::try_from(header.mtime().unwrap_or(0)).unwrap_or(0);
    let mut node = Node {
        kind,
        mode: if is_blank(&header.as_old().mode) { 0 } else { header.mode()? & 0o7777 },
        uid: id(&header.as_old().uid, header.uid())?,
        gid: id(&header.as_old().gid, header.gid())?,
        modified: Timespec { tv_sec: seconds, tv_nsec: 0 },
        attributes: Vec::new(),
    };
    // A record that cannot be read is one with an attribute that has line ends: the file comes without it.
    for record in entry.pax_extensions()?.into_iter().flatten().flatten() {
        let (Ok(key), value) = (record.key(), record.value_bytes()) else { continue };
        if key == "mtime" {
            let time = std::str::from_utf8(value).ok().and_then(decimal_time);
            node.modified = time.unwrap_or(node.modified);
        } else if let Some(name) = key.strip_prefix(RAW).filter(|name| is_kept(name)) {
            node.attributes.push((name.to_owned(), value.to_owned()));
        } else if let Some(name) = key.strip_prefix(ENCODED).filter(|name| is_kept(name))
            && let Ok(value) = STANDARD_NO_PAD.decode(value)
            && !node.attributes.iter().any(|(known, _)| known == name)
        {
            node.attributes.push((name.to_owned(), value));
        }
    }
    Ok(Some(node))
}

/// A number that was left out, which Go's and GNU's tar read as 0.
fn is_blank(field: &[u8]) -> bool {
    field.iter().all(|byte| matches!(byte, 0 | b' '))
}

fn device(header: &tar::Header) -> io::Result<u64> {
    let number = |part: io::Result<Option<u32>>| part.map(Option::unwrap_or_default);
    Ok(makedev(number(header.device_major())?, number(header.device_minor())?))
}

/// Decimal seconds since 1970; digits beyond a nanosecond are cut off.
pub fn decimal_time(text: &str) -> Option<Timespec> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part: String = part.chars().chain("000000000".chars()).take(9).collect();
    let (tv_sec, tv_nsec): (i64, i64) = (whole.parse().ok()?, part.parse().ok()?);
    Some(match (negative, tv_nsec) {
        (false, _) => Timespec { tv_sec, tv_nsec },
        (true, 0) => Timespec { tv_sec: -tv_sec, tv_nsec },
        (true, _) => Timespec { tv_sec: -tv_sec - 1, tv_nsec: 1_000_000_000 - tv_nsec },
    })
}

#[cfg(test)]
mod tests {
    use super::super::Owner;
    use super::*;
    use rustix::fs::{XattrFlags, lgetxattr, setxattr};
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

    fn archive(tree: &Tree, path: &str, name: &str) -> (Vec<u8>, Vec<String>) {
        let mut builder = tar::Builder::new(Vec::new());
        let moved = tree.pack(Path::new(path), Path::new(name), &mut builder).unwrap();
        (builder.into_inner().unwrap(), moved.left_out)
    }

    fn own() -> Unpack {
        Unpack { owner: Owner::Kept, ..Unpack::default() }
    }

    #[test]
    fn times() {
        for (text, tv_sec, tv_nsec) in [
            ("12", 12, 0),
            ("12.34", 12, 340_000_000),
            ("0.0000000059", 0, 5),
            ("-1", -1, 0),
            ("-0.25", -1, 750_000_000),
        ] {
            assert_eq!(decimal_time(text), Some(Timespec { tv_sec, tv_nsec }), "{text}");
        }
        assert_eq!((decimal_time("x"), decimal_time("1.x")), (None, None));
    }

    #[test]
    fn numbers_that_were_left_out_are_zero() {
        let mut header = tar::Header::new_gnu();
        header.set_path("f").unwrap();
        header.set_size(0);
        header.set_mode(0o640);
        header.set_cksum();
        let blank = is_blank(&header.as_old().uid) && is_blank(&header.as_old().gid);
        assert!(blank && !is_blank(&header.as_old().mode));
        let mut builder = tar::Builder::new(Vec::new());
        builder.append(&header, std::io::empty()).unwrap();
        let bytes = builder.into_inner().unwrap();
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        let node = node(&mut entry).unwrap().unwrap();
        assert_eq!((node.uid, node.gid, node.mode), (0, 0, 0o640));
    }

    /// Whatever goes through an archive, or straight from tree to tree, comes out as it was.
    #[test]
    fn a_tree_comes_back() {
        let from = tempfile::tempdir().unwrap();
        let at = |p: &str| from.path().join(p);
        fs::create_dir_all(at("d/e")).unwrap();
        fs::write(at("d/f"), "text").unwrap();
        fs::hard_link(at("d/f"), at("d/g")).unwrap();
        symlink("f", at("d/l")).unwrap();
        fs::hard_link(at("d/l"), at("d/m")).unwrap();
        fs::write(at("d/e").join("n".repeat(150)), "").unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at("d/p"), rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(at("d/s")).unwrap();
        fs::set_permissions(at("d/f"), fs::Permissions::from_mode(0o4755)).unwrap();
        let value = |name: &str| {
            let mut value = [0; 64];
            lgetxattr(at("d/f"), name, &mut value[..]).map(|length| value[..length].to_vec()).ok()
        };
        // Not every file system has them.
        let attributes = setxattr(at("d/f"), "user.note", b"a\nb\0=", XattrFlags::empty()).is_ok();
        setxattr(at("d/f"), "user.plain", b"x y", XattrFlags::empty()).ok();
        // CAP_DAC_OVERRIDE and CAP_FOWNER, which are a line end; only root may give them.
        let capabilities = [0, 0, 0, 2, b'\n', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        setxattr(at("d/f"), "security.capability", &capabilities, XattrFlags::empty()).ok();
        assert_eq!(value("user.plain").is_some(), attributes);
        let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
        for path in ["d/f", "d/p"] {
            let file = fs::File::options().read(true).write(true).open(at(path)).unwrap();
            file.set_modified(old).unwrap();
        }
        fs::set_permissions(at("d/e"), fs::Permissions::from_mode(0o500)).unwrap();
        fs::File::open(at("d")).unwrap().set_modified(old).unwrap();
        let source = Tree::open(from.path()).unwrap();

        let by_archive = |to: &Path| {
            let (bytes, mut words) = archive(&source, "/d", "new");
            let moved = Tree::open(to).unwrap().unpack(Path::new("/"), bytes.as_slice(), own()).unwrap();
            words.extend(moved.left_out);
            words
        };
        let straight = |to: &Path| {
            fs::create_dir(to.join("new")).unwrap();
            let target = Tree::open(&to.join("new")).unwrap();
            source.folder(Path::new("/d")).unwrap().copy_into(&target).unwrap()
        };
        let came_back = |copy: &dyn Fn(&Path) -> Vec<String>, socket: &str| {
            let to = tempfile::tempdir().unwrap();
            assert_eq!(copy(to.path()), [format!("archive: skipping \"{socket}\" since it is a socket")]);
            let there = |p: &str| to.path().join("new").join(p);
            let meta = |p: &str| fs::symlink_metadata(there(p)).unwrap();
            assert_eq!(fs::read_to_string(there("f")).unwrap(), "text");
            assert_eq!((meta("g").nlink(), meta("g").ino()), (2, meta("f").ino()));
            assert_eq!(meta("f").mode() & 0o7777, 0o4755);
            assert_eq!(fs::read_link(there("l")).unwrap(), Path::new("f"));
            assert_eq!(meta("l").ino(), meta("m").ino());
            assert!(there("e").join("n".repeat(150)).exists());
            assert_eq!(meta("e").mode() & 0o7777, 0o500);
            assert!(meta("p").file_type().is_fifo() && meta("p").mode() & 0o7777 == 0o640);
            for path in ["f", "g", "p", ""] {
                assert_eq!(
                    (meta(path).mtime(), meta(path).mtime_nsec()),
                    (1_000_000_000, 123_456_789),
                    "{path}"
                );
            }
            for name in ["user.note", "user.plain", "security.capability"] {
                let mut found = [0; 64];
                let found =
                    lgetxattr(there("f"), name, &mut found[..]).map(|length| found[..length].to_vec()).ok();
                assert_eq!(found, value(name), "{name}");
            }
            // Four bytes of a file, one of a link.
            assert_eq!(Tree::open(to.path()).unwrap().size().unwrap(), 5);
            // Again, over what is there.
            if socket == "new/s" {
                copy(to.path());
                assert_eq!((meta("g").nlink(), meta("l").nlink()), (2, 2));
            }
        };
        came_back(&by_archive, "new/s");
        came_back(&straight, "s");
    }

    #[test]
    fn nothing_is_written_outside() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        symlink(outside.path(), root.path().join("out")).unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        builder.append_data(&mut header, "out/evil", &b"x"[..]).unwrap();
        let bytes = builder.into_inner().unwrap();
        let tree = Tree::open(root.path()).unwrap();
        // The link leads to a path that is not in the tree: it is refused, or the path is made inside.
        let _ = tree.unpack(Path::new("/"), bytes.as_slice(), Unpack::default());
        assert!(fs::read_dir(outside.path()).unwrap().next().is_none());
    }

    #[test]
    fn folders_and_files_do_not_replace_each_other_when_asked_not_to() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(from.path().join("x"), "").unwrap();
        fs::create_dir_all(to.path().join("x/y")).unwrap();
        let (bytes, _) = archive(&Tree::open(from.path()).unwrap(), "/", "");
        let tree = Tree::open(to.path()).unwrap();
        let careful = Unpack { no_overwrite_dir_non_dir: true, owner: Owner::Caller };
        let error = tree.unpack(Path::new("/"), bytes.as_slice(), careful).unwrap_err();
        assert_eq!(error.to_string(), "cannot overwrite directory with non-directory: x");
        let bold = Unpack { owner: Owner::Caller, ..Unpack::default() };
        tree.unpack(Path::new("/"), bytes.as_slice(), bold).unwrap();
        assert!(to.path().join("x").is_file());
    }
}
