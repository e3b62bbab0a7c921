//! Attachment: a pod's place in one network, as the engine wants it. All of a pod's are in an annotation of it, which
//! containerd hands to the CNI plugin.

use super::mac::Mac;
use super::subnet::{Subnet, Subnet6};
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};

/// The annotation; its value is a list of [`Attachment`]s as JSON, the one that is the pod's way out first. A pod without
/// it is in the default network.
pub const ANNOTATION: &str = "io.k3c.networks";

/// A place in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Attachment {
    /// Name of the interface in the pod: `eth0` ...
    pub interface: String,
    /// `None`: the default network, as the plugin is configured.
    pub network: Option<Bridged>,
    /// Wishes; `None`: any that is free.
    pub address: Option<Ipv4Addr>,
    pub address_6: Option<Ipv6Addr>,
    pub mac: Option<Mac>,
    /// Addresses that others wish for, who do not run.
    pub reserved: Vec<Ipv4Addr>,
}

/// What the plugin must know of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bridged {
    /// Name of the bridge.
    pub bridge: String,
    pub subnet: Subnet,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// Part of the subnet from which addresses are given out.
    pub range: Subnet,
    pub subnet6: Option<Subnet6>,
    /// Nothing leaves it, nothing comes in.
    pub internal: bool,
    /// Bytes of a packet; `None`: as many as in the default network.
    pub mtu: Option<u32>,
}

/// The annotation's value.
pub fn value(all: &[Attachment]) -> String {
    serde_json::to_string(all).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let bridged = Bridged {
            bridge: "k3c-x".into(),
            subnet: "10.89.0.0/24".parse().unwrap(),
            gateway: "10.89.0.1".parse().unwrap(),
            range: "10.89.0.128/25".parse().unwrap(),
            subnet6: Some("fd00::/64".parse().unwrap()),
            internal: true,
            mtu: Some(1400),
        };
        let all = [
            Attachment { interface: "eth0".into(), ..Attachment::default() },
            Attachment {
                interface: "eth1".into(),
                network: Some(bridged),
                address: Some("10.89.0.9".parse().unwrap()),
                address_6: None,
                mac: Some("02:00:00:00:00:0a".parse().unwrap()),
                reserved: vec!["10.89.0.10".parse().unwrap()],
            },
        ];
        assert_eq!(serde_json::from_str::<Vec<Attachment>>(&value(&all)).unwrap(), all);
    }
}
