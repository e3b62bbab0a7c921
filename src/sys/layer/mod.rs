//! The files of an image's layer, written into the folder that a snapshot keeps them in. What comes is hostile: every step
//! goes through a descriptor of a folder that was opened without following links, and a link on a path is followed inside
//! the tree only.
//!
//! ```text
//! Layer ── Folders (folders.rs)  the way to the folder of an entry; made, or copied up from the layers below
//!       ├─ remove.rs             what is replaced goes away
//!       ├─ whiteout.rs           what the layer takes away of the layers below
//!       └─ dress.rs              owner, attributes, mode, times
//! ```
//!
//! The outcome is what containerd's own applier leaves: for a plain folder and as root in an overlay's upper folder; in a
//! user namespace what an overlay shows that was written through.

mod dress;
mod folders;
mod remove;
#[cfg(test)]
mod tests;
mod whiteout;

use folders::{Folders, Missing};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, Timespec, Timestamps, linkat, mkdirat, mknodat, openat, symlinkat,
};
use rustix::io::Errno;
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The longest path that Linux takes.
const LONGEST_PATH: usize = 4096;
/// The beginning of names that take something of the layers below away.
const WHITEOUT: &[u8] = b".wh.";
/// The name that takes all of the layers below in its folder away.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The place of a layer's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ground {
    /// The folder to write into.
    pub folder: PathBuf,
    /// The way in which something of the layers below is taken away.
    pub whiteouts: Whiteouts,
    /// False in a user namespace, where no device can be made: entries of devices are left out.
    pub devices: bool,
}

/// Ways to take something of the layers below away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whiteouts {
    /// The files of all layers are in one folder: it is removed there.
    Removal,
    /// The folder is an overlay's upper one.
    Overlay {
        /// The overlay's lower folders, the uppermost first.
        lower: Vec<PathBuf>,
        /// The attribute that says that nothing of the lower folders is seen in a folder.
        opaque: &'static str,
        /// True when a symbolic link of a lower folder on a path is followed, as by one who writes through the overlay.
        through: bool,
    },
}

/// The attribute of an overlay that is mounted with `userxattr`.
pub const USER_OPAQUE: &str = "user.overlay.opaque";
/// The attribute of any other overlay.
pub const TRUSTED_OPAQUE: &str = "trusted.overlay.opaque";

/// A file of a layer, but for its content.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Path in the layer, as the archive has it.
    pub path: Vec<u8>,
    /// What the file is.
    pub kind: Kind,
    /// Permission bits, set-ID and sticky bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Times of the last access and of the last change of its content.
    pub times: (Timespec, Timespec),
    /// Extended attributes: name and value.
    pub attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Kinds of files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File {
        /// Length in bytes.
        size: u64,
        /// Places and lengths of its parts, when its content has only those; holes are between them.
        parts: Option<Vec<(u64, u64)>>,
    },
    /// A symbolic link and what it says.
    Symlink(Vec<u8>),
    /// A further name of a file; the path is from the root of the layer.
    HardLink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device by its number.
    Char(u64),
    /// A block device by its number.
    Block(u64),
}

/// A layer that is written.
pub struct Layer {
    folders: Folders,
    /// Folders get their times last: what is made in a folder changes its time.
    times: Vec<(PathBuf, Timestamps)>,
    /// Paths of what was made, where that cannot be told from what was there before.
    made: Option<HashSet<PathBuf>>,
    devices: bool,
}

