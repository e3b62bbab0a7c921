//! buildkitd's configuration.

use super::containerd::{RUNTIME_TYPE, SHIM, path, table};
use crate::config::Instance;
use toml::{Table, Value};

/// The text of `buildkitd.toml`.
pub fn render(instance: &Instance, snapshotter: &str) -> String {
    let dirs = &instance.dirs;
    let cache = instance.config.build_cache();
    let worker = table! {
        "enabled" => true,
        "address" => path(&dirs.containerd_socket()),
        "namespace" => "k8s.io",
        "rootless" => instance.rootless,
        "snapshotter" => snapshotter,
        "networkMode" => "cni",
        "cniConfigPath" => path(&dirs.cni_list()),
        "cniBinaryPath" => path(&instance.bundle.join("bin")),
        "gc" => true,
        // Above the first, what was not used for the longest time goes (BuildKit's own limit is 100 GB); so does all
        // but the second when the disk is nearly full.
        "maxUsedSpace" => cache.to_string(),
        "reservedSpace" => cache.tenth().to_string(),
        "minFreeSpace" => "10%",
        "runtime" => table! {
            "name" => RUNTIME_TYPE,
            "path" => path(&instance.bundle.join(SHIM)),
        },
    };
    let config = table! {
        "root" => path(&dirs.buildkit_root()),
        // The user's own network, which any process of the user's has. Nothing else is granted.
        "insecure-entitlements" => vec![Value::from("network.host")],
        "grpc" => table! { "address" => vec![Value::from(format!("unix://{}", path(&dirs.buildkit_socket())))] },
        "worker" => table! { "oci" => table! { "enabled" => false }, "containerd" => worker },
    };
    toml::to_string(&config).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_containerd_worker_only() {
        let instance = Instance {
            rootless: true,
            uid: 1,
            gid: 1,
            dirs: crate::config::Dirs::of_root(),
            config: crate::config::DaemonConfig::default(),
            bundle: "/bundle".into(),
            cgroup: None,
            slirp4netns: None,
        };
        let config: Table = toml::from_str(&render(&instance, "overlayfs")).unwrap();
        assert_eq!(config["worker"]["oci"]["enabled"], Value::from(false));
        assert_eq!(config["worker"]["containerd"]["namespace"].as_str(), Some("k8s.io"));
        assert_eq!(config["worker"]["containerd"]["rootless"], Value::from(true));
        assert_eq!(config["worker"]["containerd"]["maxUsedSpace"], Value::from("21474836480"));
        assert_eq!(config["insecure-entitlements"], Value::from(vec!["network.host"]));
    }
}
