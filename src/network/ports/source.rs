//! Whose address a container sees: its client's own where answers to it come back to us, else the gateway's.

use crate::sys::transparent;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, connect, connect_unspec, socket_with, sockopt,
};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is known of addresses.
#[derive(Debug, Default)]
pub(super) struct Sources {
    /// Answers to any address of version 4, of version 6, come back.
    brought_back: [AtomicBool; 2],
    /// The containers' own networks, with the bits of each.
    inside: RwLock<Vec<(IpAddr, u8)>>,
}

impl Sources {
    /// Notes whether answers to any address come back.
    pub(super) fn set_brought_back(&self, version_4: bool, version_6: bool) {
        self.brought_back[0].store(version_4, Ordering::Relaxed);
        self.brought_back[1].store(version_6, Ordering::Relaxed);
    }

    /// Notes the containers' networks.
    pub(super) fn set_inside(&self, networks: Vec<(IpAddr, u8)>) {
        *self.inside.write().unwrap_or_else(std::sync::PoisonError::into_inner) = networks;
    }

    /// Whether a container can see this client as it is.
    fn shows(&self, client: IpAddr) -> bool {
        let local = match client {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
            IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified(),
        };
        let inside = self.inside.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        !local
            && self.brought_back[usize::from(client.is_ipv6())].load(Ordering::Relaxed)
            && !inside.iter().any(|(network, bits)| is_in(client, *network, *bits))
    }

    /// A socket that is connected to `to`, or about to be, in the calling thread's network namespace.
    ///
    /// # Errors
    /// socket(2), connect(2).
    pub(super) fn connect(
        &self,
        kind: SocketType,
        client: SocketAddr,
        to: SocketAddr,
    ) -> io::Result<OwnedFd> {
        if client.is_ipv4() == to.is_ipv4() && self.shows(client.ip()) {
            // The same client may have this address towards this container already, or its port may be taken here.
            for port in [client.port(), 0] {
                let own = SocketAddr::new(client.ip(), port);
                match attempt(kind, Some(own), to) {
                    Err(error) if !retried(&error) => return Err(error),
                    Err(_) => {}
                    done => return done,
                }
            }
        }
        attempt(kind, None, to)
    }
}

/// Connects a socket once more whose peer did not answer.
///
/// # Errors
/// connect(2).
pub(super) fn connect_again(socket: &OwnedFd, to: &SocketAddr) -> io::Result<()> {
    // It keeps its own address, and has the error that the attempt was given up.
    connect_unspec(socket)?;
    let _ = sockopt::socket_error(socket);
    match connect(socket, to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether another source may do better.
fn retried(error: &io::Error) -> bool {
    let errors = [
        Errno::ADDRINUSE,
        Errno::ADDRNOTAVAIL,
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOPROTOOPT,
        Errno::INVAL,
        Errno::NETUNREACH,
        Errno::HOSTUNREACH,
    ];
    Errno::from_io_error(error).is_some_and(|error| errors.contains(&error))
}

fn attempt(kind: SocketType, own: Option<SocketAddr>, to: SocketAddr) -> io::Result<OwnedFd> {
    let family = if to.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if kind == SocketType::STREAM {
        sockopt::set_tcp_nodelay(&socket, true)?;
        super::listen::keep_alive(&socket)?;
    }
    if let Some(own) = own {
        transparent::allow_any_address(&socket, to.is_ipv6())?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        if own.port() == 0 {
            transparent::choose_port_late(&socket)?;
        }
        bind(&socket, &own)?;
    }
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

/// Whether an address is in a network.
fn is_in(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let number = |ip: IpAddr| match ip {
        IpAddr::V4(v4) => (u128::from(u32::from(v4)) << 96, 32),
        IpAddr::V6(v6) => (u128::from(v6), 128),
    };
    let ((one, width), (two, other)) = (number(address), number(network));
    let kept = u32::from(bits).min(width);
    width == other && (kept == 0 || (one ^ two) >> (128 - kept) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let of = |address: &str, network: &str, bits| {
            is_in(address.parse().unwrap(), network.parse().unwrap(), bits)
        };
        assert!(of("10.88.3.4", "10.88.0.1", 16) && !of("10.89.0.1", "10.88.0.1", 16));
        assert!(of("1.2.3.4", "0.0.0.0", 0) && of("1.2.3.4", "1.2.3.4", 32) && !of("1.2.3.5", "1.2.3.4", 32));
        assert!(of("fd00::5", "fd00::1", 64) && !of("fd00:0:0:1::5", "fd00::1", 64));
        assert!(!of("::1", "0.0.0.0", 0));
    }

    #[test]
    fn clients_that_are_shown() {
        let sources = Sources::default();
        let shows = |ip: &str| sources.shows(ip.parse().unwrap());
        assert!(!shows("192.0.2.1"));
        sources.set_brought_back(true, false);
        sources.set_inside(vec![("10.88.0.1".parse().unwrap(), 16)]);
        for (ip, shown) in [
            ("192.0.2.1", true),
            ("127.0.0.1", false),
            ("169.254.0.1", false),
            ("10.88.9.9", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(shows(ip), shown, "{ip}");
        }
        sources.set_brought_back(true, true);
        assert!(shows("2001:db8::1") && !shows("fe80::1") && !shows("::1"));
    }
}
