//! A published port in the words of `RootlessKit`'s API, with a few of our own.

use crate::model::port::Protocol;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// A port that leads to another. The keys that begin with `k3c` are ours; others do not know them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Spec {
    /// `tcp`, `udp`; with a 4 or a 6 behind it only that version of IP.
    pub proto: String,
    /// Address of the host; empty: all of version 4.
    #[serde(rename = "parentIP", skip_serializing_if = "String::is_empty")]
    pub parent_ip: String,
    /// The host's port.
    pub parent_port: u16,
    /// The container's port.
    pub child_port: u16,
    /// Address of the container; empty: the namespace's own loopback.
    #[serde(rename = "childIP", skip_serializing_if = "String::is_empty")]
    pub child_ip: String,
    /// Another address of the container's, for when nothing listens at the first; empty: none.
    #[serde(rename = "k3cOtherIP", skip_serializing_if = "String::is_empty")]
    pub other_ip: String,
    /// Whom it belongs to; empty: a person.
    #[serde(rename = "k3cOwner", skip_serializing_if = "String::is_empty")]
    pub owner: String,
}

/// A port that is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Number, for its withdrawal.
    pub id: u32,
    /// What was asked for.
    pub spec: Spec,
}

/// A spec, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lead {
    pub(super) protocol: Protocol,
    /// The host's address and port.
    pub(super) at: SocketAddr,
    /// The container's.
    pub(super) to: SocketAddr,
    /// The container's address of the other version of IP.
    pub(super) other: Option<SocketAddr>,
}

impl Lead {
    /// Reads a spec.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn of(spec: &Spec) -> Result<Self, String> {
        let (name, version) = match spec.proto.strip_suffix(['4', '6']) {
            Some(name) => (name, spec.proto.chars().last()),
            None => (spec.proto.as_str(), None),
        };
        let protocol = name.parse::<Protocol>().map_err(|_| format!("unknown protocol {:?}", spec.proto))?;
        if spec.parent_port == 0 || spec.child_port == 0 {
            return Err("parentPort and childPort are from 1 to 65535".to_owned());
        }
        let address = |what: &str, text: &str| match text {
            "" => Ok(None),
            text => {
                text.parse::<IpAddr>().map(Some).map_err(|_| format!("{what}: {text:?} is no IP address"))
            }
        };
        let host = address("parentIP", &spec.parent_ip)?.unwrap_or(match version {
            Some('6') => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        });
        if version.is_some_and(|version| (version == '6') != host.is_ipv6()) {
            return Err(format!("parentIP: {host} is no address for {}", spec.proto));
        }
        let child = address("childIP", &spec.child_ip)?.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let other = address("k3cOtherIP", &spec.other_ip)?;
        Ok(Self {
            protocol,
            at: SocketAddr::new(host, spec.parent_port),
            to: SocketAddr::new(child, spec.child_port),
            other: other.map(|ip| SocketAddr::new(ip, spec.child_port)),
        })
    }

    /// Whether both cannot be published at once.
    pub(super) fn collides(&self, other: &Self) -> bool {
        let (one, two) = (self.at.ip(), other.at.ip());
        self.protocol == other.protocol
            && self.at.port() == other.at.port()
            && one.is_ipv4() == two.is_ipv4()
            && (one == two || one.is_unspecified() || two.is_unspecified())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn rootlesskits_form() {
        let full = spec(
            r#"{"proto":"tcp","parentIP":"127.0.0.1","parentPort":8080,"childIP":"10.0.0.2","childPort":80}"#,
        );
        let lead = Lead::of(&full).unwrap();
        assert_eq!(
            (lead.at.to_string(), lead.to.to_string()),
            ("127.0.0.1:8080".into(), "10.0.0.2:80".into())
        );
        assert_eq!(serde_json::to_value(&full).unwrap().as_object().unwrap().len(), 5);
        let short = |proto: &str| {
            let spec = Spec { proto: proto.into(), parent_port: 1, child_port: 2, ..Spec::default() };
            Lead::of(&spec).map(|lead| lead.at.to_string())
        };
        assert_eq!(short("udp").unwrap(), "0.0.0.0:1");
        assert_eq!(short("tcp6").unwrap(), "[::]:1");
        assert!(short("sctp").is_err() && short("").is_err() && short("tcp5").is_err());
        assert!(Lead::of(&Spec { parent_port: 0, ..full.clone() }).is_err());
        assert!(Lead::of(&Spec { parent_ip: "x".into(), ..full.clone() }).is_err());
        assert!(Lead::of(&Spec { proto: "tcp6".into(), ..full }).is_err());
    }

    #[test]
    fn collisions() {
        let lead = |proto: &str, ip: &str, port| {
            let spec = Spec {
                proto: proto.into(),
                parent_ip: ip.into(),
                parent_port: port,
                child_port: 1,
                ..Spec::default()
            };
            Lead::of(&spec).unwrap()
        };
        let all = lead("tcp", "0.0.0.0", 80);
        for (other, collides) in [
            (lead("tcp", "127.0.0.1", 80), true),
            (lead("tcp", "0.0.0.0", 80), true),
            (lead("tcp", "::", 80), false),
            (lead("udp", "0.0.0.0", 80), false),
            (lead("tcp", "0.0.0.0", 81), false),
        ] {
            assert_eq!((all.collides(&other), other.collides(&all)), (collides, collides), "{other:?}");
        }
        assert!(!lead("tcp", "127.0.0.1", 80).collides(&lead("tcp", "127.0.0.2", 80)));
    }
}
