//! The root filesystem's mounts, as containerd lists them.

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::io;
use std::path::{Path, PathBuf};

/// mount(2) takes one page of data.
const PAGE: usize = 4095;

/// One mount, as in containerd's API: `options` as in mount(8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) kind: String,
    pub(super) source: String,
    pub(super) options: Vec<String>,
}

/// Mounts `layers` on `target`, in order. Single-threaded: the working directory may change for a moment.
pub(super) fn mount_all(layers: &[Layer], target: &Path) -> io::Result<()> {
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
        let rest = flags - MsFlags::MS_REC - MsFlags::MS_BIND;
        if !rest.is_empty() {
            let again = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | rest;
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
    let before = std::env::current_dir()?;
    std::env::set_current_dir(folder)?;
    let answer = mount(source, target, Some(kind), flags, Some(short.as_str()));
    std::env::set_current_dir(before)?;
    Ok(answer?)
}

/// Flags of mount(2), and the rest, which is the file system's.
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
pub(super) fn unmount(target: &Path) -> io::Result<()> {
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
        let options = ["ro", "rbind", "index=off"].map(str::to_owned);
        let (flags, data) = flags(&options);
        assert!(flags.contains(MsFlags::MS_RDONLY | MsFlags::MS_BIND | MsFlags::MS_REC));
        assert_eq!(data, ["index=off"]);
    }
}
