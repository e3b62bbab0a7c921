//! Networks of addresses, in the notation of CIDR (RFC 4632, RFC 4291).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network of IPv4 addresses in which a container has room: of 1 to 30 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet {
    first: u32,
    bits: u8,
}

/// A text that is no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}")]
pub struct NoSubnet {
    text: String,
    what: &'static str,
}

impl Subnet {
    /// The network of that many bits that the address is in; `None`: there is no room in it.
    pub fn of(address: Ipv4Addr, bits: u8) -> Option<Self> {
        (1..=30).contains(&bits).then(|| Self { first: u32::from(address) & !(u32::MAX >> bits), bits })
    }

    /// Its first address, which is the network's own.
    pub fn network(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first)
    }

    /// Bits that all of its addresses have in common.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// The address that a gateway has unless another one is wished for.
    pub fn first_host(self) -> Ipv4Addr {
        Ipv4Addr::from(self.first + 1)
    }

    fn last(self) -> u32 {
        self.first | (u32::MAX >> self.bits)
    }

    /// Whether an address is in it, and can be a host's.
    pub fn has_host(self, address: Ipv4Addr) -> bool {
        (self.first + 1..self.last()).contains(&address.into())
    }

    /// Whether all addresses of the other are in it.
    pub fn holds(self, other: Self) -> bool {
        self.first <= other.first && other.last() <= self.last()
    }

    /// Whether they have addresses in common.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }

    /// The next address of a range of it that is free, after the one that was given out last; so one that was just freed
    /// is not given out at once.
    pub fn choose(
        self,
        range: Self,
        taken: impl Fn(Ipv4Addr) -> bool,
        after: Option<Ipv4Addr>,
    ) -> Option<Ipv4Addr> {
        let lowest = range.first.max(self.first + 1);
        let highest = range.last().min(self.last() - 1);
        let start = match after.map(u32::from) {
            Some(after) if (lowest..highest).contains(&after) => after + 1,
            _ => lowest,
        };
        (start..=highest).chain(lowest..start).map(Ipv4Addr::from).find(|address| !taken(*address))
    }

    /// The address in an IPv6 network that has the same number as an address of this one.
    pub fn sixth(self, network: Subnet6, address: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(network.0) | u128::from(u32::from(address) - self.first))
    }
}

impl FromStr for Subnet {
    type Err = NoSubnet;

    fn from_str(text: &str) -> Result<Self, NoSubnet> {
        let parse = || {
            let (address, bits) = text.split_once('/')?;
            Self::of(address.parse().ok()?, bits.parse().ok()?)
        };
        parse().ok_or_else(|| NoSubnet { text: text.to_owned(), what: "IPv4 network, such as 10.89.1.0/24" })
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network(), self.bits)
    }
}

/// A network of IPv6 addresses: of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subnet6(Ipv6Addr);

impl Subnet6 {
    /// The network that an address is in.
    pub fn of(address: Ipv6Addr) -> Self {
        Self(Ipv6Addr::from(u128::from(address) >> 64 << 64))
    }

