//! An image's files, seen from the engine: a read-only snapshot, mounted for as long as something is read from it.

use super::containerd::{patiently, request};
use super::error::EngineError;
use super::images::Facts;
use super::{Inner, blocking};
use crate::sys::mount::{Layer, Mounted};
use crate::sys::tree::Tree;
use containerd_client::services::v1::snapshots::{RemoveSnapshotRequest, ViewSnapshotRequest};
use containerd_client::types::Mount;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
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

    /// Copies a directory of the image, owner, mode and all, into an empty one; what is no directory is not copied.
    pub(super) async fn copy_from_image(
        &self,
        image: &Facts,
        from: &Path,
        to: &Path,
    ) -> Result<(), EngineError> {
        let (from, to) = (from.to_owned(), to.to_owned());
        self.with_rootfs(image, move |root| {
            let inside = Tree::open(root)?.resolve(&from);
            let source = root.join(inside.strip_prefix("/").unwrap_or(&inside));
            match fs::metadata(&source) {
                Ok(meta) if meta.is_dir() => copy_dir(&source, &to),
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }

    pub(super) async fn with_rootfs<T: Send + 'static>(
        &self,
        image: &Facts,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let snapshotter = self.config.snapshotter.clone();
        let mut key = String::new();
        let answer = patiently(|| {
            // A call that was cut off may have made its own.
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
        .await
        .map_err(EngineError::call("cannot look into the image"))?;
        let mounts = answer.into_inner().mounts;
        let base = self.config.run.clone();
        let result = blocking(move || work(Mounted::new(&base, &layers(mounts))?.path())).await;
        let mut snapshots = self.containerd.snapshots();
        snapshots.remove(request(RemoveSnapshotRequest { snapshotter, key })).await.ok();
        result?.map_err(|e| EngineError::Broken(format!("cannot look into the image: {e}")))
    }
}

/// containerd's mounts, as ours.
pub(super) fn layers(mounts: Vec<Mount>) -> Vec<Layer> {
    mounts.into_iter().map(|m| Layer { kind: m.r#type, source: m.source, options: m.options }).collect()
}

fn copy_dir(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let meta = entry.metadata()?;
        let kind = meta.file_type();
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_dir(&source, &target)?;
            continue;
        }
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            lchown(&target, Some(meta.uid()), Some(meta.gid()))?;
        } else if kind.is_file() {
            fs::copy(&source, &target)?;
            own(&target, &meta)?;
        } else if kind.is_fifo() {
            nix::unistd::mkfifo(&target, nix::sys::stat::Mode::from_bits_truncate(meta.mode()))?;
            own(&target, &meta)?;
        }
        // Sockets and devices are left out: nothing listens, and an ordinary user cannot make devices.
    }
    own(to, &fs::metadata(from)?)
}

fn own(target: &Path, meta: &fs::Metadata) -> io::Result<()> {
    lchown(target, Some(meta.uid()), Some(meta.gid()))?;
    // After the owner, because changing that drops set-user-ID.
    fs::set_permissions(target, fs::Permissions::from_mode(meta.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_a_tree() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        fs::create_dir_all(from.join("d")).unwrap();
        fs::create_dir(&to).unwrap();
        fs::write(from.join("d/f"), "x").unwrap();
        fs::set_permissions(from.join("d/f"), fs::Permissions::from_mode(0o4755)).unwrap();
        symlink("f", from.join("d/l")).unwrap();
        copy_dir(&from, &to).unwrap();
        assert_eq!(fs::metadata(to.join("d/f")).unwrap().mode() & 0o7777, 0o4755);
        assert_eq!(fs::read_link(to.join("d/l")).unwrap(), Path::new("f"));
    }
}
