//! ADD: for each of a pod's networks a pair of interfaces between the bridge and the pod's namespace, addresses, routes.

use super::address::{host_mac, of_host_mac};
use super::answer::{Address, Attached, End};
use super::detach;
use super::error::{Code, Refusal};
use super::firewall::Rules;
use super::links::{Link, Links, Pair};
use super::lock::Lock;
use super::request::{Config, Network, Place, Pod};
use super::stage::{Outcome, enter, go, open, point};
use crate::model::mac::Mac;
use crate::network::netlink::{errno, lacks_family};
use std::collections::HashSet;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::Path;

/// Settings of the calling thread's network namespace.
const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const FORWARDING_6: &str = "/proc/sys/net/ipv6/conf/all/forwarding";

/// What ADD makes at the host's side, for one place in a network.
struct Made<'a> {
    place: &'a Place,
    bridge: Link,
    /// The name of the host's end.
    host: String,
    mac: Mac,
    address: Ipv4Addr,
    address_6: Option<Ipv6Addr>,
    /// What was there before on the bridge.
    ports: Vec<Link>,
}

/// Attaches a pod.
pub(super) fn add(config: &Config, pod: &Pod) -> Result<Outcome, Refusal> {
    config.refuse_wishes()?;
    let mut places = config.places(pod)?;
    if config.prev_result.as_ref().is_some_and(|result| !result.is_null()) {
        return Err(Refusal::new(Code::UnsupportedField, "another plugin comes first in the network's list"));
    }
    let path = pod.need_netns()?;
    let namespace = open(path, Code::UnknownContainer)?;
    enter(config)?;
    if !Path::new(FORWARDING_6).exists() {
        places.iter_mut().for_each(|place| place.network.sixth = None);
    }
    let forwards_6 = fs::read_to_string(FORWARDING_6).is_ok_and(|text| text.trim() == "1");
    let mut links = Links::here().map_err(Refusal::kernel("ask the kernel about networks"))?;

    let lock = Lock::take(&config.state)?;
    let mut all = Vec::new();
    let mut made = Ok(());
    for place in &places {
        let host = pod.host_end(config, &place.interface);
        match make(&mut links, &lock, pod, place, host, &namespace) {
            Ok(one) => all.push(one),
            Err(refusal) => {
                made = Err(refusal);
                break;
            }
        }
    }
    drop(lock);
    let ends = made.and_then(|()| {
        point("made");
        go(&namespace, path)?;
        all.iter().map(|made| inside(made, forwards_6)).collect::<Result<Vec<_>, _>>()
    });
    let ends = match ends {
        Ok(ends) => ends,
        Err(refusal) => {
            for made in &all {
                if let Ok(Some(link)) = links.find(&made.host) {
                    let _ = links.remove(link.index);
                }
            }
            return Err(refusal);
        }
    };
    point("inside");
    let ports: Vec<Link> = all.into_iter().flat_map(|made| made.ports).collect();
    let answer = Attached { ends, sandbox: path.display().to_string(), dns: config.dns.clone() };
    Ok(Outcome {
        answer: Some(answer.document(config.version())),
        afterwards: detach::leftovers(links, &ports),
    })
}

/// Makes what a place needs at the host's side: the bridge, its rules, and the pair of interfaces.
fn make<'a>(
    links: &mut Links,
    lock: &Lock,
    pod: &Pod,
    place: &'a Place,
    host: String,
    namespace: &File,
) -> Result<Made<'a>, Refusal> {
    let network = &place.network;
    let bridge = bridge(links, network)?;
    Rules::of(network).ensure().map_err(|e| Refusal::new(Code::NotAvailable, e.to_string()))?;
    point("bridge");
    let ports = links.ports(bridge.index).map_err(Refusal::kernel("list the bridge's interfaces"))?;
    let (address, address_6) = choose(links, place, &ports, lock.last(&network.bridge))?;
    if place.address.is_none() {
        lock.keep(&network.bridge, address);
    }
    point("chosen");
    let mac = place.mac.unwrap_or_else(|| Mac::of(address));
    let made = Made { place, bridge, host, mac, address, address_6, ports };
    pair(links, pod, &made, namespace)?;
    Ok(made)
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
                .make_bridge(name, Mac::of(network.gateway), network.mtu)
                .map_err(Refusal::kernel(format!("make the bridge {name}")))?;
            let found = find(links)?;
            let bridge = found
                .ok_or_else(|| Refusal::new(Code::Kernel, format!("the bridge {name} is gone again")))?;
            (bridge, true)
        }
    };
    let alias = Rules::of(network).alias();
    if bridge.alias != alias {
        links.name_also(bridge.index, &alias).map_err(Refusal::kernel(format!("name {name}")))?;
    }
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
    let gateway = network.gateway;
    let mut all = vec![(gateway.into(), network.subnet.bits())];
    all.extend(network.sixth.map(|sixth| (network.subnet.sixth(sixth, gateway).into(), 64)));
    all
}

