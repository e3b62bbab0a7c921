//! The children: what each of them is started with, and in which order they come and go.

use super::buildkit;
use super::error::StageError;
use super::files::Rendered;
use crate::children::bundle::Bundle;
use crate::children::containerd;
use crate::config::{Instance, env as names};
use crate::differ;
use crate::network::{dns, ports, slirp};
use crate::supervise::{Holder, Probe, Service, Spawner as _, Spec, State};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Time for containerd and for buildkitd until they answer.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Time for containerd and for buildkitd to stop.
const GRACE: Duration = Duration::from_secs(5);

/// The children that run as long as the engine is there for them.
pub(super) struct Children {
    /// In the order of their starts.
    services: Vec<Service>,
    ports: watch::Receiver<State>,
}

impl Children {
    /// Starts or adopts the containers' way out and containerd, and waits for containerd.
    pub(super) async fn start(
        instance: &Instance,
        bundle: &Bundle,
        rendered: &Rendered,
        holder: &Holder,
    ) -> Result<Self, StageError> {
        let mut services = Vec::new();
        if let Some(program) = instance.slirp4netns.as_deref().filter(|_| instance.rootless) {
            services.push(Service::start(slirp::spec(instance, program), Arc::new(holder.clone())));
        }
        let socket = instance.dirs.containerd_socket();
        if holder.runs(containerd::NAME) && is_newer(&rendered.containerd, &socket) {
            tracing::info!("containerd has a new configuration: it is started again");
            holder.signal(containerd::NAME, libc::SIGTERM);
        }
        let carrier = Service::start(ports_spec(instance, bundle), Arc::new(holder.clone()));
        let names = Service::start(names_spec(instance, bundle), Arc::new(holder.clone()));
        let differ = Service::start(differ_spec(instance, bundle), Arc::new(holder.clone()));
        let containerd =
            Service::start(containerd_spec(instance, bundle, rendered), Arc::new(holder.clone()));
        let ready = match containerd.ready(containerd::NAME, READY_WITHIN).await {
            Ok(()) => differ.ready(differ::NAME, READY_WITHIN).await,
            failed => failed,
        };
        if let Err(child) = ready {
            let files = bundle.condemn_if_damaged();
            return Err(match files.is_empty() {
                true => StageError::NotReady(child),
                false => StageError::Damaged { child, folder: bundle.dir.clone(), files },
            });
        }
        let ports = carrier.watch();
        services.extend([carrier, names, differ, containerd]);
        Ok(Self { services, ports })
    }

    /// The state of the process for ports.
    pub(super) fn ports(&self) -> watch::Receiver<State> {
        self.ports.clone()
    }

    /// Ends them, the last one first.
    pub(super) async fn stop(&self) {
        for service in self.services.iter().rev() {
            service.stop().await;
        }
    }
}

/// Whether a file is newer than another one. A socket is as old as the process that listens.
fn is_newer(file: &Path, than: &Path) -> bool {
    let time = |path: &Path| std::fs::metadata(path).and_then(|found| found.modified()).ok();
    time(file).zip(time(than)).is_some_and(|(file, than)| file > than)
}

fn differ_spec(instance: &Instance, bundle: &Bundle) -> Spec {
    let socket = instance.dirs.differ_socket();
    let content = instance.dirs.containerd_content();
    let command = vec![
        bundle.bin("k3c").display().to_string(),
        differ::STAGE.into(),
        socket.display().to_string(),
        content.display().to_string(),
    ];
    Spec { commands: vec![command], ..spec(instance, differ::NAME, &bundle.bin("k3c"), &content, socket) }
}

/// The process that carries connections from the host's ports to containers.
fn ports_spec(instance: &Instance, bundle: &Bundle) -> Spec {
    let state = instance.dirs.rootlesskit();
    let netns = netns(instance);
    let source = instance.config.publish_source.as_str();
    let program = bundle.bin("k3c");
    let command = [
        program.display().to_string(),
        ports::STAGE.into(),
        state.display().to_string(),
        netns,
        source.into(),
    ];
    let socket = state.join(ports::SOCKET);
    Spec { commands: vec![command.to_vec()], ..spec(instance, ports::NAME, &program, &state, socket) }
}

/// The name server of containers.
fn names_spec(instance: &Instance, bundle: &Bundle) -> Spec {
    let (file, socket) = instance.dirs.names();
    let program = bundle.bin("k3c");
    let command = vec![
        program.display().to_string(),
        dns::STAGE.into(),
        file.display().to_string(),
        socket.display().to_string(),
        netns(instance),
    ];
    Spec { commands: vec![command], ..spec(instance, dns::NAME, &program, &file, socket) }
}

/// The containers' network namespace, as an argument; `-`: the caller's.
fn netns(instance: &Instance) -> String {
    match instance.rootless {
        true => instance.dirs.netns().display().to_string(),
        false => "-".to_owned(),
    }
}

fn containerd_spec(instance: &Instance, bundle: &Bundle, rendered: &Rendered) -> Spec {
    let mut env = environment(instance);
    env.push((names::SHIM_DIR.into(), instance.dirs.shims().display().to_string()));
    let socket = instance.dirs.containerd_socket();
    Spec { env, ..spec(instance, containerd::NAME, &bundle.bin("containerd"), &rendered.containerd, socket) }
}

/// buildkitd, which is started when something is built.
pub(super) fn buildkitd_spec(instance: &Instance, bundle: &Bundle, rendered: &Rendered) -> Spec {
    let socket = instance.dirs.buildkit_socket();
    spec(instance, buildkit::NAME, &bundle.bin("buildkitd"), &rendered.buildkitd, socket)
}

fn spec(instance: &Instance, name: &str, program: &Path, config: &Path, socket: PathBuf) -> Spec {
    let command = vec![program.display().to_string(), "--config".into(), config.display().to_string()];
    Spec {
        name: name.into(),
        commands: vec![command],
        env: environment(instance),
        log: instance.dirs.child_log(name),
        probe: connects(socket),
        ready_within: READY_WITHIN,
        grace: GRACE,
    }
}

/// Our programs come first; nothing of theirs goes into a temporary folder that others share.
fn environment(instance: &Instance) -> Vec<(String, String)> {
    let bin = instance.bundle.join("bin");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let temporary = instance.dirs.temporary().display().to_string();
    vec![("PATH".to_owned(), path), ("TMPDIR".to_owned(), temporary)]
}

fn connects(path: PathBuf) -> Probe {
    Arc::new(move || {
        let path = path.clone();
        Box::pin(async move { tokio::net::UnixStream::connect(&path).await.is_ok() })
    })
}
