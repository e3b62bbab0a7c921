//! An engine's life: up, at work until somebody wants it to end, and down again in the reverse order.

use super::buildkit::OnDemand;
use super::children::{Children, buildkitd_spec};
use super::error::StageError;
use super::{config, files, parts, snapshotter};
use crate::children::bundle::Bundle;
use crate::children::containerd;
use crate::config::Instance;
use crate::engine::{Engine, EngineError};
use crate::model::holder::EngineToHolder;
use crate::network::{cni, ports};
use crate::server::{self, Backends};
use crate::supervise::{Holder, Order, Spawner, State};
use crate::sys::memory;
use futures::future::BoxFuture;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Time for containers that are stopped at once.
const HURRIED_LIMIT: Duration = Duration::from_secs(5);
/// Time for calls that are being answered when the API ends.
const LAST_ANSWERS: Duration = Duration::from_secs(4);
/// Pause until ports are published again when somebody did not answer.
const PAUSE: Duration = Duration::from_secs(1);

pub(super) async fn serve(
    instance: Instance,
    holder: &Holder,
    mut orders: UnboundedReceiver<Order>,
    listener: UnixListener,
) -> Result<(), StageError> {
    let bundle = Bundle::open(&instance.bundle)?;
    let snapshotter = snapshotter::choose(&instance, holder)?;
    let rendered =
        files::render(&instance, &snapshotter).map_err(StageError::step("write configurations"))?;
    if !holder.runs(containerd::NAME) {
        cni::remove_older(&instance);
    }
    let children = Children::start(&instance, &bundle, &rendered, holder).await?;
    let engine = Engine::start(config::of(&instance, &bundle, &snapshotter), parts::of(&instance)).await?;
    let buildkit = Arc::new(OnDemand::new(
        buildkitd_spec(&instance, &bundle, &rendered),
        Arc::new(holder.clone()),
        instance.dirs.buildkit_socket(),
        instance.config.buildkit_idle(),
        engine.clone(),
    ));
    let api = Api::start(&instance, listener, &engine, &buildkit);
    holder.report(&EngineToHolder::Ready);
    tracing::info!("the API answers on {}", instance.dirs.socket().display());

    tokio::spawn(memory::rest());
    tokio::spawn(follow_ports(engine.clone(), children.ports()));

    let hurry = CancellationToken::new();
    match orders.recv().await {
        Some(Order::Gone) | None => return Err(StageError::HolderGone),
        Some(Order::Hurry) => hurry.cancel(),
        Some(Order::Drain) => {}
    }
    tokio::spawn(wait_for_hurry(orders, hurry.clone()));
    drain(&instance, &engine, hurry).await;
    buildkit.stop().await;
    api.stop().await;
    children.stop().await;
    if !instance.rootless {
        let _ = cni::remove_bridges();
        let _ = ports::remove_rules();
    }
    holder.report(&EngineToHolder::Drained);
    Ok(())
}

/// Has the engine publish its containers' ports each time the process for them has come up, also if it was there again
/// before anybody looked.
async fn follow_ports(engine: Engine, mut state: watch::Receiver<State>) {
    loop {
        let ready = *state.borrow_and_update() == State::Ready;
        let followed = !ready || engine.follow_ports().await;
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(PAUSE), if !followed => {}
        }
    }
}

/// Ports of the host for CRI's pods.
struct HostPorts(Engine);

impl server::HostPorts for HostPorts {
    fn publish(&self, pod: String) -> BoxFuture<'_, Result<(), EngineError>> {
        Box::pin(async move { self.0.publish_pod(&pod).await })
    }

    fn withdraw(&self, pod: String) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.0.withdraw_pod(&pod).await })
    }
}

/// The API, served in a task.
struct Api {
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Api {
    fn start(instance: &Instance, listener: UnixListener, engine: &Engine, buildkit: &Arc<OnDemand>) -> Self {
        let (all, listed) = (engine.clone(), engine.clone());
        let backends = Backends {
            containerd: instance.dirs.containerd_socket(),
            buildkit: buildkit.clone(),
            pods: Arc::new(move || {
                let engine = all.clone();
                Box::pin(async move { engine.ready().await })
            }),
            host_ports: Arc::new(HostPorts(engine.clone())),
            images: Arc::new(move || {
                let engine = listed.clone();
                Box::pin(async move { drop(engine.embedded_images().await) })
            }),
        };
        let shutdown = CancellationToken::new();
        let serving = server::serve(listener, engine.clone(), backends, shutdown.clone());
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!("the API ended: {error}");
            }
        });
        Self { task, shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        let _ = tokio::time::timeout(LAST_ANSWERS, self.task).await;
    }
}

/// Cancels `hurry` when the holder has no more time.
async fn wait_for_hurry(mut orders: UnboundedReceiver<Order>, hurry: CancellationToken) {
    while let Some(order) = orders.recv().await {
        if order == Order::Hurry {
            hurry.cancel();
        }
    }
}

/// Stops all containers, with their grace as far as the settings allow.
async fn drain(instance: &Instance, engine: &Engine, hurry: CancellationToken) {
    tracing::info!("draining");
    let limit = instance.config.stop_timeout();
    if tokio::time::timeout(limit, engine.drain(hurry.clone())).await.is_err() {
        tracing::warn!("containers did not stop within {limit:?}");
        hurry.cancel();
        let _ = tokio::time::timeout(HURRIED_LIMIT, engine.drain(hurry)).await;
    }
}
