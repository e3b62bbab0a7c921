//! Reads a tree, file by file.

use super::Tree;
use super::node::{Kind, Node, Sink, named};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A walk under way.
struct Walk<'a> {
    sink: &'a mut dyn Sink,
    /// First names of the files that have more than one, by device and inode.
    known: HashMap<(u64, u64), PathBuf>,
    left_out: Vec<String>,
}

impl Tree {
    /// Gives the file or folder at `path`, with all that is below, to `sink` as `name` (empty: as the root). Answers
    /// the files that were left out, in words.
    pub(super) fn walk(&self, path: &Path, name: &Path, sink: &mut dyn Sink) -> io::Result<Vec<String>> {
        let mut walk = Walk { sink, known: HashMap::new(), left_out: Vec::new() };
        match self.parent(path)? {
            Some((folder, last)) => {
                let meta = std::fs::symlink_metadata(folder.at(&last))?;
                walk.one(&folder, &last, &meta, name)?;
            }
            None => walk.folder(self, name)?,
        }
        Ok(walk.left_out)
    }
}

impl Walk<'_> {
    fn folder(&mut self, folder: &Tree, name: &Path) -> io::Result<()> {
        let node = Node::new(Kind::Folder, &folder.own()?).with_attributes(&folder.0).map_err(named(name))?;
        self.sink.put(name, &node, &mut io::empty())?;
        for (child, meta) in folder.entries().map_err(named(name))? {
            self.one(folder, &child, &meta, &name.join(&child))?;
        }
        Ok(())
    }

    fn one(&mut self, above: &Tree, child: &OsStr, meta: &Metadata, name: &Path) -> io::Result<()> {
        let kind = meta.file_type();
        if kind.is_dir() {
            return match above.enter(child) {
                Ok(folder) => self.folder(&folder, name),
                Err(error) if has_changed(&error) => Ok(()),
                Err(error) => Err(error),
            };
        }
        if kind.is_socket() {
            // A socket is nothing without its listener.
            self.left_out.push(format!("archive: skipping {name:?} since it is a socket"));
            return Ok(());
        }
        let file = (meta.dev(), meta.ino());
        if let Some(first) = self.known.get(&file) {
            let node = Node::new(Kind::HardLink(first.clone()), meta);
            return self.sink.put(name, &node, &mut io::empty());
        }
        if kind.is_file() {
            if !self.file(above, child, name)? {
                return Ok(());
            }
        } else {
            let kind = match kind {
                kind if kind.is_symlink() => Kind::Symlink(std::fs::read_link(above.at(child))?),
                kind if kind.is_fifo() => Kind::Fifo,
                kind if kind.is_char_device() => Kind::Char(meta.rdev()),
                _ => Kind::Block(meta.rdev()),
            };
            self.sink.put(name, &Node::new(kind, meta), &mut io::empty())?;
        }
        if meta.nlink() > 1 {
            self.known.insert(file, name.to_owned());
        }
        Ok(())
    }

    /// Gives a regular file to the sink; false: it is no file any more.
    fn file(&mut self, above: &Tree, child: &OsStr, name: &Path) -> io::Result<bool> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = match openat2(&above.0, child, flags, Mode::empty(), ResolveFlags::BENEATH) {
            Ok(file) => File::from(file),
            Err(error) if has_changed(&error.into()) => return Ok(false),
            Err(error) => return Err(named(name)(error.into())),
        };
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(false);
        }
        let node = Node::new(Kind::File(meta.len()), &meta).with_attributes(&file).map_err(named(name))?;
        // The file may become shorter or longer while it is read; the node says how long it is.
        let mut exact = file.take(meta.len()).chain(io::repeat(0)).take(meta.len());
        self.sink.put(name, &node, &mut exact)?;
        Ok(true)
    }
}

/// Whether a file became something else between looking and opening.
fn has_changed(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    error.kind() == io::ErrorKind::NotFound
        || [libc::ENOTDIR, libc::ELOOP, libc::ENXIO].iter().any(|c| code == Some(*c))
}
