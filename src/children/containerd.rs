//! containerd's configuration (version 3).

use crate::config::Instance;
use std::path::Path;
use toml::{Table, Value};

/// containerd's key among the children.
pub const NAME: &str = "containerd";
/// The runtime that CRI uses.
pub const RUNTIME: &str = "k3c";

/// The name of our differ in containerd.
const DIFFER: &str = "k3c";

/// Builds nested tables of `key => value`.
macro_rules! table {
    ($($key:expr => $value:expr),* $(,)?) => {{
        let mut table = Table::new();
        $(table.insert($key.to_string(), Value::from($value));)*
        table
    }};
}
pub(super) use table;

/// A path as TOML wants it.
pub(super) fn path(path: &Path) -> String {
    path.display().to_string()
}

/// The runtime type of our own shim.
pub(super) const RUNTIME_TYPE: &str = "io.containerd.k3c.v1";
/// The shim's program in the bundle.
pub(super) const SHIM: &str = "bin/containerd-shim-k3c-v1";

/// The text of `config.toml`.
pub fn render(instance: &Instance, snapshotter: &str) -> String {
    let dirs = &instance.dirs;
    let bin = path(&instance.bundle.join("bin"));
    let annotations: Vec<Value> = vec!["io.k3c.*".into()];
    let runtime = table! {
        "runtime_type" => RUNTIME_TYPE,
        "runtime_path" => path(&instance.bundle.join(SHIM)),
        "container_annotations" => annotations.clone(),
        "pod_annotations" => annotations,
        // The shim is the pod: there is no container, and no image, that stands for it.
        "sandboxer" => "shim",
        "disable_pause_image_pull" => true,
    };
    let mut cri_runtime = table! {
        "containerd" => table! {
            "default_runtime_name" => RUNTIME,
            "runtimes" => table! { RUNTIME => runtime },
        },
        "cni" => table! {
            "bin_dirs" => vec![Value::from(bin)],
            "conf_dir" => path(&dirs.cni()),
            "max_conf_num" => 1,
            // Without a plugin, which would be two programs more for each pod.
            "use_internal_loopback" => true,
        },
        "netns_mounts_under_state_dir" => true,
        "disable_apparmor" => instance.rootless,
        "restrict_oom_score_adj" => instance.rootless,
        "disable_hugetlb_controller" => true,
        "tolerate_missing_hugetlb_controller" => true,
        // The shim does both, in user namespaces, too.
        "enable_unprivileged_ports" => false,
        "enable_unprivileged_icmp" => false,
        "enable_selinux" => false,
    };
    cri_runtime.insert("ignore_image_defined_volumes".into(), true.into());
    let plugins = table! {
        "io.containerd.cri.v1.images" => table! {
            "snapshotter" => snapshotter,
            // One folder: of a list, which is its default, the transfer service makes one path that does not exist.
            "registry" => table! { "config_path" => path(&dirs.registries()) },
        },
        "io.containerd.cri.v1.runtime" => cri_runtime,
        "io.containerd.grpc.v1.cri" => table! { "stream_server_address" => "127.0.0.1", "stream_server_port" => "0" },
        "io.containerd.internal.v1.opt" => table! { "path" => path(&dirs.data.join("opt")) },
        "io.containerd.transfer.v1.local" => table! {
            "unpack_config" => vec![Value::from(table! {
                "platform" => format!("linux/{}", arch()),
                "snapshotter" => snapshotter,
                "differ" => DIFFER,
            })],
        },
        // The next one is asked for what this one leaves to it.
        "io.containerd.service.v1.diff-service" => table! { "default" => vec![DIFFER, "walking"] },
    };
    let disabled = [
        "io.containerd.nri.v1.nri",
        "io.containerd.internal.v1.tracing",
        "io.containerd.internal.v1.restart",
        "io.containerd.tracing.processor.v1.otlp",
    ];
    let config = table! {
        "version" => 3,
        "root" => path(&dirs.containerd_root()),
        "state" => path(&dirs.containerd_state()),
        "disabled_plugins" => disabled.map(Value::from).to_vec(),
        "grpc" => table! { "address" => path(&dirs.containerd_socket()) },
        "ttrpc" => table! { "address" => format!("{}.ttrpc", path(&dirs.containerd_socket())) },
        "debug" => table! { "level" => "info" },
        "plugins" => plugins,
        "proxy_plugins" => table! {
            DIFFER => table! { "type" => "diff", "address" => path(&dirs.differ_socket()) },
        },
    };
    toml::to_string(&config).unwrap_or_default()
}

/// Go's name of this architecture.
pub(super) fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DaemonConfig, Dirs};

    pub(in crate::children) fn instance(rootless: bool) -> Instance {
        Instance {
            rootless,
            uid: 1000,
            gid: 1000,
            dirs: Dirs::of_root(),
            config: DaemonConfig::default(),
            bundle: "/bundle".into(),
            cgroup: None,
            slirp4netns: None,
        }
    }

    fn on_any_machine(text: &str) -> String {
        text.replace(&format!("linux/{}", arch()), "linux/ARCH")
    }

    #[test]
    fn an_ordinary_users_configuration() {
        let mut instance = instance(true);
        instance.dirs = Dirs {
            runtime: "/run/user/1000/k3c".into(),
            data: "/home/u/.local/share/k3c".into(),
            state: "/home/u/.local/state/k3c".into(),
            config: "/home/u/.config/k3c".into(),
        };
        insta::assert_snapshot!("containerd_rootless", on_any_machine(&render(&instance, "native")));
    }

    #[test]
    fn roots_configuration() {
        insta::assert_snapshot!("containerd_root", on_any_machine(&render(&instance(false), "overlayfs")));
    }

    #[test]
    fn rootless_settings_follow_the_instance() {
        let text = render(&instance(true), "native");
        let config: Table = toml::from_str(&text).unwrap();
        let runtime = &config["plugins"]["io.containerd.cri.v1.runtime"];
        assert_eq!(runtime["disable_apparmor"], Value::from(true));
        assert_eq!(
            runtime["containerd"]["runtimes"]["k3c"]["runtime_path"].as_str(),
            Some("/bundle/bin/containerd-shim-k3c-v1")
        );
        assert_eq!(config["plugins"]["io.containerd.cri.v1.images"]["snapshotter"].as_str(), Some("native"));
        assert!(render(&instance(false), "overlayfs").contains("disable_apparmor = false"));
    }
}
