//! Questions that are passed on: to the host's own name servers, as they are at that moment, or to those that a container
//! or the settings name. What is asked and answered is passed on as it is.

use crate::network::names::{RESOLV_CONF, words};
use crate::sys::netns;
use hickory_proto::op::Message;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout, timeout_at};

/// Time for all servers together: who asks waits for five seconds.
const PATIENCE: Duration = Duration::from_millis(4500);
/// Time for one server.
const FOR_ONE: Duration = Duration::from_secs(2);
/// As many servers as resolv.conf(5) has at most.
const MOST: usize = 3;
/// The port of name servers.
const PORT: u16 = 53;
/// The longest datagram.
const LONGEST: usize = 65535;

/// Who is asked, and from where.
#[derive(Clone, Debug)]
pub(super) struct Upstream {
    pub(super) servers: Vec<SocketAddr>,
    /// The network namespace in which the sockets are; `None`: the process's own.
    pub(super) netns: Option<PathBuf>,
}

/// The host's name servers.
pub(super) fn hosts() -> Vec<SocketAddr> {
    servers(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default())
}

fn servers(text: &str) -> Vec<SocketAddr> {
    words(text, "nameserver").iter().filter_map(|word| address(word)).take(MOST).collect()
}

/// An address, perhaps with the interface that it is valid at (`fe80::1%eth0`).
fn address(text: &str) -> Option<SocketAddr> {
    if let Some((address, interface)) = text.split_once('%') {
        let index = nix::net::if_::if_nametoindex(interface).ok()?;
        return Some(SocketAddrV6::new(address.parse().ok()?, PORT, 0, index).into());
    }
    text.parse::<IpAddr>().ok().map(at)
}

/// A server's place.
pub(super) fn at(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, PORT)
}

impl Upstream {
    /// The answer to a question, of whoever answers first, one after the other; `None`: nobody does.
    pub(super) async fn ask(&self, question: &Message, whole: &[u8], stream: bool) -> Option<Vec<u8>> {
        let end = Instant::now() + PATIENCE;
        for server in self.servers.iter().cycle().take(2 * self.servers.len()) {
            if Instant::now() >= end {
                return None;
            }
            let limit = end.min(Instant::now() + FOR_ONE);
            let answer = match stream {
                true => timeout_at(limit, self.by_stream(*server, whole)).await,
                false => timeout_at(limit, self.by_datagram(*server, question, whole)).await,
            };
            match answer {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%error, %server, "a name server does not answer"),
                Err(_) => tracing::debug!(%server, "a name server takes too long"),
            }
        }
        None
    }

    /// A number of our own, a port that nobody knows, and the question itself have to come back.
    async fn by_datagram(&self, server: SocketAddr, question: &Message, whole: &[u8]) -> io::Result<Vec<u8>> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = self.there(move || std::net::UdpSocket::bind(any)).await?;
        socket.set_nonblocking(true)?;
        let socket = UdpSocket::from_std(socket)?;
        socket.connect(server).await?;
        let number: [u8; 2] = rand::random();
        let mut asked = whole.to_vec();
        asked[..2].copy_from_slice(&number);
        socket.send(&asked).await?;
        let mut answer = vec![0; LONGEST];
        loop {
            let length = socket.recv(&mut answer).await?;
            let fits = answer.get(..2) == Some(&number)
                && Message::from_vec(&answer[..length]).is_ok_and(|said| said.queries == question.queries);
            if fits {
                answer.truncate(length);
                answer[..2].copy_from_slice(&whole[..2]);
                return Ok(answer);
            }
        }
    }

    async fn by_stream(&self, server: SocketAddr, whole: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = match &self.netns {
            None => TcpStream::connect(server).await?,
            Some(_) => {
                let stream =
                    self.there(move || std::net::TcpStream::connect_timeout(&server, FOR_ONE)).await?;
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)?
            }
        };
        send(&mut stream, whole).await?;
        receive(&mut stream).await
    }

    /// Does it in the namespace.
    async fn there<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        match self.netns.clone() {
            None => what(),
            Some(path) => inside(&path, what).await,
        }
    }
}

/// Does it in a thread in a namespace.
pub(super) async fn inside<T: Send + 'static>(
    path: &Path,
    what: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.to_owned();
    let done = tokio::task::spawn_blocking(move || netns::inside(&path, what)).await;
    done.map_err(io::Error::other)??
}

/// Writes a message to a stream: its length comes first (RFC 1035, section 4.2.2).
pub(super) async fn send(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.extend(message);
    stream.write_all(&bytes).await
}

/// Reads one, within the time in which a stream may be silent.
pub(super) async fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    const SILENCE: Duration = Duration::from_secs(10);
    let read = async {
        let length = stream.read_u16().await?;
        let mut message = vec![0; length.into()];
        stream.read_exact(&mut message).await?;
        Ok(message)
    };
    timeout(SILENCE, read).await.map_err(|_| io::ErrorKind::TimedOut)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_of_the_host() {
        let text = "# x\nsearch example.org\nnameserver 127.0.0.53\n nameserver\t::1\nnameserver fe80::1%lo\noptions edns0\nnameserver x\nnameserver 1.1.1.1\n";
        let found: Vec<String> = servers(text).into_iter().map(|server| server.to_string()).collect();
        assert_eq!(found, ["127.0.0.53:53", "[::1]:53", "[fe80::1%1]:53"]);
        assert!(servers("nameserver\nnameserver 1.2.3.400").is_empty());
    }
}
