//! buildkitd on demand: started by the first call that needs it, stopped after it was idle for a while.

use crate::engine::{Engine, channel};
use crate::proto::moby::buildkit::v1::DiskUsageRequest;
use crate::proto::moby::buildkit::v1::control_client::ControlClient;
use crate::server::{Buildkit, BuildkitError, BuildkitLease};
use crate::supervise::{Service, Spawner, Spec, State};
use crate::sys::disk;
use futures::future::BoxFuture;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Room on the disk that buildkitd needs to start, in bytes.
const ROOM: u64 = 1 << 20;
/// Largest answer of buildkitd's, in bytes: all records of a cache come in one.
const ANSWER: usize = 64 << 20;
/// buildkitd's key among the children.
pub(super) const NAME: &str = "buildkitd";

pub(super) struct OnDemand {
    spec: Spec,
    spawner: Arc<dyn Spawner>,
    socket: PathBuf,
    engine: Engine,
    shared: Arc<Shared>,
}

struct Shared {
    service: Mutex<Option<Service>>,
    leases: AtomicUsize,
    idle_since: std::sync::Mutex<Instant>,
}

struct Guard(Arc<Shared>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Ok(mut since) = self.0.idle_since.lock() {
            *since = Instant::now();
        }
        self.0.leases.fetch_sub(1, Ordering::SeqCst);
    }
}

impl OnDemand {
    pub(super) fn new(
        spec: Spec,
        spawner: Arc<dyn Spawner>,
        socket: PathBuf,
        idle: Duration,
        engine: Engine,
    ) -> Self {
        // A buildkitd that a former engine started is adopted, so that it is watched and stopped when idle.
        let running = spawner.runs(NAME).then(|| Service::start(spec.clone(), spawner.clone()));
        let shared = Arc::new(Shared {
            service: Mutex::new(running),
            leases: AtomicUsize::new(0),
            idle_since: std::sync::Mutex::new(Instant::now()),
        });
        tokio::spawn(stop_when_idle(Arc::clone(&shared), idle, socket.clone(), engine.clone()));
        Self { spec, spawner, socket, engine, shared }
    }

    pub(super) async fn stop(&self) {
        if let Some(service) = self.shared.service.lock().await.take() {
            service.stop().await;
        }
    }
}

async fn stop_when_idle(shared: Arc<Shared>, idle: Duration, socket: PathBuf, engine: Engine) {
    loop {
        tokio::time::sleep((idle / 4).clamp(Duration::from_millis(250), Duration::from_secs(10))).await;
        let mut service = shared.service.lock().await;
        let since = shared.idle_since.lock().map_or_else(|_| Instant::now(), |since| *since);
        if service.is_some() && shared.leases.load(Ordering::SeqCst) == 0 && since.elapsed() >= idle {
            tracing::info!("buildkitd was idle for {idle:?} and is stopped");
            let records = tokio::time::timeout(Duration::from_secs(5), records(&socket)).await;
            if let Some(service) = service.take() {
                service.stop().await;
            }
            engine.drop_builders_leases(records.ok().flatten()).await;
        }
    }
}

/// IDs of the cache's records; `None` when buildkitd does not say.
async fn records(socket: &Path) -> Option<HashSet<String>> {
    let mut control = ControlClient::new(channel(socket)).max_decoding_message_size(ANSWER);
    let usage = control.disk_usage(DiskUsageRequest::default()).await.ok()?.into_inner();
    Some(usage.record.into_iter().map(|record| record.id).collect())
}

impl Buildkit for OnDemand {
    fn acquire(&self, start: bool) -> BoxFuture<'_, Result<BuildkitLease, BuildkitError>> {
        Box::pin(async move {
            let mut service = self.shared.service.lock().await;
            if service.is_none() {
                if !start {
                    return Err(BuildkitError::Down);
                }
                let data = &self.engine.config().data;
                if disk::free(data).is_ok_and(|free| free < ROOM) {
                    return Err(BuildkitError::DiskFull(data.clone()));
                }
                *service = Some(Service::start(self.spec.clone(), self.spawner.clone()));
            }
            self.shared.leases.fetch_add(1, Ordering::SeqCst);
            if start {
                // A first build may name them before anything else did.
                self.engine.embedded_images().await;
            }
            let guard = Guard(Arc::clone(&self.shared));
            if let Some(service) = service.as_ref()
                && service.state() != State::Ready
            {
                service.ready(NAME, Duration::from_secs(15)).await?;
            }
            Ok(BuildkitLease::new(self.socket.clone(), Box::new(guard)))
        })
    }
}
