//! `blobs/sha256`: files under the names of their digests.

use super::{Digest, Layout};
use crate::model::id::hex;
use crate::model::reason::cause;
use sha2::{Digest as _, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use tempfile::NamedTempFile;

/// Why a blob is not given away.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::builder) enum Refusal {
    /// It is not there.
    Missing,
    /// It is not what its name says, or no file.
    Bad(String),
}

/// A new file that is nobody else's; of the rights of any new file when it stays.
pub(super) fn temporary(root: &Path) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".k3c-build-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(root)
}

impl Layout {
    fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs/sha256").join(digest.hex())
    }

    /// A blob and its size, after a look at the whole of it.
    pub(in crate::builder) fn blob(&self, digest: &Digest) -> Result<(File, u64), Refusal> {
        let path = self.path(digest);
        let unreadable = |error: &io::Error| match error.kind() {
            io::ErrorKind::NotFound => Refusal::Missing,
            _ => Refusal::Bad(format!("{}: {}", path.display(), cause(error))),
        };
        let data = fs::symlink_metadata(&path).map_err(|error| unreadable(&error))?;
        if !data.is_file() {
            return Err(Refusal::Bad(format!("{} is no file", path.display())));
        }
        if !self.known().contains(digest) {
            let mut hash = Sha256::new();
            File::open(&path)
                .and_then(|mut file| io::copy(&mut file, &mut hash))
                .map_err(|error| unreadable(&error))?;
            if hex(&hash.finalize()) != digest.hex() {
                return Err(Refusal::Bad(format!(
                    "{} is damaged: its digest is another one",
                    path.display()
                )));
            }
            self.known().insert(digest.clone());
        }
        let file = File::open(&path).map_err(|error| unreadable(&error))?;
        Ok((file, data.len()))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<Digest>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a new blob.
    pub(in crate::builder) fn ingest(&self) -> io::Result<Ingest> {
        if !self.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Ingest { file: temporary(&self.root)?, hash: Sha256::new(), size: 0 })
    }

    /// Puts a blob where it belongs. Answers its digest.
    pub(in crate::builder) fn commit(&self, ingest: Ingest, expected: Option<&Digest>) -> io::Result<Digest> {
        let digest = Digest(hex(&ingest.hash.finalize()));
        if let Some(expected) = expected.filter(|expected| **expected != digest) {
            return Err(io::Error::other(format!("unexpected digest {digest}: {expected} was to come")));
        }
        ingest.file.persist(self.path(&digest)).map_err(|error| error.error)?;
        self.known().insert(digest.clone());
        Ok(digest)
    }
}

/// A blob that is being written; gone when dropped.
#[derive(Debug)]
pub(in crate::builder) struct Ingest {
    file: NamedTempFile,
    hash: Sha256,
    /// Bytes so far.
    pub(in crate::builder) size: u64,
}

impl Ingest {
    /// More of it.
    pub(in crate::builder) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.size += u64::try_from(bytes.len()).unwrap_or_default();
        Ok(())
    }

    /// The digest of what is there.
    pub(in crate::builder) fn digest(&self) -> Digest {
        Digest(hex(&self.hash.clone().finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_what_its_name_says() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let mut ingest = layout.ingest().unwrap();
        ingest.write(b"a").unwrap();
        ingest.write(b"bc").unwrap();
        let (size, so_far) = (ingest.size, ingest.digest());
        let digest = layout.commit(ingest, Some(&so_far)).unwrap();
        assert_eq!((size, &digest), (3, &so_far));
        assert_eq!(layout.blob(&digest).unwrap().1, 3);
        let other = Digest("0".repeat(64));
        assert_eq!(layout.blob(&other).unwrap_err(), Refusal::Missing);
        let refused = layout.commit(layout.ingest().unwrap(), Some(&other)).unwrap_err().to_string();
        assert!(refused.starts_with("unexpected digest"), "{refused}");

        let reader = Layout::open(dir.path());
        assert!(reader.ingest().is_err(), "a layout that is only read was written to");
        fs::write(reader.path(&digest), "abd").unwrap();
        assert!(
            matches!(reader.blob(&digest).unwrap_err(), Refusal::Bad(why) if why.ends_with("another one"))
        );
        // Nothing but the blob and the folders stays.
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::create(dir.path()).unwrap();
        let secret = dir.path().join("secret");
        fs::write(&secret, "").unwrap();
        let digest = Digest(hex(&Sha256::new().finalize()));
        std::os::unix::fs::symlink(&secret, layout.path(&digest)).unwrap();
        assert!(
            matches!(layout.blob(&digest).unwrap_err(), Refusal::Bad(why) if why.ends_with("is no file"))
        );
        for text in ["sha256:../../secret", "sha512:aa", "", "sha256:"] {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
    }
}
