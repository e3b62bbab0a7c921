//! The way to the folders of a layer, and what the layers below have there.
//!
//! The folders from the top to the last entry's stay open, since an archive's neighbours are in the same folder mostly.
//! Lower folders are those of snapshots that are complete: nobody changes them.

use super::dress::{Escape, by_name};
use super::remove::{self, FOLDER, look};
use super::{USER_OPAQUE, Whiteouts};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
    chmodat, chownat, fsetxattr, fstat, futimens, lgetxattr, llistxattr, lsetxattr, mkdirat, mknodat, openat,
    openat2, readlinkat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// Most symbolic links on one path.
const MOST_LINKS: usize = 255;
/// Longest names and longest value of attributes (xattr(7)).
const LONGEST_ATTRIBUTE: usize = 64 << 10;

/// A folder on the way.
pub(super) struct Level {
    pub(super) fd: OwnedFd,
    name: OsString,
    /// Indices of the lower folders that are seen in this one, once it was asked for them.
    lower: Option<Vec<usize>>,
}

/// What becomes of folders of a path that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// They are made.
    IsMade,
    /// They are made if a lower folder has them and is written through.
    IsCopied,
}

/// What is seen of a name in the lower folders, with the index of the folder that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Below {
    Nothing,
    Folder(usize),
    Link(usize, PathBuf),
    Other(usize),
}

enum Step {
    In(OwnedFd),
    Link(PathBuf),
}

/// The open folders.
pub(super) struct Folders {
    /// The top, then folders that are inside each other.
    levels: Vec<Level>,
    /// Index of the folder that was entered.
    depth: usize,
    /// The path that was entered, as it was asked for.
    asked: Option<PathBuf>,
    lower: Vec<PathBuf>,
    opaque: Option<&'static str>,
    through: bool,
}

impl Folders {
    pub(super) fn open(top: &Path, whiteouts: Whiteouts) -> io::Result<Self> {
        let fd = openat(CWD, top, FOLDER, Mode::empty())?;
        let (lower, opaque, through) = match whiteouts {
            Whiteouts::Removal => (Vec::new(), None, false),
            Whiteouts::Overlay { lower, opaque, through } => (lower, Some(opaque), through),
        };
        let top = Level { fd, name: OsString::new(), lower: Some((0..lower.len()).collect()) };
        Ok(Self { levels: vec![top], depth: 0, asked: None, lower, opaque, through })
    }

    pub(super) fn top(&self) -> &Level {
        &self.levels[0]
    }

    pub(super) fn is_top(&self) -> bool {
        self.depth == 0
    }

