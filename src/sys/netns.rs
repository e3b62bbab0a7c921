//! Joining network namespaces that are bound at a path.
// UNSAFETY: an ioctl answers with a number that becomes a descriptor.
#![expect(unsafe_code, reason = "ioctl_ns(2) has no typed form")]

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Moves the calling thread into an opened namespace.
///
/// # Errors
/// setns(2).
pub fn enter(namespace: &File) -> io::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// The user namespace that a namespace belongs to (ioctl_ns(2), `NS_GET_USERNS`).
///
/// # Errors
/// ioctl(2): it is not below our own.
pub fn owner(namespace: impl AsFd) -> io::Result<OwnedFd> {
    const NS_GET_USERNS: libc::Ioctl = 0xb701;
    // SAFETY: the request takes no argument.
    let answer = unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_USERNS) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(answer) })
}

/// Runs `what` in a thread of its own that has joined the namespace at `path`.
///
/// # Errors
/// open(2), setns(2).
pub fn inside<T: Send + 'static>(path: &Path, what: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let file = File::open(path)?;
    std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(what())
    })
    .join()
    .map_err(|_| io::Error::other("the thread in the network namespace panicked"))?
}
