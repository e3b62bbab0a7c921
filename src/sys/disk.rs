//! Space on a disk.

use rustix::fs::{FallocateFlags, fallocate, statvfs};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Space that an ordinary user may still write to, in bytes.
pub fn free(path: &Path) -> io::Result<u64> {
    let found = statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Makes a file that takes up `bytes`; nothing of it stays when there is no room.
pub fn take(path: &Path, bytes: u64) -> io::Result<()> {
    let file = std::fs::File::create(path)?;
    if let Err(error) = fallocate(&file, FallocateFlags::empty(), 0, bytes) {
        let _ = std::fs::remove_file(path);
        return Err(error.into());
    }
    Ok(())
}

/// Makes a file own `bytes` beyond its end, without growing: it can grow by them on a full disk.
pub fn own_beyond(path: &Path, bytes: u64) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    if found.blocks() * 512 >= found.len() + bytes / 2 {
        return Ok(());
    }
    let file = std::fs::File::options().write(true).open(path)?;
    Ok(fallocate(&file, FallocateFlags::KEEP_SIZE, 0, found.len() + bytes)?)
}

/// An error in words: Docker's for a full disk, else the system's.
pub fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull => "no space left on device".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        take(&path, 8192).unwrap();
        assert_eq!(path.metadata().unwrap().len(), 8192);
        own_beyond(&path, 1 << 20).unwrap();
        let found = path.metadata().unwrap();
        assert!(found.len() == 8192 && found.blocks() * 512 >= 1 << 20, "{} blocks", found.blocks());
        let free = free(dir.path()).unwrap();
        assert!(free > 0);
        let other = dir.path().join("y");
        assert!(take(&other, u64::MAX / 4).is_err() && !other.exists());
        assert_eq!(words(&io::Error::from_raw_os_error(28)), "no space left on device");
    }
}
