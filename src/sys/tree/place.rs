//! Makes files in a tree.

use super::Tree;
use super::node::{Kind, Node, Sink, by_descriptor};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Timestamps, Uid, XattrFlags, chmod, chownat,
    linkat, mknodat, openat2, setxattr, utimensat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

/// Size of one read of content, in bytes.
const BUFFER: usize = 128 << 10;

/// Choices for unpacking an archive.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unpack {
    /// The owner of the files that are made.
    pub owner: Owner,
    /// True when a folder is not replaced by something else, nor the other way round.
    pub no_overwrite_dir_non_dir: bool,
}

/// A new file's owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Owner {
    /// The one that the archive names, as far as this process may give files away.
    Kept,
    /// Root.
    #[default]
    Root,
    /// The user that this process runs as.
    Caller,
}

/// A sink that makes nodes below a folder.
pub(super) struct Place {
    base: Tree,
    how: Unpack,
    /// Folders get their modes and times last: a mode may forbid to write, and what is made in a folder changes its time.
    folders: Vec<(PathBuf, Node)>,
    left_out: Vec<String>,
    buffer: Vec<u8>,
}

impl Place {
    pub(super) fn new(base: Tree, how: Unpack) -> Self {
        Self { base, how, folders: Vec::new(), left_out: Vec::new(), buffer: vec![0; BUFFER] }
    }

    /// Completes the folders. Answers the files that were left out, in words.
    pub(super) fn finish(mut self) -> io::Result<Vec<String>> {
        for (path, node) in std::mem::take(&mut self.folders).into_iter().rev() {
            // Somebody else may have removed the folder meanwhile.
            if let Ok(folder) = self.base.folder(&path) {
                self.dress(&folder.0, &path, &node)?;
            }
        }
        Ok(self.left_out)
    }

    /// Removes a file or folder that is in the way of a node. True: the node is a folder, and one is there already.
    fn make_room(&self, folder: &Tree, last: &OsStr, path: &Path, node: &Node) -> io::Result<bool> {
        let before = match std::fs::symlink_metadata(folder.at(last)) {
            Ok(meta) => meta,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let (was, is) = (before.is_dir(), node.kind == Kind::Folder);
        if was != is && self.how.no_overwrite_dir_non_dir && !before.is_symlink() {
            let text = match was {
                true => "cannot overwrite directory with non-directory",
                false => "cannot overwrite non-directory with directory",
            };
            return Err(invalid(format!("{text}: {}", path.display())));
        }
        match (was, is) {
            (true, true) => return Ok(true),
            (true, false) => remove_all(folder, last)?,
            (false, _) => std::fs::remove_file(folder.at(last))?,
        }
        Ok(false)
    }

    fn device(&mut self, folder: &Tree, last: &OsStr, path: &Path, node: &Node) -> io::Result<bool> {
        let (kind, device) = match node.kind {
            Kind::Char(device) => (FileType::CharacterDevice, device),
            Kind::Block(device) => (FileType::BlockDevice, device),
            _ => (FileType::Fifo, 0),
        };
        match mknodat(&folder.0, last, kind, Mode::from_raw_mode(node.mode), device) {
            Ok(()) => Ok(true),
            // Devices are not for everybody.
            Err(error) if kind != FileType::Fifo => {
                let error = io::Error::from(error);
                self.left_out.push(format!("{}: cannot make the device: {error}", path.display()));
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    fn pour(&mut self, content: &mut dyn Read, mut file: std::fs::File) -> io::Result<()> {
        loop {
            match content.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => file.write_all(&self.buffer[..length])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives an open file the owner, the mode, the attributes and the time of its node. Paths go by the descriptor, which may
    /// be of a symbolic link.
    fn dress(&mut self, file: &OwnedFd, path: &Path, node: &Node) -> io::Result<()> {
        let owner = match self.how.owner {
            Owner::Kept => Some((node.uid, node.gid)),
            Owner::Root => Some((0, 0)),
            Owner::Caller => None,
        };
        if let Some((uid, gid)) = owner {
            match own(file, uid, gid) {
                // Nobody of that name exists in this user namespace.
                Err(Errno::INVAL) => own(file, 0, 0)?,
                // An ordinary user gives nothing away.
                Err(Errno::PERM) if self.how.owner == Owner::Kept => {}
                answer => answer?,
            }
        }
        let itself = by_descriptor(file);
        if !matches!(node.kind, Kind::Symlink(_)) {
            // After the owner, because changing that drops set-user-ID; and capabilities.
            chmod(&itself, Mode::from_raw_mode(node.mode))?;
            for (name, value) in &node.attributes {
                if let Err(error) = setxattr(&itself, name.as_str(), value, XattrFlags::empty()) {
                    let error = io::Error::from(error);
                    self.left_out
                        .push(format!("{}: cannot keep the attribute {name}: {error}", path.display()));
                }
            }
        }
        let times = Timestamps { last_access: node.modified, last_modification: node.modified };
        Ok(utimensat(CWD, &itself, &times, AtFlags::empty())?)
    }
}

impl Sink for Place {
    fn put(&mut self, path: &Path, node: &Node, content: &mut dyn Read) -> io::Result<()> {
        let Some(last) = path.file_name() else {
            self.folders.push((PathBuf::from("."), node.clone()));
            return Ok(());
        };
        let above = path.parent().unwrap_or(Path::new(""));
        self.base.make_folders(above)?;
        let folder = self.base.folder(above)?;
        let there = self.make_room(&folder, last, path, node)?;
        match &node.kind {
            Kind::Folder => {
                if !there {
                    std::fs::DirBuilder::new().mode(node.mode | 0o700).create(folder.at(last))?;
                }
                self.folders.push((path.to_owned(), node.clone()));
                return Ok(());
            }
            Kind::HardLink(first) => {
                let (other, first) =
                    self.base.parent(first)?.ok_or_else(|| invalid("a hard link to the root".to_owned()))?;
                linkat(&other.0, &first, &folder.0, last, AtFlags::empty())?;
                return Ok(());
            }
            Kind::File(_) => {
                let file = std::fs::OpenOptions::new().write(true).create_new(true).open(folder.at(last))?;
                self.pour(content, file)?;
            }
            Kind::Symlink(target) => symlink(target, folder.at(last))?,
            Kind::Fifo | Kind::Char(_) | Kind::Block(_) => {
                if !self.device(&folder, last, path, node)? {
                    return Ok(());
                }
            }
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat2(&folder.0, last, flags, Mode::empty(), ResolveFlags::BENEATH)?;
        self.dress(&made, path, node)
    }
}

fn own(file: &OwnedFd, uid: u32, gid: u32) -> rustix::io::Result<()> {
    chownat(file, c"", Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), AtFlags::EMPTY_PATH)
}

fn remove_all(folder: &Tree, name: &OsStr) -> io::Result<()> {
    let inner = folder.enter(name)?;
    for (child, meta) in inner.entries()? {
        match Metadata::is_dir(&meta) {
            true => remove_all(&inner, &child)?,
            false => std::fs::remove_file(inner.at(&child))?,
        }
    }
    std::fs::remove_dir(folder.at(name))
}

pub(super) fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
