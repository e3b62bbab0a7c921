//! mount(2) as containerd lists mounts: a type, a source, and options as in mount(8).

use super::owners::IdMap;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use std::io;
use std::path::{Path, PathBuf};

/// Longest data of mount(2), in bytes: one page.
const PAGE: usize = 4095;

/// containerd's options of a mount whose owners are to be mapped.
const USERS: &str = "uidmap=";
const GROUPS: &str = "gidmap=";

/// One mount, as in containerd's API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layer {
    /// File system, or `bind`.
    pub kind: String,
    /// A device or folder.
    pub source: String,
    /// Options, as in mount(8).
    pub options: Vec<String>,
}

impl Layer {
    /// A mount of a folder at another place.
    pub fn bind(source: &Path, read_only: bool) -> Self {
        let mut options = vec!["rbind".to_owned()];
        options.extend(read_only.then(|| "ro".to_owned()));
        Self { kind: "bind".to_owned(), source: source.display().to_string(), options }
    }

    /// The maps of users and groups that its files' owners are to be moved by; mounting alone does not do that.
    pub fn maps(&self) -> Option<(IdMap, IdMap)> {
        let map = |key: &str| self.options.iter().find_map(|o| IdMap::parse(o.strip_prefix(key)?));
        Some((map(USERS)?, map(GROUPS)?))
    }

    /// A read-only mount of the same files, which may be mounted elsewhere already: an overlay's upper folder becomes
    /// its topmost lower one.
    #[must_use]
    pub fn read_only(&self) -> Self {
        let value = |key: &str| self.options.iter().find_map(|o| o.strip_prefix(key));
        let mut options: Vec<String> = self
            .options
            .iter()
            .filter(|o| !["upperdir=", "workdir=", "lowerdir="].iter().any(|key| o.starts_with(key)))
            .filter(|o| *o != "rw" && *o != "ro")
            .cloned()
            .collect();
        if self.kind == "overlay" {
            let lower = [value("upperdir="), value("lowerdir=")].into_iter().flatten().collect::<Vec<_>>();
            options.push(format!("lowerdir={}", lower.join(":")));
        }
        options.push("ro".to_owned());
        Self { kind: self.kind.clone(), source: self.source.clone(), options }
    }
}

/// Mounts `layers` on `target`, in order. The error names the layer.
pub fn mount_all(layers: &[Layer], target: &Path) -> io::Result<()> {
    for layer in layers {
        mount_one(layer, target).map_err(|error| {
            io::Error::new(
                error.kind(),
                format!("cannot mount {} on {}: {error}", layer.kind, target.display()),
            )
        })?;
    }
    Ok(())
}

fn mount_one(layer: &Layer, target: &Path) -> io::Result<()> {
    let (flags, data) = flags(&layer.options);
    let kind = layer.kind.as_str();
    if flags.contains(MsFlags::MS_BIND) || kind == "bind" {
        let bind = MsFlags::MS_BIND | (flags & MsFlags::MS_REC);
        mount(Some(layer.source.as_str()), target, None::<&str>, bind, None::<&str>)?;
        let restrictions = flags - MsFlags::MS_REC - MsFlags::MS_BIND;
        if !restrictions.is_empty() {
            let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | restrictions;
            mount(None::<&str>, target, None::<&str>, again, None::<&str>)?;
        }
        return Ok(());
    }
    let text = data.join(",");
    let source = Some(layer.source.as_str());
    if text.len() < PAGE {
        return Ok(mount(source, target, Some(kind), flags, Some(text.as_str()))?);
    }
    // Many layers: their names are shortened by standing in the folder they share.
    let (folder, short) = shorten(&data).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the names of its layers are longer than a page")
    })?;
    standing_in(&folder, || {
        mount(source, target, Some(kind), flags, Some(short.as_str())).map_err(Into::into)
    })
}

/// Calls a function in a thread whose working directory is its own.
fn standing_in<T: Send>(folder: &Path, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            unshare(CloneFlags::CLONE_FS)?;
            std::env::set_current_dir(folder)?;
            work()
        });
        thread.join().map_err(|_| io::Error::other("a thread died"))?
    })
}

