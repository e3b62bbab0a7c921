//! The network that a container is in.

use crate::model::mac::Mac;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Name of the default network.
pub const BRIDGE: &str = "bridge";

/// A container's network, in Docker's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// The default network.
    #[default]
    Bridge,
    /// A network namespace of its own with nothing but its loopback device.
    None,
    /// The host's network, as the user has it.
    Host,
    /// The network namespace of another container: its name or ID.
    Container(String),
    /// A network by its name.
    Named(String),
}

impl NetworkMode {
    /// Reads Docker's words; every text is one.
    ///
    /// # Errors
    /// `container:` without a container.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "" | "default" | BRIDGE => Self::Bridge,
            "none" => Self::None,
            "host" => Self::Host,
            other => match other.split_once(':') {
                Some(("container", "")) => {
                    return Err(format!("invalid network mode: {other}: it names no container"));
                }
                Some(("container", who)) => Self::Container(who.to_owned()),
                _ => Self::Named(other.to_owned()),
            },
        })
    }

    /// Whether the container has an address of its own, to which ports can be published.
    pub fn has_address(&self) -> bool {
        matches!(self, Self::Bridge | Self::Named(_))
    }
}

/// A container's wishes for its place in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointSpec {
    /// The network's name; as a wish also its ID.
    pub network: String,
    /// `None`: any that is free.
    pub address: Option<Ipv4Addr>,
    /// `None`: the one that goes with the other.
    pub address_6: Option<Ipv6Addr>,
    /// `None`: the one that goes with its address.
    pub mac: Option<Mac>,
    /// More names that it has for the others in the network.
    pub aliases: Vec<String>,
    /// Names that others have for it alone: `container:alias`.
    pub links: Vec<String>,
}

impl EndpointSpec {
    /// A place in a network without a wish.
    pub fn plain(network: impl Into<String>) -> Self {
        Self { network: network.into(), ..Self::default() }
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => f.write_str(BRIDGE),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Container(who) => write!(f, "container:{who}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dockers_words() {
        let container = |who: &str| NetworkMode::Container(who.into());
        for (text, mode, shown) in [
            ("", NetworkMode::Bridge, "bridge"),
            ("default", NetworkMode::Bridge, "bridge"),
            ("none", NetworkMode::None, "none"),
            ("host", NetworkMode::Host, "host"),
            ("container:a:b", container("a:b"), "container:a:b"),
            ("mine", NetworkMode::Named("mine".into()), "mine"),
        ] {
            let parsed = NetworkMode::parse(text).unwrap();
            assert_eq!((&parsed, parsed.to_string().as_str()), (&mode, shown), "{text}");
        }
        assert!(NetworkMode::parse("container:").is_err());
    }
}
