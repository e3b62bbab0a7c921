//! ADD: a pair of interfaces between the bridge and a pod's namespace, addresses, routes.

use super::address::{host_mac, of_host_mac, pod_mac};
use super::answer::{Address, Attached};
use super::detach;
use super::error::{Code, Refusal};
use super::firewall::Masquerade;
use super::links::{Link, Links, Pair};
use super::lock::Lock;
use super::request::{Config, Network, Pod};
use super::stage::{Outcome, enter, go, open, point};
use crate::network::netlink::{errno, lacks_family};
use std::collections::HashSet;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::AsFd;
use std::path::Path;

/// Settings of the calling thread's network namespace.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const FORWARDING_6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// What ADD makes at the host's side.
struct Made {
    bridge: Link,
    /// The name of the host's end.
    host: String,
    address: Ipv4Addr,
}

/// Attaches a pod.
pub(super) fn add(config: &Config, pod: &Pod) -> Result<Outcome, Refusal> {
    config.refuse_wishes()?;
    let mut network = config.network()?;
    if config.prev_result.as_ref().is_some_and(|result| !result.is_null()) {
        return Err(Refusal::new(Code::UnsupportedField, "another plugin comes first in the network's list"));
    }
    let path = pod.need_netns()?;
    let namespace = open(path, Code::UnknownContainer)?;
    enter(config)?;
    network.sixth = network.sixth.filter(|_| Path::new(FORWARDING_6).exists());
    let forwards_6 = fs::read_to_string(FORWARDING_6).is_ok_and(|text| text.trim() == "1");
    let mut links = Links::here().map_err(Refusal::kernel("ask the kernel about networks"))?;

    let mut lock = Lock::take(&config.state)?;
    let bridge = bridge(&mut links, &network)?;
    let masquerade = Masquerade { bridge: &network.bridge, subnet: network.subnet, sixth: network.sixth };
    masquerade.ensure().map_err(|e| Refusal::new(Code::NotAvailable, e.to_string()))?;
    point("bridge");
    let ports = links.ports(bridge.index).map_err(Refusal::kernel("list the bridge's interfaces"))?;
    let address = choose(&mut links, &network, &ports, lock.last())?;
    lock.keep(address);
    point("chosen");
    let made = Made { bridge, host: pod.name(&network.name), address };
    pair(&mut links, &network, pod, &made, &namespace)?;
    point("made");
    drop(lock);

    go(&namespace, path)?;
    let inside = inside(&network, pod, &made, forwards_6);
    let addresses = match inside {
        Ok(addresses) => addresses,
        Err(refusal) => {
            if let Ok(Some(link)) = links.find(&made.host) {
                let _ = links.remove(link.index);
            }
            return Err(refusal);
        }
    };
    point("inside");
    let answer = Attached {
        mtu: network.mtu.unwrap_or(made.bridge.mtu),
        bridge: (network.bridge, made.bridge.mac),
        host: (made.host, host_mac(address)),
        pod: (pod.interface.clone(), pod_mac(address)),
        sandbox: path.display().to_string(),
        addresses,
        dns: config.dns.clone(),
    };
    Ok(Outcome {
        answer: Some(answer.document(config.version())),
        afterwards: detach::leftovers(links, &ports),
    })
}

/// Finds the bridge, or makes it; it is up and has its addresses.
fn bridge(links: &mut Links, network: &Network) -> Result<Link, Refusal> {
    let name = &network.bridge;
    let find =
        |links: &mut Links| links.find(name).map_err(Refusal::kernel(format!("look for the bridge {name}")));
    let (bridge, made) = match find(links)? {
        Some(bridge) => (bridge, false),
        None => {
            links
                .make_bridge(name, pod_mac(network.subnet.gateway()), network.mtu)
                .map_err(Refusal::kernel(format!("make the bridge {name}")))?;
            let found = find(links)?;
            let bridge = found
                .ok_or_else(|| Refusal::new(Code::Kernel, format!("the bridge {name} is gone again")))?;
            (bridge, true)
        }
    };
    if !bridge.up {
        links.raise(bridge.index).map_err(Refusal::kernel(format!("bring {name} up")))?;
    }
    let known = match made {
        true => Vec::new(),
        false => links.addresses(None).map_err(Refusal::kernel("list addresses"))?,
    };
    for (address, bits) in gateways(network) {
        if !known.contains(&(bridge.index, address)) {
            match links.give(bridge.index, address, bits) {
                Err(error) if address.is_ipv6() && lacks_family(&error) => {}
                given => given.map_err(Refusal::kernel(format!("give {name} the address {address}")))?,
            }
        }
    }
    let forwards = fs::read_to_string(FORWARDING).is_ok_and(|text| text.trim() == "1");
    if !forwards {
        fs::write(FORWARDING, "1").map_err(Refusal::io(format!("write {FORWARDING}")))?;
    }
    Ok(bridge)
}

