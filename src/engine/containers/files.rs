//! A container's files, seen from outside: `cp`, `diff`, `export`. In a container that runs, `cp` sees what it sees itself,
//! with its mounts; the snapshot of any other is mounted for a moment, with its volumes where it would have them.

use super::target::Target;
use crate::engine::containerd::{call, request};
use crate::engine::error::EngineError;
use crate::engine::lifecycle;
use crate::engine::rootfs::layers;
use crate::engine::{Engine, Inner, apart, blocking, compression};
use crate::model::amendment::INIT;
use crate::model::archive::Part;
use crate::model::container::{MountKind, PathStat, Status};
use crate::model::reason::Reason;
use crate::store::Record;
use crate::sys::messages::{self, Messages};
use crate::sys::mount::{Layer, Mounted, mount_all};
use crate::sys::tree::{Change, Moved, Tree, Unpack};
use bytes::Bytes;
use containerd_client::services::v1::snapshots::MountsRequest;
use futures::Stream;
use jiff::Timestamp;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Size of an archive's piece in one message, in bytes.
const CHUNK: usize = 256 << 10;
/// Files that the runtime makes in every root filesystem, to mount on.
const MOUNT_POINTS: [&str; 7] =
    ["/dev", "/proc", "/sys", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf", INIT];

/// An archive on its way.
pub type Archive = ReceiverStream<Result<Part<Bytes>, EngineError>>;

/// The place of a container's files.
enum Root {
    /// The root of its first process.
    Live(PathBuf),
    Stopped(Mounted),
}

impl Root {
    fn path(&self) -> &Path {
        match self {
            Self::Live(path) => path,
            Self::Stopped(mounted) => mounted.path(),
        }
    }
}

impl Engine {
    /// Differences of a container's root filesystem from its image.
    ///
    /// # Errors
    /// `NotFound`: no such container, or its image is gone.
    pub async fn diff(&self, who: &str) -> Result<Vec<Change>, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let record = inner.records.find(who)?;
        let image = inner.facts(&record.resolved.image_id).await?;
        let now = inner.snapshot(&record, true).await?;
        let targets: Vec<PathBuf> = record.resolved.mounts.iter().map(|m| PathBuf::from(&m.target)).collect();
        let base = inner.config.run.clone();
        inner
            .with_rootfs(&image, move |before| {
                let now = Mounted::new(&base, &now)?;
                let mut changes = Tree::open(now.path())?.changes(&Tree::open(before)?)?;
                changes.retain(|change| !is_mount_point(change, &targets));
                // A folder above mount points may seem changed for nothing but them.
                let all = changes.clone();
                let at_all = |path: &Path| all.iter().any(|c| c.path != path && c.path.starts_with(path));
                changes.retain(|c| {
                    let above =
                        MOUNT_POINTS.iter().map(Path::new).chain(targets.iter().map(PathBuf::as_path));
                    let only =
                        above.clone().any(|m| m != c.path && m.starts_with(&c.path)) && !at_all(&c.path);
                    !only || c.kind == 'D'
                });
                Ok(changes)
            })
            .await
    }

    /// A container's root filesystem as a tar archive, without the mounts in it.
    ///
    /// # Errors
    /// `NotFound`: no such container. In the archive: `Internal`, when a file cannot be read.
    pub async fn export(&self, who: &str) -> Result<Archive, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let record = inner.records.find(who)?;
        let layers = inner.snapshot(&record, true).await?;
        let base = inner.config.run.clone();
        inner.note_event(&Target::from(&record), "export", &[]).await;
        pack(move |archive| {
            let root = Mounted::new(&base, &layers)?;
            Tree::open(root.path())?.pack(Path::new("/"), Path::new(""), archive)
        })
    }

    /// Properties of a path in a container; of a link itself.
    ///
    /// # Errors
    /// `NotFound`: no such container, or no such path in it; `InvalidArgument`: the path leads through what is no
    /// folder.
    pub async fn stat_path(&self, who: &str, path: &str) -> Result<PathStat, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let record = inner.records.find(who)?;
        let root = inner.root(&record).await?;
        let wanted = PathBuf::from(path);
        let stat = blocking(move || stat(&Tree::open(root.path())?, &wanted)).await?;
        stat.map_err(|error| in_words(&record, path, error))
    }

    /// A path in a container as an archive whose root is called `name`; empty: as the path's last component.
    ///
    /// # Errors
    /// As [`Engine::stat_path`]. In the archive: `Internal`, when a file cannot be read.
    pub async fn copy_from(
        &self,
        who: &str,
        path: &str,
        name: &str,
        follow: bool,
    ) -> Result<Archive, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let record = inner.records.find(who)?;
        let root = inner.root(&record).await?;
        let (asked, name) = (PathBuf::from(path), PathBuf::from(name));
        let looked = blocking(move || {
            let tree = Tree::open(root.path())?;
            // A slash at the end asks for what a link leads to.
            let through = follow || asked.as_os_str().to_string_lossy().ends_with('/');
            let path = if through { tree.resolve(&asked) } else { asked };
            tree.stat(&path)?;
            Ok::<_, io::Error>((root, tree, path))
        })
        .await?;
        let (root, tree, path) = looked.map_err(|error| in_words(&record, path, error))?;
        inner.note_event(&Target::from(&record), "archive-path", &[]).await;
        pack(move |archive| {
            let last = path.file_name().map_or_else(|| ".".into(), PathBuf::from);
            let name = if name.as_os_str().is_empty() { last } else { name };
            let name = if name == Path::new(".") { PathBuf::new() } else { name };
            let answer = tree.pack(&path, &name, archive);
            drop(root);
            answer
        })
    }

    /// Unpacks an archive, compressed or not, into a folder of a container. Answers warnings.
    ///
    /// # Errors
    /// `NotFound`: no such container or folder; `Conflict`: the place is read-only; `InvalidArgument`: the path is no
    /// folder, or the archive is none or cut off.
    pub async fn copy_to<S>(
        &self,
        who: &str,
        path: &str,
        how: Unpack,
        archive: S,
    ) -> Result<Vec<String>, EngineError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let inner = self.inner();
        inner.ready().await;
        let record = inner.records.find(who)?;
        let root = inner.root(&record).await?;
        let reader = tokio_util::io::StreamReader::new(Box::pin(archive));
        let reader = tokio_util::io::SyncIoBridge::new(reader);
        let (target, told) = (PathBuf::from(path), record.clone());
        let unpacked = apart(move || {
            let tree = Tree::open(root.path())?;
            if let Some(refusal) = refuse_read_only(&tree, &told, &target, matches!(root, Root::Live(_))) {
                return Ok(Err(EngineError::refused(Reason::Conflict, refusal)));
            }
            let mut archive = compression::open(reader)?;
            let left_out = tree.unpack(&target, &mut archive, how)?.left_out;
            archive.check()?;
            Ok(Ok(left_out))
        })?;
        let mut warnings = unpacked.await?.map_err(|error| in_words(&record, path, error))??;
        inner.note_event(&Target::from(&record), "extract-to-dir", &[]).await;
        if record.attempt.used && record.status == Status::Exited {
            warnings.push(format!(
                "container {} has ended: its next start is fresh and will not have what was copied, except in volumes",
                record.name
            ));
        }
        Ok(warnings)
    }
}

