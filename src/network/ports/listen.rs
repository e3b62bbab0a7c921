//! Sockets at which the host is reached. They are made by the main thread, which is in the host's network namespace.

use super::spec::Lead;
use crate::model::port::Protocol;
use crate::sys::transparent;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with, sockopt};
use std::fs;
use std::io;
use std::time::Duration;

/// Connections that wait to be accepted; the kernel has a limit of its own (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;
/// Silence after which a peer is asked whether it is still there, the pause between questions, and their number.
const SILENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(15);
const QUESTIONS: u32 = 6;

/// The lowest port that an ordinary user may take.
const UNPRIVILEGED: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// Binds a socket.
///
/// # Errors
/// It cannot be bound.
pub(super) fn open(lead: &Lead) -> io::Result<OwnedFd> {
    let version_6 = lead.at.is_ipv6();
    let family = if version_6 { AddressFamily::INET6 } else { AddressFamily::INET };
    let kind = match lead.protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if version_6 {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    match lead.protocol {
        Protocol::Tcp => {
            sockopt::set_socket_reuseaddr(&socket, true)?;
            // What is accepted has these, too.
            keep_alive(&socket)?;
            sockopt::set_tcp_nodelay(&socket, true)?;
            bind(&socket, &lead.at)?;
            listen(&socket, BACKLOG)?;
        }
        Protocol::Udp => {
            transparent::tell_destinations(&socket, version_6)?;
            bind(&socket, &lead.at)?;
        }
    }
    Ok(socket)
}

/// Has the kernel find out when the peer of a connection is gone.
pub(super) fn keep_alive(socket: &OwnedFd) -> io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, SILENCE)?;
    sockopt::set_tcp_keepintvl(socket, PAUSE)?;
    sockopt::set_tcp_keepcnt(socket, QUESTIONS)?;
    Ok(())
}

/// Why a port cannot be had, in words with the remedy.
pub(super) fn in_words(lead: &Lead, error: &io::Error) -> String {
    let (at, protocol) = (lead.at, lead.protocol);
    match Errno::from_io_error(error) {
        Some(Errno::ADDRINUSE) => {
            format!("failed to bind host port for {at}:{}/{protocol}: address already in use", lead.to)
        }
        Some(Errno::ACCESS) => {
            let first = fs::read_to_string(UNPRIVILEGED).unwrap_or_default();
            let port = at.port();
            format!(
                "cannot expose privileged port {port}: an ordinary user may take ports from {} on; to allow {port}: \
                 sudo sysctl -w net.ipv4.ip_unprivileged_port_start={port} (and for every boot: echo \
                 net.ipv4.ip_unprivileged_port_start={port} | sudo tee /etc/sysctl.d/k3c.conf), or choose a larger port",
                first.trim()
            )
        }
        Some(Errno::ADDRNOTAVAIL) => format!(
            "failed to bind host port for {at}:{}/{protocol}: cannot assign requested address: this host does not have \
             the address {}",
            lead.to,
            at.ip()
        ),
        _ => format!("failed to bind host port for {at}:{}/{protocol}: {error}", lead.to),
    }
}

/// Whether an error says that the host does not have that version of IP.
pub(super) fn lacks_version(lead: &Lead, error: &io::Error) -> bool {
    lead.at.ip().is_unspecified()
        && matches!(Errno::from_io_error(error), Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}
