//! A thread that accepts and carries. It is in the containers' network namespace for good: its sockets towards containers
//! are made there, while the sockets at which it accepts are the host's.

use super::flows::Flows;
use super::go;
use super::link::{BUFFER, CLIENT, CONTAINER, Link, State, reset};
use super::pipes::Pipes;
use super::source::connect_again;
use super::table::{Listening, Shared};
use super::waiting::Waiting;
use crate::model::port::Protocol;
use crate::sys::patience;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{SocketFlags, SocketType, acceptfrom_with, getpeername, sockopt};
use rustix::process::{Resource, getrlimit};
use rustix::time::Timespec;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that are accepted at once before others have their turn; so several workers share a storm.
const BATCH: usize = 16;
/// Connections of one port for which the container has not answered; from then on others wait in the kernel's queue.
const MOST_CONNECTING: usize = 128;
/// Time that a container has to answer.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// Time that connections through a withdrawn port have to come to their end.
const LAST_BYTES: Duration = Duration::from_secs(5);
/// Pause of a port that cannot accept.
const PAUSE: Duration = Duration::from_millis(50);
/// Pause between looks at what has its time.
const TICK: Duration = Duration::from_secs(1);
/// Descriptors that are not for connections.
const KEPT: u64 = 256;
/// Events that are taken at once.
const EVENTS: usize = 256;

/// What an event is about; the rest of its 64 bits is a number.
const KIND: u64 = 0b11 << 62;
const WAKE: u64 = 0;
const LISTEN: u64 = 0b01 << 62;
const END: u64 = 0b10 << 62;
const FLOW: u64 = 0b11 << 62;

/// Handle of all workers.
#[derive(Debug)]
pub(super) struct Workers(Vec<Post>);

/// What the main thread has of one worker.
#[derive(Debug)]
struct Post {
    epoll: Arc<OwnedFd>,
    wake: Arc<OwnedFd>,
}

impl Workers {
    /// Has them serve a port. Datagrams are one worker's, which knows their senders.
    pub(super) fn add(&self, listening: &Listening, udp: bool) -> io::Result<()> {
        let socket = listening.socket.read().unwrap_or_else(PoisonError::into_inner);
        let Some(socket) = &*socket else { return Ok(()) };
        let one = usize::try_from(listening.id).unwrap_or_default() % self.0.len();
        for (number, post) in self.0.iter().enumerate() {
            if !udp {
                listen_in(&post.epoll, socket, listening.id)?;
            } else if number == one {
                epoll::add(&*post.epoll, socket, data(LISTEN, listening.id.into()), epoll::EventFlags::IN)?;
            }
        }
        Ok(())
    }

    /// Has them forget a port's socket, and look for its connections.
    pub(super) fn forget(&self, socket: &OwnedFd) {
        for post in &self.0 {
            let _ = epoll::delete(&*post.epoll, socket);
            let _ = rustix::io::write(&*post.wake, &1_u64.to_ne_bytes());
        }
    }
}

fn data(kind: u64, number: u64) -> epoll::EventData {
    epoll::EventData::new_u64(kind | number)
}

fn listen_in(epoll: &OwnedFd, socket: &OwnedFd, id: u32) -> io::Result<()> {
    let flags = epoll::EventFlags::IN | epoll::EventFlags::EXCLUSIVE;
    Ok(epoll::add(epoll, socket, data(LISTEN, id.into()), flags)?)
}

/// A place for a connection. The number in front makes an event of the one before it recognisable.
#[derive(Debug, Default)]
struct Place {
    generation: u32,
    link: Option<Link>,
}

/// A worker.
pub(super) struct Worker {
    epoll: Arc<OwnedFd>,
    wake: Arc<OwnedFd>,
    shared: Arc<Shared>,
    places: Vec<Place>,
    free: Vec<u32>,
    /// Connections with more to do.
    more: Vec<u32>,
    flows: Flows,
    buffer: Vec<u8>,
    pipes: Pipes,
    /// Ports that do not accept for a moment.
    paused: Vec<u32>,
    resume: Instant,
    /// Connections whose container has not answered.
    waiting: Waiting,
    /// Connections that have a time limit.
    limited: usize,
    ticked: Instant,
    /// Descriptors that all workers may have.
    most: usize,
}

