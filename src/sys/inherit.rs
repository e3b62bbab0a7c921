//! Descriptors that a child gets by number.
// UNSAFETY: a number from the environment becomes a descriptor.
#![expect(unsafe_code, reason = "turns an inherited number into an OwnedFd")]

use rustix::fd::{AsFd, FromRawFd, OwnedFd};
use rustix::io::{FdFlags, fcntl_setfd};
use std::os::fd::{AsRawFd, RawFd};
use std::{env, io};

/// Lets children that are executed from now on inherit `fd`, and says under which number.
///
/// # Errors
/// fcntl(2).
pub fn pass_on(fd: impl AsFd) -> io::Result<RawFd> {
    let fd = fd.as_fd();
    fcntl_setfd(fd, FdFlags::empty())?;
    Ok(fd.as_raw_fd())
}

/// Keeps `fd` from children that are executed from now on.
///
/// # Errors
/// fcntl(2).
pub fn keep_private(fd: impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(fd.as_fd(), FdFlags::CLOEXEC)?)
}

/// Takes the descriptor whose number is in the environment variable `name`; it is not passed on further.
/// To be called once for each name, before anything else opens descriptors.
///
/// # Errors
/// Not set, not a number, not an open descriptor.
pub fn take(name: &str) -> io::Result<OwnedFd> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("{name}: {what}"));
    let text = env::var(name).map_err(|_| bad("not set"))?;
    let number: RawFd = text.parse().ok().filter(|n| *n > 2).ok_or_else(|| bad("not a descriptor"))?;
    if !std::path::Path::new(&format!("/proc/self/fd/{number}")).exists() {
        return Err(bad("not an open descriptor"));
    }
    // SAFETY: the number is open (checked above), and by this process's contract with its parent nobody else owns
    // it: the parent left exactly this one open for us, and each name is taken once.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Takes the open descriptor with a number that the parent named in the command line; `None` when it is not open. To be
/// called once for each, before anything else opens descriptors.
pub fn take_number(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 || !std::path::Path::new(&format!("/proc/self/fd/{number}")).exists() {
        return None;
    }
    // SAFETY: the number is open (checked above), and by this process's contract with its parent nobody else owns it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC).ok()?;
    Some(fd)
}
