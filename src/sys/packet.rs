//! Packets of JSON over `SOCK_SEQPACKET` unix sockets (unix(7)): message boundaries without framing.

use rustix::fd::{AsFd, OwnedFd};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect,
    listen, recv, send, socket_with, socketpair, sockopt,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::path::Path;
use std::time::Duration;

/// The longest packet, in bytes.
const LONGEST: usize = 1 << 17;

/// Two ends, close-on-exec.
///
/// # Errors
/// socketpair(2).
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Listens at `path`, which must not exist.
///
/// # Errors
/// socket(2), bind(2), listen(2).
pub fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let fd = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    bind(&fd, &SocketAddrUnix::new(path)?)?;
    listen(&fd, 8)?;
    Ok(fd)
}

/// Connects to `path`.
///
/// # Errors
/// connect(2): `NotFound` or `ConnectionRefused` when nobody listens.
pub fn connect_to(path: &Path) -> io::Result<OwnedFd> {
    let fd = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&fd, &SocketAddrUnix::new(path)?)?;
    Ok(fd)
}

/// Takes one connection.
///
/// # Errors
/// accept(2).
pub fn accept_one(fd: impl AsFd) -> io::Result<OwnedFd> {
    Ok(accept_with(fd, SocketFlags::CLOEXEC)?)
}

/// Sends one message.
///
/// # Errors
/// send(2): `BrokenPipe` when the other end is gone.
pub fn write<T: Serialize>(fd: impl AsFd, message: &T) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    if bytes.len() > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "message too long"));
    }
    loop {
        match send(&fd, &bytes, SendFlags::NOSIGNAL) {
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether an error of [`read`] is about the content: a packet came, but none of the type that was asked for.
pub fn is_foreign(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|source| source.is::<serde_json::Error>())
}

/// Limits [`read`]'s wait for a packet, after which it fails with `WouldBlock`; `None`: no limit.
///
/// # Errors
/// setsockopt(2).
pub fn set_patience(fd: impl AsFd, patience: Option<Duration>) -> io::Result<()> {
    Ok(sockopt::set_socket_timeout(fd, sockopt::Timeout::Recv, patience)?)
}

/// The process at the other end of a connection: for one that was accepted, the process that connected; for one that was
/// made by connecting, the process that listened.
///
/// # Errors
/// getsockopt(2).
pub fn peer(fd: impl AsFd) -> io::Result<i32> {
    Ok(sockopt::socket_peercred(fd)?.pid.as_raw_nonzero().get())
}

/// Receives one message; `None` when the other end is gone.
///
/// # Errors
/// recv(2); a packet that is not a `T`.
pub fn read<T: DeserializeOwned>(fd: impl AsFd) -> io::Result<Option<T>> {
    let mut buffer = vec![0_u8; LONGEST];
    loop {
        match recv(&fd, &mut buffer[..], RecvFlags::empty()) {
            Ok((_, 0)) | Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            Ok((_, length)) => return Ok(Some(serde_json::from_slice(&buffer[..length])?)),
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_keep_their_boundaries() {
        let (a, b) = pair().unwrap();
        write(&a, &vec![1, 2]).unwrap();
        write(&a, &vec![3]).unwrap();
        assert_eq!(read::<Vec<i32>>(&b).unwrap(), Some(vec![1, 2]));
        assert_eq!(read::<Vec<i32>>(&b).unwrap(), Some(vec![3]));
        drop(a);
        assert_eq!(read::<Vec<i32>>(&b).unwrap(), None);
    }
}
