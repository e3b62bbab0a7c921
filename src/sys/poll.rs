//! Descriptors in tokio's event loop.
// UNSAFETY: registering asks that the descriptor stays open as long as it is registered.
#![expect(
    unsafe_code,
    reason = "tokio's safe constructor is deprecated as unsound for types that are not OwnedFd"
)]

use rustix::fd::OwnedFd;
use std::io;
use tokio::io::unix::AsyncFd;

/// Makes `fd` non-blocking and waits for it in the event loop. Not for regular files.
///
/// # Errors
/// ioctl(2), epoll_ctl(2).
pub fn asynchronous(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    rustix::io::ioctl_fionbio(&fd, true)?;
    // SAFETY: the descriptor is owned by what is returned, which takes it out of the loop before it is closed.
    let registered = unsafe { AsyncFd::register(fd) };
    Ok(registered?)
}
