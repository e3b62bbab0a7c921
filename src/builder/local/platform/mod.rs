//! Details of a file that systems have in different ways: mode, device, other names, attributes.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

pub(super) use imp::{attributes, detail, open};

/// The system's part of an entry.
#[derive(Debug, Default)]
pub(super) struct Detail {
    /// Go's mode.
    pub(super) mode: u32,
    /// Major and minor number of a device.
    pub(super) device: (i64, i64),
    /// Present when the file has other names: the same for all of them.
    pub(super) identity: Option<(u64, u64)>,
    /// The entry has no contents to read, whatever its mode says.
    pub(super) unreadable: bool,
}
