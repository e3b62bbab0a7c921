//! What the plugin answers: CNI's result, in the form of the version that was asked in.

use crate::model::mac::Mac;
use serde_json::{Value, json};
use std::net::IpAddr;

/// What was made of a pod.
#[derive(Clone, Debug)]
pub(super) struct Attached {
    /// At least one.
    pub(super) ends: Vec<End>,
    /// The path of the pod's namespace.
    pub(super) sandbox: String,
    pub(super) dns: Option<Value>,
}

/// A pair of interfaces that was made.
#[derive(Clone, Debug)]
pub(super) struct End {
    /// Name, Ethernet address.
    pub(super) bridge: (String, Mac),
    pub(super) host: (String, Mac),
    pub(super) pod: (String, Mac),
    pub(super) mtu: u32,
    pub(super) addresses: Vec<Address>,
}

/// An address of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
    pub(super) gateway: IpAddr,
    /// Whether what goes nowhere else goes to the gateway.
    pub(super) out: bool,
}

impl Attached {
    /// CNI's result.
    pub(super) fn document(&self, version: &str) -> Value {
        let mut interfaces: Vec<Value> = Vec::new();
        let mut ips: Vec<Value> = Vec::new();
        for end in &self.ends {
            let interface = |(name, mac): &(String, Mac), sandbox: Option<&str>| {
                let mut interface = json!({ "name": name, "mac": mac.to_string() });
                if let Some(sandbox) = sandbox {
                    interface["sandbox"] = sandbox.into();
                }
                if version == "1.1.0" {
                    interface["mtu"] = end.mtu.into();
                }
                interface
            };
            interfaces.push(interface(&end.bridge, None));
            interfaces.push(interface(&end.host, None));
            let number = interfaces.len();
            interfaces.push(interface(&end.pod, Some(&self.sandbox)));
            ips.extend(end.addresses.iter().map(|of| {
                let mut ip = json!({
                    "address": format!("{}/{}", of.address, of.bits), "gateway": of.gateway, "interface": number,
                });
                if version.starts_with("0.") {
                    ip["version"] = if of.address.is_ipv4() { "4" } else { "6" }.into();
                }
                ip
            }));
        }
        let addresses = self.ends.iter().flat_map(|end| &end.addresses);
        let routes: Vec<Value> = addresses
            .filter(|of| of.out)
            .map(|of| json!({ "dst": if of.address.is_ipv4() { "0.0.0.0/0" } else { "::/0" }, "gw": of.gateway }))
            .collect();
        json!({
            "cniVersion": version,
            "interfaces": interfaces,
            "ips": ips,
            "routes": routes,
            "dns": self.dns.clone().unwrap_or_else(|| json!({})),
        })
    }
}

/// What an earlier answer says of the pod's interface, for a comparison with what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) mac: Option<String>,
    /// Addresses, without their bits.
    pub(super) addresses: Vec<IpAddr>,
    /// Gateways of the default routes.
    pub(super) gateways: Vec<IpAddr>,
}

