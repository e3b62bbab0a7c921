//! The lock that one ADD at a time holds while it chooses an address, and the address that was given out last: a hint,
//! whose loss does no harm.

use super::error::Refusal;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::net::Ipv4Addr;
use std::path::Path;

/// The lock, held while this lives.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock in a folder, which is made.
    pub(super) fn take(folder: &Path) -> Result<Self, Refusal> {
        let path = folder.join("lock");
        let open = || File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = open().or_else(|_| fs::create_dir_all(folder).and_then(|()| open()));
        let file = file.map_err(Refusal::io(format!("open {}", path.display())))?;
        file.lock().map_err(Refusal::io(format!("lock {}", path.display())))?;
        Ok(Self(file))
    }

    /// The address that was given out last.
    pub(super) fn last(&mut self) -> Option<Ipv4Addr> {
        let mut text = String::new();
        self.0.read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }

    /// Keeps the address that is given out.
    pub(super) fn keep(&mut self, address: Ipv4Addr) {
        let written = self.0.rewind().and_then(|()| {
            let text = format!("{address}\n");
            self.0.write_all(text.as_bytes())?;
            self.0.set_len(u64::try_from(text.len()).unwrap_or_default())
        });
        // The next one begins at the start again, which is as good but for the reuse of addresses.
        drop(written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_may_be_lost() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cni");
        let last = || Lock::take(&folder).unwrap().last();
        assert_eq!(last(), None);
        for address in ["10.88.255.254", "10.0.0.2"] {
            Lock::take(&folder).unwrap().keep(address.parse().unwrap());
            assert_eq!(last().map(|known| known.to_string()).as_deref(), Some(address));
        }
        fs::write(folder.join("lock"), "half an addr").unwrap();
        assert_eq!(last(), None);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(last(), None);
    }
}
