//! An image's files, seen from the engine: a read-only snapshot, mounted for as long as something is read from it.

use super::containerd::request;
use super::error::EngineError;
use super::images::Facts;
use super::{Inner, blocking};
use containerd_client::services::v1::snapshots::{RemoveSnapshotRequest, ViewSnapshotRequest};
use containerd_client::types::Mount;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};

impl Inner {
    /// The number of a group by the image's `/etc/group`.
    pub(super) async fn group_of_image(
        &self,
        image: &Facts,
        group: &str,
    ) -> Result<Option<i64>, EngineError> {
        let group = group.to_owned();
        self.with_rootfs(image, move |root| {
            let text = match fs::read_to_string(inside(root, Path::new("/etc/group"))) {
                Ok(text) => text,
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
            let source = inside(root, &from);
            match fs::metadata(&source) {
                Ok(meta) if meta.is_dir() => copy_dir(&source, &to),
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn with_rootfs<T: Send + 'static>(
        &self,
        image: &Facts,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, EngineError> {
        let key = format!("k3c-view-{}", uuid::Uuid::new_v4());
        let snapshotter = self.config.snapshotter.clone();
        let message = ViewSnapshotRequest {
            snapshotter: snapshotter.clone(),
            key: key.clone(),
            parent: image.top().to_owned(),
            labels: Default::default(),
        };
        let mut snapshots = self.containerd.snapshots();
        let answer = snapshots
            .view(request(message))
            .await
            .map_err(EngineError::call("cannot look into the image"))?;
        let mounts = answer.into_inner().mounts;
        let base = self.config.run.clone();
        let result = blocking(move || mounted(&base, &mounts, work)).await;
        snapshots.remove(request(RemoveSnapshotRequest { snapshotter, key })).await.ok();
        result?.map_err(|e| EngineError::Broken(format!("cannot look into the image: {e}")))
    }
}

/// Mounts, works, unmounts.
fn mounted<T>(base: &Path, mounts: &[Mount], work: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    fs::create_dir_all(base)?;
    let dir = tempfile::Builder::new().prefix("image-").tempdir_in(base)?;
    let mut done = 0;
    let mut answer = Ok(());
    for each in mounts {
        answer = mount_one(each, dir.path());
        if answer.is_err() {
            break;
        }
        done += 1;
    }
    let result = answer.and_then(|()| work(dir.path()));
    for _ in 0..done {
        umount2(dir.path(), MntFlags::MNT_DETACH)?;
    }
    result
}

fn mount_one(each: &Mount, target: &Path) -> io::Result<()> {
    let mut flags = MsFlags::empty();
    let mut data: Vec<&str> = Vec::new();
    for option in &each.options {
        match option.as_str() {
            "ro" => flags |= MsFlags::MS_RDONLY,
            "rw" => {}
            "bind" => flags |= MsFlags::MS_BIND,
            "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            other => data.push(other),
        }
    }
    let kind = if flags.contains(MsFlags::MS_BIND) { None } else { Some(each.r#type.as_str()) };
    let data = data.join(",");
    let data = if data.is_empty() { None } else { Some(data.as_str()) };
    Ok(mount(Some(each.source.as_str()), target, kind, flags, data)?)
}

/// A path of the image below its root. Symbolic links are followed inside the root only.
fn inside(root: &Path, path: &Path) -> PathBuf {
    let mut todo: Vec<std::ffi::OsString> = parts(path);
    let mut done: Vec<std::ffi::OsString> = Vec::new();
    let mut links = 0;
    while let Some(part) = todo.pop() {
        if part == ".." {
            done.pop();
            continue;
        }
        let here: PathBuf = root.join(done.iter().collect::<PathBuf>()).join(&part);
        match fs::read_link(&here) {
            Ok(target) if links < 40 => {
                links += 1;
                if target.is_absolute() {
                    done.clear();
                }
                todo.extend(parts(&target));
            }
            _ => done.push(part),
        }
    }
    root.join(done.iter().collect::<PathBuf>())
}

/// The components, last first.
fn parts(path: &Path) -> Vec<std::ffi::OsString> {
    path.components()
        .rev()
        .filter(|c| matches!(c, Component::Normal(_) | Component::ParentDir))
        .map(|c| c.as_os_str().to_owned())
        .collect()
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
    fn links_stay_inside() {
        let root = tempfile::tempdir().unwrap();
        let at = |p: &str| root.path().join(p);
        fs::create_dir_all(at("real/sub")).unwrap();
        symlink("/real", at("absolute")).unwrap();
        symlink("../../../etc", at("real/up")).unwrap();
        assert_eq!(inside(root.path(), Path::new("/absolute/sub")), at("real/sub"));
        assert_eq!(inside(root.path(), Path::new("/real/up/passwd")), at("etc/passwd"));
        assert_eq!(inside(root.path(), Path::new("/../x")), at("x"));
    }

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
