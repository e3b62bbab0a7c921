//! The lock that one ADD at a time holds while it chooses addresses, and the addresses that were given out last in each
//! network: hints, whose loss does no harm.

use super::error::Refusal;
use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// The lock, held while this lives.
#[derive(Debug)]
pub(super) struct Lock {
    folder: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock in a folder, which is made.
    pub(super) fn take(folder: &Path) -> Result<Self, Refusal> {
        let path = folder.join("lock");
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open().or_else(|_| fs::create_dir_all(folder).and_then(|()| open()));
        let file = file.map_err(Refusal::io(format!("open {}", path.display())))?;
        file.lock().map_err(Refusal::io(format!("lock {}", path.display())))?;
        Ok(Self { folder: folder.to_owned(), _file: file })
    }

    /// The address that was given out last on a bridge.
    pub(super) fn last(&self, bridge: &str) -> Option<Ipv4Addr> {
        fs::read_to_string(self.hint(bridge)).ok()?.trim().parse().ok()
    }

    /// Keeps the address that is given out.
    pub(super) fn keep(&self, bridge: &str, address: Ipv4Addr) {
        // Without it the next one begins at the start again, which is as good but for the reuse of addresses.
        let _ = fs::write(self.hint(bridge), format!("{address}\n"));
    }

    /// Forgets a bridge that is no more.
    pub(super) fn forget(&self, bridge: &str) {
        let _ = fs::remove_file(self.hint(bridge));
    }

    fn hint(&self, bridge: &str) -> PathBuf {
        self.folder.join(format!("last-{bridge}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_may_be_lost() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cni");
        let last = || Lock::take(&folder).unwrap().last("b");
        assert_eq!(last(), None);
        for address in ["10.88.255.254", "10.0.0.2"] {
            Lock::take(&folder).unwrap().keep("b", address.parse().unwrap());
            assert_eq!(last().map(|known| known.to_string()).as_deref(), Some(address));
        }
        fs::write(folder.join("last-b"), "half an addr").unwrap();
        assert_eq!(last(), None);
        assert_eq!(Lock::take(&folder).unwrap().last("c"), None);
        Lock::take(&folder).unwrap().forget("b");
        assert!(!folder.join("last-b").exists());
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(last(), None);
    }
}
