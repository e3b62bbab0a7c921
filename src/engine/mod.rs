//! The only place with logic: containers, images, volumes and events, in model types.
//!
//! Desired and observed state are apart. A *record* (see `store`) is what the user asked for; it is realised by CRI
//! objects, a pod and a container for each attempt, that carry the record's ID as a label and may come and go:
//!
//! ```text
//! create   -> attempt 0: pod + container, not started
//! start    -> starts attempt 0; later starts first replace it by a fresh attempt
//! exit     -> seen in containerd's events, or by comparing with CRI after any reconnect; the attempt is kept
//! rm       -> the record goes, and pod and container behind the answer; a tombstone keeps the exit code
//! ```
//!
//! The engine never sees API types and never asks who is calling. Whatever is in memory can be rebuilt from the store and
//! from CRI; the copy of the records is only a faster way to read them.

mod binds;
mod compression;
mod containerd;
mod containers;
mod error;
mod events;
mod images;
mod info;
mod leftovers;
mod lifecycle;
mod locks;
mod logs;
mod networks;
mod parts;
mod pod_ports;
mod point;
mod ports;
mod prune;
mod reconcile;
mod records;
mod rootfs;
mod volumes;

pub use containerd::{Containerd, NAMESPACE, channel};
pub use containers::{Archive, Frames, Run};
pub use error::EngineError;
pub use parts::{Attached, Detach, Lead, Names, Networks, NotPublished, Parts, Ports};

use crate::model::subnet::{Subnet, Subnet6};
use containerd::Cri;
use images::Images;
use jiff::Timestamp;
use records::Records;
use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tokio::sync::watch;

/// Surroundings of the engine: its places, its host's abilities, and the images that come with it.
#[derive(Clone, Debug, Default)]
pub struct EngineConfig {
    /// containerd's unix socket; may come and go.
    pub containerd_socket: PathBuf,
    /// Folder of records, logs and volumes.
    pub data: PathBuf,
    /// Runtime directory of this instance.
    pub run: PathBuf,
    /// containerd's snapshotter: `overlayfs` or `native`.
    pub snapshotter: String,
    /// CRI's runtime handler; empty is the default.
    pub runtime_handler: String,
    /// cgroup controllers that can be applied; without its controller a limit is dropped with a warning.
    pub controllers: Vec<String>,
    /// True inside a user namespace.
    pub rootless: bool,
    /// A path as the user knows it, and where that tree of the host is bound aside.
    pub host_trees: Vec<(PathBuf, PathBuf)>,
    /// Folder of what is configured for each registry: `HOST/hosts.toml`, or certificates as Docker has them.
    pub registries: PathBuf,
    /// Addresses of the default network, of version 4 and 6.
    pub subnet: Option<Subnet>,
    pub subnet6: Option<Subnet6>,
    /// The host's address for containers that ask for it (`host-gateway`); `None`: they may not.
    pub host_gateway: Option<IpAddr>,
    /// Images that the binary brings.
    pub embedded_images: Vec<EmbeddedImage>,
    /// Versions, for `version`.
    pub components: BTreeMap<String, String>,
}

/// An image that the binary brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedImage {
    /// Complete reference.
    pub reference: String,
    /// Path of an OCI archive.
    pub archive: PathBuf,
}

/// The engine. Cheap to clone; its background work ends with the last clone.
///
/// Beside the reasons that a verb's own docs name, each can answer `Unavailable` and `Timeout` (containerd is away) and
/// `Internal` (the records, a file, an answer of containerd's that makes no sense). A prefix that several IDs begin
/// with is `InvalidArgument`.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: EngineConfig,
    parts: Parts,
    records: Records,
    cri: Cri,
    containerd: Containerd,
    images: Images,
    volumes: volumes::Volumes,
    /// Written while a network is made or removed; read while pods are made, so that none is made in a network that goes.
    networks: tokio::sync::RwLock<()>,
    /// Addresses of the containers that the name server knows.
    told_of: watch::Sender<HashSet<IpAddr>>,
    ooms: containers::Ooms,
    burials: containers::Burials,
    leaving: pod_ports::Leaving,
    course: Course,
}

