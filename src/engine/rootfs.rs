//! An image's files, seen from the engine: a read-only snapshot, mounted for as long as something is read from it.

use super::containerd::{call, request};
use super::error::EngineError;
use super::images::Facts;
use super::{Inner, blocking};
use crate::sys::mount::{Layer, Mounted};
use crate::sys::tree::Tree;
use containerd_client::services::v1::snapshots::{RemoveSnapshotRequest, ViewSnapshotRequest};
use containerd_client::types::Mount;
use std::io::{self, Read};
use std::path::Path;

impl Inner {
    /// The number of a group by the image's `/etc/group`.
    pub(super) async fn group_of_image(
        &self,
        image: &Facts,
        group: &str,
    ) -> Result<Option<i64>, EngineError> {
        let group = group.to_owned();
        self.with_rootfs(image, move |root| {
            let mut text = String::new();
            match Tree::open(root)?.file(Path::new("/etc/group")) {
                Ok(mut file) => file.read_to_string(&mut text)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            Ok(text.lines().find_map(|line| {
                let mut fields = line.split(':');
                (fields.next() == Some(&group)).then(|| fields.nth(1)?.parse().ok()).flatten()
            }))
        })
        .await
    }

    /// Copies a folder of the image into an empty one, with the folder's own mode, owner and times; what is no folder
    /// is not copied.
    pub(super) async fn copy_from_image(
        &self,
        image: &Facts,
        from: &Path,
        to: &Path,
    ) -> Result<(), EngineError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        let copied = self.with_rootfs(image, move |root| match Tree::open(root)?.folder(&from) {
            Ok(source) => source.copy_into(&Tree::open(&to)?),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(Vec::new()),
                _ => Err(error),
            },
        });
        for left_out in copied.await? {
            tracing::info!("a volume is filled without one of the image's files: {left_out}");
        }
        Ok(())
    }

    /// Runs `work` on the image's files, mounted read-only for as long as that takes.
    pub(super) async fn with_rootfs<T: Send + 'static>(
        &self,
        image: &Facts,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let snapshotter = self.config.snapshotter.clone();
        let mut key = String::new();
        let answer = call("cannot look into the image", || {
            // Each call gets a name of its own, because one that was cut off may have made a view.
            key = format!("k3c-view-{}", uuid::Uuid::new_v4());
            let message = ViewSnapshotRequest {
                snapshotter: snapshotter.clone(),
                key: key.clone(),
                parent: image.top().to_owned(),
                labels: Default::default(),
            };
            let mut snapshots = self.containerd.snapshots();
            async move { snapshots.view(request(message)).await }
        })
        .await?;
        let mounts = answer.mounts;
        let base = self.config.run.clone();
        let result = blocking(move || work(Mounted::new(&base, &layers(mounts))?.path())).await;
        let mut snapshots = self.containerd.snapshots();
        snapshots.remove(request(RemoveSnapshotRequest { snapshotter, key })).await.ok();
        result?.map_err(|e| EngineError::Broken(format!("cannot look into the image: {e}")))
    }
}

/// Turns containerd's mounts into ours.
pub(super) fn layers(mounts: Vec<Mount>) -> Vec<Layer> {
    mounts.into_iter().map(|m| Layer { kind: m.r#type, source: m.source, options: m.options }).collect()
}