impl Known {
    /// Reads an answer about the interface of that name; `None`: it is not about it.
    pub(super) fn read(result: &Value, interface: &str) -> Option<Self> {
        let interfaces = result["interfaces"].as_array()?;
        let is_pods =
            |one: &Value| one["name"] == interface && one["sandbox"].as_str().is_some_and(|s| !s.is_empty());
        let number = interfaces.iter().position(is_pods)?;
        let ips = result["ips"].as_array().into_iter().flatten();
        let own: Vec<&Value> =
            ips.filter(|ip| ip["interface"].as_u64() == u64::try_from(number).ok()).collect();
        let addresses =
            own.iter().filter_map(|ip| ip["address"].as_str()?.split('/').next()?.parse().ok()).collect();
        let routes = result["routes"].as_array().into_iter().flatten();
        let gateways = routes
            .filter(|route| [Some("0.0.0.0/0"), Some("::/0")].contains(&route["dst"].as_str()))
            .filter(|route| own.iter().any(|ip| ip["gateway"] == route["gw"]))
            .filter_map(|route| route["gw"].as_str()?.parse().ok())
            .collect();
        Some(Self { mac: interfaces[number]["mac"].as_str().map(str::to_lowercase), addresses, gateways })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached() -> Attached {
        let address = |address: &str, bits, gateway: &str, out| Address {
            address: address.parse().unwrap(),
            bits,
            gateway: gateway.parse().unwrap(),
            out,
        };
        let end = End {
            bridge: ("k3c0".into(), Mac([2, 0, 0, 0, 0, 1])),
            host: ("veth1".into(), Mac([2, 0, 0, 0, 0, 2])),
            pod: ("eth0".into(), Mac([2, 0, 0, 0, 0, 0xab])),
            mtu: 1400,
            addresses: vec![
                address("10.0.0.2", 8, "10.0.0.1", true),
                address("fd00::2", 64, "fd00::1", false),
            ],
        };
        Attached { ends: vec![end], sandbox: "/n".into(), dns: None }
    }

    #[test]
    fn each_version_has_its_form() {
        let document = attached().document("1.1.0");
        assert_eq!(
            document,
            json!({
                "cniVersion": "1.1.0",
                "interfaces": [
                    { "name": "k3c0", "mac": "02:00:00:00:00:01", "mtu": 1400 },
                    { "name": "veth1", "mac": "02:00:00:00:00:02", "mtu": 1400 },
                    { "name": "eth0", "mac": "02:00:00:00:00:ab", "sandbox": "/n", "mtu": 1400 },
                ],
                "ips": [
                    { "address": "10.0.0.2/8", "gateway": "10.0.0.1", "interface": 2 },
                    { "address": "fd00::2/64", "gateway": "fd00::1", "interface": 2 },
                ],
                "routes": [{ "dst": "0.0.0.0/0", "gw": "10.0.0.1" }],
                "dns": {},
            })
        );
        let older = attached().document("1.0.0");
        assert_eq!((older["interfaces"][2].get("mtu"), older["ips"][0].get("version")), (None, None));
        let oldest = attached().document("0.3.1");
        assert_eq!((&oldest["ips"][0]["version"], &oldest["ips"][1]["version"]), (&json!("4"), &json!("6")));
    }

    #[test]
    fn a_second_network() {
        let mut attached = attached();
        let mut second = attached.ends[0].clone();
        second.pod.0 = "eth1".into();
        second.addresses = vec![Address {
            address: "10.1.0.2".parse().unwrap(),
            gateway: "10.1.0.1".parse().unwrap(),
            out: false,
            ..second.addresses[0]
        }];
        attached.ends.push(second);
        let document = attached.document("1.0.0");
        assert_eq!(
            (&document["interfaces"][5]["name"], &document["ips"][2]["interface"]),
            (&json!("eth1"), &json!(5))
        );
        let known = Known::read(&document, "eth1").unwrap();
        assert_eq!(known.addresses, ["10.1.0.2".parse::<IpAddr>().unwrap()]);
        // Its way out is the other one's.
        assert!(known.gateways.is_empty());
        assert_eq!(Known::read(&document, "eth0").unwrap().gateways.len(), 1);
    }

    #[test]
    fn an_answer_is_read_again() {
        let document = attached().document("1.0.0");
        let known = Known::read(&document, "eth0").unwrap();
        assert_eq!(known.mac.as_deref(), Some("02:00:00:00:00:ab"));
        assert_eq!(known.addresses, ["10.0.0.2".parse::<IpAddr>().unwrap(), "fd00::2".parse().unwrap()]);
        assert_eq!(known.gateways, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        // The host's end is not the pod's.
        assert_eq!(Known::read(&document, "veth1"), None);
        assert_eq!(Known::read(&Value::Null, "eth0"), None);
    }
}
