//! The engine stage: what the holder starts inside the namespaces. Children first, then the engine, then the API.

use super::buildkit;
use crate::children::bundle::Bundle;
use crate::children::{buildkitd, containerd};
use crate::config::{Instance, env as names};
use crate::engine::{EmbeddedImage, Engine, EngineConfig};
use crate::model::holder::ToKeeper;
use crate::network::{cni, rootlesskit, slirp};
use crate::rootless::{cgroup, mounts};
use crate::server::{self, Backends};
use crate::supervise::{Keeper, Order, Probe, Service, Spec};
use crate::sys::inherit;
use futures::future::BoxFuture;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

/// Never returns before the engine has ended.
pub fn stage() -> i32 {
    crate::telemetry::start();
    match start() {
        Ok(()) => 0,
        Err(message) => {
            tracing::error!("{message}");
            1
        }
    }
}

fn start() -> Result<(), String> {
    let control = inherit::take(names::CONTROL_FD).map_err(|e| e.to_string())?;
    let listener = UnixListener::from(inherit::take(names::LISTEN_FD).map_err(|e| e.to_string())?);
    let instance = std::env::var(names::INSTANCE).map_err(|e| e.to_string())?;
    let instance: Instance = serde_json::from_str(&instance).map_err(|e| e.to_string())?;
    let (keeper, orders) = Keeper::connect(control).map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| format!("cannot start the runtime: {e}"))?;
    let outcome = runtime.block_on(serve(instance, keeper.clone(), orders, listener));
    if let Err(message) = &outcome {
        keeper.tell(&ToKeeper::Failed { message: message.clone() });
    }
    outcome
}

async fn serve(
    instance: Instance,
    keeper: Keeper,
    mut orders: UnboundedReceiver<Order>,
    listener: UnixListener,
) -> Result<(), String> {
    let bundle = Bundle::open(&instance.bundle).map_err(|e| crate::model::reason::chain(&e))?;
    let snapshotter = snapshotter(&instance, &keeper)?;
    let rendered =
        render(&instance, &snapshotter).map_err(|e| format!("cannot write configurations: {e}"))?;
    let path =
        format!("{}:{}", instance.bundle.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let env = vec![("PATH".to_owned(), path), ("TMPDIR".to_owned(), "/tmp".to_owned())];
    let mut children = Vec::new();
    if let Some(program) = instance.slirp4netns.as_deref().filter(|_| instance.rootless) {
        children.push(Service::start(slirp::spec(&instance, program), keeper.clone()));
        rootlesskit::serve(&instance, std::os::unix::process::parent_id().try_into().unwrap_or(0))
            .map_err(|e| format!("cannot serve RootlessKit's API: {e}"))?;
    }
    let socket = instance.dirs.containerd_socket();
    let service = Service::start(
        Spec {
            name: containerd::NAME.into(),
            commands: vec![vec![
                bundle.bin("containerd").display().to_string(),
                "--config".into(),
                rendered.containerd.display().to_string(),
            ]],
            env: [env.clone(), vec![(names::SHIM_DIR.into(), instance.dirs.shims().display().to_string())]]
                .concat(),
            log: instance.dirs.child_log(containerd::NAME),
            probe: connects(socket.clone()),
            ready_within: Duration::from_secs(20),
            grace: Duration::from_secs(5),
        },
        keeper.clone(),
    );
    if let Err(error) = service.ready(containerd::NAME, Duration::from_secs(20)).await {
        let damaged = bundle.condemn_if_damaged();
        return Err(match damaged.is_empty() {
            true => error.to_string(),
            false => format!(
                "{error}: damaged in {}: {}; it is unpacked anew when the daemon is started again",
                bundle.dir.display(),
                damaged.join(", ")
            ),
        });
    }
    children.push(service);
    let engine = Engine::start(engine_config(&instance, &bundle, &snapshotter))
        .await
        .map_err(|e| crate::model::reason::chain(&e))?;
    let buildkit = Arc::new(buildkit::OnDemand::new(
        Spec {
            name: buildkit::NAME.into(),
            commands: vec![vec![
                bundle.bin("buildkitd").display().to_string(),
                "--config".into(),
                rendered.buildkitd.display().to_string(),
            ]],
            env,
            log: instance.dirs.child_log(buildkit::NAME),
            probe: connects(instance.dirs.buildkit_socket()),
            ready_within: Duration::from_secs(20),
            grace: Duration::from_secs(5),
        },
        keeper.clone(),
        instance.dirs.buildkit_socket(),
        instance.config.buildkit_idle(),
        engine.clone(),
    ));
    let shutdown = CancellationToken::new();
    let ready = engine.clone();
    let pods = Arc::new(move || {
        let engine = ready.clone();
        Box::pin(async move { engine.ready().await }) as BoxFuture<'static, ()>
    });
    let listed = engine.clone();
    let images = Arc::new(move || {
        let engine = listed.clone();
        Box::pin(async move { drop(engine.embedded_images().await) }) as BoxFuture<'static, ()>
    });
    let backends = Backends { containerd: socket, buildkit: buildkit.clone(), pods, images };
    let api = tokio::spawn(server::serve(listener, engine.clone(), backends, shutdown.clone()));
    keeper.tell(&ToKeeper::Ready);
    tracing::info!("the API answers on {}", instance.dirs.socket().display());

    let hurry = CancellationToken::new();
    match orders.recv().await {
        Some(Order::Gone) | None => return Err("the holder is gone".into()),
        Some(Order::Hurry) => hurry.cancel(),
        Some(Order::Drain) => {}
    }
    let quick = hurry.clone();
    tokio::spawn(async move {
        while let Some(order) = orders.recv().await {
            if order == Order::Hurry {
                quick.cancel();
            }
        }
    });
    tracing::info!("draining");
    let limit = instance.config.stop_timeout();
    if tokio::time::timeout(limit, engine.drain(hurry.clone())).await.is_err() {
        tracing::warn!("containers did not stop within {limit:?}");
        hurry.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(5), engine.drain(hurry)).await;
    }
    buildkit.stop().await;
    shutdown.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(4), api).await;
    for child in children.iter().rev() {
        child.stop().await;
    }
    if !instance.rootless {
        let _ = cni::remove_bridge();
    }
    keeper.tell(&ToKeeper::Drained);
    Ok(())
}