    /// A network of one's own (RFC 4193); the bytes are to be as good as random.
    pub fn own(bytes: [u8; 5]) -> Self {
        let [a, b, c, d, e] = bytes;
        Self(Ipv6Addr::from([0xfd, a, b, c, d, e, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
    }

    /// Its first address.
    pub fn network(self) -> Ipv6Addr {
        self.0
    }

    /// Whether an address is in it, and can be a host's.
    pub fn has_host(self, address: Ipv6Addr) -> bool {
        address != self.0 && Self::of(address) == self
    }
}

impl FromStr for Subnet6 {
    type Err = NoSubnet;

    fn from_str(text: &str) -> Result<Self, NoSubnet> {
        let address = text.strip_suffix("/64").and_then(|text| text.parse().ok());
        let network = address.filter(|address| Self::of(*address).0 == *address).map(Self);
        let what = "IPv6 network of 64 bits, such as fd00:1:2::/64";
        network.ok_or_else(|| NoSubnet { text: text.to_owned(), what })
    }
}

impl fmt::Display for Subnet6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/64", self.0)
    }
}

macro_rules! as_text {
    ($kind:ident) => {
        impl TryFrom<String> for $kind {
            type Error = NoSubnet;

            fn try_from(text: String) -> Result<Self, NoSubnet> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(subnet: $kind) -> Self {
                subnet.to_string()
            }
        }
    };
}
as_text!(Subnet);
as_text!(Subnet6);

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn v4(text: &str) -> Ipv4Addr {
        text.parse().unwrap()
    }

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn subnets() {
        let known = subnet("10.88.3.7/16");
        assert_eq!((known.network(), known.first_host()), (v4("10.88.0.0"), v4("10.88.0.1")));
        assert_eq!(known.to_string(), "10.88.0.0/16");
        for text in ["10.0.0.0", "10.0.0.0/31", "10.0.0.0/0", "x/8", "fd00::/64", "10.0.0.0/", ""] {
            assert!(text.parse::<Subnet>().unwrap_err().to_string().contains("no IPv4 network"), "{text}");
        }
        for text in ["fd00::/56", "fd00::1/64", "fd00::", "10.0.0.0/8", ""] {
            assert!(text.parse::<Subnet6>().unwrap_err().to_string().contains("64 bits"), "{text}");
        }
        let json = serde_json::to_string(&(known, "fd00::/64".parse::<Subnet6>().unwrap())).unwrap();
        assert_eq!(json, r#"["10.88.0.0/16","fd00::/64"]"#);
        assert_eq!(serde_json::from_str::<(Subnet, Subnet6)>(&json).unwrap().0, known);
    }

    #[test]
    fn what_is_in_what() {
        for (one, other, overlaps, holds) in [
            ("10.0.0.0/8", "10.88.0.0/16", true, true),
            ("10.88.0.0/16", "10.0.0.0/8", true, false),
            ("10.88.0.0/16", "10.88.0.0/16", true, true),
            ("10.88.0.0/16", "10.89.0.0/16", false, false),
            ("192.168.0.0/30", "192.168.0.4/30", false, false),
        ] {
            assert_eq!(subnet(one).overlaps(subnet(other)), overlaps, "{one} {other}");
            assert_eq!(subnet(one).holds(subnet(other)), holds, "{one} {other}");
        }
        for (address, can) in [
            ("10.0.0.0", false),
            ("10.0.0.1", true),
            ("10.0.0.6", true),
            ("10.0.0.7", false),
            ("9.9.9.9", false),
        ] {
            assert_eq!(subnet("10.0.0.0/29").has_host(v4(address)), can, "{address}");
        }
        let six: Subnet6 = "fd00:1::/64".parse().unwrap();
        for (address, can) in [("fd00:1::", false), ("fd00:1::9", true), ("fd00:1:0:1::9", false)] {
            assert_eq!(six.has_host(address.parse().unwrap()), can, "{address}");
        }
    }

    #[test]
    fn addresses_go_round() {
        let choose = |range: &str, taken: &[&str], after: Option<&str>| {
            let taken: HashSet<Ipv4Addr> = taken.iter().map(|text| v4(text)).collect();
            subnet("10.0.0.0/29")
                .choose(subnet(range), |address| taken.contains(&address), after.map(v4))
                .map(|address| address.to_string())
        };
        let whole = "10.0.0.0/29";
        let gateway = "10.0.0.1";
        for (range, taken, after, expected) in [
            (whole, &[gateway][..], None, Some("10.0.0.2")),
            (whole, &[gateway], Some("10.0.0.2"), Some("10.0.0.3")),
            (whole, &["10.0.0.3"], Some("10.0.0.2"), Some("10.0.0.4")),
            (whole, &[gateway], Some("10.0.0.6"), Some("10.0.0.2")),
            (whole, &[gateway, "10.0.0.6", "10.0.0.2"], Some("10.0.0.5"), Some("10.0.0.3")),
            // Of another subnet, before the settings were changed.
            (whole, &[gateway], Some("192.168.0.1"), Some("10.0.0.2")),
            (whole, &[gateway], Some("10.0.0.7"), Some("10.0.0.2")),
            (
                whole,
                &[gateway, "10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"],
                Some("10.0.0.4"),
                Some("10.0.0.4"),
            ),
            (
                whole,
                &[gateway, "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"],
                Some("10.0.0.4"),
                None,
            ),
            ("10.0.0.4/30", &[gateway], None, Some("10.0.0.4")),
            ("10.0.0.4/30", &["10.0.0.4"], Some("10.0.0.6"), Some("10.0.0.5")),
            ("10.0.0.4/30", &["10.0.0.4", "10.0.0.5", "10.0.0.6"], None, None),
        ] {
            assert_eq!(choose(range, taken, after).as_deref(), expected, "{range} {taken:?} {after:?}");
        }
    }

    #[test]
    fn the_sixth_version_has_the_same_number() {
        let address = subnet("10.88.0.0/16").sixth("fd00:1:2::/64".parse().unwrap(), v4("10.88.1.2"));
        assert_eq!(address.to_string(), "fd00:1:2::102");
    }
}
