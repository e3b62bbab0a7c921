//! Users and groups of the host.

/// Whether the caller is root; false on systems without one.
pub fn is_root() -> bool {
    #[cfg(unix)]
    return rustix::process::geteuid().is_root();
    #[cfg(not(unix))]
    return false;
}

/// Entries of one of the host's databases (`passwd`, `group`) that /etc does not have, from LDAP and the like: the static
/// binary has no NSS, so getent(1) is asked. Lines in the form of the database's file; `None` when there is no such entry.
#[cfg(target_os = "linux")]
pub fn getent(database: &str, key: &str) -> Option<String> {
    let output = std::process::Command::new("getent").args([database, key]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
