//! The containers' network, as a CNI configuration (<https://www.cni.dev/docs/spec/>).

use crate::config::{Dirs, Instance};
use std::path::PathBuf;

/// The folder that containerd reads.
pub fn folder(dirs: &Dirs) -> PathBuf {
    dirs.rendered().join("cni")
}

/// The one file in it, which BuildKit reads too.
pub fn file(dirs: &Dirs) -> PathBuf {
    folder(dirs).join("10-k3c.conflist")
}

/// The bridge of all containers.
pub const BRIDGE: &str = "k3c0";

/// The text of the configuration. `detachedNetns` is for our own stage.
pub fn render(instance: &Instance) -> String {
    let mut plugin = serde_json::json!({
        "type": "k3c-cni",
        "bridge": BRIDGE,
        "isGateway": true,
        "ipMasq": true,
        "ipMasqBackend": "nftables",
        "hairpinMode": true,
        "promiscMode": false,
        "ipam": {
            "type": "host-local",
            "ranges": [[{ "subnet": instance.config.subnet }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
            "dataDir": instance.dirs.runtime.join("cni"),
        },
    });
    if instance.rootless {
        plugin["mtu"] = 65520.into();
        plugin["detachedNetns"] = instance.dirs.netns().display().to_string().into();
    }
    let list = serde_json::json!({ "cniVersion": "1.0.0", "name": "k3c", "plugins": [plugin] });
    serde_json::to_string_pretty(&list).unwrap_or_default()
}
