//! Sockets at addresses that are not there yet: of bridges that are made with their first container (`IP_FREEBIND`, ip(7)).

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};
use std::io;
use std::net::{SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

/// One for datagrams; it does not block.
///
/// # Errors
/// bind(2): somebody has the port.
pub fn datagrams(at: SocketAddrV4) -> io::Result<UdpSocket> {
    bound(at, SockType::Datagram).map(UdpSocket::from)
}

/// One that accepts connections; it does not block.
///
/// # Errors
/// As [`datagrams`].
pub fn listener(at: SocketAddrV4) -> io::Result<TcpListener> {
    let socket = bound(at, SockType::Stream)?;
    listen(&socket, Backlog::new(128)?)?;
    Ok(socket.into())
}

fn bound(at: SocketAddrV4, kind: SockType) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(AddressFamily::Inet, kind, flags, None)?;
    setsockopt(&socket, sockopt::IpFreebind, &true)?;
    if kind == SockType::Stream {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrIn::from(at))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_nobody_has() {
        // For documentation (RFC 5737).
        let at: SocketAddrV4 = "192.0.2.1:0".parse().unwrap();
        assert_eq!(datagrams(at).unwrap().local_addr().unwrap().ip(), *at.ip());
        assert_eq!(listener(at).unwrap().local_addr().unwrap().ip(), *at.ip());
        let here: SocketAddrV4 = "127.0.0.1:0".parse().unwrap();
        let taken = datagrams(here).unwrap();
        let std::net::SocketAddr::V4(same) = taken.local_addr().unwrap() else { panic!("another version") };
        assert_eq!(datagrams(same).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
