//! UDP through us: each client of a port has a socket of its own towards the container, until it was silent for a while.

use super::table::{Listening, Shared};
use crate::sys::transparent;
use rustix::fd::OwnedFd;
use rustix::net::{RecvFlags, SendFlags, SocketType, recv, send};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

/// Datagrams that are taken at once before others have their turn.
const BATCH: usize = 64;
/// Silence after which a client is forgotten: one that was never answered, and one that was.
const UNANSWERED: Duration = Duration::from_secs(30);
const ANSWERED: Duration = Duration::from_secs(180);
/// Clients of one worker.
const MOST: usize = 16 << 10;

/// A client of a port, and the address of the host that it speaks to.
type Key = (u32, SocketAddr, IpAddr);

/// A client's flow.
#[derive(Debug)]
pub(super) struct Flow {
    listening: Arc<Listening>,
    key: Key,
    socket: OwnedFd,
    heard: Instant,
    answered: bool,
}

/// A worker's flows.
#[derive(Debug, Default)]
pub(super) struct Flows {
    numbers: HashMap<Key, u64>,
    flows: HashMap<u64, Flow>,
    last: u64,
}

impl Flows {
    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Takes a port's datagrams to the container. `most`: descriptors up to which there are new flows; `register`: has the
    /// event loop wait for a new one's answers.
    pub(super) fn take(
        &mut self,
        listening: &Arc<Listening>,
        shared: &Shared,
        most: usize,
        buffer: &mut [u8],
        register: impl Fn(&OwnedFd, u64) -> io::Result<()>,
    ) {
        for _ in 0..BATCH {
            let received = {
                let socket = listening.socket.read().unwrap_or_else(PoisonError::into_inner);
                let Some(socket) = &*socket else { return };
                transparent::receive(socket, buffer)
            };
            let datagram = match received {
                Ok(Some(datagram)) => datagram,
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // An answer of an earlier one that did not arrive.
                Err(_) => continue,
            };
            let key = (listening.id, datagram.from, datagram.to);
            let number = match self.numbers.get(&key) {
                Some(number) => *number,
                // A flood leaves something for connections.
                None if shared.descriptors.load(Ordering::Relaxed) >= most => continue,
                None => match self.begin(listening, shared, key, &register) {
                    Ok(number) => number,
                    Err(error) => {
                        tracing::debug!(%error, to = %listening.lead.to, "cannot pass a datagram on");
                        continue;
                    }
                },
            };
            if let Some(flow) = self.flows.get_mut(&number) {
                flow.heard = Instant::now();
                // Datagrams may be lost; one that nobody listens for is.
                let _ = send(&flow.socket, &buffer[..datagram.length], SendFlags::empty());
            }
        }
    }

    fn begin(
        &mut self,
        listening: &Arc<Listening>,
        shared: &Shared,
        key: Key,
        register: impl Fn(&OwnedFd, u64) -> io::Result<()>,
    ) -> io::Result<u64> {
        if self.flows.len() >= MOST {
            return Err(io::Error::other("too many clients"));
        }
        let lead = &listening.lead;
        let socket = shared.sources.connect(SocketType::DGRAM, key.1, lead.to)?;
        self.last += 1;
        register(&socket, self.last)?;
        let flow = Flow { listening: listening.clone(), key, socket, heard: Instant::now(), answered: false };
        self.numbers.insert(key, self.last);
        self.flows.insert(self.last, flow);
        shared.descriptors.fetch_add(1, Ordering::Relaxed);
        Ok(self.last)
    }

    /// Takes a container's answers back to the client.
    pub(super) fn answer(&mut self, number: u64, buffer: &mut [u8]) {
        let Some(flow) = self.flows.get_mut(&number) else { return };
        for _ in 0..BATCH {
            let length = match recv(&flow.socket, &mut *buffer, RecvFlags::empty()) {
                Ok((_, length)) => length,
                Err(rustix::io::Errno::CONNREFUSED) => continue,
                Err(_) => return,
            };
            flow.answered = true;
            flow.heard = Instant::now();
            let socket = flow.listening.socket.read().unwrap_or_else(PoisonError::into_inner);
            let Some(socket) = &*socket else { return };
            let _ = transparent::send(socket, &buffer[..length], flow.key.2, flow.key.1);
        }
    }

    /// Forgets clients that were silent for long.
    pub(super) fn drop_old(&mut self, shared: &Shared, now: Instant) {
        self.keep(shared, |flow| {
            let patience = if flow.answered { ANSWERED } else { UNANSWERED };
            now.saturating_duration_since(flow.heard) < patience
        });
    }

    /// Forgets clients of withdrawn ports.
    pub(super) fn drop_withdrawn(&mut self, shared: &Shared) {
        self.keep(shared, |flow| !flow.listening.gone.load(Ordering::Acquire));
    }

    fn keep(&mut self, shared: &Shared, wanted: impl Fn(&Flow) -> bool) {
        let numbers = &mut self.numbers;
        self.flows.retain(|_, flow| {
            let kept = wanted(flow);
            if !kept {
                numbers.remove(&flow.key);
                shared.descriptors.fetch_sub(1, Ordering::Relaxed);
            }
            kept
        });
    }
}
