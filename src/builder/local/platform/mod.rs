//! What systems know of a file beyond its kind, size and time.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as imp;
#[cfg(windows)]
use windows as imp;

pub(super) use imp::{attributes, detail};

/// The system's part of an entry.
#[derive(Debug, Default)]
pub(super) struct Detail {
    /// Go's mode.
    pub(super) mode: u32,
    /// Of a device.
    pub(super) device: (i64, i64),
    /// Present when the file has other names: the same for all of them.
    pub(super) identity: Option<(u64, u64)>,
    /// Has no contents to read, whatever its mode says.
    pub(super) unreadable: bool,
}