impl Inner {
    /// The mounts of a container's snapshot.
    pub(in crate::engine) async fn snapshot(
        &self,
        record: &Record,
        read_only: bool,
    ) -> Result<Vec<Layer>, EngineError> {
        let answer = call("cannot find the container's files", || {
            let mut snapshots = self.containerd.snapshots();
            let message = MountsRequest {
                snapshotter: self.config.snapshotter.clone(),
                key: record.attempt.container.clone(),
            };
            async move { snapshots.mounts(request(message)).await }
        })
        .await?;
        let layers = layers(answer.mounts);
        Ok(if read_only { layers.iter().map(Layer::read_only).collect() } else { layers })
    }

    /// The container's files as it sees them while it runs, or would see them.
    async fn root(&self, record: &Record) -> Result<Root, EngineError> {
        if lifecycle::lives(record.status) && record.attempt.pid > 0 {
            return Ok(Root::Live(format!("/proc/{}/root", record.attempt.pid).into()));
        }
        let layers = self.snapshot(record, false).await?;
        let mut more: Vec<(String, Layer)> = Vec::new();
        for mount in &record.resolved.mounts {
            let source = match &mount.kind {
                MountKind::Bind { source, .. } => self.host_path(source),
                MountKind::Volume { name, .. } => self.volume_dir(name).join(&mount.subpath),
                MountKind::Tmpfs { .. } | MountKind::Image { .. } => continue,
            };
            more.push((mount.target.clone(), Layer::bind(&source, mount.read_only)));
        }
        more.sort_by_key(|(target, _)| target.matches('/').count());
        let base = self.config.run.clone();
        let mounted = blocking(move || {
            let mounted = Mounted::new(&base, &layers)?;
            let tree = Tree::open(mounted.path())?;
            for (target, layer) in more {
                let inside = tree.resolve(Path::new(&target));
                let there = mounted.path().join(inside.strip_prefix("/").unwrap_or(&inside));
                // The runtime makes missing folders at the start, too.
                if !there.exists() && Path::new(&layer.source).is_dir() {
                    tree.make_folders(&inside)?;
                }
                if std::fs::symlink_metadata(&there).is_ok_and(|m| !m.is_symlink()) {
                    mount_all(&[layer], &there)?;
                }
            }
            Ok::<_, io::Error>(mounted)
        });
        let mounted = mounted
            .await?
            .map_err(|e| EngineError::Broken(format!("cannot look at the container's files: {e}")))?;
        Ok(Root::Stopped(mounted))
    }
}

