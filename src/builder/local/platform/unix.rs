//! Unix: modes, devices, hard links, extended attributes.

use super::Detail;
use crate::builder::local::mode;
use rustix::fs::{Mode, OFlags, lgetxattr, llistxattr};
use rustix::io::Errno;
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// The details in what `lstat` says.
pub(in crate::builder::local) fn detail(data: &Metadata) -> Detail {
    let kind = data.file_type();
    let is_device = kind.is_block_device() || kind.is_char_device();
    Detail {
        mode: mode::from_unix(data.mode()),
        device: if is_device { device(data.rdev()) } else { (0, 0) },
        identity: (!data.is_dir() && data.nlink() > 1).then(|| (data.dev(), data.ino())),
        unreadable: kind.is_socket(),
    }
}

/// Go's splitting of a device number.
fn device(number: u64) -> (i64, i64) {
    let major = (number >> 8) & 0xfff;
    let minor = (number & 0xff) | ((number >> 12) & 0xf_ff00);
    (i64::try_from(major).unwrap_or_default(), i64::try_from(minor).unwrap_or_default())
}

/// Opens a regular file; `None` for whatever else is there. Never waits for the other end of a FIFO, and follows no link.
pub(in crate::builder::local) fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        // A link, and a socket or a device without a driver.
        Err(Errno::LOOP | Errno::NXIO | Errno::NODEV) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// All extended attributes but macOS' own.
pub(in crate::builder::local) fn attributes(path: &Path) -> io::Result<HashMap<String, Vec<u8>>> {
    let names = match read(|buffer| llistxattr(path, buffer)) {
        Ok(names) => names,
        Err(Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => return Ok(HashMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut all = HashMap::new();
    for name in names.split(|b| *b == 0).filter_map(|name| str::from_utf8(name).ok()) {
        if name.is_empty() || name.starts_with("com.apple.") {
            continue;
        }
        // An attribute that cannot be read, or is gone by now, is left out.
        if let Ok(value) = read(|buffer| lgetxattr(path, name, buffer)) {
            all.insert(name.to_owned(), value);
        }
    }
    Ok(all)
}

/// Asks for the size, then for the bytes; again when they grew in between.
fn read(mut call: impl FnMut(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    loop {
        let size = call(&mut [])?;
        if size == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = vec![0; size];
        match call(&mut buffer) {
            Ok(used) => {
                buffer.truncate(used);
                return Ok(buffer);
            }
            Err(Errno::RANGE) => {}
            Err(error) => return Err(error),
        }
    }
}
