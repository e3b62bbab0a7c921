//! What is asked of the plugin: variables of the environment and the network's configuration on standard input.

use super::address;
use super::error::{Code, Refusal};
use crate::model::attachment::{self, Attachment as Wish};
use crate::model::mac::Mac;
use crate::model::subnet::{Subnet, Subnet6};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// Versions of the specification that the plugin speaks, oldest first.
pub(super) const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
/// Answers to what is asked in no version, or in one that is not known.
pub(super) const VERSION: &str = "1.1.0";

/// The capability by which containerd hands over a pod's annotations.
pub(super) const ANNOTATIONS: &str = "io.kubernetes.cri.pod-annotations";

/// The letters of an interface's name, at most (`IFNAMSIZ` less its zero).
const LONGEST_NAME: usize = 15;

/// The network's configuration, as containerd, buildkitd or another runtime hands it over.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Config {
    #[serde(default)]
    pub(super) cni_version: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) bridge: String,
    #[serde(default)]
    pub(super) mtu: Option<u32>,
    #[serde(default)]
    subnet: String,
    /// The IPv6 network, of 64 bits.
    #[serde(default)]
    subnet6: Option<String>,
    /// A folder for the lock.
    #[serde(default)]
    pub(super) state: PathBuf,
    /// The namespace of the bridge; none: the caller's.
    #[serde(default)]
    pub(super) detached_netns: Option<PathBuf>,
    #[serde(default)]
    pub(super) dns: Option<Value>,
    #[serde(default)]
    pub(super) prev_result: Option<Value>,
    #[serde(default)]
    runtime_config: Map<String, Value>,
    #[serde(default)]
    ipam: Option<Value>,
    #[serde(default, rename = "cni.dev/valid-attachments")]
    pub(super) valid: Option<Vec<Attachment>>,
}

/// A container's interface that is to stay when all others go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Attachment {
    #[serde(rename = "containerID")]
    pub(super) container: String,
    #[serde(rename = "ifname")]
    pub(super) interface: String,
}

