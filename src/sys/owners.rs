//! Owners of files moved to where a user namespace maps them.
//!
//! The kernel does that in a mount (mount_setattr(2), `MOUNT_ATTR_IDMAP`), but for file systems of the caller's own user
//! namespace only: never for a disk, seen from a rootless one. So the files are given away here, one by one.

use rustix::fs::{AtFlags, Gid, Mode, Uid, XattrFlags, chmod, chownat, lgetxattr, lsetxattr};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Capabilities of a program; a change of its owner takes them away.
const CAPABILITIES: &str = "security.capability";
/// The bits that a change of a file's owner takes away (chown(2)).
const SET_ID: u32 = 0o6000;

/// IDs inside a user namespace, and where they are outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdMap(Vec<[u32; 3]>);

impl IdMap {
    /// `inside:outside:length[,...]`, as containerd writes it.
    pub fn parse(text: &str) -> Option<Self> {
        let range = |text: &str| {
            let numbers: Vec<u32> = text.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
            numbers.try_into().ok()
        };
        text.split(',').map(range).collect::<Option<_>>().map(Self)
    }

    fn outside(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|[inside, outside, length]| {
            id.checked_sub(*inside).filter(|offset| offset < length).map(|offset| outside + offset)
        })
    }
}

/// Gives everything below `root`, itself not, to the users and groups that its owners are mapped to; owners that are
/// not mapped stay. Nobody else may be at work there.
pub fn shift(root: &Path, users: &IdMap, groups: &IdMap) -> io::Result<()> {
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        let path = entry.path();
        let found = entry.metadata()?;
        if found.is_dir() {
            shift(&path, users, groups)?;
        }
        let (user, group) = (users.outside(found.uid()), groups.outside(found.gid()));
        if user.is_none() && group.is_none() {
            continue;
        }
        let capabilities = if found.is_file() { capabilities(&path) } else { None };
        let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
        chownat(rustix::fs::CWD, &path, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = found.file_type();
        if found.mode() & SET_ID != 0 && !kind.is_symlink() && !kind.is_socket() {
            chmod(&path, Mode::from_raw_mode(found.mode() & 0o7777))?;
        }
        if let Some(value) = capabilities {
            lsetxattr(&path, CAPABILITIES, &value, XattrFlags::empty())?;
        }
    }
    Ok(())
}

fn capabilities(path: &Path) -> Option<Vec<u8>> {
    // The newest form has 24 bytes (capabilities(7)).
    let mut value = [0; 64];
    let length = lgetxattr(path, CAPABILITIES, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn maps() {
        let map = IdMap::parse("0:1000:10,100:5000:1").unwrap();
        assert_eq!(
            [0, 9, 10, 100, 101].map(|id| map.outside(id)),
            [Some(1000), Some(1009), None, Some(5000), None]
        );
        for bad in ["", "1:2", "1:2:3:4", "a:b:c"] {
            assert_eq!(IdMap::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn who_is_not_mapped_stays() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("d")).unwrap();
        let file = dir.path().join("d/f");
        std::fs::write(&file, "").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o4755)).unwrap();
        std::os::unix::fs::symlink("/no/such", dir.path().join("link")).unwrap();
        let own = std::fs::metadata(&file).unwrap();
        // To himself: what an ordinary user may do.
        let same = |id: u32| IdMap(vec![[id, id, 1]]);
        shift(dir.path(), &same(own.uid()), &same(own.gid())).unwrap();
        let elsewhere = IdMap(vec![[4_000_000, 0, 1]]);
        shift(dir.path(), &elsewhere, &elsewhere).unwrap();
        let now = std::fs::metadata(&file).unwrap();
        assert_eq!((now.uid(), now.gid(), now.mode()), (own.uid(), own.gid(), own.mode()));
    }
}
