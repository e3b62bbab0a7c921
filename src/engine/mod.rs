//! The only place with logic: containers, images, volumes and events, in model types.
//!
//! Desired and observed state are apart. A *record* (see `store`) is what the user asked for; it is realised by CRI
//! objects, a pod and a container for each attempt, that carry the record's ID as a label and may come and go:
//!
//! ```text
//! create   -> attempt 0: pod + container, not started
//! start    -> starts attempt 0; later starts first replace it by a fresh attempt
//! exit     -> seen in containerd's events, or by comparing with CRI after any reconnect; the attempt is kept
//! rm       -> pod and container go, then the record; a tombstone keeps the exit code
//! ```
//!
//! The engine never sees API types and never asks who is calling. Whatever is in memory can be rebuilt from the store and
//! from CRI; the copy of the records is only a faster way to read them.

mod containerd;
mod containers;
mod cri;
mod error;
mod events;
mod images;
mod info;
mod leftovers;
mod logs;
mod prune;
mod reconcile;
mod rootfs;
mod volumes;

pub use containerd::{Containerd, NAMESPACE, channel};
pub use containers::{Archive, Frames};
pub use error::EngineError;

use crate::model::event::Event;
use crate::model::id::ContainerId;
use crate::model::volume::Volume;
use crate::store::{Change, Record, Store};
use cri::Cri;
use images::Images;
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, broadcast, watch};

/// What the engine is told about its surroundings.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// Unix socket; may come and go.
    pub containerd_socket: PathBuf,
    /// Records, logs and volumes.
    pub data: PathBuf,
    /// Runtime directory of this instance.
    pub run: PathBuf,
    /// `overlayfs` or `native`.
    pub snapshotter: String,
    /// CRI's runtime handler; empty is the default.
    pub runtime_handler: String,
    /// cgroup controllers that can be applied; without its controller a limit is dropped with a warning.
    pub controllers: Vec<String>,
    /// Inside a user namespace.
    pub rootless: bool,
    /// Name servers for containers; empty: the host's.
    pub dns: Vec<String>,
    /// A path as the user knows it, and where that tree of the host is bound aside.
    pub host_trees: Vec<(PathBuf, PathBuf)>,
    /// Images that the binary brings.
    pub embedded_images: Vec<EmbeddedImage>,
    /// Versions, for `version`.
    pub components: BTreeMap<String, String>,
}

/// An image that the binary brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedImage {
    /// Complete.
    pub reference: String,
    /// An OCI archive.
    pub archive: PathBuf,
    /// Belongs to k3c itself: always there, never shown, never removed.
    pub pinned: bool,
}

/// The engine. Cheap to clone; its background work ends with the last clone.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

/// The copy of the records in memory.
#[derive(Debug, Default)]
struct Book {
    records: BTreeMap<ContainerId, Record>,
    volumes: BTreeMap<String, Volume>,
}

/// Where the instance's ID is among the store's texts.
const INSTANCE: &str = "instance";

#[derive(Debug)]
struct Inner {
    config: EngineConfig,
    /// Says which data directory this is, for as long as there is one.
    instance: String,
    store: Store,
    cri: Cri,
    containerd: Containerd,
    book: RwLock<Book>,
    /// Held while a change is written, so that store, copy and events keep one order.
    writing: AsyncMutex<()>,
    /// Counts changes; whoever waits for a state looks again.
    changed: watch::Sender<u64>,
    events: broadcast::Sender<Event>,
    /// One per container: its operations do not overlap.
    locks: Mutex<HashMap<ContainerId, Arc<AsyncMutex<()>>>>,
    /// Names of containers that are being created.
    reserved: Mutex<HashSet<String>>,
    /// IDs of containers that are being created: their CRI objects are no leftovers.
    creating: Mutex<HashSet<ContainerId>>,
    /// CRI containers that the kernel killed for their memory.
    ooms: Mutex<HashSet<String>>,
    /// Processes that were added to containers, by their IDs.
    execs: Mutex<HashMap<String, containers::Exec>>,
    /// Held while a volume is filled.
    filling: AsyncMutex<()>,
    images: Images,
    draining: AtomicBool,
    /// When this engine began.
    started: Timestamp,
    /// The runtime can make mounts read-only with all that is below them.
    recursive_read_only: AtomicBool,
    /// True once the records were compared with CRI.
    synced: watch::Sender<bool>,
}

impl Engine {
    /// Waits until the records were compared with what runs and the pause image is there, but not for ever.
    pub async fn ready(&self) {
        self.0.ready().await;
    }