/// Progress of this engine, from its start to its drain.
#[derive(Debug)]
struct Course {
    /// Time at which it began.
    started: Timestamp,
    /// True once the records were compared with CRI.
    synced: watch::Sender<bool>,
    /// True when the runtime can make mounts read-only with all that is below them.
    recursive_read_only: AtomicBool,
    /// True when all containers are being stopped: nothing is started any more.
    draining: AtomicBool,
}

impl Course {
    fn begin() -> Self {
        Self {
            started: Timestamp::now(),
            synced: watch::channel(false).0,
            recursive_read_only: AtomicBool::new(false),
            draining: AtomicBool::new(false),
        }
    }
}

impl Engine {
    /// Waits until the records were compared with what runs and the pause image is there, but not for ever.
    pub async fn ready(&self) {
        self.0.ready().await;
    }

    /// Opens the records and begins to compare them with what runs. Returns before that is done; calls wait for it.
    ///
    /// # Errors
    /// `Internal`: a folder cannot be made; the records are in use by another engine, newer than we are, or unreadable.
    pub async fn start(config: EngineConfig, parts: Parts) -> Result<Self, EngineError> {
        for dir in ["logs", "volumes", "containers"] {
            let path = config.data.join(dir);
            tokio::fs::create_dir_all(&path).await.map_err(EngineError::file("cannot make", &path))?;
        }
        let path = config.data.join("k3c.redb");
        let (records, config) = blocking(move || {
            let records = Records::open(&path)?;
            leftovers::tidy_files(&config, &records.book());
            Ok::<_, EngineError>((records, config))
        })
        .await??;
        let channel = channel(&config.containerd_socket);
        let inner = Arc::new(Inner {
            config,
            parts,
            records,
            cri: Cri::new(channel.clone()),
            containerd: Containerd::new(channel),
            images: Images::default(),
            volumes: volumes::Volumes::default(),
            networks: tokio::sync::RwLock::default(),
            told_of: watch::channel(HashSet::new()).0,
            ooms: containers::Ooms::default(),
            burials: containers::Burials::default(),
            leaving: pod_ports::Leaving::default(),
            course: Course::begin(),
        });
        tokio::spawn(reconcile::run(Arc::downgrade(&inner)));
        tokio::spawn(logs::rotate(Arc::downgrade(&inner)));
        tokio::spawn(networks::follow_names(Arc::downgrade(&inner)));
        Ok(Self(inner))
    }

    /// Makes the ports that are published what the records say; to be called when the process for ports has come up. False:
    /// somebody did not answer, and it is to be called again.
    pub async fn follow_ports(&self) -> bool {
        self.0.ready().await;
        self.0.follow_ports().await
    }

    /// Publishes the ports of the host that the configuration of another client's pod names.
    ///
    /// # Errors
    /// One cannot be had; then none is published, and the pod is removed.
    pub async fn publish_pod(&self, pod: &str) -> Result<(), EngineError> {
        self.0.publish_pod_or_remove_it(pod).await
    }

    /// Withdraws what is published for another client's pod, named by its ID or the beginning of it.
    pub async fn withdraw_pod(&self, pod: &str) {
        self.0.withdraw_pod(pod).await;
    }

    /// containerd's services, for those who need more than the engine does.
    pub fn containerd(&self) -> &Containerd {
        &self.0.containerd
    }

    /// The configuration that it was started with.
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
        let mut synced = self.course.synced.subscribe();
        let wait = synced.wait_for(|done| *done);
        tokio::time::timeout(Duration::from_secs(10), wait).await.ok();
    }
}

/// Runs what waits for a client in a thread of its own: clients may be slow, and `blocking` has few places. The answer can
/// be waited for; the work goes on when it is not.
fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<impl Future<Output = Result<T, EngineError>>, EngineError> {
    let runtime = tokio::runtime::Handle::current();
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let answer = move || {
        let _within = runtime.enter();
        sender.send(work()).ok();
    };
    std::thread::Builder::new()
        .name("stream".into())
        .spawn(answer)
        .map_err(|e| EngineError::Broken(format!("cannot start a thread: {e}")))?;
    Ok(async move { receiver.await.map_err(|_| EngineError::Broken("a worker died".into())) })
}

/// Runs what blocks, but does not wait for a client, beside the async threads.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(|e| EngineError::Broken(format!("a worker died: {e}")))
}
