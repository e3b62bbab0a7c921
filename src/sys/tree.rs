//! A directory tree that somebody else may change meanwhile. Every step goes through a descriptor of a folder, so that no
//! symbolic link and no race leads out of the tree (openat2(2), `RESOLVE_IN_ROOT`).

use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, openat2};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

/// How many symbolic links one path may have (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The root of a tree, or a folder in it.
#[derive(Debug)]
pub struct Tree(OwnedFd);

/// What differs between two trees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// From the root, with a leading slash.
    pub path: PathBuf,
    /// `A`dded, `C`hanged or `D`eleted.
    pub kind: char,
}

/// How an archive is unpacked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unpack {
    /// Users and groups of the archive; else root's.
    pub keep_owner: bool,
    /// A folder is not replaced by something else, nor the other way round.
    pub no_overwrite_dir_non_dir: bool,
}

impl Tree {
    /// The tree below a folder.
    pub fn open(root: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::open(root, flags, Mode::empty())?))
    }

    /// A name in this folder, for calls that do not follow it. The folder itself cannot be exchanged: the path goes by the
    /// descriptor.
    fn at(&self, name: &OsStr) -> PathBuf {
        Path::new("/proc/self/fd").join(self.0.as_raw_fd().to_string()).join(name)
    }

    fn enter(&self, name: &OsStr) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(Self(openat2(&self.0, name, flags, Mode::empty(), ResolveFlags::BENEATH)?))
    }

    /// A folder of the tree; links on the way are followed inside the tree.
    pub fn folder(&self, path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Self(openat2(&self.0, relative(path), flags, Mode::empty(), ResolveFlags::IN_ROOT)?))
    }

    /// A regular file of the tree, opened for reading; links are followed inside the tree.
    pub fn file(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = openat2(&self.0, relative(path), flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
        Ok(File::from(file))
    }

    /// The folder that has a path's last component, and that component; `None`: the path is the root.
    fn parent(&self, path: &Path) -> io::Result<Option<(Self, OsString)>> {
        let path = relative(path);
        match path.file_name() {
            None => Ok(None),
            Some(name) => {
                let name = name.to_owned();
                Ok(Some((self.folder(path.parent().unwrap_or(Path::new(".")))?, name)))
            }
        }
    }

    /// What a path is; a link at its end is not followed.
    pub fn stat(&self, path: &Path) -> io::Result<Metadata> {
        match self.parent(path)? {
            Some((folder, name)) => std::fs::symlink_metadata(folder.at(&name)),
            None => self.own(),
        }
    }

    fn own(&self) -> io::Result<Metadata> {
        std::fs::metadata(self.at(OsStr::new(".")))
    }

    /// Where a path leads when all links are followed inside the tree; what is not there is taken as it is written.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        let mut todo = parts(path);
        let mut done: Vec<OsString> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                done.pop();
                continue;
            }
            let here: PathBuf = done.iter().collect();
            let target = self.folder(&here).and_then(|folder| std::fs::read_link(folder.at(&part)));
            match target {
                Ok(target) if links < MOST_LINKS => {
                    links += 1;
                    if target.is_absolute() {
                        done.clear();
                    }
                    todo.extend(parts(&target));
                }
                _ => done.push(part),
            }
        }
        Path::new("/").join(done.iter().collect::<PathBuf>())
    }

    /// Names in this folder, sorted, with what they are. What goes away meanwhile is left out.
    fn entries(&self) -> io::Result<BTreeMap<OsString, Metadata>> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(self.at(OsStr::new(".")))? {
            let name = entry?.file_name();
            match std::fs::symlink_metadata(self.at(&name)) {
                Ok(meta) => drop(all.insert(name, meta)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }

    /// Writes what is at `path`, with all that is below, into an archive as `name` (empty: what is in the folder, without
    /// a name of its own).
    pub fn pack<W: Write>(&self, path: &Path, name: &Path, archive: &mut tar::Builder<W>) -> io::Result<()> {
        let mut known = HashMap::new();
        match self.parent(path)? {
            Some((folder, last)) => {
                let meta = std::fs::symlink_metadata(folder.at(&last))?;
                folder.pack_one(&last, &meta, name, archive, &mut known)
            }
            None => self.pack_folder(name, archive, &mut known),
        }
    }

    fn pack_folder<W: Write>(
        &self,
        name: &Path,
        archive: &mut tar::Builder<W>,
        known: &mut HashMap<(u64, u64), PathBuf>,
    ) -> io::Result<()> {
        if !name.as_os_str().is_empty() {
            let mut header = header(&self.own()?, tar::EntryType::Directory);
            archive.append_data(&mut header, name.join(""), io::empty())?;
        }
        for (child, meta) in self.entries()? {
            self.pack_one(&child, &meta, &name.join(&child), archive, known)?;
        }
        Ok(())
    }

    fn pack_one<W: Write>(
        &self,
        child: &OsStr,
        meta: &Metadata,
        name: &Path,
        archive: &mut tar::Builder<W>,
        known: &mut HashMap<(u64, u64), PathBuf>,
    ) -> io::Result<()> {
        let kind = meta.file_type();
        if kind.is_dir() {
            return match self.enter(child) {
                Ok(folder) => folder.pack_folder(name, archive, known),
                Err(error) if has_changed(&error) => Ok(()),
                Err(error) => Err(error),
            };
        }
        if meta.nlink() > 1 {
            if let Some(first) = known.get(&(meta.dev(), meta.ino())) {
                let mut header = header(meta, tar::EntryType::Link);
                return archive.append_link(&mut header, name, first);
            }
            known.insert((meta.dev(), meta.ino()), name.to_owned());
        }
        if kind.is_symlink() {
            let mut header = header(meta, tar::EntryType::Symlink);
            return archive.append_link(&mut header, name, std::fs::read_link(self.at(child))?);
        }
        if kind.is_file() {
            let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
            let file = match openat2(&self.0, child, flags, Mode::empty(), ResolveFlags::BENEATH) {
                Ok(file) => File::from(file),
                Err(error) if has_changed(&error.into()) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let meta = file.metadata()?;
            let mut header = header(&meta, tar::EntryType::Regular);
            header.set_size(meta.len());
            // It may become shorter or longer while it is read; its header says how long it is.
            let exact = file.take(meta.len()).chain(io::repeat(0)).take(meta.len());
            return archive.append_data(&mut header, name, exact);
        }
        let kind = match kind {
            kind if kind.is_fifo() => tar::EntryType::Fifo,
            kind if kind.is_char_device() => tar::EntryType::Char,
            kind if kind.is_block_device() => tar::EntryType::Block,
            // A socket is nothing without who listens.
            _ => return Ok(()),
        };
        let mut header = header(meta, kind);
        if kind != tar::EntryType::Fifo {
            header.set_device_major(rustix::fs::major(meta.rdev()))?;
            header.set_device_minor(rustix::fs::minor(meta.rdev()))?;
        }
        archive.append_data(&mut header, name, io::empty())
    }

    /// Unpacks an archive into the folder `path`. Answers what was left out, in words.
    pub fn unpack(&self, path: &Path, archive: impl Read, how: Unpack) -> io::Result<Vec<String>> {
        let base = self.folder(path)?;
        let mut left_out = Vec::new();
        let mut folders: Vec<(PathBuf, Timespec)> = Vec::new();
        for entry in tar::Archive::new(archive).entries()? {
            let mut entry = entry?;
            let name = entry.path()?.into_owned();
            if name.components().any(|c| c == Component::ParentDir) {
                return Err(invalid(format!("the archive has the path {}, which leads out", name.display())));
            }
            let name = relative(&name);
            let what = entry.header().entry_type();
            if what.is_dir() {
                folders.push((name.clone(), modified(entry.header())));
            }
            if let Some(warning) = base.unpack_one(&name, &mut entry, how)? {
                left_out.push(warning);
            }
        }
        // Last, because what is made in a folder changes its time.
        for (name, time) in folders.iter().rev() {
            if let Ok(folder) = base.folder(name) {
                folder.set_time(OsStr::new("."), *time)?;
            }
        }
        Ok(left_out)
    }

    fn unpack_one<R: Read>(
        &self,
        name: &Path,
        entry: &mut tar::Entry<'_, R>,
        how: Unpack,
    ) -> io::Result<Option<String>> {
        let what = entry.header().entry_type();
        let Some(last) = name.file_name() else {
            // The folder itself: it keeps its name and its place.
            return Ok(None);
        };
        let above = name.parent().unwrap_or(Path::new(""));
        self.make_folders(above)?;
        let folder = self.folder(above)?;
        let path = folder.at(last);
        let before = match std::fs::symlink_metadata(&path) {
            Ok(meta) => Some(meta),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let was_dir = before.as_ref().is_some_and(Metadata::is_dir);
        if let Some(before) = &before
            && was_dir != what.is_dir()
            && how.no_overwrite_dir_non_dir
            && !before.is_symlink()
        {
            let text = match was_dir {
                true => "cannot overwrite directory with non-directory",
                false => "cannot overwrite non-directory with directory",
            };
            return Err(invalid(format!("{text}: {}", name.display())));
        }
        match &before {
            Some(_) if was_dir && what.is_dir() => {}
            Some(_) if was_dir => remove_all(&folder, last)?,
            Some(_) => std::fs::remove_file(&path)?,
            None => {}
        }
        let mode = entry.header().mode()?;
        match what {
            tar::EntryType::Directory => {
                if !was_dir {
                    std::fs::create_dir(&path)?;
                }
            }
            tar::EntryType::Symlink => {
                let target = entry.link_name()?.ok_or_else(|| invalid("a link without a target".into()))?;
                symlink(target, &path)?;
            }
            tar::EntryType::Link => {
                let target = entry.link_name()?.ok_or_else(|| invalid("a link without a target".into()))?;
                let (there, first) =
                    self.parent(&target)?.ok_or_else(|| invalid("a hard link to the root".into()))?;
                rustix::fs::linkat(&there.0, &first, &folder.0, last, AtFlags::empty())?;
                return Ok(None);
            }
            tar::EntryType::Fifo | tar::EntryType::Char | tar::EntryType::Block => {
                let (kind, device) = match what {
                    tar::EntryType::Fifo => (FileType::Fifo, 0),
                    tar::EntryType::Char => (FileType::CharacterDevice, device(entry.header())?),
                    _ => (FileType::BlockDevice, device(entry.header())?),
                };
                if let Err(error) =
                    rustix::fs::mknodat(&folder.0, last, kind, Mode::from_raw_mode(mode & 0o7777), device)
                {
                    return Ok(Some(format!("{}: cannot make the device: {error}", name.display())));
                }
            }
            tar::EntryType::Regular | tar::EntryType::Continuous | tar::EntryType::GNUSparse => {
                let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
                io::copy(entry, &mut file)?;
            }
            // Extended headers were read by the crate.
            _ => return Ok(None),
        }
        let owner = |id: io::Result<u64>| -> io::Result<u32> {
            match how.keep_owner {
                true => u32::try_from(id?).map_err(|_| invalid("a user ID that is too large".into())),
                false => Ok(0),
            }
        };
        let (uid, gid) = (owner(entry.header().uid())?, owner(entry.header().gid())?);
        match lchown(&path, Some(uid), Some(gid)) {
            // Somebody who does not exist in this user namespace.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => lchown(&path, Some(0), Some(0))?,
            other => other?,
        }
        if what != tar::EntryType::Symlink {
            // After the owner, because changing that drops set-user-ID.
            rustix::fs::chmodat(&folder.0, last, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty())?;
        }
        if !what.is_dir() {
            folder.set_time(last, modified(entry.header()))?;
        }
        Ok(None)
    }

    /// Makes the folders of a path that are not there.
    pub fn make_folders(&self, path: &Path) -> io::Result<()> {
        let mut above = PathBuf::new();
        for part in relative(path).components() {
            let next = above.join(part);
            if let Err(error) = self.folder(&next) {
                if error.kind() != io::ErrorKind::NotFound {
                    return Err(error);
                }
                let folder = self.folder(&above)?;
                std::fs::create_dir(folder.at(part.as_os_str()))?;
            }
            above = next;
        }
        Ok(())
    }

    fn set_time(&self, name: &OsStr, time: Timespec) -> io::Result<()> {
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::utimensat(&self.0, name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// What this tree has that `before` has not, or has otherwise; in the order of their paths.
    pub fn changes(&self, before: &Self) -> io::Result<Vec<Change>> {
        let mut all = Vec::new();
        self.compare(before, Path::new("/"), &mut all)?;
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    fn compare(&self, before: &Self, here: &Path, all: &mut Vec<Change>) -> io::Result<()> {
        let (old, new) = (before.entries()?, self.entries()?);
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            all.push(Change { path: here.join(name), kind: 'D' });
        }
        for (name, meta) in &new {
            let path = here.join(name);
            let Some(was) = old.get(name) else {
                all.push(Change { path: path.clone(), kind: 'A' });
                if meta.is_dir() {
                    self.enter(name)?.added(&path, all)?;
                }
                continue;
            };
            let inside = all.len();
            if meta.is_dir() && was.is_dir() {
                self.enter(name)?.compare(&before.enter(name)?, &path, all)?;
            } else if meta.is_dir() {
                self.enter(name)?.added(&path, all)?;
            }
            if !alike(was, meta) || all.len() > inside {
                all.push(Change { path, kind: 'C' });
            }
        }
        Ok(())
    }

    fn added(&self, here: &Path, all: &mut Vec<Change>) -> io::Result<()> {
        for (name, meta) in self.entries()? {
            let path = here.join(&name);
            all.push(Change { path: path.clone(), kind: 'A' });
            if meta.is_dir() {
                self.enter(&name)?.added(&path, all)?;
            }
        }
        Ok(())
    }

    /// Whether there is anything in a folder.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(std::fs::read_dir(self.at(OsStr::new(".")))?.next().is_none())
    }

    /// Bytes of all that is below, each file once.
    pub fn size(&self) -> io::Result<u64> {
        let mut seen = std::collections::HashSet::new();
        self.add_up(&mut seen)
    }

    fn add_up(&self, seen: &mut std::collections::HashSet<(u64, u64)>) -> io::Result<u64> {
        let mut sum = 0;
        for (name, meta) in self.entries()? {
            if meta.is_dir() {
                sum += self.enter(&name).and_then(|folder| folder.add_up(seen)).unwrap_or(0);
            } else if meta.nlink() == 1 || seen.insert((meta.dev(), meta.ino())) {
                sum += meta.len();
            }
        }
        Ok(sum)
    }
}

/// Times of a folder say nothing: they change with what is in it.
fn alike(a: &Metadata, b: &Metadata) -> bool {
    let who = |m: &Metadata| (m.mode(), m.uid(), m.gid(), m.rdev());
    who(a) == who(b)
        && (a.is_dir() || (a.len(), a.mtime(), a.mtime_nsec()) == (b.len(), b.mtime(), b.mtime_nsec()))
}

/// Between looking and opening it became something else.
fn has_changed(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::NotFound
        || [libc::ENOTDIR, libc::ELOOP, libc::ENXIO].iter().any(|c| code == Some(*c))
}

fn remove_all(folder: &Tree, name: &OsStr) -> io::Result<()> {
    let inner = folder.enter(name)?;
    for (child, meta) in inner.entries()? {
        match meta.is_dir() {
            true => remove_all(&inner, &child)?,
            false => std::fs::remove_file(inner.at(&child))?,
        }
    }
    std::fs::remove_dir(folder.at(name))
}

fn header(meta: &Metadata, kind: tar::EntryType) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(meta.mode() & 0o7777);
    header.set_uid(meta.uid().into());
    header.set_gid(meta.gid().into());
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

fn modified(header: &tar::Header) -> Timespec {
    Timespec { tv_sec: header.mtime().ok().and_then(|t| i64::try_from(t).ok()).unwrap_or(0), tv_nsec: 0 }
}

fn device(header: &tar::Header) -> io::Result<u64> {
    let number = |part: io::Result<Option<u32>>| part.map(Option::unwrap_or_default);
    Ok(rustix::fs::makedev(number(header.device_major())?, number(header.device_minor())?))
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

/// Without a leading slash and without `.`; never empty.
fn relative(path: &Path) -> PathBuf {
    let path: PathBuf =
        path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir)).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

/// The components, last first.
fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir))
        .map(|c| c.as_os_str().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn archive(tree: &Tree, path: &str, name: &str) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        tree.pack(Path::new(path), Path::new(name), &mut builder).unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn links_stay_inside() {
        let root = tempfile::tempdir().unwrap();
        let at = |p: &str| root.path().join(p);
        fs::create_dir_all(at("real/sub")).unwrap();
        symlink("/real", at("absolute")).unwrap();
        symlink("../../../etc", at("real/up")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let tree = Tree::open(root.path()).unwrap();
        assert_eq!(tree.resolve(Path::new("/absolute/sub")), Path::new("/real/sub"));
        assert_eq!(tree.resolve(Path::new("/real/up/passwd")), Path::new("/etc/passwd"));
        assert_eq!(tree.resolve(Path::new("/../x")), Path::new("/x"));
        assert!(tree.folder(Path::new("/absolute/sub")).is_ok());
        assert!(tree.file(Path::new("/real/up/passwd")).is_err(), "there is no /etc in the tree");
        assert!(tree.stat(Path::new("absolute")).unwrap().is_symlink());
        assert!(tree.stat(Path::new("/loop/x")).is_err());
    }

    #[test]
    fn a_tree_comes_back() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |p: &str| from.path().join(p);
        fs::create_dir_all(at("d/e")).unwrap();
        fs::write(at("d/f"), "text").unwrap();
        fs::hard_link(at("d/f"), at("d/g")).unwrap();
        symlink("f", at("d/l")).unwrap();
        fs::write(at("d/e").join("n".repeat(150)), "").unwrap();
        let bytes = archive(&Tree::open(from.path()).unwrap(), "/d", "new");
        let tree = Tree::open(to.path()).unwrap();
        let own = Unpack { keep_owner: true, ..Unpack::default() };
        assert!(tree.unpack(Path::new("/"), bytes.as_slice(), own).unwrap().is_empty());
        assert_eq!(fs::read_to_string(to.path().join("new/f")).unwrap(), "text");
        assert_eq!(fs::metadata(to.path().join("new/g")).unwrap().nlink(), 2);
        assert_eq!(fs::read_link(to.path().join("new/l")).unwrap(), Path::new("f"));
        assert!(to.path().join("new/e").join("n".repeat(150)).exists());
        // Four bytes of a file, one of a link.
        assert_eq!(tree.size().unwrap(), 5);
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
    fn what_changed() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [&old, &new] {
            fs::create_dir_all(root.path().join("same/deep")).unwrap();
            fs::create_dir_all(root.path().join("touched")).unwrap();
        }
        fs::write(old.path().join("gone"), "").unwrap();
        fs::create_dir_all(new.path().join("fresh/in")).unwrap();
        fs::write(new.path().join("touched/file"), "").unwrap();
        let changes = Tree::open(new.path()).unwrap().changes(&Tree::open(old.path()).unwrap()).unwrap();
        let text: Vec<String> = changes.iter().map(|c| format!("{} {}", c.kind, c.path.display())).collect();
        assert_eq!(text, ["A /fresh", "A /fresh/in", "D /gone", "C /touched", "A /touched/file"]);
    }
}
