//! The loopback device of a new network namespace.
// UNSAFETY: an ioctl with a struct.
#![expect(unsafe_code, reason = "SIOCSIFFLAGS has no safe wrapper")]

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::os::fd::AsRawFd;

/// Brings `lo` up in the calling thread's network namespace (netdevice(7)).
///
/// # Errors
/// socket(2), ioctl(2).
pub fn loopback_up() -> io::Result<()> {
    let fd = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    // SAFETY: all-zero bytes are a valid ifreq, a plain C struct of integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo\0") {
        *to = libc::c_char::try_from(*from).unwrap_or_default();
    }
    request.ifr_ifru.ifru_flags =
        libc::c_short::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    // SAFETY: the descriptor is an open socket, and `request` is an ifreq that outlives the call, as this request wants.
    let result =
        unsafe { libc::ioctl(fd.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
