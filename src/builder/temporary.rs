//! A Dockerfile that came on standard input, in a folder of its own.

use super::BuildError;
use super::inputs::DOCKERFILE;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// The folder; gone when dropped.
pub(super) struct Temporary(pub(super) TempDir);

impl Temporary {
    pub(super) fn new() -> Result<Self, BuildError> {
        let made = tempfile::Builder::new().prefix("k3c-build-").tempdir();
        made.map(Self).map_err(BuildError::Temporary)
    }

    /// Folder of the Dockerfile.
    pub(super) fn place(&self) -> PathBuf {
        self.0.path().join("dockerfile")
    }

    pub(super) fn write(&self, text: &[u8]) -> Result<(), BuildError> {
        let path = self.place().join(DOCKERFILE);
        fs::create_dir(self.place())
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| BuildError::Prepare { path, source })
    }
}
