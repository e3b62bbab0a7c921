use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// The outcome of files that went from one place to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Files that were left out, in words.
    pub left_out: Vec<String>,
    /// Bytes of the archive that are extended headers.
    pub extended: u64,
}

pub(super) fn pack<W: Write>(
    source: &Path,
    name: &Path,
    through: bool,
    archive: &mut tar::Builder<W>,
) -> io::Result<Moved> {
    archive.follow_symlinks(false);
    let meta = if through { std::fs::metadata(source)? } else { std::fs::symlink_metadata(source)? };
    if meta.is_dir() {
        archive.append_dir_all(name, source)?;
    } else if through && meta.is_file() {
        archive.append_file(name, &mut File::open(source)?)?;
    } else {
        archive.append_path_with_name(source, name)?;
    }
    Ok(Moved::default())
}

pub(super) fn unpack(folder: &Path, archive: impl Read, keep_owner: bool) -> io::Result<Moved> {
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(keep_owner);
    archive.unpack(folder)?;
    Ok(Moved::default())
}
