//! Go's `os.FileMode`, which the protocol speaks; it is not `st_mode`.

/// A directory.
pub(super) const DIR: u32 = 1 << 31;
/// A symbolic link.
pub(super) const SYMLINK: u32 = 1 << 27;
/// A device.
pub(super) const DEVICE: u32 = 1 << 26;
/// A FIFO.
pub(super) const NAMED_PIPE: u32 = 1 << 25;
/// Set user ID.
pub(super) const SETUID: u32 = 1 << 23;
/// Set group ID.
pub(super) const SETGID: u32 = 1 << 22;
/// The device is one of characters.
pub(super) const CHAR_DEVICE: u32 = 1 << 21;
/// Sticky.
pub(super) const STICKY: u32 = 1 << 20;

/// A regular file: BuildKit may ask for its contents.
pub(super) fn is_regular(mode: u32) -> bool {
    mode & (DIR | SYMLINK | DEVICE | NAMED_PIPE | CHAR_DEVICE) == 0
}

/// Go's mode of an `st_mode`. A socket becomes an empty regular file, as an archive has no such thing.
#[cfg_attr(windows, expect(dead_code, reason = "Windows has no st_mode"))]
pub(super) fn from_unix(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => DIR,
        0o120_000 => SYMLINK,
        0o060_000 => DEVICE,
        0o020_000 => DEVICE | CHAR_DEVICE,
        0o010_000 => NAMED_PIPE,
        _ => 0,
    };
    let special = [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)];
    let special = special.into_iter().filter(|(bit, _)| mode & bit != 0).map(|(_, go)| go).sum::<u32>();
    kind | special | (mode & 0o777)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_modes_in_go() {
        for (unix, go) in [
            (0o100_644, 0o644),
            (0o104_755, SETUID | 0o755),
            (0o041_777, DIR | STICKY | 0o777),
            (0o042_750, DIR | SETGID | 0o750),
            (0o120_777, SYMLINK | 0o777),
            (0o010_600, NAMED_PIPE | 0o600),
            (0o020_666, DEVICE | CHAR_DEVICE | 0o666),
            (0o060_660, DEVICE | 0o660),
            (0o140_755, 0o755),
        ] {
            assert_eq!(from_unix(unix), go, "{unix:o}");
        }
        assert!(is_regular(SETUID | 0o755) && !is_regular(DIR | 0o755) && !is_regular(SYMLINK));
    }
}
