//! A directory tree that somebody else may change meanwhile. Every step goes through a descriptor of a folder, so that no
//! symbolic link and no race leads out of the tree (openat2(2), `RESOLVE_IN_ROOT`).
//!
//! Files go from a tree or an archive into an archive or a tree, by one routine with two kinds of ends:
//!
//! ```text
//! a tree     ── walk ───┐                                       ┌── pack ──> an archive
//!                       ├── node (all that is kept) + content ──┤
//! an archive ── unpack ─┘                                       └── place ─> a tree
//! ```

mod compare;
mod copy;
mod node;
mod pack;
mod place;
mod unpack;
mod walk;

pub use compare::Change;
pub use place::{Owner, Unpack};
pub use unpack::decimal_time;

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::collections::{BTreeMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// Largest number of symbolic links in one path (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The root of a tree, or a folder in it.
#[derive(Debug)]
pub struct Tree(OwnedFd);

/// The outcome of files that went from one place to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Files that were left out, in words.
    pub left_out: Vec<String>,
    /// Bytes of the archive that are extended headers.
    pub extended: u64,
}

/// The way to open folders: going through one takes no right to list it.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Tree {
    /// The tree below a folder.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self(rustix::fs::open(root, FOLDER, Mode::empty())?))
    }

    /// A name in this folder, for calls that do not follow it. The folder itself cannot be exchanged: the path goes by the
    /// descriptor.
    fn at(&self, name: &OsStr) -> PathBuf {
        Path::new("/proc/self/fd").join(self.0.as_raw_fd().to_string()).join(name)
    }

    fn enter(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self(openat2(&self.0, name, FOLDER | OFlags::NOFOLLOW, Mode::empty(), ResolveFlags::BENEATH)?))
    }

    /// A folder of the tree; links on the way are followed inside the tree.
    pub fn folder(&self, path: &Path) -> io::Result<Self> {
        Ok(Self(openat2(&self.0, relative(path), FOLDER, Mode::empty(), ResolveFlags::IN_ROOT)?))
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

    /// Properties of a path; a link at its end is not followed.
    pub fn stat(&self, path: &Path) -> io::Result<Metadata> {
        match self.parent(path)? {
            Some((folder, name)) => std::fs::symlink_metadata(folder.at(&name)),
            None => self.own(),
        }
    }

    fn own(&self) -> io::Result<Metadata> {
        std::fs::metadata(self.at(OsStr::new(".")))
    }

    /// The path without links, each followed inside the tree; a part that is not there is taken as it is written.
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

    /// Names in this folder, sorted, with their properties. Files that go away meanwhile are left out.
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

    /// Whether there is anything in a folder.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(std::fs::read_dir(self.at(OsStr::new(".")))?.next().is_none())
    }

    /// Size of all files below, each once, in bytes.
    pub fn size(&self) -> io::Result<u64> {
        let mut seen = HashSet::new();
        self.add_up(&mut seen)
    }

    fn add_up(&self, seen: &mut HashSet<(u64, u64)>) -> io::Result<u64> {
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

/// A path without a leading slash and without `.`; never empty.
fn relative(path: &Path) -> PathBuf {
    let path: PathBuf =
        path.components().filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir)).collect();
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path }
}

/// The components of a path, last first.
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
    use std::os::unix::fs::symlink;

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
}
