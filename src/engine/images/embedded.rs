//! The images inside the binary: imported once ever, as the first thing that an instance does. A list of images, and a
//! look-up of one, waits for that.

use super::load::PIECE;
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::reason::Reason;
use crate::store::Change;
use std::time::Duration;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

/// Longest wait of a list or a look-up for the import.
const PATIENCE: Duration = Duration::from_secs(20);

/// The image of the container that stood for a pod in earlier versions. Pods that they made run on without it.
const PAUSE: &str = "k3c.local/pause:1";

/// Tries for each image: nobody can pull it.
const TRIES: u32 = 5;

/// State of the import.
#[derive(Debug)]
pub(super) struct Embedded {
    /// Held while one is imported.
    gate: Mutex<()>,
    /// Failures, in words, when all were tried; `None` before that.
    over: watch::Sender<Option<Vec<String>>>,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { gate: Mutex::default(), over: watch::channel(None).0 }
    }
}

impl Embedded {
    /// Waits until all were tried, for at most `limit`. Returns warnings: images that are missing in a list, and why.
    async fn over(&self, limit: Duration) -> Vec<String> {
        let mut over = self.over.subscribe();
        let answer = timeout(limit, over.wait_for(Option::is_some)).await;
        match answer {
            Ok(Ok(over)) => over.clone().unwrap_or_default(),
            Ok(Err(_)) | Err(_) => {
                vec!["the images inside k3c are still being imported, and may be missing here".to_owned()]
            }
        }
    }
}

impl Engine {
    /// Waits until the images of the binary are there, but not for ever. Returns warnings.
    pub async fn embedded_images(&self) -> Vec<String> {
        self.inner().embedded_images().await
    }
}

impl Inner {
    /// See [`Engine::embedded_images`].
    pub(in crate::engine) async fn embedded_images(&self) -> Vec<String> {
        self.images.embedded.over(PATIENCE).await
    }

    /// Waits like `embedded_images`; false when the import still goes on.
    pub(super) async fn embedded_are_over(&self) -> bool {
        self.images.embedded.over(PATIENCE).await;
        self.images.embedded.over.borrow().is_some()
    }

    /// Imports the images of the binary, and wakes the waiting calls.
    pub(in crate::engine) async fn import_embedded_images(&self) {
        let failed = self.import_all().await;
        self.images.embedded.over.send_replace(Some(failed));
        if let Err(error) = self.forget_pause().await {
            tracing::warn!(%error, "cannot remove the image {PAUSE} of an earlier version");
        }
    }

    /// Removes the pause image that an earlier version left, once ever: later it is the user's.
    async fn forget_pause(&self) -> Result<(), EngineError> {
        let key = format!("forgotten-image {PAUSE}");
        if self.records.text(&key)?.is_some() {
            return Ok(());
        }
        let groups = self.image_groups().await?;
        if let Some(group) = groups.values().find(|g| g.names.iter().any(|name| name == PAUSE)) {
            for name in &group.names {
                self.delete_name(name, false).await?;
            }
        }
        self.records.commit(Change::new().text(&key, "forgotten")).await?;
        Ok(())
    }

    async fn import_all(&self) -> Vec<String> {
        let mut failed = Vec::new();
        for embedded in &self.config.embedded_images {
            let image = &embedded.reference;
            for attempt in 1..=TRIES {
                let Err(error) = self.import_embedded(image).await else { break };
                tracing::warn!(image, attempt, %error, "cannot import an image of the bundle");
                if attempt == TRIES {
                    failed.push(format!("cannot import the image {image}, which is inside k3c: {error}"));
                } else {
                    tokio::time::sleep(Duration::from_millis(100) * attempt).await;
                }
            }
        }
        failed
    }

    /// Imports an image if it is one of the binary's and not there yet; waits for that, but not for ever.
    ///
    /// # Errors
    /// `Unavailable`: it is still being imported.
    pub(super) async fn await_embedded(&self, reference: &str) -> Result<(), EngineError> {
        if !self.config.embedded_images.iter().any(|e| e.reference == reference) {
            return Ok(());
        }
        timeout(PATIENCE, self.import_embedded(reference)).await.unwrap_or_else(|_| {
            Err(EngineError::refused(
                Reason::Unavailable,
                format!("the image {reference}, which is inside k3c, is still being imported: try again"),
            ))
        })
    }

    /// Imports an image of the binary, unless that was done before: once ever.
    async fn import_embedded(&self, reference: &str) -> Result<(), EngineError> {
        let Some(embedded) = self.config.embedded_images.iter().find(|e| e.reference == reference) else {
            return Ok(());
        };
        let _one = self.images.embedded.gate.lock().await;
        let key = format!("embedded-image {reference}");
        if self.records.text(&key)?.is_some() {
            return Ok(());
        }
        let file = tokio::fs::File::open(&embedded.archive)
            .await
            .map_err(EngineError::file("cannot open", &embedded.archive))?;
        self.load_archive(tokio_util::io::ReaderStream::with_capacity(file, PIECE), None, |_| {}).await?;
        self.records.commit(Change::new().text(&key, "imported")).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wait_ends_with_the_import_or_a_warning() {
        let embedded = Embedded::default();
        let warnings = embedded.over(Duration::from_millis(1)).await;
        assert!(warnings.len() == 1 && warnings[0].contains("still being imported"), "{warnings:?}");
        embedded.over.send_replace(Some(vec!["broken".into()]));
        assert_eq!(embedded.over(PATIENCE).await, ["broken"]);
        embedded.over.send_replace(Some(Vec::new()));
        assert!(embedded.over(PATIENCE).await.is_empty());
    }
}
