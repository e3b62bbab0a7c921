//! The engine's configuration, made of the instance's.

use crate::children::bundle::Bundle;
use crate::config::Instance;
use crate::engine::{EmbeddedImage, EngineConfig};
use crate::model::subnet::Subnet;
use crate::network::{cni, slirp};
use crate::rootless::{cgroup, mounts};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

pub(super) fn of(instance: &Instance, bundle: &Bundle, snapshotter: &str) -> EngineConfig {
    let dirs = &instance.dirs;
    let image = |reference: &str, name: &str| EmbeddedImage {
        reference: reference.into(),
        archive: bundle.image(name),
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
        host_trees: trees
            .iter()
            .map(|t| (PathBuf::from(t), dirs.host_tree(t.trim_start_matches('/'))))
            .collect(),
        subnet: instance.config.subnet.parse().ok(),
        subnet6: Some(cni::subnet6(instance)),
        host_gateway: host_gateway(instance),
        registries: dirs.registries(),
        embedded_images: vec![image("k3c.local/demo:latest", "demo")],
        components: bundle.versions.clone(),
    }
}

/// Root's containers reach the host at their gateway; an ordinary user's through slirp4netns, if they may.
fn host_gateway(instance: &Instance) -> Option<IpAddr> {
    match (instance.rootless, instance.config.host_loopback) {
        (true, allowed) => allowed.then_some(slirp::HOST.into()),
        (false, _) => instance.config.subnet.parse().ok().map(|subnet: Subnet| subnet.first_host().into()),
    }
}