impl Layer {
    /// Begins to write.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn open(ground: Ground) -> io::Result<Self> {
        let Ground { folder, whiteouts, devices } = ground;
        let plain = whiteouts == Whiteouts::Removal;
        let folders = Folders::open(&folder, whiteouts)?;
        let made = (plain && !remove::is_empty(&folders.top().fd)?).then(HashSet::new);
        Ok(Self { folders, times: Vec::new(), made, devices })
    }

    /// Writes a file, whose content comes from `content`.
    ///
    /// # Errors
    /// What the kernel says; `InvalidData`: the layer says something that cannot be.
    pub fn put(&mut self, entry: &Entry, content: &mut dyn BufRead) -> io::Result<()> {
        self.write(entry, content).map_err(|error| {
            let path = String::from_utf8_lossy(&entry.path);
            io::Error::new(error.kind(), format!("{path}: {}", words(&error)))
        })
    }

    fn write(&mut self, entry: &Entry, content: &mut dyn BufRead) -> io::Result<()> {
        if !self.devices && matches!(entry.kind, Kind::Char(_) | Kind::Block(_)) {
            return Ok(());
        }
        let Some((above, name)) = split(&entry.path)? else { return Ok(()) };
        self.folders.enter(&above, Missing::IsMade)?;
        if name.as_bytes() == OPAQUE {
            return self.make_opaque();
        }
        if let Some(original) = name.as_bytes().strip_prefix(WHITEOUT) {
            if matches!(original, b"" | b"." | b"..") {
                return Err(invalid("not a name that a layer can take away"));
            }
            return self.take_away(OsStr::from_bytes(original), entry);
        }
        match &entry.kind {
            Kind::Folder => self.folder(&name, entry)?,
            kind => {
                self.make(&name, entry, kind, content)?;
                self.folders.forget(&name);
            }
        }
        if let Some(made) = &mut self.made {
            made.insert(self.folders.path().join(&name));
        }
        Ok(())
    }

    /// A folder; one that is there stays, with the properties of the entry.
    fn folder(&mut self, name: &OsStr, entry: &Entry) -> io::Result<()> {
        let mode = Mode::from_raw_mode(0o700);
        match mkdirat(self.folders.here(), name, mode) {
            Ok(()) => self.folders.dress_like_below(name)?,
            Err(Errno::EXIST) if remove::is_folder(self.folders.here(), name)? => {}
            Err(Errno::EXIST) => {
                remove::all(self.folders.here(), name)?;
                mkdirat(self.folders.here(), name, mode)?;
                self.folders.hide_below(name)?;
            }
            Err(error) => return Err(error.into()),
        }
        let times = dress::at(self.folders.here(), name, entry, self.folders.escape())?;
        self.times.push((self.folders.path().join(name), times));
        Ok(())
    }

    /// Anything else; what is there goes away.
    fn make(
        &mut self,
        name: &OsStr,
        entry: &Entry,
        kind: &Kind,
        content: &mut dyn BufRead,
    ) -> io::Result<()> {
        let make = |layer: &mut Self, content: &mut dyn BufRead| -> io::Result<()> {
            match kind {
                Kind::File { size, parts } => {
                    return layer.file(name, entry, *size, parts.as_deref(), content);
                }
                Kind::Symlink(target) => symlinkat(target.as_slice(), layer.folders.here(), name)?,
                Kind::HardLink(first) => layer.hard_link(first, entry, name)?,
                Kind::Fifo => layer.device(name, FileType::Fifo, 0)?,
                Kind::Char(number) => layer.device(name, FileType::CharacterDevice, *number)?,
                Kind::Block(number) => layer.device(name, FileType::BlockDevice, *number)?,
                Kind::Folder => {}
            }
            dress::at(layer.folders.here(), name, entry, layer.folders.escape()).map(drop)
        };
        match make(self, content) {
            Err(error) if error.raw_os_error() == Some(Errno::EXIST.raw_os_error()) => {
                remove::all(self.folders.here(), name)?;
                self.folders.forget(name);
                make(self, content)
            }
            made => made,
        }
    }

    fn device(&self, name: &OsStr, kind: FileType, number: u64) -> io::Result<()> {
        Ok(mknodat(self.folders.here(), name, kind, Mode::from_raw_mode(0o600), number)?)
    }

    /// A further name of a file of this layer, or of the layers below where those are written through.
    fn hard_link(&mut self, first: &[u8], entry: &Entry, name: &OsStr) -> io::Result<()> {
        let Some((above, target)) = split(first)? else { return Err(invalid("a hard link to the root")) };
        let Some((own, _)) = split(&entry.path)? else { return Ok(()) };
        // The name itself goes away first: a link to itself is one to nothing.
        if remove::exists(self.folders.here(), name)? {
            return Err(Errno::EXIST.into());
        }
        self.folders.enter(&above, Missing::IsCopied)?;
        self.folders.copy_up(&target)?;
        let other = self.folders.here().try_clone_to_owned()?;
        self.folders.enter(&own, Missing::IsMade)?;
        Ok(linkat(&other, &target, self.folders.here(), name, AtFlags::empty())?)
    }

    fn file(
        &self,
        name: &OsStr,
        entry: &Entry,
        size: u64,
        parts: Option<&[(u64, u64)]>,
        content: &mut dyn BufRead,
    ) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = File::from(openat(self.folders.here(), name, flags, Mode::from_raw_mode(0o600))?);
        match parts {
            None => Self::pour(content, size, |bytes, _| (&file).write_all(bytes))?,
            Some(parts) => {
                for (start, length) in parts {
                    Self::pour(content, *length, |bytes, at| file.write_all_at(bytes, start + at))?;
                }
                file.set_len(size)?;
            }
        }
        dress::open(&file, entry, self.folders.escape())
    }

    /// Hands so many bytes on, with the number of those before.
    fn pour(
        content: &mut dyn BufRead,
        size: u64,
        mut write: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut done = 0;
        while done < size {
            let bytes = content.fill_buf()?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let length = usize::try_from(size - done).map_or(bytes.len(), |left| left.min(bytes.len()));
            write(&bytes[..length], done)?;
            content.consume(length);
            done += length as u64;
        }
        Ok(())
    }

    /// Completes the folders.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn finish(self) -> io::Result<()> {
        for (path, times) in &self.times {
            self.folders.set_times(path, times)?;
        }
        Ok(())
    }
}

/// The folder and the name of a path from the archive; `None`: the path is the root. Steps up end at the root.
fn split(path: &[u8]) -> io::Result<Option<(PathBuf, OsString)>> {
    if path.len() > LONGEST_PATH {
        return Err(Errno::NAMETOOLONG.into());
    }
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    let name = parts.pop().map(|name| OsStr::from_bytes(name).to_owned());
    Ok(name.map(|name| (parts.into_iter().map(OsStr::from_bytes).collect(), name)))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// An error in words, as Go's programs have them: those around containerd know these.
pub fn words(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return "unexpected EOF".to_owned();
    }
    let text = error.to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}