/// Chooses addresses that no pod on the bridge has.
fn choose(
    links: &mut Links,
    place: &Place,
    ports: &[Link],
    last: Option<Ipv4Addr>,
) -> Result<(Ipv4Addr, Option<Ipv6Addr>), Refusal> {
    let network = &place.network;
    let subnet = network.subnet;
    let sixth = |address: Ipv4Addr| network.sixth.map(|sixth| subnet.sixth(sixth, address));
    let mut taken: HashSet<IpAddr> = gateways(network).into_iter().map(|(address, _)| address).collect();
    for port in ports {
        match of_host_mac(port.mac) {
            Some(address) => {
                taken.insert(address.into());
                let own = Told::read(&port.alias).and_then(|told| told.address_6).or_else(|| sixth(address));
                taken.extend(own.map(IpAddr::V6));
            }
            // Somebody else's, or of an older version of us, which did not write the address on its interface.
            None => taken.extend(inside_of(links, port).into_iter().map(IpAddr::V4)),
        }
    }
    let refused = |words: String| Err(Refusal::new(Code::Exhausted, words));
    let wishes = [place.address.map(IpAddr::V4), place.address_6.map(IpAddr::V6)];
    if let Some(address) = wishes.into_iter().flatten().find(|address| taken.contains(address)) {
        return refused(format!("Address already in use: {address}"));
    }
    // One with which a wish for the other version of IP does not collide.
    let free = |address: Ipv4Addr| {
        let six = if place.address_6.is_some() { None } else { sixth(address) };
        let both = [Some(IpAddr::V4(address)), six.map(IpAddr::V6)];
        !both.into_iter().flatten().any(|address| taken.contains(&address))
            && !place.reserved.contains(&address)
    };
    let chosen = match place.address {
        Some(address) if subnet.has_host(address) => Some(address),
        Some(address) => return refused(format!("{address} is no address of {subnet}")),
        None => subnet.choose(network.range, |address| !free(address), last),
    };
    match chosen {
        Some(address) => Ok((address, place.address_6.or_else(|| sixth(address)))),
        None => refused(format!("no address of {} is free", network.range)),
    }
}

/// What the alias of a host's end tells, where its name and its Ethernet address do not tell all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The CNI container that the pair is of.
    pub(super) container: String,
    address_6: Option<Ipv6Addr>,
}

impl Told {
    const BEGINNING: &str = "k3c: of ";

    /// Reads an alias; `None`: it does not tell.
    pub(super) fn read(alias: &str) -> Option<Self> {
        let mut words = alias.strip_prefix(Self::BEGINNING)?.split(' ');
        let container = words.next()?.to_owned();
        Some(Self { container, address_6: words.next().and_then(|text| text.parse().ok()) })
    }

    fn alias(&self) -> String {
        let six = self.address_6.map(|address| format!(" {address}")).unwrap_or_default();
        format!("{}{}{six}", Self::BEGINNING, self.container)
    }
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
fn pair(links: &mut Links, pod: &Pod, made: &Made<'_>, namespace: &File) -> Result<(), Refusal> {
    let Made { place, host, .. } = made;
    let pair = Pair {
        host,
        host_mac: host_mac(made.address),
        bridge: made.bridge.index,
        pod: &place.interface,
        pod_mac: made.mac,
        namespace: namespace.as_fd(),
        mtu: place.network.mtu,
    };
    let making = || format!("make {host} and its other end {}", place.interface);
    if let Err(error) = links.make_pair(&pair) {
        match links.find(host).ok().flatten() {
            // A runtime asks for the same once more only after a DEL, whose rest is not over yet.
            Some(link) if link.alias == detach::GONE => {
                links.remove(link.index).map_err(Refusal::kernel(format!("remove {host}")))?;
                links.make_pair(&pair).map_err(Refusal::kernel(making()))?;
            }
            _ => return Err(Refusal::kernel(making())(error)),
        }
    }
    if !place.annotated {
        return Ok(());
    }
    let told = Told { container: pod.container.clone(), address_6: place.address_6 };
    let link = links.find(host).map_err(Refusal::kernel(format!("look for {host}")))?;
    let index = link.map(|link| link.index).unwrap_or_default();
    links.name_also(index, &told.alias()).map_err(Refusal::kernel(format!("name {host}")))
}

/// Sets up the pod's end; the thread is in the pod's namespace.
fn inside(made: &Made<'_>, forwards_6: bool) -> Result<End, Refusal> {
    let network = &made.place.network;
    let name = &made.place.interface;
    let kernel = |doing: &str| Refusal::kernel(format!("{doing} {name}"));
    let mut links = Links::here().map_err(kernel("ask about"))?;
    let link = links.find(name).map_err(kernel("look for"))?;
    let link = link.ok_or_else(|| Refusal::new(Code::Kernel, format!("{name} is gone again")))?;
    links.raise(link.index).map_err(kernel("bring up"))?;
    let mut addresses = Vec::new();
    for (gateway, bits) in gateways(network) {
        let (address, out) = match gateway {
            IpAddr::V4(_) => (IpAddr::V4(made.address), !network.internal),
            IpAddr::V6(_) => {
                let Some(address) = made.address_6 else { continue };
                (address.into(), forwards_6 && !network.internal)
            }
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
    Ok(End {
        mtu: network.mtu.unwrap_or(made.bridge.mtu),
        bridge: (network.bridge.clone(), made.bridge.mac),
        host: (made.host.clone(), host_mac(made.address)),
        pod: (name.clone(), made.mac),
        addresses,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alias_is_read_again() {
        for address_6 in [None, Some("fd00::9".parse().unwrap())] {
            let told = Told { container: "abc".into(), address_6 };
            assert_eq!(Told::read(&told.alias()), Some(told));
        }
        for other in ["", detach::GONE, "somebody's"] {
            assert_eq!(Told::read(other), None, "{other}");
        }
    }
}
