//! Which address a pod gets. Nothing is written down: what is taken is read from the interfaces that are there, so that
//! whatever is killed, an address is free when its interface is gone, and not before.
//!
//! An address is in the host's end of a pod's pair from the first moment, as a part of its Ethernet address; the pod's
//! IPv6 address has the same number in its subnet as the IPv4 one.

use super::links::Mac;
use sha2::{Digest, Sha256};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Beginnings of Ethernet addresses that we made up (the second bit says so): of the host's end, of a pod's. An IPv4
/// address follows.
const HOST: [u8; 2] = [0x6e, 0x6b];
const POD: [u8; 2] = [0x02, 0x6b];

/// The beginning of the names of hosts' ends; buildkitd counts the bytes of interfaces with that name.
const PREFIX: &str = "veth";
/// Letters of a name that tell of the network, and of the attachment. With the prefix they are as many as the kernel allows.
const OF_NETWORK: usize = 3;
const OF_ATTACHMENT: usize = 8;

/// A network of IPv4 addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subnet {
    first: u32,
    /// Bits of the network.
    pub(super) bits: u8,
}

impl Subnet {
    /// Reads `10.88.0.0/16`. One in which no pod has room is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let bits: u8 = bits.parse().ok().filter(|bits| (1..=30).contains(bits))?;
        let address = u32::from(address.parse::<Ipv4Addr>().ok()?);
        Some(Self { first: address & !(u32::MAX >> bits), bits })
    }

    /// The bridge's address, the first one.
    pub(super) fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    /// The network's own address.
    pub(super) fn network(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first)
    }

    fn last(self) -> u32 {
        self.first | (u32::MAX >> self.bits)
    }

    /// The next free address after the one that was given out last; so one that was just freed is not given out at once.
    pub(super) fn choose(
        self,
        taken: impl Fn(Ipv4Addr) -> bool,
        after: Option<Ipv4Addr>,
    ) -> Option<Ipv4Addr> {
        let (lowest, highest) = (self.first + 2, self.last() - 1);
        let start = match after.map(u32::from) {
            Some(after) if (lowest..highest).contains(&after) => after + 1,
            _ => lowest,
        };
        (start..=highest).chain(lowest..start).map(Ipv4Addr::from).find(|address| !taken(*address))
    }

    /// The address in an IPv6 network of 64 bits that goes with an address of this one.
    pub(super) fn sixth(self, network: Ipv6Addr, address: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(network) >> 64 << 64 | u128::from(u32::from(address) - self.first))
    }
}

/// The Ethernet address of the host's end of the pair of the pod with that address.
pub(super) fn host_mac(address: Ipv4Addr) -> Mac {
    with(HOST, address)
}

/// The Ethernet address of a pod.
pub(super) fn pod_mac(address: Ipv4Addr) -> Mac {
    with(POD, address)
}

fn with(beginning: [u8; 2], address: Ipv4Addr) -> Mac {
    let [c, d, e, f] = address.octets();
    [beginning[0], beginning[1], c, d, e, f]
}

/// The pod's address, of the host's end of its pair; `None`: it is not ours.
pub(super) fn of_host_mac(mac: Mac) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f] = mac;
    ([a, b] == HOST).then(|| Ipv4Addr::new(c, d, e, f))
}

/// The name of the host's end of the pair of a container's interface in a network.
pub(super) fn name(network: &str, container: &str, interface: &str) -> String {
    format!("{}{}", beginning(network), letters(&format!("{container} {interface}"), OF_ATTACHMENT))
}

/// How the names of all hosts' ends in a network begin.
pub(super) fn beginning(network: &str) -> String {
    format!("{PREFIX}{}", letters(network, OF_NETWORK))
}

/// Letters that stand for a text.
fn letters(text: &str, count: usize) -> String {
    let digits = b"abcdefghijklmnopqrstuvwxyz234567";
    Sha256::digest(text.as_bytes())[..count]
        .iter()
        .map(|byte| char::from(digits[usize::from(byte % 32)]))
        .collect()
}

/// An IPv6 network of one's own (RFC 4193), the same one each time for the same text.
pub(super) fn private_network(of: &str) -> Ipv6Addr {
    let hash = Sha256::digest(of.as_bytes());
    let mut octets = [0; 16];
    octets[0] = 0xfd;
    octets[1..6].copy_from_slice(&hash[..5]);
    Ipv6Addr::from(octets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn v4(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn subnets() {
        let subnet = Subnet::parse("10.88.3.7/16").unwrap();
        assert_eq!((subnet.network(), subnet.gateway()), (v4("10.88.0.0"), v4("10.88.0.1")));
        for text in ["10.0.0.0", "10.0.0.0/31", "10.0.0.0/0", "x/8", "fd00::/64", "10.0.0.0/"] {
            assert_eq!(Subnet::parse(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_go_round() {
        let subnet = Subnet::parse("10.0.0.0/29").unwrap();
        let choose = |taken: &[&str], after: Option<&str>| {
            let taken: HashSet<Ipv4Addr> = taken.iter().map(|text| v4(text)).collect();
            subnet
                .choose(|address| taken.contains(&address), after.map(v4))
                .map(|address| address.to_string())
        };
        for (taken, after, expected) in [
            (&[][..], None, Some("10.0.0.2")),
            (&[], Some("10.0.0.2"), Some("10.0.0.3")),
            (&["10.0.0.3"], Some("10.0.0.2"), Some("10.0.0.4")),
            (&[], Some("10.0.0.6"), Some("10.0.0.2")),
            (&["10.0.0.6", "10.0.0.2"], Some("10.0.0.5"), Some("10.0.0.3")),
            // Of another subnet, before the settings were changed.
            (&[], Some("192.168.0.1"), Some("10.0.0.2")),
            (&[], Some("10.0.0.7"), Some("10.0.0.2")),
            (&["10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"], Some("10.0.0.4"), Some("10.0.0.4")),
            (&["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"], Some("10.0.0.4"), None),
        ] {
            assert_eq!(choose(taken, after).as_deref(), expected, "{taken:?} {after:?}");
        }
    }

    #[test]
    fn an_address_is_in_its_interface() {
        assert_eq!(of_host_mac(host_mac(v4("10.88.1.2"))), Some(v4("10.88.1.2")));
        assert_eq!(of_host_mac(pod_mac(v4("10.88.1.2"))), None);
        for mac in [host_mac(v4("1.2.3.4")), pod_mac(v4("1.2.3.4"))] {
            assert_eq!(mac[0] & 3, 2, "made up, and of one interface");
        }
    }

    #[test]
    fn names_fit_and_differ() {
        let one = name("k3c", "a", "eth0");
        assert_eq!((one.len(), &one), (15, &name("k3c", "a", "eth0")));
        assert!(one.starts_with(&beginning("k3c")));
        for other in [name("k3c", "a", "eth1"), name("k3c", "b", "eth0"), name("other", "a", "eth0")] {
            assert_ne!(one, other);
        }
    }

    #[test]
    fn the_sixth_version_has_the_same_number() {
        let subnet = Subnet::parse("10.88.0.0/16").unwrap();
        let network = private_network("x");
        assert_eq!(network.octets()[0], 0xfd);
        assert_eq!((network, network.octets()[6..] == [0; 10]), (private_network("x"), true));
        assert_ne!(network, private_network("y"));
        let address = subnet.sixth("fd00:1:2::".parse().unwrap(), v4("10.88.1.2"));
        assert_eq!(address.to_string(), "fd00:1:2::102");
    }
}
