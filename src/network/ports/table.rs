//! What is published, and the workers that serve it. Ports are bound here, by the main thread.

use super::source::Sources;
use super::spec::{Lead, Spec, Status};
use super::worker::{Worker, Workers};
use super::{Setting, listen, rules};
use crate::model::port::Protocol;
use rustix::fd::OwnedFd;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// A published port, as workers know it.
#[derive(Debug)]
pub(super) struct Listening {
    pub(super) id: u32,
    pub(super) lead: Lead,
    /// `None`: it was withdrawn.
    pub(super) socket: RwLock<Option<OwnedFd>>,
    /// It was withdrawn.
    pub(super) gone: AtomicBool,
    /// Connections for which the container has not answered yet.
    pub(super) connecting: AtomicUsize,
    /// One worker at a time asks the container for a connection.
    asking: Mutex<()>,
}

impl Listening {
    /// Runs what asks the container for a connection: while no other one is asked for. Between two processes of the same
    /// host an answer comes within the call, so two cannot believe that they have the last place in the container's queue.
    pub(super) fn ask<T>(&self, what: impl FnOnce() -> T) -> T {
        let _one = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        what()
    }
}

/// All that the workers share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) listening: RwLock<BTreeMap<u32, Arc<Listening>>>,
    pub(super) sources: Sources,
    /// Descriptors of connections, of all workers.
    pub(super) descriptors: AtomicUsize,
    /// It was said that there are no more.
    pub(super) told: AtomicBool,
}

impl Shared {
    pub(super) fn find(&self, id: u32) -> Option<Arc<Listening>> {
        self.listening.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }
}

/// Why a port is not published.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The request makes no sense, or nobody can have that port.
    Bad(String),
    /// Somebody else has it.
    Taken(String),
}

/// What is published.
#[derive(Debug)]
pub(super) struct Table {
    setting: Setting,
    shared: Arc<Shared>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u32,
    specs: BTreeMap<u32, Spec>,
    workers: Option<Workers>,
}

impl Table {
    pub(super) fn new(setting: &Setting) -> Arc<Self> {
        Arc::new(Self { setting: setting.clone(), shared: Arc::default(), inner: Mutex::default() })
    }

    /// Publishes a port. One that is there already is its own answer.
    pub(super) fn add(&self, spec: Spec) -> Result<Status, Refused> {
        let lead = Lead::of(&spec).map_err(Refused::Bad)?;
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((id, _)) = inner.specs.iter().find(|(_, known)| **known == spec) {
            return Ok(Status { id: *id, spec });
        }
        let known: Vec<Arc<Listening>> = {
            let listening = self.shared.listening.read().unwrap_or_else(PoisonError::into_inner);
            listening.values().cloned().collect()
        };
        if known.iter().any(|known| known.lead.collides(&lead)) {
            return Err(Refused::Taken(format!("Bind for {} failed: port is already allocated", lead.at)));
        }
        let socket = listen::open(&lead).map_err(|error| {
            let words = listen::in_words(&lead, &error);
            match error.kind() {
                io::ErrorKind::AddrInUse => Refused::Taken(words),
                _ if listen::lacks_version(&lead, &error) => {
                    Refused::Bad(format!("{}: {words}", super::api::NO_VERSION))
                }
                _ => Refused::Bad(words),
            }
        })?;
        if inner.workers.is_none() {
            let workers = self
                .start()
                .map_err(|error| Refused::Bad(format!("cannot reach the containers' network: {error}")))?;
            inner.workers = Some(workers);
        }
        if let Err(error) = rules::look_around(&self.setting, &self.shared.sources) {
            tracing::warn!(%error, "cannot read the containers' networks");
        }
        inner.last = inner.last.wrapping_add(1).max(1);
        let id = inner.last;
        let udp = lead.protocol == Protocol::Udp;
        let listening = Arc::new(Listening {
            id,
            lead,
            socket: RwLock::new(Some(socket)),
            gone: AtomicBool::new(false),
            connecting: AtomicUsize::new(0),
            asking: Mutex::new(()),
        });
        self.shared.listening.write().unwrap_or_else(PoisonError::into_inner).insert(id, listening.clone());
        if let Some(workers) = &inner.workers
            && let Err(error) = workers.add(&listening, udp)
        {
            self.drop_listening(id, inner.workers.as_ref());
            return Err(Refused::Bad(format!("cannot wait for connections: {error}")));
        }
        inner.specs.insert(id, spec.clone());
        Ok(Status { id, spec })
    }

    /// Withdraws a port; false: there is none of that number.
    pub(super) fn remove(&self, id: u32) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let known = inner.specs.remove(&id).is_some();
        if known {
            self.drop_listening(id, inner.workers.as_ref());
        }
        known
    }

    /// All that is published.
    pub(super) fn all(&self) -> Vec<Status> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.specs.iter().map(|(id, spec)| Status { id: *id, spec: spec.clone() }).collect()
    }

    fn drop_listening(&self, id: u32, workers: Option<&Workers>) {
        let gone = self.shared.listening.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
        let Some(gone) = gone else { return };
        gone.gone.store(true, Ordering::Release);
        let socket = gone.socket.write().unwrap_or_else(PoisonError::into_inner).take();
        if let (Some(workers), Some(socket)) = (workers, &socket) {
            workers.forget(socket);
        }
    }

    /// Starts the workers, and what brings answers back.
    fn start(&self) -> io::Result<Workers> {
        if self.setting.true_sources {
            rules::keep(&self.setting, &self.shared)?;
        }
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MOST_WORKERS);
        Worker::start(count, self.setting.netns.as_deref(), &self.shared)
    }
}

/// The most threads.
const MOST_WORKERS: usize = 4;
