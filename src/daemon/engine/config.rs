//! The engine's configuration, made of the instance's.

use crate::children::bundle::Bundle;
use crate::config::Instance;
use crate::engine::{EmbeddedImage, EngineConfig};
use crate::network::cni;
use crate::rootless::{cgroup, mounts};
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
        registries: dirs.registries(),
        embedded_images: vec![image("k3c.local/demo:latest", "demo")],
        components: bundle.versions.clone(),
    }
}