struct Rendered {
    containerd: PathBuf,
    buildkitd: PathBuf,
}

fn render(instance: &Instance, snapshotter: &str) -> io::Result<Rendered> {
    let dirs = &instance.dirs;
    let folder = |path: &Path, mode| DirBuilder::new().recursive(true).mode(mode).create(path);
    folder(&dirs.cni(), 0o700)?;
    folder(&dirs.shims(), 0o700)?;
    // Containers' root filesystems are below these, seen by other users of the namespace.
    for path in [dirs.containerd_root(), dirs.containerd_state(), dirs.data.join("opt")] {
        folder(&path, 0o711)?;
    }
    if let Some(private) = dirs.buildkit_socket().parent() {
        folder(private, 0o700)?;
    }
    let rendered = Rendered {
        containerd: dirs.rendered().join("containerd.toml"),
        buildkitd: dirs.rendered().join("buildkitd.toml"),
    };
    fs::write(&rendered.containerd, containerd::render(instance, snapshotter))?;
    fs::write(&rendered.buildkitd, buildkitd::render(instance, snapshotter))?;
    fs::write(dirs.cni_list(), cni::render(instance))?;
    Ok(rendered)
}

fn connects(path: PathBuf) -> Probe {
    Arc::new(move || {
        let path = path.clone();
        Box::pin(async move { tokio::net::UnixStream::connect(&path).await.is_ok() })
    })
}

/// What the first start chose is kept; another wish is refused in words.
fn snapshotter(instance: &Instance, keeper: &Keeper) -> Result<String, String> {
    let record = instance.dirs.data.join("snapshotter");
    let wish = instance.config.snapshotter.as_str();
    if let Ok(chosen) = fs::read_to_string(&record) {
        let chosen = chosen.trim().to_owned();
        if wish != "auto" && wish != chosen {
            return Err(format!(
                "the data in {} was made with the snapshotter {chosen}, and the configuration says {wish}: \
                 change it back, or move the data away",
                instance.dirs.data.display()
            ));
        }
        return Ok(chosen);
    }
    let chosen = match wish {
        "auto" if mounts::overlay_works(&instance.dirs.data) => "overlayfs",
        "auto" => {
            keeper.tell(&ToKeeper::Warning {
                message: format!(
                    "{} is on a file system on which overlayfs does not work: the native snapshotter is used, which \
                     copies every layer and is slow",
                    instance.dirs.data.display()
                ),
            });
            "native"
        }
        wish => wish,
    };
    fs::write(&record, chosen).map_err(|e| format!("cannot write {}: {e}", record.display()))?;
    Ok(chosen.to_owned())
}

fn engine_config(instance: &Instance, bundle: &Bundle, snapshotter: &str) -> EngineConfig {
    let dirs = &instance.dirs;
    let image = |reference: &str, name: &str, pinned| EmbeddedImage {
        reference: reference.into(),
        archive: bundle.image(name),
        pinned,
    };
    let dns = match (instance.config.dns.is_empty(), instance.rootless) {
        (false, _) => instance.config.dns.clone(),
        (true, true) => vec![slirp::DNS.to_owned()],
        (true, false) => Vec::new(),
    };
    let trees = if instance.rootless { &mounts::COPIED_UP[..] } else { &[] };
    EngineConfig {
        containerd_socket: dirs.containerd_socket(),
        data: dirs.data.clone(),
        run: dirs.runtime.clone(),
        snapshotter: snapshotter.into(),
        runtime_handler: String::new(),
        controllers: if instance.cgroup.is_some() {
            cgroup::enabled(Path::new("/sys/fs/cgroup"))
        } else {
            Vec::new()
        },
        rootless: instance.rootless,
        dns,
        host_trees: trees
            .iter()
            .map(|t| (PathBuf::from(t), dirs.host_tree(t.trim_start_matches('/'))))
            .collect(),
        embedded_images: vec![
            image("k3c.local/pause:1", "pause", true),
            image("k3c.local/demo:latest", "demo", false),
        ],
        components: bundle.versions.clone(),
    }
}
