//! The network of a container.

use super::host_config::PortBinding;
use super::schema::document;
use crate::model::container::{ContainerDetail, Endpoint, NetworkMode};
use std::collections::BTreeMap;
use std::net::IpAddr;

document! {
    /// Networks of a container, and its part in the default one.
    NetworkSettings is "container.NetworkSettings" {
        bridge: String = "Bridge";
        sandbox_id: String = "SandboxID";
        sandbox_key: String = "SandboxKey";
        ports: BTreeMap<String, Option<Vec<PortBinding>>> = "Ports";
        hairpin_mode: bool = "HairpinMode";
        link_local_ipv6_address: String = "LinkLocalIPv6Address";
        link_local_ipv6_prefix_len: u32 = "LinkLocalIPv6PrefixLen";
        secondary_ip_addresses: Vec<serde_json::Value> = "SecondaryIPAddresses", null;
        secondary_ipv6_addresses: Vec<serde_json::Value> = "SecondaryIPv6Addresses", null;
        endpoint_id: String = "EndpointID";
        gateway: String = "Gateway";
        global_ipv6_address: String = "GlobalIPv6Address";
        global_ipv6_prefix_len: u32 = "GlobalIPv6PrefixLen";
        ip_address: String = "IPAddress";
        ip_prefix_len: u32 = "IPPrefixLen";
        ipv6_gateway: String = "IPv6Gateway";
        mac_address: String = "MacAddress";
        networks: BTreeMap<String, EndpointSettings> = "Networks";
    }
}

document! {
    /// A container's part in one network.
    EndpointSettings is "network.EndpointSettings" {
        ipam_config: Option<IpamConfig> = "IPAMConfig";
        links: Vec<String> = "Links", null;
        aliases: Vec<String> = "Aliases", null;
        mac_address: String = "MacAddress";
        driver_opts: BTreeMap<String, String> = "DriverOpts", null;
        gw_priority: i32 = "GwPriority";
        network_id: String = "NetworkID";
        endpoint_id: String = "EndpointID";
        gateway: String = "Gateway";
        ip_address: String = "IPAddress";
        ip_prefix_len: u32 = "IPPrefixLen";
        ipv6_gateway: String = "IPv6Gateway";
        global_ipv6_address: String = "GlobalIPv6Address";
        global_ipv6_prefix_len: u32 = "GlobalIPv6PrefixLen";
        dns_names: Vec<String> = "DNSNames", null;
    }
}

document! {
    /// Addresses that were asked for.
    IpamConfig is "network.EndpointIPAMConfig" {
        ipv4_address: String = "IPv4Address", omit;
        ipv6_address: String = "IPv6Address", omit;
        link_local_ips: Vec<String> = "LinkLocalIPs", omit;
    }
}

impl NetworkSettings {
    pub(super) fn of(detail: &ContainerDetail) -> Self {
        let first = detail.endpoints.first().cloned().unwrap_or_default();
        let networks = match &detail.spec.network {
            NetworkMode::Container(_) => BTreeMap::new(),
            _ if detail.foreign => BTreeMap::new(),
            _ => {
                let all = detail.endpoints.iter();
                all.map(|of| (of.wish.network.clone(), EndpointSettings::of(of, detail))).collect()
            }
        };
        Self {
            sandbox_id: detail.pod.clone(),
            sandbox_key: detail.namespace.clone(),
            ports: ports(detail),
            endpoint_id: first.id,
            gateway: first.gateway,
            ip_address: first.address,
            ip_prefix_len: first.prefix_len,
            global_ipv6_prefix_len: prefix_6(&first.address_6),
            global_ipv6_address: first.address_6,
            ipv6_gateway: first.gateway_6,
            mac_address: first.mac,
            networks,
            ..Self::default()
        }
    }
}

impl EndpointSettings {
    fn of(endpoint: &Endpoint, detail: &ContainerDetail) -> Self {
        let Endpoint { wish, network_id, id, address, prefix_len, gateway, mac, address_6, gateway_6 } =
            endpoint.clone();
        let text = |address: Option<IpAddr>| address.map(|address| address.to_string()).unwrap_or_default();
        let asked = wish.address.is_some() || wish.address_6.is_some();
        let mut dns_names = vec![detail.name.clone()];
        dns_names.extend(wish.aliases.iter().cloned());
        dns_names.push(detail.id.short().to_owned());
        Self {
            ipam_config: asked.then(|| IpamConfig {
                ipv4_address: text(wish.address.map(Into::into)),
                ipv6_address: text(wish.address_6.map(Into::into)),
                ..IpamConfig::default()
            }),
            links: wish.links,
            aliases: wish.aliases,
            mac_address: mac,
            network_id,
            endpoint_id: id,
            gateway,
            ip_address: address,
            ip_prefix_len: prefix_len,
            ipv6_gateway: gateway_6,
            global_ipv6_prefix_len: prefix_6(&address_6),
            global_ipv6_address: address_6,
            dns_names,
            ..Self::default()
        }
    }
}

/// Bits of an IPv6 network: there are no others.
fn prefix_6(address: &str) -> u32 {
    if address.is_empty() { 0 } else { 64 }
}

/// Ports of a container that runs, each with those of the host that lead to it.
fn ports(detail: &ContainerDetail) -> BTreeMap<String, Option<Vec<PortBinding>>> {
    if !detail.state.status.is_up() || !detail.spec.network.has_address() {
        return BTreeMap::new();
    }
    let exposed = detail.resolved.exposed.iter();
    let mut ports: BTreeMap<String, Option<Vec<PortBinding>>> =
        exposed.map(|port| (port.clone(), None)).collect();
    for published in &detail.published {
        let binding =
            PortBinding { host_ip: published.ip.to_string(), host_port: published.host.to_string() };
        ports.entry(published.port.to_string()).or_insert(None).get_or_insert_default().push(binding);
    }
    ports
}