impl Worker {
    /// Starts threads in a network namespace.
    pub(super) fn start(count: usize, netns: Option<&Path>, shared: &Arc<Shared>) -> io::Result<Workers> {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20);
        let most = usize::try_from(limit.saturating_sub(KEPT)).unwrap_or(usize::MAX).max(2);
        let mut posts = Vec::new();
        for _ in 0..count {
            let epoll = Arc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
            let wake = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
            epoll::add(&*epoll, &*wake, data(WAKE, 0), epoll::EventFlags::IN)?;
            let now = Instant::now();
            let worker = Self {
                epoll: epoll.clone(),
                wake: wake.clone(),
                shared: shared.clone(),
                places: Vec::new(),
                free: Vec::new(),
                more: Vec::new(),
                flows: Flows::default(),
                buffer: vec![0; BUFFER],
                pipes: Pipes::default(),
                paused: Vec::new(),
                resume: now,
                waiting: Waiting::default(),
                limited: 0,
                ticked: now,
                most,
            };
            let netns = netns.map(Path::to_path_buf);
            let (said, heard) = std::sync::mpsc::channel();
            thread::Builder::new().name("carrier".into()).stack_size(256 << 10).spawn(move || {
                let there = go(netns.as_deref());
                let works = there.is_ok();
                let _ = said.send(there);
                if works {
                    worker.run();
                }
            })?;
            heard.recv().map_err(io::Error::other)??;
            posts.push(Post { epoll, wake });
        }
        Ok(Workers(posts))
    }

    fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            events.clear();
            let timeout = self.timeout();
            match epoll::wait(&*self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "cannot wait for connections");
                    patience::pause(PAUSE);
                }
            }
            for event in &events {
                self.on(*event);
            }
            for place in std::mem::take(&mut self.more) {
                self.carry(place);
            }
            self.ask_again();
            self.look_at_the_clock();
        }
    }

    /// The longest wait; `None`: until something happens.
    fn timeout(&self) -> Option<Timespec> {
        let now = Instant::now();
        let limited = self.limited > 0 || !self.flows.is_empty();
        let tick = limited.then(|| (self.ticked + TICK).saturating_duration_since(now));
        let resume = (!self.paused.is_empty()).then(|| self.resume.saturating_duration_since(now));
        let again = self.waiting.next().map(|at| at.saturating_duration_since(now));
        let pause = match self.more.is_empty() {
            true => tick.into_iter().chain(resume).chain(again).min()?,
            false => Duration::ZERO,
        };
        // A millisecond more, so that the time has come when it wakes.
        let pause = if pause.is_zero() { pause } else { pause + Duration::from_millis(1) };
        Timespec::try_from(pause).ok()
    }

    fn on(&mut self, event: epoll::Event) {
        let word = event.data.u64();
        let number = word & !KIND;
        let flags = event.flags;
        let broken = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
        match word & KIND {
            LISTEN => self.listened(u32::try_from(number).unwrap_or_default()),
            END => {
                let to_read = broken || flags.intersects(epoll::EventFlags::IN | epoll::EventFlags::RDHUP);
                let to_write = broken || flags.contains(epoll::EventFlags::OUT);
                self.end_is_ready(number, to_read, to_write, broken);
            }
            FLOW => self.flows.answer(number, &mut self.buffer),
            _ => {
                let _ = rustix::io::read(&*self.wake, &mut [0; 8]);
                self.limit_those_of_withdrawn();
            }
        }
    }

    /// A port has connections, or datagrams.
    fn listened(&mut self, id: u32) {
        let Some(listening) = self.shared.find(id) else { return };
        if listening.lead.protocol == Protocol::Udp {
            let Self { flows, shared, buffer, epoll, most, .. } = self;
            flows.take(&listening, shared, *most / 2, buffer, |socket, flow| {
                Ok(epoll::add(&**epoll, socket, data(FLOW, flow), epoll::EventFlags::IN)?)
            });
            return;
        }
        for _ in 0..BATCH {
            let full = self.shared.descriptors.load(Ordering::Relaxed) + 2 > self.most;
            if full {
                self.say_that_it_is_full();
            }
            if full || listening.connecting.load(Ordering::Relaxed) >= MOST_CONNECTING {
                return self.pause(&listening);
            }
            let accepted = {
                let socket = listening.socket.read().unwrap_or_else(PoisonError::into_inner);
                let Some(socket) = &*socket else { return };
                acceptfrom_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
            };
            match accepted {
                Ok((client, Some(address))) => match SocketAddr::try_from(address) {
                    Ok(address) => self.open(&listening, client, address),
                    Err(_) => continue,
                },
                Ok((_, None)) | Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return,
                Err(error) => {
                    tracing::debug!(%error, port = %listening.lead.at, "cannot accept");
                    return self.pause(&listening);
                }
            }
        }
    }

    fn say_that_it_is_full(&self) {
        if !self.shared.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "published ports have {} connections, as many as the limit of open files allows; others wait: raise it \
                 (LimitNOFILE= of the service, ulimit -Hn)",
                self.most / 2
            );
        }
    }

    /// Stops accepting for a moment, instead of being told of the same connections again and again.
    fn pause(&mut self, listening: &Listening) {
        let socket = listening.socket.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = &*socket
            && epoll::delete(&*self.epoll, socket).is_ok()
        {
            if self.paused.is_empty() {
                self.resume = Instant::now() + PAUSE;
            }
            self.paused.push(listening.id);
        }
    }

    fn resume(&mut self) {
        for id in std::mem::take(&mut self.paused) {
            let Some(listening) = self.shared.find(id) else { continue };
            let socket = listening.socket.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(socket) = &*socket {
                let _ = listen_in(&self.epoll, socket, id);
            }
        }
    }

    /// Connects a client to its container.
    fn open(&mut self, listening: &Arc<Listening>, client: OwnedFd, address: SocketAddr) {
        let sources = &self.shared.sources;
        let connected = listening.ask(|| sources.connect(SocketType::STREAM, address, listening.lead.to));
        let container = match connected {
            Ok(socket) => socket,
            Err(error) => {
                tracing::debug!(%error, to = %listening.lead.to, "cannot connect to a container");
                return reset(&client);
            }
        };
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            u32::try_from(self.places.len() - 1).unwrap_or_default()
        });
        let registered =
            self.register(place, CLIENT, &client).and_then(|()| self.register(place, CONTAINER, &container));
        if let Err(error) = registered {
            tracing::debug!(%error, "cannot wait for a connection");
            self.free.push(place);
            return reset(&client);
        }
        let link = Link::new(listening.clone(), address, [client, container], CONNECT_WITHIN);
        if let Some(turn) = link.connecting {
            self.waiting.add(turn, place);
        }
        listening.connecting.fetch_add(1, Ordering::Relaxed);
        self.shared.descriptors.fetch_add(2, Ordering::Relaxed);
        self.limited += 1;
        self.places[index(place)].link = Some(link);
    }

    fn register(&self, place: u32, end: usize, socket: &OwnedFd) -> io::Result<()> {
        let generation = self.places[index(place)].generation & 0x1fff_ffff;
        let number = u64::from(generation) << 33 | u64::from(place) << 1 | end as u64;
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        Ok(epoll::add(&*self.epoll, socket, data(END, number), flags)?)
    }

    fn end_is_ready(&mut self, number: u64, to_read: bool, to_write: bool, broken: bool) {
        let place = u32::try_from(number >> 1 & 0xffff_ffff).unwrap_or_default();
        let end = usize::from(number & 1 == 1);
        let Some(Place { generation, link: Some(link) }) = self.places.get_mut(index(place)) else { return };
        if u64::from(*generation & 0x1fff_ffff) != number >> 33 {
            return;
        }
        link.ready(end, to_read, to_write);
        if link.connecting.is_some() {
            // The client's end is looked at when there is a container.
            if end == CLIENT {
                return if broken {
                    self.close(place, true)
                };
            }
            match sockopt::socket_error(&link.ends[CONTAINER]) {
                Ok(Ok(())) if to_write && !broken => self.connected(place),
                Ok(Ok(())) => return,
                _ => return self.refused(place),
            }
        }
        self.carry(place);
    }

    fn connected(&mut self, place: u32) {
        let Some(link) = &mut self.places[index(place)].link else { return };
        if let Some(turn) = link.connecting.take() {
            self.waiting.remove(turn, place);
        }
        link.listening.connecting.fetch_sub(1, Ordering::Relaxed);
        if !link.listening.gone.load(Ordering::Acquire) {
            link.until = None;
            self.limited -= 1;
        }
    }

    /// Nothing listens there: its address of the other version may be better.
    fn refused(&mut self, place: u32) {
        let again = {
            let Some(link) = &mut self.places[index(place)].link else { return };
            // A container whose answer to an earlier question is on its way refuses the later one; the next will do.
            if link.connecting.is_some_and(|turn| !turn.is_first()) && !link.doubted {
                link.doubted = true;
                return;
            }
            let other = link.listening.lead.other.filter(|_| !link.retried);
            link.retried = true;
            other.and_then(|to| self.shared.sources.connect(SocketType::STREAM, link.client, to).ok())
        };
        let Some(socket) = again else { return self.close(place, true) };
        if self.register(place, CONTAINER, &socket).is_err() {
            return self.close(place, true);
        }
        if let Some(link) = &mut self.places[index(place)].link {
            link.ends[CONTAINER] = socket;
        }
    }

    /// Asks containers again that did not answer.
    fn ask_again(&mut self) {
        if self.waiting.next().is_none() {
            return;
        }
        let now = Instant::now();
        for place in self.waiting.take(now) {
            let Some(link) = &mut self.places[index(place)].link else { continue };
            let Some(turn) = link.connecting else { continue };
            let turn = turn.next(now);
            link.connecting = Some(turn);
            let to = link.to();
            self.waiting.add(turn, place);
            // It may have answered by now; then there is an event.
            let socket = &link.ends[CONTAINER];
            if getpeername(socket).is_err()
                && let Err(error) = link.listening.ask(|| connect_again(socket, &to))
            {
                tracing::debug!(%error, %to, "cannot connect to a container");
                self.refused(place);
            }
        }
    }

    fn carry(&mut self, place: u32) {
        let Self { places, buffer, pipes, .. } = self;
        let Some(Place { link: Some(link), .. }) = places.get_mut(index(place)) else { return };
        match link.carry(buffer, pipes) {
            State::Waits => {}
            State::More => self.more.push(place),
            State::Over => self.close(place, false),
            State::Broken => self.close(place, true),
        }
    }

    fn close(&mut self, place: u32, broken: bool) {
        let Some(at) = self.places.get_mut(index(place)) else { return };
        let Some(link) = at.link.take() else { return };
        at.generation = at.generation.wrapping_add(1);
        self.free.push(place);
        if broken {
            link.reset();
        }
        if let Some(turn) = link.connecting {
            self.waiting.remove(turn, place);
            link.listening.connecting.fetch_sub(1, Ordering::Relaxed);
        }
        if link.until.is_some() {
            self.limited -= 1;
        }
        self.shared.descriptors.fetch_sub(2, Ordering::Relaxed);
        link.release(&mut self.pipes);
    }

    /// Gives connections of withdrawn ports a limit.
    fn limit_those_of_withdrawn(&mut self) {
        let until = Instant::now() + LAST_BYTES;
        for link in self.places.iter_mut().filter_map(|place| place.link.as_mut()) {
            if link.until.is_none()
                && link.listening.gone.load(Ordering::Acquire)
                && !link.container_has_ended()
            {
                link.until = Some(until);
                self.limited += 1;
            }
        }
        self.flows.drop_withdrawn(&self.shared);
    }

    fn look_at_the_clock(&mut self) {
        let limited = self.limited > 0 || !self.flows.is_empty();
        if !limited && self.paused.is_empty() {
            return;
        }
        let now = Instant::now();
        if !self.paused.is_empty() && now >= self.resume {
            self.resume();
        }
        if !limited || now < self.ticked + TICK {
            return;
        }
        self.ticked = now;
        self.flows.drop_old(&self.shared, now);
        if self.limited == 0 {
            return;
        }
        let over: Vec<u32> = (0_u32..)
            .zip(&self.places)
            .filter(|(_, place)| {
                let until = place.link.as_ref().and_then(|link| link.until);
                until.is_some_and(|until| now >= until)
            })
            .map(|(number, _)| number)
            .collect();
        for place in over {
            self.close(place, true);
        }
    }
}

fn index(place: u32) -> usize {
    place as usize
}
