//! The configuration's text.

use super::address::private_network;
use super::request::{ANNOTATIONS, PORTS, WISHES};
use super::{BRIDGE, NAME};
use crate::config::Instance;
use crate::model::subnet::Subnet6;
use serde_json::{Map, Value, json};
use std::fs;

/// The network's name.
pub(super) const NETWORK: &str = "k3c";

/// The bytes of a packet where there is no wire: in the detached namespace.
const LARGE: u32 = 65520;

/// The text of the one file in [`Dirs::cni`](crate::config::Dirs::cni).
pub fn render(instance: &Instance) -> String {
    let wishes: Map<String, Value> = WISHES
        .iter()
        .map(|(name, _)| *name)
        // Ports of the host are published by the engine, not with the network.
        .filter(|name| *name != PORTS)
        .chain([ANNOTATIONS])
        .map(|name| (name.to_owned(), true.into()))
        .collect();
    let mut plugin = json!({
        "type": NAME,
        "bridge": BRIDGE,
        "subnet": instance.config.subnet,
        "subnet6": subnet6(instance),
        "state": instance.dirs.cni_state(),
        "capabilities": wishes,
    });
    if instance.rootless {
        plugin["mtu"] = LARGE.into();
        plugin["detachedNetns"] = instance.dirs.netns().display().to_string().into();
    }
    let list = json!({ "cniVersion": "1.0.0", "name": NETWORK, "plugins": [plugin] });
    serde_json::to_string_pretty(&list).unwrap_or_default()
}

/// The default network's addresses of version 6: of this machine's user alone.
pub fn subnet6(instance: &Instance) -> Subnet6 {
    private_network(&whose(instance))
}

/// A text that no other machine, user or network of containers has.
fn whose(instance: &Instance) -> String {
    let machine = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    format!("k3c {} {} {}", machine.trim(), instance.uid, instance.config.subnet)
}

#[cfg(test)]
mod tests {
    use super::super::request::Config;
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
            let list: Value = serde_json::from_str(&render(&instance)).unwrap();
            let mut plugin = list["plugins"][0].clone();
            assert_eq!((&plugin["type"], &plugin["bridge"]), (&NAME.into(), &BRIDGE.into()));
            let detached = plugin.get("detachedNetns").and_then(|path| path.as_str());
            assert_eq!(detached, rootless.then_some("/run/k3c/rootlesskit/netns"));
            // As a runtime hands it over.
            plugin["name"] = list["name"].clone();
            plugin["cniVersion"] = list["cniVersion"].clone();
            let network = Config::parse(plugin.to_string().as_bytes()).unwrap().default_network().unwrap();
            assert_eq!(network.gateway.to_string(), "10.88.0.1");
            assert_eq!(network.mtu, rootless.then_some(LARGE));
            assert!(network.sixth.is_some());
        }
    }
}
