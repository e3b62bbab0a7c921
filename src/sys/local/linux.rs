pub use crate::sys::tree::Moved;
use crate::sys::tree::{Owner, Tree, Unpack};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub(super) fn pack<W: Write>(
    source: &Path,
    name: &Path,
    through: bool,
    archive: &mut tar::Builder<W>,
) -> io::Result<Moved> {
    let source = match source.file_name() {
        Some(last) if !through => above(source).canonicalize()?.join(last),
        _ => source.canonicalize()?,
    };
    let (folder, last) = match (source.parent(), source.file_name()) {
        (Some(folder), Some(last)) => (folder, last),
        _ => (source.as_path(), OsStr::new("/")),
    };
    let name = if name == Path::new(".") { Path::new("") } else { name };
    Tree::open(folder)?.pack(Path::new(last), name, archive)
}

/// The folder that a path is in.
fn above(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

pub(super) fn unpack(folder: &Path, archive: impl Read, keep_owner: bool) -> io::Result<Moved> {
    let owner = if keep_owner { Owner::Kept } else { Owner::Caller };
    let how = Unpack { owner, no_overwrite_dir_non_dir: true };
    Tree::open(folder)?.unpack(Path::new("/"), archive, how)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn names_and_links() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/f"), "1").unwrap();
        symlink("d", dir.path().join("l")).unwrap();
        let names = |source: &str, name: &str, through| {
            let mut archive = tar::Builder::new(Vec::new());
            pack(&dir.path().join(source), Path::new(name), through, &mut archive).unwrap();
            let bytes = archive.into_inner().unwrap();
            let mut archive = tar::Archive::new(bytes.as_slice());
            let names = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string());
            names.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names("d", "x", false), "x/ x/f");
        assert_eq!(names("d/.", ".", true), "f");
        assert_eq!(names("l", "x", false), "x");
        assert_eq!(names("l", "x", true), "x/ x/f");
        assert_eq!(names("l/f", "x", false), "x");
        assert_eq!(names("l/..", "x", false), "x/ x/d/ x/d/f x/l");
    }
}
