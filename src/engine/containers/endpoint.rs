//! A container's part in the default network: what CNI answered when its pod was made, and what its kernel routes by.

use crate::engine::Inner;
use crate::engine::lifecycle;
use crate::model::container::Endpoint;
use crate::model::id::hex;
use crate::store::{Attempt, Record};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::net::Ipv4Addr;

/// The interface that CNI makes in each pod.
const INTERFACE: &str = "eth0";

impl Inner {
    /// A container's part in the default network; while it does not run, only the network's ID.
    pub(super) async fn endpoint(&self, record: &Record) -> Endpoint {
        let network_id = hash(&format!("{}/network/{}", self.records.instance(), record.spec.network));
        let nothing = Endpoint { network_id, ..Endpoint::default() };
        let Attempt { pod, pid, .. } = &record.attempt;
        let address = record.attempt.address();
        if !lifecycle::lives(record.status) || address.is_empty() {
            return nothing;
        }
        let id = hash(&format!("{}/{pod}", nothing.network_id));
        let routes = tokio::fs::read_to_string(format!("/proc/{pid}/net/route")).await;
        let endpoint = Endpoint {
            id,
            prefix_len: prefix_len(&routes.unwrap_or_default(), address),
            address: address.to_owned(),
            ..nothing
        };
        match self.containerd.pod_metadata(pod).await {
            Ok(metadata) => with_cni(endpoint, &metadata["CNIResult"]["Interfaces"][INTERFACE]),
            Err(error) => {
                tracing::debug!(%error, pod, "cannot ask for a pod's network");
                endpoint
            }
        }
    }
}

/// Adds what CNI answered for the pod's interface.
fn with_cni(endpoint: Endpoint, interface: &Value) -> Endpoint {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let addresses = interface["IPConfigs"].as_array().into_iter().flatten();
    let own = addresses.filter(|config| config["IP"] == endpoint.address.as_str()).map(|c| &c["Gateway"]);
    Endpoint {
        gateway: own.map(text).next().unwrap_or_default(),
        mac: text(&interface["Mac"]),
        namespace: text(&interface["Sandbox"]),
        ..endpoint
    }
}

/// Bits of the network that an address is in, by the kernel's table of routes (/proc/PID/net/route); 0: it has none.
fn prefix_len(routes: &str, address: &str) -> u32 {
    let Ok(address) = address.parse::<Ipv4Addr>() else { return 0 };
    // The kernel prints addresses as numbers of its own byte order.
    let address = u32::from_ne_bytes(address.octets());
    let number = |field: Option<&&str>| field.and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let direct = routes.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (to, gateway, mask) = (number(fields.get(1))?, number(fields.get(2))?, number(fields.get(7))?);
        let ours = fields[0] == INTERFACE && gateway == 0 && mask != 0 && address & mask == to;
        ours.then(|| mask.count_ones())
    });
    direct.max().unwrap_or(0)
}

/// SHA-256 of a text, as 64 hexadecimal digits.
fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t01010A0A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t00000A0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
                     eth1\t00020A0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        for (address, expected) in [("10.10.2.3", 16), ("10.11.0.1", 0), ("", 0), ("fe80::1", 0)] {
            assert_eq!(prefix_len(table, address), expected, "{address}");
        }
        assert_eq!(prefix_len("", "10.10.2.3"), 0);
    }

    #[test]
    fn answers_of_cni() {
        let interface = serde_json::json!({
            "IPConfigs": [{"IP": "10.4.0.2", "Gateway": "10.4.0.1"}], "Mac": "8a:01:02:03:04:05", "Sandbox": "/n",
        });
        let own = |address: &str| Endpoint { address: address.into(), ..Endpoint::default() };
        let known = with_cni(own("10.4.0.2"), &interface);
        assert_eq!((known.gateway.as_str(), known.mac.as_str()), ("10.4.0.1", "8a:01:02:03:04:05"));
        assert_eq!(known.namespace, "/n");
        assert_eq!(with_cni(own("10.4.0.9"), &interface).gateway, "");
        assert_eq!(with_cni(own("10.4.0.2"), &Value::Null), own("10.4.0.2"));
    }

    #[test]
    fn ids() {
        assert_eq!(hash("a").len(), 64);
        assert_ne!(hash("a"), hash("b"));
    }
}