    /// The folder that was entered.
    pub(super) fn here(&self) -> BorrowedFd<'_> {
        self.levels[self.depth].fd.as_fd()
    }

    /// Its path from the top, without links.
    pub(super) fn path(&self) -> PathBuf {
        self.levels[1..=self.depth].iter().map(|level| &level.name).collect()
    }

    pub(super) fn escape(&self) -> Escape {
        if self.opaque == Some(USER_OPAQUE) { Escape::OverlaysOwn } else { Escape::Never }
    }

    /// A name of this folder is another file now.
    pub(super) fn forget(&mut self, name: &OsStr) {
        if self.levels.get(self.depth + 1).is_some_and(|level| level.name == name) {
            self.forget_all();
        }
    }

    /// What is below this folder may be other files now.
    pub(super) fn forget_all(&mut self) {
        self.levels.truncate(self.depth + 1);
    }

    /// Goes to a folder. Links on the way are followed inside the tree.
    pub(super) fn enter(&mut self, path: &Path, missing: Missing) -> io::Result<()> {
        if self.asked.as_deref() == Some(path) {
            return Ok(());
        }
        self.asked = None;
        let mut todo = parts(path);
        let (mut depth, mut links) = (0_usize, 0);
        while let Some(part) = todo.pop() {
            if part == ".." {
                depth = depth.saturating_sub(1);
                continue;
            }
            if self.levels.get(depth + 1).is_some_and(|level| level.name == part) {
                depth += 1;
                continue;
            }
            self.depth = depth;
            self.forget_all();
            match self.step(&part, missing)? {
                Step::In(fd) => {
                    self.levels.push(Level { fd, name: part, lower: None });
                    depth += 1;
                }
                Step::Link(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    if target.is_absolute() {
                        depth = 0;
                    }
                    todo.extend(parts(&target));
                }
            }
        }
        self.depth = depth;
        self.asked = Some(path.to_owned());
        Ok(())
    }

    fn step(&mut self, name: &OsStr, missing: Missing) -> io::Result<Step> {
        match openat(self.here(), name, FOLDER, Mode::empty()) {
            Ok(fd) => return Ok(Step::In(fd)),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => {
                let stat = look(self.here(), name)?.ok_or(Errno::NOENT)?;
                if remove::kind(&stat) == FileType::Symlink {
                    let target = readlinkat(self.here(), name, Vec::new())?;
                    return Ok(Step::Link(OsStr::from_bytes(target.to_bytes()).into()));
                }
                if !self.is_whiteout(&stat) {
                    return Err(Errno::NOTDIR.into());
                }
                if missing == Missing::IsCopied {
                    return Err(Errno::NOENT.into());
                }
                unlinkat(self.here(), name, AtFlags::empty())?;
                let fd = self.make(name)?;
                self.hide_below(name)?;
                return Ok(Step::In(fd));
            }
            Err(error) => return Err(error.into()),
        }
        let below = self.below(name)?;
        if missing == Missing::IsCopied
            && !(self.through && matches!(below, Below::Folder(_) | Below::Link(..)))
        {
            return Err(Errno::NOENT.into());
        }
        match below {
            Below::Folder(index) => {
                let times = self.times()?;
                let fd = self.make(name)?;
                self.dress_like(name, &self.in_lower(index, name))?;
                self.keep(&times)?;
                Ok(Step::In(fd))
            }
            Below::Link(_, target) if self.through => Ok(Step::Link(target)),
            Below::Other(_) if self.through => Err(Errno::NOTDIR.into()),
            Below::Nothing | Below::Link(..) | Below::Other(_) => Ok(Step::In(self.make(name)?)),
        }
    }

    fn make(&self, name: &OsStr) -> io::Result<OwnedFd> {
        let mode = Mode::from_raw_mode(0o755);
        mkdirat(self.here(), name, mode)?;
        chmodat(self.here(), name, mode, AtFlags::empty())?;
        Ok(openat(self.here(), name, FOLDER, Mode::empty())?)
    }

    fn is_whiteout(&self, stat: &Stat) -> bool {
        self.opaque.is_some() && remove::kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
    }

    /// The path of a name of this folder in a lower folder.
    fn in_lower(&self, index: usize, name: &OsStr) -> PathBuf {
        self.lower[index].join(self.path()).join(name)
    }

    /// The lower folders that are seen in this folder.
    fn seen(&mut self) -> io::Result<Vec<usize>> {
        for depth in 1..=self.depth {
            if self.levels[depth].lower.is_some() {
                continue;
            }
            let mut seen = Vec::new();
            if !self.is_opaque(&by_name(self.levels[depth - 1].fd.as_fd(), &self.levels[depth].name)) {
                let path: PathBuf = self.levels[1..=depth].iter().map(|level| &level.name).collect();
                for index in self.levels[depth - 1].lower.iter().flatten() {
                    let path = self.lower[*index].join(&path);
                    match metadata(&path)? {
                        None => {}
                        Some(meta) if meta.is_dir() => {
                            seen.push(*index);
                            if self.is_opaque(&path) {
                                break;
                            }
                        }
                        Some(_) => break,
                    }
                }
            }
            self.levels[depth].lower = Some(seen);
        }
        Ok(self.levels[self.depth].lower.clone().unwrap_or_default())
    }

    fn is_opaque(&self, path: &Path) -> bool {
        let mut value = [0; 1];
        self.opaque.is_some_and(|name| lgetxattr(path, name, &mut value) == Ok(1) && value == *b"y")
    }

    /// What the lower folders show of a name.
    pub(super) fn below(&mut self, name: &OsStr) -> io::Result<Below> {
        if self.lower.is_empty() {
            return Ok(Below::Nothing);
        }
        for index in self.seen()? {
            let path = self.in_lower(index, name);
            let Some(meta) = metadata(&path)? else { continue };
            let kind = meta.file_type();
            return Ok(match () {
                () if kind.is_char_device() && meta.rdev() == 0 => Below::Nothing,
                () if kind.is_dir() => Below::Folder(index),
                () if kind.is_symlink() => Below::Link(index, std::fs::read_link(&path)?),
                () => Below::Other(index),
            });
        }
        Ok(Below::Nothing)
    }

    /// Names that the lower folders show.
    pub(super) fn names_below(&mut self) -> io::Result<BTreeSet<OsString>> {
        let mut names = BTreeSet::new();
        for index in self.seen()? {
            for entry in std::fs::read_dir(self.lower[index].join(self.path()))? {
                names.insert(entry?.file_name());
            }
        }
        let mut shown = BTreeSet::new();
        for name in names {
            if self.below(&name)? != Below::Nothing {
                shown.insert(name);
            }
        }
        Ok(shown)
    }

    /// Nothing of the lower folders is seen in the folder `name` any more.
    pub(super) fn hide_below(&mut self, name: &OsStr) -> io::Result<()> {
        if let Some(opaque) = self.opaque
            && self.below(name)? != Below::Nothing
        {
            lsetxattr(by_name(self.here(), name), opaque, b"y", XattrFlags::empty())?;
        }
        Ok(())
    }

    /// Nothing of the lower folders is seen in this folder any more.
    pub(super) fn hide_below_here(&mut self) -> io::Result<()> {
        if let Some(opaque) = self.opaque {
            fsetxattr(self.here(), opaque, b"y", XattrFlags::empty())?;
            self.levels[self.depth].lower = Some(Vec::new());
            self.forget_all();
        }
        Ok(())
    }

    /// A new folder has the attributes of the one that it is seen over.
    pub(super) fn dress_like_below(&mut self, name: &OsStr) -> io::Result<()> {
        if self.through
            && let Below::Folder(index) = self.below(name)?
        {
            self.copy_attributes(&self.in_lower(index, name), name)?;
        }
        Ok(())
    }

    /// Makes a file of a lower folder one of this folder, where lower folders are written through.
    pub(super) fn copy_up(&mut self, name: &OsStr) -> io::Result<()> {
        if let Some(stat) = look(self.here(), name)? {
            return if self.is_whiteout(&stat) { Err(Errno::NOENT.into()) } else { Ok(()) };
        }
        let times = self.times()?;
        let index = match self.below(name)? {
            Below::Link(index, target) if self.through => {
                symlinkat(&target, self.here(), name)?;
                index
            }
            Below::Other(index) if self.through => {
                let from = self.in_lower(index, name);
                let meta = std::fs::symlink_metadata(&from)?;
                if meta.is_file() {
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                    let file = openat(self.here(), name, flags, Mode::from_raw_mode(0o600))?;
                    io::copy(&mut File::open(&from)?, &mut File::from(file))?;
                } else {
                    let kind = FileType::from_raw_mode(meta.mode());
                    mknodat(self.here(), name, kind, Mode::from_raw_mode(0o600), meta.rdev())?;
                }
                index
            }
            _ => return Ok(()),
        };
        self.dress_like(name, &self.in_lower(index, name))?;
        self.keep(&times)
    }

    /// Times of this folder.
    fn times(&self) -> io::Result<Timestamps> {
        let stat = fstat(self.here())?;
        let time =
            |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds.cast_signed() };
        Ok(Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        })
    }

    /// What was copied up was in this folder before, as one sees who writes through an overlay.
    fn keep(&self, times: &Timestamps) -> io::Result<()> {
        if self.through {
            futimens(self.here(), times)?;
        }
        Ok(())
    }

    fn dress_like(&self, name: &OsStr, other: &Path) -> io::Result<()> {
        let meta = std::fs::symlink_metadata(other)?;
        let owner = (Some(Uid::from_raw(meta.uid())), Some(Gid::from_raw(meta.gid())));
        chownat(self.here(), name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
        self.copy_attributes(other, name)?;
        if !meta.is_symlink() {
            chmodat(self.here(), name, Mode::from_raw_mode(meta.mode() & 0o7777), AtFlags::empty())?;
        }
        let times = Timestamps {
            last_access: Timespec { tv_sec: meta.atime(), tv_nsec: meta.atime_nsec() },
            last_modification: Timespec { tv_sec: meta.mtime(), tv_nsec: meta.mtime_nsec() },
        };
        Ok(utimensat(self.here(), name, &times, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    /// Copies all attributes but those that an overlay or the kernel keeps there.
    fn copy_attributes(&self, from: &Path, name: &OsStr) -> io::Result<()> {
        let mut names = vec![0; LONGEST_ATTRIBUTE];
        let length = match llistxattr(from, &mut names) {
            Ok(length) => length,
            Err(Errno::OPNOTSUPP) => 0,
            Err(error) => return Err(error.into()),
        };
        let own = self.opaque == Some(USER_OPAQUE);
        let path = by_name(self.here(), name);
        for key in names[..length].split(|byte| *byte == 0).filter(|key| !key.is_empty()) {
            if key.starts_with(b"trusted.") || own && key.starts_with(b"user.overlay.") {
                continue;
            }
            let mut value = vec![0; LONGEST_ATTRIBUTE];
            let length = match lgetxattr(from, key, &mut value) {
                Ok(length) => length,
                Err(Errno::OPNOTSUPP | Errno::NODATA) => continue,
                Err(error) => return Err(error.into()),
            };
            match lsetxattr(&path, key, &value[..length], XattrFlags::CREATE) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NODATA | Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Gives a folder its times. One that was replaced has others.
    pub(super) fn set_times(&self, path: &Path, times: &Timestamps) -> io::Result<()> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(&self.top().fd, path, FOLDER, Mode::empty(), resolve) {
            Ok(folder) => Ok(futimens(folder, times)?),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Properties of a path in a lower folder, if there is such a file.
fn metadata(path: &Path) -> io::Result<Option<Metadata>> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => Ok(Some(meta)),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The components of a path, last first.
fn parts(path: &Path) -> Vec<OsString> {
    path.components()
        .rev()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect()
}