/// Flags of mount(2), and the other options, which are the file system's.
fn flags(options: &[String]) -> (MsFlags, Vec<String>) {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for option in options {
        match option.as_str() {
            "bind" => flags |= MsFlags::MS_BIND,
            "rbind" => flags |= MsFlags::MS_BIND | MsFlags::MS_REC,
            "ro" => flags |= MsFlags::MS_RDONLY,
            "nosuid" => flags |= MsFlags::MS_NOSUID,
            "nodev" => flags |= MsFlags::MS_NODEV,
            "noexec" => flags |= MsFlags::MS_NOEXEC,
            "noatime" => flags |= MsFlags::MS_NOATIME,
            "relatime" => flags |= MsFlags::MS_RELATIME,
            "rw" | "defaults" => {}
            // Not the kernel's words: see `Layer::maps`.
            _ if option.starts_with(USERS) || option.starts_with(GROUPS) => {}
            _ => data.push(option.clone()),
        }
    }
    (flags, data)
}

/// The layers' common folder, and the options with names relative to it.
fn shorten(data: &[String]) -> Option<(PathBuf, String)> {
    let lower = data.iter().find_map(|o| o.strip_prefix("lowerdir="))?;
    let mut folder = PathBuf::from(lower.split(':').next()?);
    while !lower.split(':').all(|l| Path::new(l).starts_with(&folder)) {
        if !folder.pop() {
            return None;
        }
    }
    let relative: Vec<String> = lower
        .split(':')
        .map(|l| Path::new(l).strip_prefix(&folder).map(|p| p.display().to_string()))
        .collect::<Result<_, _>>()
        .ok()?;
    let text =
        data.iter()
            .map(|o| {
                if o.starts_with("lowerdir=") {
                    format!("lowerdir={}", relative.join(":"))
                } else {
                    o.clone()
                }
            })
            .collect::<Vec<_>>()
            .join(",");
    (text.len() < PAGE).then_some((folder, text))
}

/// Unmounts all that is mounted on `target`. It is no error when nothing is.
pub fn unmount(target: &Path) -> io::Result<()> {
    loop {
        match umount2(target, MntFlags::UMOUNT_NOFOLLOW) {
            Ok(()) => {}
            Err(nix::errno::Errno::EBUSY) => umount2(target, MntFlags::MNT_DETACH)?,
            // Nothing (more) is mounted there.
            Err(nix::errno::Errno::EINVAL | nix::errno::Errno::ENOENT) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A folder with mounts, which go with it.
#[derive(Debug)]
pub struct Mounted(tempfile::TempDir);

impl Mounted {
    /// Mounts `layers` on a new folder in `base`.
    pub fn new(base: &Path, layers: &[Layer]) -> io::Result<Self> {
        std::fs::create_dir_all(base)?;
        let mounted = Self(tempfile::Builder::new().prefix("root-").tempdir_in(base)?);
        mount_all(layers, mounted.path())?;
        Ok(mounted)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Detached, with all that was mounted below: nothing else has a name for it.
        while umount2(self.0.path(), MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW).is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_of_layers_are_shortened() {
        let lower: Vec<String> = (0..100).map(|n| format!("/var/lib/snapshots/{n}/fs")).collect();
        let data = vec![format!("lowerdir={}", lower.join(":")), "userxattr".to_owned()];
        let (folder, text) = shorten(&data).unwrap();
        assert_eq!(folder, Path::new("/var/lib/snapshots"));
        assert!(text.starts_with("lowerdir=0/fs:1/fs:") && text.ends_with(":99/fs,userxattr"));
    }

    #[test]
    fn options_are_told_apart() {
        let options = ["ro", "rbind", "index=off", "uidmap=0:1:2", "gidmap=0:1:2"].map(str::to_owned);
        let (flags, data) = flags(&options);
        assert!(flags.contains(MsFlags::MS_RDONLY | MsFlags::MS_BIND | MsFlags::MS_REC));
        assert_eq!(data, ["index=off"]);
    }

    #[test]
    fn read_only_overlays_have_no_upper_folder() {
        let layer = Layer {
            kind: "overlay".into(),
            source: "overlay".into(),
            options: ["userxattr", "workdir=/w", "upperdir=/u", "lowerdir=/a:/b"].map(str::to_owned).into(),
        };
        assert_eq!(layer.read_only().options, ["userxattr", "lowerdir=/u:/a:/b", "ro"]);
    }

    #[test]
    fn a_thread_stands_elsewhere_alone() {
        let before = std::env::current_dir().unwrap();
        let there = standing_in(Path::new("/"), std::env::current_dir).unwrap();
        assert_eq!((there.as_path(), std::env::current_dir().unwrap()), (Path::new("/"), before));
    }
}
