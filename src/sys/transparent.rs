//! Sockets with addresses that are not the host's (ip(7), `IP_TRANSPARENT`), and datagrams with the address that they came to.
// UNSAFETY: options that have no safe wrapper.
#![expect(unsafe_code, reason = "setsockopt(2) of the levels of IP")]

use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use rustix::fd::{AsFd, AsRawFd};
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, SocketAddr};

/// Lets a socket have an address that is another host's; needs CAP_NET_ADMIN over its network namespace.
///
/// # Errors
/// setsockopt(2): `EPERM`.
pub fn allow_any_address(fd: impl AsFd, version_6: bool) -> io::Result<()> {
    match version_6 {
        false => option(fd, libc::SOL_IP, libc::IP_TRANSPARENT, 1),
        true => option(fd, libc::SOL_IPV6, libc::IPV6_TRANSPARENT, 1),
    }
}

/// Lets the port of a socket that is bound to port 0 be chosen when it is connected: then it need only be free for that peer.
///
/// # Errors
/// setsockopt(2).
pub fn choose_port_late(fd: impl AsFd) -> io::Result<()> {
    option(fd, libc::SOL_IP, libc::IP_BIND_ADDRESS_NO_PORT, 1)
}

/// Has the kernel tell with each datagram to which address it came.
///
/// # Errors
/// setsockopt(2).
pub fn tell_destinations(fd: impl AsFd, version_6: bool) -> io::Result<()> {
    match version_6 {
        false => option(fd, libc::SOL_IP, libc::IP_PKTINFO, 1),
        true => setsockopt(&fd, sockopt::Ipv6RecvPacketInfo, &true).map_err(Into::into),
    }
}

fn option(fd: impl AsFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    let length = libc::socklen_t::try_from(size_of_val(&value)).unwrap_or_default();
    // SAFETY: the descriptor is open, and `value` is an int of that length that outlives the call.
    let done =
        unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, (&raw const value).cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A datagram's length, its sender, and the address that it was sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Bytes in the buffer.
    pub length: usize,
    /// Sender.
    pub from: SocketAddr,
    /// Address of this host.
    pub to: IpAddr,
}

/// Receives one datagram into the buffer; `None`: one came of which the kernel told nothing.
///
/// # Errors
/// recvmsg(2); `WouldBlock`: there is none.
pub fn receive(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<Option<Datagram>> {
    let mut parts = [IoSliceMut::new(buffer)];
    let mut told = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo);
    let message = recvmsg::<SockaddrStorage>(
        fd.as_fd().as_raw_fd(),
        &mut parts,
        Some(&mut told),
        MsgFlags::MSG_DONTWAIT,
    )?;
    let to = message.cmsgs()?.find_map(|part| match part {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::from(u32::from_be(info.ipi_addr.s_addr).to_be_bytes()))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::from(info.ipi6_addr.s6_addr)),
        _ => None,
    });
    let from = message.address.as_ref().and_then(address);
    Ok(from.zip(to).map(|(from, to)| Datagram { length: message.bytes, from, to }))
}

/// Sends one datagram from one of the host's addresses.
///
/// # Errors
/// sendmsg(2).
pub fn send(fd: impl AsFd, bytes: &[u8], from: IpAddr, to: SocketAddr) -> io::Result<()> {
    let parts = [IoSlice::new(bytes)];
    let fd = fd.as_fd().as_raw_fd();
    let to = SockaddrStorage::from(to);
    match from {
        IpAddr::V4(from) => {
            let source = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: source, ipi_addr: source };
            sendmsg(fd, &parts, &[ControlMessage::Ipv4PacketInfo(&info)], MsgFlags::MSG_DONTWAIT, Some(&to))?
        }
        IpAddr::V6(from) => {
            let source = libc::in6_addr { s6_addr: from.octets() };
            let info = libc::in6_pktinfo { ipi6_addr: source, ipi6_ifindex: 0 };
            sendmsg(fd, &parts, &[ControlMessage::Ipv6PacketInfo(&info)], MsgFlags::MSG_DONTWAIT, Some(&to))?
        }
    };
    Ok(())
}

fn address(of: &SockaddrStorage) -> Option<SocketAddr> {
    match (of.as_sockaddr_in(), of.as_sockaddr_in6()) {
        (Some(v4), _) => Some(std::net::SocketAddrV4::from(*v4).into()),
        (_, Some(v6)) => Some(std::net::SocketAddrV6::from(*v6).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn datagrams_tell_where_they_came_to_and_are_answered_from_there() {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        tell_destinations(&server, false).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = SocketAddr::new("127.0.0.2".parse().unwrap(), server.local_addr().unwrap().port());
        client.connect(at).unwrap();
        client.send(b"ping").unwrap();
        let mut buffer = [0; 16];
        // Loopback delivers at once.
        let came = receive(&server, &mut buffer).unwrap().unwrap();
        assert_eq!((came.length, came.to, came.from), (4, at.ip(), client.local_addr().unwrap()));
        send(&server, b"pong", came.to, came.from).unwrap();
        // A connected socket hears its peer only.
        assert_eq!(client.recv(&mut buffer).unwrap(), 4);
        let nothing = receive(&server, &mut buffer).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
    }
}
