//! Removal of what is there.

use super::invalid;
use rustix::fd::AsFd;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, openat, statat, unlinkat};
use rustix::io::Errno;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;

/// The way to open a folder whose descriptor may be used for everything.
pub(super) const FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
/// Most folders inside each other that are removed.
const DEEPEST: usize = 2100;

/// Properties of a name, if there is such a file.
pub(super) fn look(folder: impl AsFd, name: &OsStr) -> io::Result<Option<Stat>> {
    match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn exists(folder: impl AsFd, name: &OsStr) -> io::Result<bool> {
    look(folder, name).map(|found| found.is_some())
}

pub(super) fn is_folder(folder: impl AsFd, name: &OsStr) -> io::Result<bool> {
    Ok(look(folder, name)?.is_some_and(|stat| kind(&stat) == FileType::Directory))
}

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Names in an open folder.
pub(super) fn names(folder: impl AsFd) -> io::Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !matches!(name, b"." | b"..") {
            names.push(OsStr::from_bytes(name).to_owned());
        }
    }
    Ok(names)
}

pub(super) fn is_empty(folder: impl AsFd) -> io::Result<bool> {
    names(folder).map(|names| names.is_empty())
}

/// Removes a name with everything below. One that is not there is no error.
pub(super) fn all(folder: impl AsFd, name: &OsStr) -> io::Result<()> {
    below(folder, name, 0)
}

fn below(folder: impl AsFd, name: &OsStr, depth: usize) -> io::Result<()> {
    let folder = folder.as_fd();
    match unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    if depth > DEEPEST {
        return Err(invalid("too many folders inside each other"));
    }
    let inner = openat(folder, name, FOLDER, Mode::empty())?;
    for child in names(&inner)? {
        below(&inner, &child, depth + 1)?;
    }
    Ok(unlinkat(folder, name, AtFlags::REMOVEDIR)?)
}