impl Config {
    /// Reads it.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let config: Self = serde_json::from_slice(text)
            .map_err(|e| Refusal::new(Code::Decode, format!("the network's configuration: {e}")))?;
        if !config.cni_version.is_empty() && !VERSIONS.contains(&config.cni_version.as_str()) {
            return Err(Refusal::new(
                Code::IncompatibleVersion,
                format!("version {:?} is none of {}", config.cni_version, VERSIONS.join(", ")),
            ));
        }
        Ok(config)
    }

    /// The version of answers.
    pub(super) fn version(&self) -> &str {
        if self.cni_version.is_empty() { VERSION } else { &self.cni_version }
    }

    /// The network that a pod is in when it does not say in which.
    pub(super) fn default_network(&self) -> Result<Network, Refusal> {
        let invalid = |words: String| Refusal::new(Code::InvalidConfig, words);
        if self.name.is_empty() {
            return Err(invalid("the network has no name".into()));
        }
        if !named(&self.bridge) {
            return Err(invalid(format!("bridge: {:?} cannot be an interface's name", self.bridge)));
        }
        if self.ipam.as_ref().is_some_and(|ipam| !ipam.is_null() && ipam != &Value::Object(Map::new())) {
            return Err(Refusal::new(
                Code::UnsupportedField,
                "ipam: addresses are the plugin's own, give it a subnet",
            ));
        }
        let subnet: Subnet = self.subnet.parse().map_err(|e| invalid(format!("subnet: {e}")))?;
        let sixth = self.subnet6.as_ref().map(|text| text.parse::<Subnet6>()).transpose();
        if !self.state.is_absolute() {
            return Err(invalid(format!("state: {:?} is no absolute path", self.state)));
        }
        Ok(Network {
            bridge: self.bridge.clone(),
            mtu: self.mtu,
            subnet,
            gateway: subnet.first_host(),
            range: subnet,
            sixth: sixth.map_err(|e| invalid(format!("subnet6: {e}")))?,
            internal: false,
        })
    }

    /// The places in networks that a pod is to have: those of its annotation, or one in the default network.
    pub(super) fn places(&self, pod: &Pod) -> Result<Vec<Place>, Refusal> {
        let network = self.default_network()?;
        let annotation = self.runtime_config.get(ANNOTATIONS).and_then(|all| all.get(attachment::ANNOTATION));
        let annotated = annotation.is_some();
        let own = |wish: Wish| Place {
            annotated,
            interface: wish.interface,
            network: match wish.network {
                None => network.clone(),
                Some(of) => Network {
                    bridge: of.bridge,
                    mtu: of.mtu.or(self.mtu),
                    subnet: of.subnet,
                    gateway: of.gateway,
                    range: of.range,
                    sixth: of.subnet6,
                    internal: of.internal,
                },
            },
            address: wish.address,
            address_6: wish.address_6,
            mac: wish.mac,
            reserved: wish.reserved,
        };
        let Some(annotation) = annotation else {
            return Ok(vec![own(Wish { interface: pod.interface.clone(), ..Wish::default() })]);
        };
        let wrong = |words: String| {
            Refusal::new(Code::Decode, format!("the pod's annotation {}: {words}", attachment::ANNOTATION))
        };
        let text = annotation.as_str().unwrap_or_default();
        let wishes: Vec<Wish> = serde_json::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let places: Vec<Place> = wishes.into_iter().map(own).collect();
        for place in &places {
            if let Some(name) =
                [&place.interface, &place.network.bridge].into_iter().find(|name| !named(name))
            {
                return Err(wrong(format!("{name:?} cannot be an interface's name")));
            }
            if !place.network.subnet.has_host(place.network.gateway) {
                return Err(wrong(format!("the gateway {} is not in its network", place.network.gateway)));
            }
        }
        match places.first() {
            Some(first) if first.interface == pod.interface => Ok(places),
            _ => Err(wrong(format!("the first place is not {}", pod.interface))),
        }
    }

    /// Refuses what a runtime wants beside a network and the plugin does not do, instead of leaving it out.
    pub(super) fn refuse_wishes(&self) -> Result<(), Refusal> {
        let wished = self.runtime_config.iter().find(|(name, value)| {
            WISHES.iter().any(|(known, _)| known == name)
                && !matches!(value, Value::Null)
                && value.as_array().is_none_or(|list| !list.is_empty())
                && value.as_object().is_none_or(|object| !object.is_empty())
        });
        match wished {
            None => Ok(()),
            Some((name, _)) => {
                let words = WISHES.iter().find(|(known, _)| known == name).map(|(_, words)| *words);
                let words = words.unwrap_or_default();
                Err(Refusal::new(Code::UnsupportedField, format!("{words} ({name}) cannot be had yet")))
            }
        }
    }
}

/// The wish for ports of the host.
pub(super) const PORTS: &str = "portMappings";

/// A runtime's wishes that are refused; the configuration asks for them all, because a runtime keeps to itself what is not
/// asked for.
pub(super) const WISHES: [(&str, &str); 6] = [
    (PORTS, "ports of the host"),
    ("bandwidth", "limits of bandwidth"),
    ("ips", "addresses of one's choice"),
    ("mac", "a MAC address of one's choice"),
    ("ipRanges", "ranges of addresses"),
    ("infinibandGUID", "InfiniBand"),
];

/// A network that pods are attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Network {
    pub(super) bridge: String,
    pub(super) mtu: Option<u32>,
    pub(super) subnet: Subnet,
    /// The bridge's address.
    pub(super) gateway: Ipv4Addr,
    /// Part of the subnet from which addresses are given out.
    pub(super) range: Subnet,
    pub(super) sixth: Option<Subnet6>,
    /// Nothing leaves it, nothing comes in.
    pub(super) internal: bool,
}

/// A pod's place in a network, and what it wishes for there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) network: Network,
    /// The name of the pod's end.
    pub(super) interface: String,
    /// The pod's annotation says so, so it may have several.
    pub(super) annotated: bool,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) address_6: Option<Ipv6Addr>,
    pub(super) mac: Option<Mac>,
    /// Addresses that others wish for.
    pub(super) reserved: Vec<Ipv4Addr>,
}

/// Whether a text can be an interface's name.
fn named(name: &str) -> bool {
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(['/', ' ', '\0'])
}

