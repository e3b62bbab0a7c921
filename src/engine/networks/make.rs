//! `network create`: what is wished for is checked, and addresses are chosen that nobody else has.

use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner, events};
use crate::model::id::ContainerId;
use crate::model::name::{self, InvalidName};
use crate::model::network::{Addresses, MTU, Network, NetworkWish, PREDEFINED};
use crate::model::reason::Reason;
use crate::model::subnet::{NoSubnet, Subnet, Subnet6};
use crate::store::Change;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks from which one is chosen when none is wished for: of 24 bits, in 10.89.0.0 to 10.98.255.255.
const CHOICE: std::ops::RangeInclusive<u8> = 89..=98;
/// The network of slirp4netns.
const UPLINK: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 2, 0), 24);

impl Engine {
    /// Makes a network; answers its ID, and warnings.
    ///
    /// # Errors
    /// `InvalidArgument`: what is wished for; `PermissionDenied`: a predefined name; `AlreadyExists`: the name is taken;
    /// `Conflict`: others have the addresses, or there are none left to choose from.
    pub async fn create_network(&self, wish: NetworkWish) -> Result<(String, Vec<String>), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let _alone = inner.networks.write().await;
        check_name(&wish)?;
        if let Some(known) = inner.records.book().networks.get(&wish.name) {
            let text = format!("network with name {} already exists", known.name);
            return Err(EngineError::refused(Reason::AlreadyExists, text));
        }
        let options = options(&wish)?;
        let mut warnings = Vec::new();
        let given = Given::read(&wish)?;
        let addresses = inner.addresses(&wish, &given, &mut warnings).await?;
        let id = ContainerId::from_bytes(rand::random()).to_string();
        let subnet6 = inner.subnet6(&wish, &given, &addresses)?;
        let network = Network {
            id: id.clone(),
            name: wish.name,
            created: Timestamp::now(),
            addresses,
            subnet6,
            internal: wish.internal,
            labels: wish.labels,
            options,
        };
        let event = events::network(&network.id, &network.name, "create", &[]);
        inner.records.commit(Change::new().put_network(network).event(event)).await?;
        Ok((id, warnings))
    }
}

/// What is wished for, read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Given {
    subnet: Option<Subnet>,
    subnet6: Option<Subnet6>,
    gateway: Option<Ipv4Addr>,
    gateway6: Option<Ipv6Addr>,
    range: Option<Subnet>,
    reserved: BTreeMap<String, Ipv4Addr>,
}

impl Given {
    fn read(wish: &NetworkWish) -> Result<Self, EngineError> {
        let mut given = Self::default();
        for text in &wish.subnets {
            let invalid = |why: String| EngineError::invalid(format!("invalid subnet {text}: {why}"));
            let again = || invalid("one network of each version of IP can be had".into());
            if text.contains(':') {
                let network = text.parse().map_err(|e: NoSubnet| invalid(e.to_string()))?;
                if given.subnet6.replace(network).is_some() {
                    return Err(again());
                }
                continue;
            }
            let network: Subnet = text.parse().map_err(|e: NoSubnet| invalid(e.to_string()))?;
            if network.to_string() != *text {
                return Err(invalid(format!("it should be {network}")));
            }
            if given.subnet.replace(network).is_some() {
                return Err(again());
            }
        }
        for text in &wish.gateways {
            let address: IpAddr =
                text.parse().map_err(|_| EngineError::invalid(format!("invalid gateway address: {text}")))?;
            let fits = match address {
                IpAddr::V4(address) => {
                    given.gateway = Some(address);
                    given.subnet.is_some_and(|subnet| subnet.has_host(address))
                }
                IpAddr::V6(address) => {
                    given.gateway6 = Some(address);
                    given.subnet6.is_some_and(|subnet| subnet.has_host(address))
                }
            };
            if !fits {
                return Err(EngineError::invalid(format!("no matching subnet for gateway {text}")));
            }
        }
        for text in &wish.ranges {
            let range: Option<Subnet> = text.parse().ok();
            let fits = range.zip(given.subnet).is_some_and(|(range, subnet)| subnet.holds(range));
            if !fits {
                return Err(EngineError::invalid(format!("no matching subnet for range {text}")));
            }
            given.range = range;
        }
        for (name, text) in &wish.reserved {
            let address: Option<Ipv4Addr> = text.parse().ok();
            match address.filter(|address| given.subnet.is_some_and(|subnet| subnet.has_host(*address))) {
                Some(address) => drop(given.reserved.insert(name.clone(), address)),
                None => {
                    return Err(EngineError::invalid(format!("no matching subnet for aux-address {text}")));
                }
            }
        }
        Ok(given)
    }
}

