//! The configuration's text.

use super::{BRIDGE, NAME};
use crate::config::Instance;

/// The key that the stage takes out of the configuration: the path of the detached network namespace.
pub(super) const DETACHED: &str = "detachedNetns";

/// The text of the one file in [`Dirs::cni`](crate::config::Dirs::cni).
pub fn render(instance: &Instance) -> String {
    let mut plugin = serde_json::json!({
        "type": NAME,
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
        plugin[DETACHED] = instance.dirs.netns().display().to_string().into();
    }
    let list = serde_json::json!({ "cniVersion": "1.0.0", "name": "k3c", "plugins": [plugin] });
    serde_json::to_string_pretty(&list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DaemonConfig, Dirs};

    #[test]
    fn only_an_ordinary_user_has_a_detached_namespace() {
        for rootless in [true, false] {
            let instance = Instance {
                rootless,
                uid: 1,
                gid: 1,
                dirs: Dirs::of_root(),
                config: DaemonConfig::default(),
                bundle: "/bundle".into(),
                cgroup: None,
                slirp4netns: None,
            };
            let list: serde_json::Value = serde_json::from_str(&render(&instance)).unwrap();
            let plugin = &list["plugins"][0];
            assert_eq!((&plugin["type"], &plugin["bridge"]), (&NAME.into(), &BRIDGE.into()));
            assert_eq!(plugin["ipam"]["ranges"][0][0]["subnet"], instance.config.subnet.as_str());
            let detached = plugin.get(DETACHED).and_then(|path| path.as_str());
            assert_eq!(detached, rootless.then_some("/run/k3c/rootlesskit/netns"));
        }
    }
}