    /// Opens the records and begins to compare them with what runs. Returns before that is done; calls wait for it.
    pub async fn start(config: EngineConfig) -> Result<Self, EngineError> {
        for dir in ["logs", "volumes", "containers"] {
            let path = config.data.join(dir);
            tokio::fs::create_dir_all(&path).await.map_err(EngineError::file("cannot make", &path))?;
        }
        let path = config.data.join("k3c.redb");
        let store = blocking(move || Store::open(&path)).await??;
        let records = store.records()?.into_iter().map(|r| (r.id.clone(), r)).collect();
        let volumes = store.volumes()?;
        let book = Book { records, volumes };
        let (book, config) = blocking(move || {
            leftovers::tidy_files(&config, &book);
            (book, config)
        })
        .await?;
        let instance = match store.text(INSTANCE)? {
            Some(instance) => instance,
            None => {
                let instance = uuid::Uuid::new_v4().to_string();
                store.apply(Change::new().text(INSTANCE, &instance))?;
                instance
            }
        };
        let channel = channel(&config.containerd_socket);
        let inner = Arc::new(Inner {
            config,
            instance,
            store,
            cri: Cri::new(channel.clone()),
            containerd: Containerd::new(channel),
            book: RwLock::new(book),
            writing: AsyncMutex::new(()),
            changed: watch::channel(0).0,
            events: broadcast::channel(1024).0,
            locks: Mutex::default(),
            reserved: Mutex::default(),
            creating: Mutex::default(),
            ooms: Mutex::default(),
            execs: Mutex::default(),
            filling: AsyncMutex::new(()),
            images: Images::default(),
            draining: AtomicBool::new(false),
            started: Timestamp::now(),
            recursive_read_only: AtomicBool::new(false),
            synced: watch::channel(false).0,
        });
        tokio::spawn(reconcile::run(Arc::downgrade(&inner)));
        tokio::spawn(logs::rotate(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    /// containerd's services, for those who need more than the engine does.
    pub fn containerd(&self) -> &Containerd {
        &self.0.containerd
    }

    /// What it was started with.
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    fn inner(&self) -> &Arc<Inner> {
        &self.0
    }
}

impl Inner {
    /// Waits until the records were compared with CRI, but not for ever: containerd may be away.
    async fn ready(&self) {
        let mut synced = self.synced.subscribe();
        let wait = synced.wait_for(|done| *done);
        tokio::time::timeout(Duration::from_secs(10), wait).await.ok();
    }

    /// Writes a change, brings the copy in memory up to date, and tells everybody.
    async fn commit(&self, change: Change) -> Result<(), EngineError> {
        let _one = self.writing.lock().await;
        let store = self.store.clone();
        let copy = change.clone();
        let events = blocking(move || store.apply(change)).await??;
        if let Ok(mut book) = self.book.write() {
            for record in copy.records {
                book.records.insert(record.id.clone(), record);
            }
            for tombstone in &copy.removed {
                book.records.remove(&tombstone.id);
            }
            for volume in copy.volumes {
                book.volumes.insert(volume.name.clone(), volume);
            }
            for name in &copy.removed_volumes {
                book.volumes.remove(name);
            }
        }
        self.changed.send_modify(|count| *count += 1);
        for event in events {
            self.events.send(event).ok();
        }
        Ok(())
    }

    /// All records, in no order that matters.
    fn records(&self) -> Vec<Record> {
        self.book.read().map(|b| b.records.values().cloned().collect()).unwrap_or_default()
    }

    fn record(&self, id: &ContainerId) -> Result<Record, EngineError> {
        self.book
            .read()
            .ok()
            .and_then(|b| b.records.get(id).cloned())
            .ok_or_else(|| EngineError::NoSuchContainer(id.to_string()))
    }

    /// The record whose current attempt is this CRI container.
    fn record_of(&self, container: &str) -> Option<Record> {
        self.book.read().ok()?.records.values().find(|r| r.container == container).cloned()
    }

    /// Finds a record: full ID, then name, then a prefix of an ID, then CRI's own ID.
    fn find(&self, who: &str) -> Result<Record, EngineError> {
        let missing = || EngineError::NoSuchContainer(who.to_owned());
        if who.is_empty() {
            return Err(missing());
        }
        let book = self.book.read().map_err(|_| missing())?;
        let name = who.strip_prefix('/').unwrap_or(who);
        let all = || book.records.values();
        if let Some(record) = all().find(|r| r.id.as_str() == who).or_else(|| all().find(|r| r.name == name))
        {
            return Ok(record.clone());
        }
        let mut begins = all().filter(|r| r.id.as_str().starts_with(who));
        match (begins.next(), begins.next()) {
            (Some(record), None) => Ok(record.clone()),
            (Some(_), Some(_)) => Err(EngineError::AmbiguousPrefix(who.to_owned())),
            (None, _) => all()
                .find(|r| who.len() >= 12 && (r.container.starts_with(who) || r.pod.starts_with(who)))
                .cloned()
                .ok_or_else(missing),
        }
    }

    /// Waits for other operations on this container to be over, and keeps them off.
    async fn lock(&self, id: &ContainerId) -> OwnedMutexGuard<()> {
        let lock = match self.locks.lock() {
            Ok(mut locks) => locks.entry(id.clone()).or_default().clone(),
            Err(_) => Arc::default(),
        };
        lock.lock_owned().await
    }
}

/// Runs what blocks beside the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| EngineError::Broken(format!("a worker died: {e}")))
}
