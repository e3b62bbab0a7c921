//! Directory: the names of containers that run, as the engine writes them down for the name server.

use super::subnet::Subnet;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Names of the host, for containers.
pub const HOSTS_NAMES: [&str; 2] = ["host.docker.internal", "host.k3c.internal"];

/// All that the name server knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Directory {
    /// Addresses at which it answers: the gateways of all networks.
    pub listen: Vec<IpAddr>,
    /// Networks of those who may ask: nobody else does, whoever has a route to here.
    pub within: Vec<Subnet>,
    /// Servers that are asked for what nobody here is called; none: the host's, as they are at that moment.
    pub upstream: Vec<IpAddr>,
    /// The host's address, for its own names; `None`: nobody may reach it.
    pub host: Option<IpAddr>,
    /// Containers that are in a network, and run or are about to.
    pub containers: Vec<Listed>,
}

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listed {
    /// 64 hex digits.
    pub id: String,
    /// It runs, so others know its names; one that is about to run only asks.
    pub up: bool,
    /// Its places in networks.
    pub places: Vec<Place>,
    /// Names that others have for it alone, and their IDs.
    pub links: BTreeMap<String, String>,
    /// Servers that are asked for it instead of the usual ones; they are reached from the containers' side.
    pub servers: Vec<IpAddr>,
    /// All of its networks are internal: nobody outside is asked for it.
    pub secluded: bool,
}

/// A container's place in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// The network's name.
    pub network: String,
    /// Of both versions of IP.
    pub addresses: Vec<IpAddr>,
    /// In lower case, the container's own name first.
    pub names: Vec<String>,
}