/// The container that a command is about, from the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) container: String,
    pub(super) interface: String,
    pub(super) netns: Option<PathBuf>,
}

impl Pod {
    /// Reads `CNI_CONTAINERID`, `CNI_IFNAME` and `CNI_NETNS`.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Refusal> {
        let need = |name: &str| {
            variable(name)
                .filter(|value| !value.is_empty())
                .ok_or_else(|| Refusal::new(Code::Environment, format!("{name} is not set")))
        };
        let container = need("CNI_CONTAINERID")?;
        let begins = container.starts_with(|first: char| first.is_ascii_alphanumeric());
        let letters = container.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c));
        if !begins || !letters {
            return Err(Refusal::new(Code::Environment, format!("CNI_CONTAINERID: {container:?} is no ID")));
        }
        let interface = need("CNI_IFNAME")?;
        let bad = interface.contains(|c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control());
        if bad || interface.len() > LONGEST_NAME || [".", ".."].contains(&interface.as_str()) {
            return Err(Refusal::new(
                Code::Environment,
                format!("CNI_IFNAME: {interface:?} cannot be an interface's name"),
            ));
        }
        let netns = variable("CNI_NETNS").filter(|path| !path.is_empty()).map(PathBuf::from);
        Ok(Self { container, interface, netns })
    }

    /// The pod's namespace, which a command needs.
    pub(super) fn need_netns(&self) -> Result<&PathBuf, Refusal> {
        self.netns.as_ref().ok_or_else(|| Refusal::new(Code::Environment, "CNI_NETNS is not set"))
    }

    /// The name of the host's end of the pair of one of its interfaces.
    pub(super) fn host_end(&self, config: &Config, interface: &str) -> String {
        address::name(&config.name, &self.container, interface)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    pub(in crate::network::cni) fn config(change: impl FnOnce(&mut Value)) -> Result<Config, Refusal> {
        let mut value = json!({
            "cniVersion": "1.0.0", "name": "k3c", "type": "k3c-cni", "bridge": "k3c0", "subnet": "10.88.0.0/16",
            "subnet6": "fd00:1:2::/64", "state": "/run/k3c/cni", "mtu": 1400,
        });
        change(&mut value);
        Config::parse(value.to_string().as_bytes())
    }

    #[test]
    fn a_whole_configuration() {
        let network = config(|_| ()).unwrap().default_network().unwrap();
        assert_eq!((network.bridge.as_str(), network.mtu, network.subnet.bits()), ("k3c0", Some(1400), 16));
        assert_eq!(network.sixth, Some("fd00:1:2::/64".parse().unwrap()));
        assert_eq!(config(|c| c["subnet6"] = Value::Null).unwrap().default_network().unwrap().sixth, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (key, value, code, words) in [
            ("cniVersion", json!("9.0.0"), Code::IncompatibleVersion, "9.0.0"),
            ("cniVersion", json!("0.2.0"), Code::IncompatibleVersion, "0.2.0"),
            ("name", json!(""), Code::InvalidConfig, "no name"),
            ("bridge", json!("a/b"), Code::InvalidConfig, "bridge"),
            ("bridge", json!("sixteen-letters-"), Code::InvalidConfig, "bridge"),
            ("subnet", json!("10.0.0.0/31"), Code::InvalidConfig, "subnet: \"10.0.0.0/31\""),
            ("subnet6", json!("fd00::/56"), Code::InvalidConfig, "subnet6"),
            ("subnet6", json!("fd00::1/64"), Code::InvalidConfig, "subnet6"),
            ("state", json!("here"), Code::InvalidConfig, "state"),
            ("ipam", json!({ "type": "host-local" }), Code::UnsupportedField, "ipam"),
            ("mtu", json!("big"), Code::Decode, "configuration"),
        ] {
            let refused =
                config(|c| c[key] = value.clone()).and_then(|config| config.default_network()).unwrap_err();
            assert_eq!(refused.code, code, "{key} {value}");
            assert!(refused.words.contains(words), "{refused}");
        }
    }

    #[test]
    fn wishes_are_refused_and_not_left_out() {
        let wish = |wishes: Value| config(|c| c["runtimeConfig"] = wishes).unwrap().refuse_wishes();
        for nothing in [
            json!({}),
            json!({ "portMappings": [] }),
            json!({ "portMappings": null, "dns": { "servers": ["1.1.1.1"] } }),
        ] {
            assert_eq!(wish(nothing), Ok(()));
        }
        for (asked, words) in [
            (json!({ "portMappings": [{ "hostPort": 80 }] }), "ports of the host (portMappings)"),
            (json!({ "bandwidth": { "ingressRate": 1 } }), "bandwidth"),
            (json!({ "mac": "02:00:00:00:00:01" }), "MAC"),
        ] {
            let refused = wish(asked).unwrap_err();
            assert_eq!(refused.code, Code::UnsupportedField);
            assert!(refused.words.contains(words), "{refused}");
        }
    }

    #[test]
    fn pods() {
        let read = |container: &str, interface: &str, netns: &str| {
            Pod::read(|name| {
                Some(match name {
                    "CNI_CONTAINERID" => container.to_owned(),
                    "CNI_IFNAME" => interface.to_owned(),
                    _ => netns.to_owned(),
                })
            })
        };
        let pod = read("a.b-c_1", "eth0", "/n").unwrap();
        let of = config(|_| ()).unwrap();
        assert_eq!((pod.need_netns(), pod.host_end(&of, "eth0").len()), (Ok(&PathBuf::from("/n")), 15));
        assert_eq!(read("a", "eth0", "").unwrap().need_netns().unwrap_err().code, Code::Environment);
        for (container, interface) in [
            ("", "eth0"),
            ("a", ""),
            ("-a", "eth0"),
            ("a/b", "eth0"),
            ("a", "e/0"),
            ("a", "."),
            ("a", "sixteen-letters-"),
        ] {
            assert_eq!(
                read(container, interface, "/n").unwrap_err().code,
                Code::Environment,
                "{container} {interface}"
            );
        }
    }

    #[test]
    fn attachments_that_stay() {
        let valid = |list: Value| config(|c| c["cni.dev/valid-attachments"] = list).unwrap().valid;
        assert_eq!(valid(Value::Null), None);
        let one = Attachment { container: "a".into(), interface: "eth0".into() };
        assert_eq!(valid(json!([{ "containerID": "a", "ifname": "eth0" }])), Some(vec![one]));
    }

    #[test]
    fn places_of_a_pod() {
        let pod = Pod { container: "a".into(), interface: "eth0".into(), netns: None };
        let places = |annotation: Value| {
            let with = config(|c| {
                c["runtimeConfig"] = json!({ ANNOTATIONS: { "x": "y" } });
                if !annotation.is_null() {
                    c["runtimeConfig"][ANNOTATIONS][attachment::ANNOTATION] = annotation.to_string().into();
                }
            });
            with.unwrap().places(&pod)
        };
        let default = config(|_| ()).unwrap().default_network().unwrap();
        let only = places(Value::Null).unwrap();
        assert_eq!((only.len(), &only[0].network, only[0].interface.as_str()), (1, &default, "eth0"));
        let bridged = json!({
            "bridge": "k3c-x", "subnet": "10.89.0.0/24", "gateway": "10.89.0.9", "range": "10.89.0.128/25",
            "subnet6": null, "internal": true, "mtu": null,
        });
        let two = json!([{ "interface": "eth0", "network": bridged, "mac": "02:00:00:00:00:01" }, { "interface": "eth1" }]);
        let both = places(two).unwrap();
        assert_eq!((both[0].network.internal, both[0].network.mtu), (true, Some(1400)));
        assert_eq!((both[0].mac, &both[1].network), (Some(Mac([2, 0, 0, 0, 0, 1])), &default));
        for (wrong, words) in [
            (json!([]), "the first place is not eth0"),
            (json!([{ "interface": "eth1" }]), "the first place is not eth0"),
            (json!([{ "interface": "eth0" }, { "interface": "a/b" }]), "cannot be an interface's name"),
            (json!([{ "interface": "eth0", "colour": 1 }]), "colour"),
            (json!({}), "annotation io.k3c.networks"),
        ] {
            let refused = places(wrong).unwrap_err();
            assert!(refused.words.contains(words), "{refused}");
        }
    }
}
