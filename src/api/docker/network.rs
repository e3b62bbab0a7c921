//! The network of a container.

use super::host_config::PortBinding;
use super::schema::document;
use crate::model::container::{ContainerDetail, Endpoint, NetworkMode};
use std::collections::BTreeMap;

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
        let Endpoint { network_id, id, address, prefix_len, gateway, mac, namespace } =
            detail.endpoint.clone();
        let endpoint = EndpointSettings {
            mac_address: mac.clone(),
            network_id,
            endpoint_id: id.clone(),
            gateway: gateway.clone(),
            ip_address: address.clone(),
            ip_prefix_len: prefix_len,
            dns_names: vec![detail.name.clone(), detail.id.short().to_owned()],
            ..EndpointSettings::default()
        };
        let networks = match &detail.spec.network {
            NetworkMode::Container(_) => BTreeMap::new(),
            _ if detail.foreign => BTreeMap::new(),
            mode => [(mode.to_string(), endpoint)].into(),
        };
        Self {
            sandbox_id: detail.pod.clone(),
            sandbox_key: namespace,
            ports: ports(detail),
            endpoint_id: id,
            gateway,
            ip_address: address,
            ip_prefix_len: prefix_len,
            mac_address: mac,
            networks,
            ..Self::default()
        }
    }
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
