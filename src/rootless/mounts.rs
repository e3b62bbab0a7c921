//! The holder's own view of the file system: writable `/run` and `/var/lib`, the host's kept aside, cgroup2.

use super::RootlessError;
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change};
use std::fs;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Folders of the host that an ordinary user sees and cannot write to, and in which containerd's and BuildKit's libraries
/// make folders (`/run/containerd/fifo`, `/var/lib/cni`).
pub const COPIED_UP: [&str; 2] = ["/var/lib", "/run"];

/// Entries that the host's own containerd or CNI may have made there, and that ours make for themselves.
const OURS: [&str; 6] = ["buildkit", "cni", "containerd", "netns", "runc", "xtables.lock"];

/// Makes all mounts slaves: mounts of the host go on arriving here, and none of ours goes back.
///
/// # Errors
/// mount(2).
pub fn make_slave() -> Result<(), RootlessError> {
    mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(RootlessError::step("make the mounts slaves of the host's"))
}

/// Mounts a fresh tmpfs.
///
/// # Errors
/// mount(2).
pub fn tmpfs(at: &Path, mode: &str) -> Result<(), RootlessError> {
    let options = std::ffi::CString::new(format!("mode={mode}")).unwrap_or_default();
    mount("tmpfs", at, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(options.as_c_str()))
        .map_err(RootlessError::at("mount a tmpfs on", at))
}

/// Makes the folder that exists only inside, with the host's trees in it, and tmpfs instead of the folders of
/// [`COPIED_UP`] with the host's entries bound back. What the host adds there later is found in
/// `private/host/...`.
///
/// # Errors
/// mount(2) and what making folders can say.
pub fn copy_up(private: &Path) -> Result<(), RootlessError> {
    fs::create_dir_all(private).map_err(RootlessError::at("make", private))?;
    tmpfs(private, "0700")?;
    for tree in COPIED_UP {
        let aside = aside(private, tree);
        fs::create_dir_all(&aside).map_err(RootlessError::at("make", &aside))?;
        mount_bind_recursive(tree, &aside).map_err(RootlessError::at("bind aside", Path::new(tree)))?;
    }
    // The folder may itself be below one of the trees: from here on it is reached by this descriptor.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = open(private, flags, Mode::empty()).map_err(RootlessError::at("open", private))?;
    let through = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    for tree in COPIED_UP {
        tmpfs(Path::new(tree), "0755")?;
        bind_entries(&aside(&through, tree), Path::new(tree))?;
    }
    // The entry that was bound back shows the folder as it was before the trees were bound aside.
    for tree in COPIED_UP {
        let back = aside(private, tree);
        fs::create_dir_all(&back).map_err(RootlessError::at("make", &back))?;
        if fs::read_dir(&back).is_ok_and(|mut entries| entries.next().is_none()) {
            mount_bind_recursive(aside(&through, tree), &back)
                .map_err(RootlessError::at("bind aside", &back))?;
        }
    }
    Ok(())
}

fn aside(private: &Path, tree: &str) -> PathBuf {
    private.join("host").join(tree.trim_start_matches('/'))
}

fn bind_entries(from: &Path, to: &Path) -> Result<(), RootlessError> {
    for entry in fs::read_dir(from).map_err(RootlessError::at("read", from))? {
        let entry = entry.map_err(RootlessError::at("read", from))?;
        if OURS.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_symlink() {
            if let Ok(link) = fs::read_link(&source) {
                let _ = std::os::unix::fs::symlink(link, &target);
            }
            continue;
        }
        let made = if kind.is_dir() { fs::create_dir(&target) } else { fs::write(&target, "") };
        made.map_err(RootlessError::at("make", &target))?;
        // An entry that vanished meanwhile, or that the kernel will not let us bind, is none that we need.
        if mount_bind_recursive(&source, &target).is_err() {
            let _ = if kind.is_dir() { fs::remove_dir(&target) } else { fs::remove_file(&target) };
        }
    }
    Ok(())
}

/// Mounts cgroup2, with the caller's cgroup namespace's root, over `/sys/fs/cgroup`. Mounting it there straight away gives
/// EBUSY where the host's cgroup2 is mounted: a fresh folder is used and bound.
///
/// # Errors
/// mount(2).
pub fn cgroup2(private: &Path) -> Result<(), RootlessError> {
    let fresh = private.join("cgroup");
    fs::create_dir_all(&fresh).map_err(RootlessError::at("make", &fresh))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("cgroup2", &fresh, "cgroup2", flags, None)
        .map_err(RootlessError::at("mount cgroup2 on", &fresh))?;
    mount_bind_recursive(&fresh, "/sys/fs/cgroup")
        .map_err(RootlessError::at("bind cgroup2 over", Path::new("/sys/fs/cgroup")))
}

/// Whether overlayfs can have its upper and work folders in `folder`, found by doing it.
pub fn overlay_works(folder: &Path) -> bool {
    let Ok(scratch) = tempfile::Builder::new().prefix(".overlay-check-").tempdir_in(folder) else {
        return false;
    };
    let path = |name: &str| scratch.path().join(name);
    for name in ["lower", "upper", "work", "merged"] {
        if fs::create_dir(path(name)).is_err() {
            return false;
        }
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        path("lower").display(),
        path("upper").display(),
        path("work").display()
    );
    let Ok(options) = std::ffi::CString::new(options) else { return false };
    if mount("overlay", path("merged"), "overlay", MountFlags::empty(), Some(options.as_c_str())).is_err() {
        return false;
    }
    // Some file systems accept the mount and refuse the writes.
    let works = fs::write(path("merged").join("file"), "x").is_ok();
    let _ = rustix::mount::unmount(path("merged"), rustix::mount::UnmountFlags::DETACH);
    works
}
