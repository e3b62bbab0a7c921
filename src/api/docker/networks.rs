//! The document of a network.

use super::schema::document;
use super::time;
use crate::model::network::{Member, NetworkSummary};
use std::collections::BTreeMap;

document! {
    /// One network.
    Network is "network.Inspect" {
        name: String = "Name";
        id: String = "Id";
        created: String = "Created";
        scope: String = "Scope";
        driver: String = "Driver";
        enable_ipv4: bool = "EnableIPv4";
        enable_ipv6: bool = "EnableIPv6";
        ipam: Ipam = "IPAM";
        internal: bool = "Internal";
        attachable: bool = "Attachable";
        ingress: bool = "Ingress";
        config_from: ConfigReference = "ConfigFrom";
        config_only: bool = "ConfigOnly";
        containers: BTreeMap<String, EndpointResource> = "Containers";
        options: BTreeMap<String, String> = "Options";
        labels: BTreeMap<String, String> = "Labels";
    }
}

document! {
    /// A network's addresses.
    Ipam is "network.IPAM" {
        driver: String = "Driver";
        options: BTreeMap<String, String> = "Options", null;
        config: Vec<IpamPool> = "Config";
    }
}

document! {
    /// Addresses of one version of IP.
    IpamPool is "network.IPAMConfig" {
        subnet: String = "Subnet", omit;
        ip_range: String = "IPRange", omit;
        gateway: String = "Gateway", omit;
        auxiliary_addresses: BTreeMap<String, String> = "AuxiliaryAddresses", omit;
    }
}

document! {
    /// Another network whose settings it has.
    ConfigReference is "network.ConfigReference" {
        network: String = "Network";
    }
}

document! {
    /// A container in a network.
    EndpointResource is "network.EndpointResource" {
        name: String = "Name";
        endpoint_id: String = "EndpointID";
        mac_address: String = "MacAddress";
        ipv4_address: String = "IPv4Address";
        ipv6_address: String = "IPv6Address";
    }
}

impl From<NetworkSummary> for Network {
    fn from(network: NetworkSummary) -> Self {
        let (enable_ipv4, enable_ipv6) = (network.has_ipv4(), network.has_ipv6());
        let config = network.pools.into_iter().map(|pool| IpamPool {
            subnet: pool.subnet,
            ip_range: pool.range,
            gateway: pool.gateway,
            auxiliary_addresses: pool.reserved,
        });
        let member = |of: Member| EndpointResource {
            name: of.name,
            endpoint_id: of.endpoint,
            mac_address: of.mac,
            ipv4_address: of.address,
            ipv6_address: of.address_6,
        };
        Self {
            name: network.name,
            id: network.id,
            created: time(network.created),
            scope: "local".to_owned(),
            driver: network.driver,
            enable_ipv4,
            enable_ipv6,
            ipam: Ipam { driver: "default".to_owned(), config: config.collect(), ..Ipam::default() },
            internal: network.internal,
            containers: network.members.into_iter().map(|(id, of)| (id, member(of))).collect(),
            options: network.options,
            labels: network.labels,
            ..Self::default()
        }
    }
}
