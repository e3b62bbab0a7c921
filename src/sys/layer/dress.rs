//! Owner, attributes, mode and times of a file, in the order in which none undoes another.

use super::Entry;
use rustix::fd::{AsFd, AsRawFd, BorrowedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, lsetxattr, statat, utimensat,
};
use rustix::io::Errno;
use std::ffi::{CString, OsStr};
use std::io;
use std::path::{Path, PathBuf};

/// Attributes of which an overlay keeps its own.
const OVERLAY: &[u8] = b"user.overlay.";
/// The last second that containerd takes (of 64 bits of nanoseconds).
const LAST_SECOND: i64 = i64::MAX / 1_000_000_000;

/// Whether attributes that look like an overlay's own are given another name, as an overlay does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escape {
    Never,
    OverlaysOwn,
}

/// Dresses a regular file that is open.
pub(super) fn open(file: impl AsFd, entry: &Entry, escape: Escape) -> io::Result<()> {
    let file = file.as_fd();
    fchown(file, Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))?;
    attributes(entry, escape, true, |name, value| fsetxattr(file, name, value, XattrFlags::empty()))?;
    fchmod(file, Mode::from_raw_mode(entry.mode))?;
    Ok(futimens(file, &times(entry))?)
}

/// Dresses a file in a folder; the answer are its times.
pub(super) fn at(
    folder: BorrowedFd<'_>,
    name: &OsStr,
    entry: &Entry,
    escape: Escape,
) -> io::Result<Timestamps> {
    chownat(
        folder,
        name,
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
        AtFlags::SYMLINK_NOFOLLOW,
    )?;
    let kind = FileType::from_raw_mode(statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?.st_mode);
    let plain = matches!(kind, FileType::RegularFile | FileType::Directory);
    let path = by_name(folder, name);
    attributes(entry, escape, plain, |name, value| lsetxattr(&path, name, value, XattrFlags::empty()))?;
    if kind != FileType::Symlink {
        chmodat(folder, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())?;
    }
    let times = times(entry);
    utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(times)
}

/// A name in an open folder, for calls that do not follow it.
pub(super) fn by_name(folder: BorrowedFd<'_>, name: &OsStr) -> PathBuf {
    Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name)
}

fn attributes(
    entry: &Entry,
    escape: Escape,
    plain: bool,
    set: impl Fn(&CString, &[u8]) -> rustix::io::Result<()>,
) -> io::Result<()> {
    for (name, value) in &entry.attributes {
        let own = name.strip_prefix(OVERLAY).filter(|_| escape == Escape::OverlaysOwn);
        let escaped = own.map(|rest| [OVERLAY, b"overlay.", rest].concat());
        let Ok(key) = CString::new(escaped.as_deref().unwrap_or(name)) else {
            return Err(super::invalid("an attribute with a NUL in its name"));
        };
        if name.starts_with(b"trusted.") {
            continue;
        }
        match set(&key, value) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            // Only files and folders can have users' attributes (xattr(7)).
            Err(Errno::PERM) if name.starts_with(b"user.") && !plain => {}
            Err(error) => {
                let text = format!(
                    "cannot set the attribute {}: {}",
                    key.to_string_lossy(),
                    super::words(&error.into())
                );
                return Err(io::Error::new(io::Error::from(error).kind(), text));
            }
        }
    }
    Ok(())
}

/// Times that a file gets: what cannot be is 1970.
fn times(entry: &Entry) -> Timestamps {
    let bound = |time: Timespec| match time.tv_sec {
        0..LAST_SECOND => time,
        _ => Timespec { tv_sec: 0, tv_nsec: 0 },
    };
    let (accessed, modified) = entry.times;
    let later = (accessed.tv_sec, accessed.tv_nsec) > (modified.tv_sec, modified.tv_nsec);
    let accessed = if later { accessed } else { modified };
    Timestamps { last_access: bound(accessed), last_modification: bound(modified) }
}