fn stat(tree: &Tree, path: &Path) -> io::Result<PathStat> {
    let meta = tree.stat(path)?;
    let target =
        if meta.is_symlink() { tree.resolve(path).to_string_lossy().into_owned() } else { String::new() };
    Ok(PathStat {
        name: path.file_name().map_or_else(|| "/".to_owned(), |n| n.to_string_lossy().into_owned()),
        size: i64::try_from(meta.len()).unwrap_or(i64::MAX),
        mode: meta.mode(),
        modified: Timestamp::new(meta.mtime(), i32::try_from(meta.mtime_nsec()).unwrap_or(0)).ok(),
        link_target: target,
    })
}

/// The error in Docker's words.
fn in_words(record: &Record, path: &str, error: io::Error) -> EngineError {
    match error.kind() {
        io::ErrorKind::NotFound => EngineError::refused(
            Reason::NotFound,
            format!("Could not find the file {path} in container {}", record.name),
        ),
        io::ErrorKind::InvalidInput
        | io::ErrorKind::InvalidData
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::NotADirectory => EngineError::invalid(error.to_string()),
        _ => EngineError::Broken(format!("{path} in container {}: {error}", record.name)),
    }
}

/// The reason why nothing may be written to a path, in Docker's words. The mount that the path is on decides, and only
/// where there is none the container. `live`: the container runs, with its memory file systems.
fn refuse_read_only(tree: &Tree, record: &Record, path: &Path, live: bool) -> Option<&'static str> {
    let path = tree.resolve(path);
    let mounts = record.resolved.mounts.iter().filter(|m| live || !matches!(m.kind, MountKind::Tmpfs { .. }));
    let nearest = mounts
        .map(|mount| (tree.resolve(Path::new(&mount.target)), mount))
        .filter(|(target, _)| path.starts_with(target))
        .max_by_key(|(target, _)| target.components().count());
    match nearest {
        Some((_, mount)) if mount.read_only || matches!(mount.kind, MountKind::Image { .. }) => {
            Some("mounted volume is marked read-only")
        }
        None if record.spec.read_only => Some("container rootfs is marked read-only"),
        _ => None,
    }
}

/// True for a path that was made only to have something mounted on it.
fn is_mount_point(change: &Change, targets: &[PathBuf]) -> bool {
    let path = change.path.as_path();
    change.kind != 'D'
        && (MOUNT_POINTS.iter().any(|m| path == Path::new(m)) || targets.iter().any(|t| path == t))
}

/// Runs `work` beside the async threads. The archive that it writes is streamed; the files that it left out come last.
fn pack(
    work: impl FnOnce(&mut tar::Builder<Messages>) -> io::Result<Moved> + Send + 'static,
) -> Result<Archive, EngineError> {
    let (sender, receiver) = mpsc::channel(8);
    let packing = move || {
        let after = sender.clone();
        let to = move |piece| messages::send(&sender, Ok(Part::Data(piece)));
        let mut archive = tar::Builder::new(Messages::new(CHUNK, to));
        archive.follow_symlinks(false);
        let outcome = work(&mut archive).and_then(|moved| {
            archive.into_inner()?.send()?;
            Ok(moved.left_out)
        });
        match outcome {
            Ok(left_out) => {
                for text in left_out {
                    after.blocking_send(Ok(Part::LeftOut(text))).ok();
                }
            }
            // The receiver is gone, so there is nobody to tell.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) => {
                let error = EngineError::Broken(format!("cannot read the container's files: {error}"));
                after.blocking_send(Err(error)).ok();
            }
        }
    };
    drop(apart(packing)?);
    Ok(ReceiverStream::new(receiver))
}
