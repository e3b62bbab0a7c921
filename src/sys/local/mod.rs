//! This user's own files, to and from tar archives.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as imp;
#[cfg(not(target_os = "linux"))]
use other as imp;

pub use imp::Moved;
use std::io::{self, Read, Write};
use std::path::Path;

/// Writes a path, with all that is below, into an archive as `name` (`.`: the folder's entries, without a name of its
/// own).
/// `through`: a link at its end is followed.
pub fn pack<W: Write>(
    source: &Path,
    name: &Path,
    through: bool,
    archive: &mut tar::Builder<W>,
) -> io::Result<Moved> {
    imp::pack(source, name, through, archive)
}

/// Unpacks an archive into a folder, as files of this user, or of the archive's users where that is asked for and allowed.
pub fn unpack(folder: &Path, archive: impl Read, keep_owner: bool) -> io::Result<Moved> {
    imp::unpack(folder, archive, keep_owner)
}
