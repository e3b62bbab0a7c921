//! Which address a pod gets. Nothing is written down: what is taken is read from the interfaces that are there, so that
//! whatever is killed, an address is free when its interface is gone, and not before.
//!
//! An address is in the host's end of a pod's pair from the first moment, as a part of its Ethernet address; the pod's
//! IPv6 address has the same number in its subnet as the IPv4 one.

use crate::model::mac::Mac;
use crate::model::subnet::Subnet6;
use sha2::{Digest, Sha256};
use std::net::Ipv4Addr;

/// Beginning of the Ethernet addresses of hosts' ends, which we made up (the second bit says so). The IPv4 address of the
/// pod follows.
const HOST: [u8; 2] = [0x6e, 0x6b];

/// The beginning of the names of hosts' ends; buildkitd counts the bytes of interfaces with that name.
const PREFIX: &str = "veth";
/// Letters of a name that tell of the network, and of the attachment. With the prefix they are as many as the kernel allows.
const OF_NETWORK: usize = 3;
const OF_ATTACHMENT: usize = 8;

/// The Ethernet address of the host's end of the pair of the pod with that address.
pub(super) fn host_mac(address: Ipv4Addr) -> Mac {
    let [c, d, e, f] = address.octets();
    Mac([HOST[0], HOST[1], c, d, e, f])
}

/// The pod's address, of the host's end of its pair; `None`: it is not ours.
pub(super) fn of_host_mac(mac: Mac) -> Option<Ipv4Addr> {
    let Mac([a, b, c, d, e, f]) = mac;
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
pub(super) fn private_network(of: &str) -> Subnet6 {
    let hash = Sha256::digest(of.as_bytes());
    Subnet6::own([hash[0], hash[1], hash[2], hash[3], hash[4]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_in_its_interface() {
        assert_eq!(of_host_mac(host_mac(v4("10.88.1.2"))), Some(v4("10.88.1.2")));
        assert_eq!(of_host_mac(Mac::of(v4("10.88.1.2"))), None);
        for mac in [host_mac(v4("1.2.3.4")), Mac::of(v4("1.2.3.4"))] {
            assert_eq!(mac.0[0] & 3, 2, "made up, and of one interface");
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
    fn a_network_of_ones_own() {
        let network = private_network("x");
        assert_eq!(network.network().octets()[0], 0xfd);
        assert_eq!(network, private_network("x"));
        assert_ne!(network, private_network("y"));
    }
}
