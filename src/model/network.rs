//! Networks that containers are in, beside the namespaces that they may share.

use super::subnet::{Subnet, Subnet6};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

/// Names that are no user's: there is always a network of that name, or a mode.
pub const PREDEFINED: [&str; 3] = ["bridge", "host", "none"];

/// The option that has a packet's bytes.
pub const MTU: &str = "com.docker.network.driver.mtu";

/// Letters of an ID in a bridge's name: as many as the kernel leaves room for.
const OF_ID: usize = 11;

/// A user's network; its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// 64 hex digits.
    pub id: String,
    /// `[a-zA-Z0-9][a-zA-Z0-9_.-]*`
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Addresses of version 4.
    pub addresses: Addresses,
    /// Addresses of version 6; `None`: it has none.
    pub subnet6: Option<Subnet6>,
    /// Nothing leaves it, nothing comes in.
    pub internal: bool,
    /// The user's.
    pub labels: BTreeMap<String, String>,
    /// [`MTU`]
    pub options: BTreeMap<String, String>,
}

/// A network's addresses of version 4.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// All of them.
    pub subnet: Subnet,
    /// The bridge's.
    pub gateway: Ipv4Addr,
    /// Part of the subnet from which addresses are given out; `None`: all of it.
    pub range: Option<Subnet>,
    /// Addresses that are never given out, by names that mean nothing.
    pub reserved: BTreeMap<String, Ipv4Addr>,
}

impl Addresses {
    /// Those of a subnet of which nothing else is said.
    pub fn of(subnet: Subnet) -> Self {
        Self { subnet, gateway: subnet.first_host(), range: None, reserved: BTreeMap::new() }
    }

    /// The bridge's addresses, of version 4 and 6.
    pub fn gateways(&self, subnet6: Option<Subnet6>) -> impl Iterator<Item = IpAddr> {
        let six = subnet6.map(|sixth| self.subnet.sixth(sixth, self.gateway).into());
        [IpAddr::V4(self.gateway)].into_iter().chain(six)
    }
}

impl Network {
    /// Name of its bridge.
    pub fn bridge(&self) -> String {
        format!("k3c-{}", self.id.get(..OF_ID).unwrap_or(&self.id))
    }

    /// Bytes of a packet; `None`: as many as in the default network.
    pub fn mtu(&self) -> Option<u32> {
        self.options.get(MTU).and_then(|text| text.parse().ok())
    }
}

/// A network that is wished for. Empty texts are not given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkWish {
    /// Its name.
    pub name: String,
    /// `bridge` unless given.
    pub driver: String,
    /// Networks in CIDR, of both versions of IP, at most one of each.
    pub subnets: Vec<String>,
    /// An address of the subnet.
    pub gateways: Vec<String>,
    /// A part of the subnet.
    pub ranges: Vec<String>,
    /// Addresses of the subnet, by names.
    pub reserved: BTreeMap<String, String>,
    /// `None`: it has IPv6 addresses unless the host has none.
    pub ipv6: Option<bool>,
    /// Nothing leaves it, nothing comes in.
    pub internal: bool,
    /// The user's.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
}

/// A network as lists and `inspect` show it; the predefined ones, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkSummary {
    /// 64 hex digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made; `None`: it has always been there.
    pub created: Option<Timestamp>,
    /// `bridge`, `host`, `null`.
    pub driver: String,
    /// Nothing leaves it, nothing comes in.
    pub internal: bool,
    /// Addresses.
    pub pools: Vec<Pool>,
    /// The user's.
    pub labels: BTreeMap<String, String>,
    /// Options of the driver.
    pub options: BTreeMap<String, String>,
    /// Containers that run and are in it, by their IDs.
    pub members: BTreeMap<String, Member>,
    /// How many containers are in it, that run or not.
    pub users: i64,
}

impl NetworkSummary {
    /// The addresses of version 6, or those of version 4.
    pub fn pool(&self, version_6: bool) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.subnet.contains(':') == version_6)
    }

    /// Whether containers have IPv4 addresses there: a network that is no bridge says nothing of them.
    pub fn has_ipv4(&self) -> bool {
        self.pool(false).is_some() || self.driver != "bridge"
    }

    /// Whether containers have IPv6 addresses there.
    pub fn has_ipv6(&self) -> bool {
        self.pool(true).is_some()
    }
}

/// Addresses of one version of IP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pool {
    /// In CIDR.
    pub subnet: String,
    /// In CIDR; empty: all of the subnet.
    pub range: String,
    /// Address.
    pub gateway: String,
    /// Addresses that are never given out.
    pub reserved: BTreeMap<String, String>,
}

/// A container in a network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// The container's.
    pub name: String,
    /// 64 hex digits.
    pub endpoint: String,
    /// Hardware address.
    pub mac: String,
    /// In CIDR; empty: none.
    pub address: String,
    /// In CIDR; empty: none.
    pub address_6: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_has_a_name_that_the_kernel_takes() {
        let mut network = Network {
            id: "0123456789abcdef".into(),
            name: "n".into(),
            created: Timestamp::UNIX_EPOCH,
            addresses: Addresses::of("10.89.0.0/24".parse().unwrap()),
            subnet6: None,
            internal: false,
            labels: BTreeMap::new(),
            options: BTreeMap::new(),
        };
        assert_eq!((network.bridge().as_str(), network.bridge().len()), ("k3c-0123456789a", 15));
        assert_eq!(network.mtu(), None);
        network.options.insert(MTU.into(), "1400".into());
        assert_eq!(network.mtu(), Some(1400));
        let gateways = network.addresses.gateways(Some("fd00::/64".parse().unwrap()));
        assert_eq!(gateways.map(|address| address.to_string()).collect::<Vec<_>>(), ["10.89.0.1", "fd00::1"]);
    }
}
