//! netlink(7): sockets on which the kernel is asked about networks.
// UNSAFETY: two options that have no safe wrapper.
#![expect(unsafe_code, reason = "setsockopt(2) of netlink's own level")]

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::net::{bind, netlink, recv, send, socket_with, sockopt};
use std::io;
use std::time::Duration;

/// Time that the kernel has for an answer; it answers at once, or something is very wrong.
const PATIENCE: Duration = Duration::from_secs(20);

/// A part of the kernel that is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Interfaces, addresses, routes: rtnetlink(7).
    Route,
    /// Packet filters: nf_tables and its relatives.
    Netfilter,
}

/// News of the kernel's, for those who listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Changes of nf_tables (`NFNLGRP_NFTABLES`).
    PacketFilters,
}

/// A socket to the kernel, for the network namespace that its maker was in.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Opens one that explains errors and takes requests by the letter, where the kernel can do that.
    ///
    /// # Errors
    /// socket(2): `EPROTONOSUPPORT` if the kernel lacks the family.
    pub fn open(family: Family) -> io::Result<Self> {
        let protocol: Option<Protocol> = match family {
            // Its number is 0, which is what none stands for.
            Family::Route => None,
            Family::Netfilter => Some(netlink::NETFILTER),
        };
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(PATIENCE))?;
        for option in [libc::NETLINK_EXT_ACK, libc::NETLINK_GET_STRICT_CHK, libc::NETLINK_CAP_ACK] {
            let on: libc::c_int = 1;
            let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
            // SAFETY: the descriptor is an open socket, and `on` is an int of that length that outlives the call. An old
            // kernel's refusal changes nothing.
            unsafe {
                libc::setsockopt(fd.as_raw_fd(), libc::SOL_NETLINK, option, (&raw const on).cast(), length);
            }
        }
        Ok(Self(fd))
    }

    /// Opens one that hears of changes and waits for them without a limit.
    ///
    /// # Errors
    /// socket(2), bind(2).
    pub fn listen(group: Group) -> io::Result<Self> {
        let (protocol, number) = match group {
            Group::PacketFilters => (netlink::NETFILTER, 7),
        };
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol))?;
        bind(&fd, &netlink::SocketAddrNetlink::new(0, 1 << (number - 1)))?;
        Ok(Self(fd))
    }

    /// Sends one datagram, of one message or several.
    ///
    /// # Errors
    /// send(2).
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        loop {
            match send(&self.0, bytes, SendFlags::empty()) {
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Receives one datagram into the buffer; returns its length.
    ///
    /// # Errors
    /// recv(2); a datagram that is longer than the buffer.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match recv(&self.0, &mut *buffer, RecvFlags::TRUNC) {
                Ok((_, length)) if length > buffer.len() => {
                    return Err(io::Error::other("an answer of the kernel is too long"));
                }
                Ok((_, length)) => return Ok(length),
                Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}