fn check_name(wish: &NetworkWish) -> Result<(), EngineError> {
    let name = &wish.name;
    if PREDEFINED.contains(&name.as_str()) || name == "default" {
        let text = format!("operation is not permitted on predefined {name} network");
        return Err(EngineError::refused(Reason::PermissionDenied, text));
    }
    let short = name.len() == 1 && name.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if !short && !name::is_valid(name) {
        return Err(InvalidName { what: "network", name: name.clone() }.into());
    }
    match wish.driver.as_str() {
        "" | "bridge" => Ok(()),
        other => {
            Err(EngineError::invalid(format!("plugin {other:?} not found: only the driver bridge exists")))
        }
    }
}

fn options(wish: &NetworkWish) -> Result<BTreeMap<String, String>, EngineError> {
    for (key, value) in &wish.options {
        if key != MTU {
            return Err(EngineError::invalid(format!(
                "option {key:?} cannot be had: the driver bridge has {MTU} here"
            )));
        }
        if !value.parse::<u32>().is_ok_and(|bytes| (1280..=65535).contains(&bytes)) {
            return Err(EngineError::invalid(format!("{MTU}: {value:?} is no number from 1280 to 65535")));
        }
    }
    Ok(wish.options.clone())
}

impl Inner {
    /// The network's addresses of version 4.
    async fn addresses(
        &self,
        wish: &NetworkWish,
        given: &Given,
        warnings: &mut Vec<String>,
    ) -> Result<Addresses, EngineError> {
        let mut ours: Vec<Subnet> =
            self.records.book().networks.values().map(|network| network.addresses.subnet).collect();
        ours.extend(self.config.subnet);
        if self.config.rootless {
            ours.extend(Subnet::of(UPLINK.0, UPLINK.1));
        }
        let hosts = self.parts.networks.hosts().await;
        let subnet = match given.subnet {
            Some(subnet) => {
                if ours.iter().any(|other| other.overlaps(subnet)) {
                    let text = "invalid pool request: Pool overlaps with other one on this address space";
                    return Err(EngineError::refused(Reason::Conflict, text));
                }
                if let Some((other, interface)) = hosts.iter().find(|(other, _)| other.overlaps(subnet)) {
                    let both = format!("{subnet} overlaps with the host's network {other} ({interface})");
                    if !self.config.rootless {
                        return Err(EngineError::refused(Reason::Conflict, format!("{both}: choose another subnet")));
                    }
                    warnings.push(format!("{both}: containers of {} do not reach what is there", wish.name));
                }
                subnet
            }
            None => choose(|candidate| {
                !ours.iter().chain(hosts.iter().map(|(other, _)| other)).any(|other| other.overlaps(candidate))
            })
            .ok_or_else(|| {
                EngineError::refused(
                    Reason::Conflict,
                    "all predefined address pools have been fully subnetted: give a --subnet, or remove a network",
                )
            })?,
        };
        let gateway = given.gateway.unwrap_or_else(|| subnet.first_host());
        Ok(Addresses { subnet, gateway, range: given.range, reserved: given.reserved.clone() })
    }

