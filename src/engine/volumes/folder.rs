//! Folders of volumes, and the marks in them that say what is under way (`leftovers`).

use crate::engine::error::EngineError;
use crate::engine::images::Facts;
use crate::engine::leftovers::{GONE, NEW, PASSING};
use crate::engine::{Inner, blocking};
use std::path::{Path, PathBuf};

impl Inner {
    /// Folder that is mounted for a volume.
    pub(in crate::engine) fn volume_dir(&self, name: &str) -> PathBuf {
        self.config.data.join("volumes").join(name).join("_data")
    }

    /// Makes a volume's folder, with the mark that it is being made, which stays until the volume is recorded.
    pub(super) async fn make_volume_dir(&self, name: &str) -> Result<(), EngineError> {
        let dir = self.volume_dir(name);
        let folder = self.config.data.join("volumes").join(name);
        if !folder.exists() {
            // Made aside and renamed, so that the folder is never there without its mark.
            let aside = self.config.data.join("volumes").join(format!("{PASSING}{NEW}.{name}"));
            let (made, wanted) = (aside.clone(), folder.clone());
            let done = blocking(move || {
                std::fs::create_dir_all(&made)?;
                std::fs::write(made.join(NEW), "")?;
                std::fs::rename(&made, &wanted)
            });
            done.await?.map_err(EngineError::file("cannot make", &folder))?;
        }
        tokio::fs::create_dir_all(&dir).await.map_err(EngineError::file("cannot make", &dir))
    }

    /// Puts a mark into a volume's folder that says what is under way (`leftovers`).
    pub(in crate::engine) async fn mark_volume(&self, name: &str, mark: &str) -> Result<(), EngineError> {
        let path = self.config.data.join("volumes").join(name).join(mark);
        tokio::fs::write(&path, "").await.map_err(EngineError::file("cannot make", &path))
    }

    /// True when a volume's folder has a mark.
    pub(in crate::engine) fn volume_has_mark(&self, name: &str, mark: &str) -> bool {
        self.config.data.join("volumes").join(name).join(mark).exists()
    }

    /// Removes a mark from a volume's folder, when that operation is done.
    pub(in crate::engine) async fn unmark_volume(&self, name: &str, mark: &str) {
        tokio::fs::remove_file(self.config.data.join("volumes").join(name).join(mark)).await.ok();
    }

    /// Removes a volume's directory; one that cannot be removed is named in the log.
    pub(in crate::engine) async fn delete_volume_dir(&self, name: &str) {
        let all = self.config.data.join("volumes");
        let (dir, aside) = (all.join(name), all.join(format!("{PASSING}{GONE}.{name}")));
        // Renamed first, because a folder that is removed in part may have lost its mark.
        let done = blocking(move || {
            std::fs::rename(&dir, &aside)?;
            std::fs::remove_dir_all(&aside)
        });
        if let Ok(Err(error)) = done.await
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(%error, volume = name, "cannot remove a volume's directory");
        }
    }

    /// Refuses a folder of a volume that is not there, or to which a link leads out of the volume.
    pub(super) async fn check_subpath(&self, name: &str, subpath: &str) -> Result<(), EngineError> {
        if subpath.is_empty() {
            return Ok(());
        }
        let dir = self.volume_dir(name);
        let wanted = dir.join(subpath);
        let real = blocking(move || -> std::io::Result<bool> {
            Ok(std::fs::canonicalize(&wanted)?.starts_with(std::fs::canonicalize(&dir)?))
        });
        match real.await?.unwrap_or(false) {
            true => Ok(()),
            false => Err(EngineError::invalid(format!(
                "cannot access path {subpath} of volume {name}: no such file or directory"
            ))),
        }
    }

    /// Copies the image's folder at the target into a volume that is still empty.
    pub(super) async fn fill(
        &self,
        name: &str,
        target: &str,
        image: &Facts,
        known: bool,
    ) -> Result<(), EngineError> {
        let dir = self.volume_dir(name);
        let empty = {
            let dir = dir.clone();
            blocking(move || std::fs::read_dir(&dir).map(|mut d| d.next().is_none())).await?
        };
        if empty.map_err(EngineError::file("cannot read", &dir))? {
            if known {
                self.mark_volume(name, NEW).await?;
            }
            self.copy_from_image(image, Path::new(target), &dir).await?;
            if known {
                self.unmark_volume(name, NEW).await;
            }
        }
        Ok(())
    }
}
