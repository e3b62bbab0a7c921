//! Who the caller is.

/// Whether the caller is root (never, where there is no such thing).
pub fn is_root() -> bool {
    #[cfg(unix)]
    return rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    return false;
}