    /// The network's addresses of version 6.
    fn subnet6(
        &self,
        wish: &NetworkWish,
        given: &Given,
        addresses: &Addresses,
    ) -> Result<Option<Subnet6>, EngineError> {
        if wish.ipv6 == Some(false) {
            return match given.subnet6 {
                Some(subnet) => Err(EngineError::invalid(format!(
                    "conflicting options: --ipv6=false and the IPv6 subnet {subnet}"
                ))),
                None => Ok(None),
            };
        }
        let Some(subnet) = given.subnet6 else {
            // Of this network alone, and the same one for its like.
            let hash = Sha256::digest(format!("{} {}", self.records.instance(), addresses.subnet).as_bytes());
            return Ok(Some(Subnet6::own([hash[0], hash[1], hash[2], hash[3], hash[4]])));
        };
        let book = self.records.book();
        let known = book.networks.values().filter_map(|network| network.subnet6).chain(self.config.subnet6);
        if known.into_iter().any(|other| other == subnet) {
            let text = "invalid pool request: Pool overlaps with other one on this address space";
            return Err(EngineError::refused(Reason::Conflict, text));
        }
        // A gateway of version 6 has the number of the one of version 4.
        let own = addresses.subnet.sixth(subnet, addresses.gateway);
        match given.gateway6 {
            Some(wished) if wished != own => Err(EngineError::invalid(format!(
                "gateway {wished} cannot be had: it is {own} here, with the number of the IPv4 gateway"
            ))),
            _ => Ok(Some(subnet)),
        }
    }
}

/// The first network of those to choose from that is free.
fn choose(free: impl Fn(Subnet) -> bool) -> Option<Subnet> {
    CHOICE
        .flat_map(|second| (0..=u8::MAX).map(move |third| Ipv4Addr::new(10, second, third, 0)))
        .filter_map(|network| Subnet::of(network, 24))
        .find(|candidate| free(*candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(subnets: &[&str], gateways: &[&str], ranges: &[&str]) -> NetworkWish {
        let owned = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect();
        NetworkWish {
            name: "n".into(),
            subnets: owned(subnets),
            gateways: owned(gateways),
            ranges: owned(ranges),
            ..NetworkWish::default()
        }
    }

    #[test]
    fn wishes_are_read() {
        let given =
            Given::read(&wish(&["10.1.0.0/16", "fd01::/64"], &["10.1.0.254", "fd01::fe"], &["10.1.2.0/24"]))
                .unwrap();
        assert_eq!(given.range, Some("10.1.2.0/24".parse().unwrap()));
        assert_eq!(given.gateway6, Some("fd01::fe".parse().unwrap()));
        for (wish, words) in [
            (wish(&["10.1.2.3/16"], &[], &[]), "it should be 10.1.0.0/16"),
            (wish(&["10.1.0.0/33"], &[], &[]), "invalid subnet 10.1.0.0/33"),
            (wish(&["fd01::/48"], &[], &[]), "64 bits"),
            (wish(&["10.1.0.0/16", "10.2.0.0/16"], &[], &[]), "one network of each"),
            (wish(&["10.1.0.0/16"], &["10.2.0.1"], &[]), "no matching subnet for gateway 10.2.0.1"),
            (wish(&["10.1.0.0/16"], &["10.1.0.0"], &[]), "no matching subnet for gateway"),
            (wish(&[], &["10.1.0.1"], &[]), "no matching subnet for gateway"),
            (wish(&["10.1.0.0/16"], &["x"], &[]), "invalid gateway address: x"),
            (wish(&["10.1.0.0/16"], &[], &["10.2.0.0/24"]), "no matching subnet for range"),
        ] {
            let error = Given::read(&wish).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn names_and_options() {
        let named = |name: &str| check_name(&NetworkWish { name: name.into(), ..NetworkWish::default() });
        assert!(named("a-b.c_1").is_ok());
        for name in ["bridge", "host", "none", "default", "", "-a", "a b", "container:x", "ä"] {
            assert!(named(name).is_err(), "{name}");
        }
        let with = |key: &str, value: &str| {
            options(&NetworkWish {
                options: BTreeMap::from([(key.to_owned(), value.to_owned())]),
                ..NetworkWish::default()
            })
        };
        assert!(with(MTU, "1400").is_ok());
        assert!(with(MTU, "12").is_err() && with(MTU, "x").is_err() && with("colour", "red").is_err());
    }

    #[test]
    fn the_first_that_is_free() {
        let taken: Subnet = "10.88.0.0/15".parse().unwrap();
        assert_eq!(choose(|_| true).unwrap().to_string(), "10.89.0.0/24");
        assert_eq!(choose(|one| !taken.overlaps(one)).unwrap().to_string(), "10.90.0.0/24");
        assert_eq!(choose(|_| false), None);
    }
}
