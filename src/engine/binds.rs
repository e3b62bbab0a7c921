//! Sources of bind mounts.

use super::Inner;
use super::error::EngineError;
use crate::model::container::{Mount, MountKind};
use std::path::{Path, PathBuf};

impl Inner {
    /// A path of the user's as the engine sees it: parts of the host's tree may be bound aside.
    pub(super) fn host_path(&self, source: &str) -> PathBuf {
        let source = Path::new(source);
        for (shown, aside) in &self.config.host_trees {
            if let Ok(rest) = source.strip_prefix(shown) {
                return if rest.as_os_str().is_empty() { aside.clone() } else { aside.join(rest) };
            }
        }
        source.to_owned()
    }

    /// Checks the sources of bind mounts; makes the missing ones that may be made.
    pub(super) async fn prepare_binds(&self, mounts: &[Mount]) -> Result<(), EngineError> {
        for mount in mounts {
            let MountKind::Bind { source, create } = &mount.kind else { continue };
            if !source.starts_with('/') {
                return Err(EngineError::invalid(format!(
                    "invalid mount config for type \"bind\": invalid mount path: '{source}' mount path must be absolute"
                )));
            }
            let path = self.host_path(source);
            match tokio::fs::metadata(&path).await {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::NotFound && *create => {
                    tokio::fs::create_dir_all(&path).await.map_err(|e| {
                        EngineError::invalid(format!(
                            "error while creating mount source path '{source}': {e}"
                        ))
                    })?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(EngineError::invalid(format!(
                        "invalid mount config for type \"bind\": bind source path does not exist: {source}"
                    )));
                }
                Err(error) => {
                    return Err(EngineError::invalid(format!(
                        "invalid mount config for type \"bind\": {source}: {error}"
                    )));
                }
            }
        }
        Ok(())
    }
}
