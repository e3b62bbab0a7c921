//! Properties of a file that go with it from one place to another: all but its content.

use rustix::fs::{Timespec, getxattr, listxattr, listxattr_query};
use rustix::io::Errno;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A file of whatever kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Permission bits, set-ID and sticky bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Time of the last change of its content.
    pub(super) modified: Timespec,
    /// Extended attributes that `is_kept`: name and value.
    pub(super) attributes: Vec<(String, Vec<u8>)>,
}

/// Kinds of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Folder,
    /// A regular file of so many bytes.
    File(u64),
    /// A symbolic link and what it says.
    Symlink(PathBuf),
    /// A further name of a file that came before; the path is from the same root.
    HardLink(PathBuf),
    Fifo,
    /// A character device by its number.
    Char(u64),
    /// A block device by its number.
    Block(u64),
}

/// A place that nodes go to.
pub(super) trait Sink {
    /// Takes a node. `path` is relative, and empty for the root itself; `content` is that of a regular file, as long as the
    /// node says, else empty. The folders above a path come before it, or are made.
    fn put(&mut self, path: &Path, node: &Node, content: &mut dyn Read) -> io::Result<()>;
}

impl Node {
    /// A node of a kind, with what is known of the file and no attributes.
    pub(super) fn new(kind: Kind, meta: &Metadata) -> Self {
        Self {
            kind,
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
            modified: Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() },
            attributes: Vec::new(),
        }
    }

    /// The node with the attributes of an open file or folder.
    pub(super) fn with_attributes(mut self, file: impl AsFd) -> io::Result<Self> {
        self.attributes = attributes(file)?;
        Ok(self)
    }
}

/// True for attributes that go with a file: capabilities of programs, and users' notes. Any other belongs to the file
/// system that the file is on.
pub(super) fn is_kept(name: &str) -> bool {
    name == "security.capability" || name.starts_with("user.")
}

fn attributes(file: impl AsFd) -> io::Result<Vec<(String, Vec<u8>)>> {
    // A descriptor of a folder may be good for its path alone.
    let file = by_descriptor(&file);
    let mut names = match listxattr_query(&file) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Ok(length) => vec![0; length],
        Err(error) => return Err(error.into()),
    };
    let length = listxattr(&file, &mut names[..])?;
    let mut all = Vec::new();
    for name in names[..length].split(|byte| *byte == 0) {
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| is_kept(name)) else { continue };
        // The longest that Linux takes (xattr(7)).
        let mut value = vec![0; 64 << 10];
        match getxattr(&file, name, &mut value[..]) {
            Ok(length) => value.truncate(length),
            // The attribute is gone.
            Err(Errno::NODATA) => continue,
            Err(error) => return Err(error.into()),
        }
        all.push((name.to_owned(), value));
    }
    Ok(all)
}

/// The path of an open file itself, of whatever kind it is.
pub(super) fn by_descriptor(file: impl AsFd) -> PathBuf {
    Path::new("/proc/self/fd").join(file.as_fd().as_raw_fd().to_string())
}

/// The error with the path in front.
pub(super) fn named(path: &Path) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