/// The bridge's addresses, with the bits of their networks.
fn gateways(network: &Network) -> Vec<(IpAddr, u8)> {
    let gateway = network.subnet.gateway();
    let mut all = vec![(gateway.into(), network.subnet.bits)];
    all.extend(network.sixth.map(|sixth| (network.subnet.sixth(sixth, gateway).into(), 64)));
    all
}

/// Chooses an address that no pod on the bridge has.
fn choose(
    links: &mut Links,
    network: &Network,
    ports: &[Link],
    last: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, Refusal> {
    let mut taken: HashSet<Ipv4Addr> = HashSet::new();
    for port in ports {
        match of_host_mac(port.mac) {
            Some(address) => drop(taken.insert(address)),
            // Somebody else's, or of an older version of us, which did not write the address on its interface.
            None => taken.extend(inside_of(links, port)),
        }
    }
    let gateway = network.subnet.gateway();
    network.subnet.choose(|address| address == gateway || taken.contains(&address), last).ok_or_else(|| {
        let words = format!("no address of {}/{} is free", network.subnet.network(), network.subnet.bits);
        Refusal::new(Code::Exhausted, words)
    })
}

/// IPv4 addresses in the namespace at the other end of a port, as far as the kernel tells.
fn inside_of(links: &mut Links, port: &Link) -> Vec<Ipv4Addr> {
    let Some(namespace) = port.namespace else { return Vec::new() };
    let all = links.addresses(Some(namespace)).unwrap_or_default();
    all.into_iter()
        .filter_map(|(_, address)| match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        })
        .collect()
}

/// Makes the pair of interfaces.
fn pair(
    links: &mut Links,
    network: &Network,
    pod: &Pod,
    made: &Made,
    namespace: &File,
) -> Result<(), Refusal> {
    let pair = Pair {
        host: &made.host,
        host_mac: host_mac(made.address),
        bridge: made.bridge.index,
        pod: &pod.interface,
        pod_mac: pod_mac(made.address),
        namespace: namespace.as_fd(),
        mtu: network.mtu,
    };
    let Err(error) = links.make_pair(&pair) else { return Ok(()) };
    let known = links.find(&made.host).ok().flatten();
    match known {
        // A runtime asks for the same once more only after a DEL, whose rest is not over yet.
        Some(link) if link.alias == detach::GONE => {
            links.remove(link.index).map_err(Refusal::kernel(format!("remove {}", made.host)))?;
            links.make_pair(&pair).map_err(Refusal::kernel(format!("make {} and its other end", made.host)))
        }
        _ => Err(Refusal::kernel(format!("make {} and its other end {}", made.host, pod.interface))(error)),
    }
}

/// Sets up the pod's end; the thread is in the pod's namespace.
fn inside(network: &Network, pod: &Pod, made: &Made, forwards_6: bool) -> Result<Vec<Address>, Refusal> {
    let name = &pod.interface;
    let kernel = |doing: &str| Refusal::kernel(format!("{doing} {name}"));
    let mut links = Links::here().map_err(kernel("ask about"))?;
    let link = links.find(name).map_err(kernel("look for"))?;
    let link = link.ok_or_else(|| Refusal::new(Code::Kernel, format!("{name} is gone again")))?;
    links.raise(link.index).map_err(kernel("bring up"))?;
    let mut addresses = Vec::new();
    for (gateway, bits) in gateways(network) {
        let (address, out) = match (gateway, network.sixth) {
            (IpAddr::V6(_), Some(sixth)) => (network.subnet.sixth(sixth, made.address).into(), forwards_6),
            _ => (made.address.into(), true),
        };
        match links.give(link.index, address, bits) {
            // The pod has IPv6 switched off.
            Err(error) if address.is_ipv6() && lacks_family(&error) => continue,
            given => given.map_err(kernel(&format!("give the address {address} to")))?,
        }
        let routed = match out.then(|| links.route_all(link.index, gateway)) {
            None => false,
            // The pod is in another network already, which is its way out.
            Some(Err(error)) if errno(&error) == libc::EEXIST => false,
            Some(routed) => routed.map(|()| true).map_err(kernel(&format!("route to {gateway} through")))?,
        };
        addresses.push(Address { address, bits, gateway, out: routed });
    }
    Ok(addresses)
}
