//! Networks, to and from the wire.

use super::{Invalid, present, time};
use crate::model::container::EndpointSpec;
use crate::model::network::{Member, NetworkSummary, NetworkWish, Pool};
use crate::proto::k3c::v1 as wire;
use std::fmt::Display;
use std::str::FromStr;

impl From<EndpointSpec> for wire::EndpointSpec {
    fn from(place: EndpointSpec) -> Self {
        Self {
            network: place.network,
            address: text(place.address),
            address_6: text(place.address_6),
            mac: text(place.mac),
            aliases: place.aliases,
            links: place.links,
        }
    }
}

impl TryFrom<wire::EndpointSpec> for EndpointSpec {
    type Error = Invalid;

    fn try_from(place: wire::EndpointSpec) -> Result<Self, Invalid> {
        Ok(Self {
            network: place.network,
            address: read("endpoint.address", place.address)?,
            address_6: read("endpoint.address_6", place.address_6)?,
            mac: read("endpoint.mac", place.mac)?,
            aliases: place.aliases,
            links: place.links,
        })
    }
}

fn text(value: Option<impl Display>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn read<T: FromStr<Err: Display>>(field: &'static str, text: String) -> Result<Option<T>, Invalid> {
    let parse =
        |text: String| text.parse().map_err(|error| Invalid::new(field, format_args!("{text:?}: {error}")));
    present(text).map(parse).transpose()
}

impl From<NetworkWish> for wire::CreateNetworkRequest {
    fn from(wish: NetworkWish) -> Self {
        Self {
            name: wish.name,
            driver: wish.driver,
            subnets: wish.subnets,
            gateways: wish.gateways,
            ranges: wish.ranges,
            reserved: wish.reserved.into_iter().collect(),
            ipv6: wish.ipv6,
            internal: wish.internal,
            labels: wish.labels.into_iter().collect(),
            options: wish.options.into_iter().collect(),
        }
    }
}

impl From<wire::CreateNetworkRequest> for NetworkWish {
    fn from(wish: wire::CreateNetworkRequest) -> Self {
        Self {
            name: wish.name,
            driver: wish.driver,
            subnets: wish.subnets,
            gateways: wish.gateways,
            ranges: wish.ranges,
            reserved: wish.reserved.into_iter().collect(),
            ipv6: wish.ipv6,
            internal: wish.internal,
            labels: wish.labels.into_iter().collect(),
            options: wish.options.into_iter().collect(),
        }
    }
}

impl From<NetworkSummary> for wire::Network {
    fn from(network: NetworkSummary) -> Self {
        let pool = |pool: Pool| wire::network::Pool {
            subnet: pool.subnet,
            range: pool.range,
            gateway: pool.gateway,
            reserved: pool.reserved.into_iter().collect(),
        };
        let member = |of: Member| wire::network::Member {
            name: of.name,
            endpoint: of.endpoint,
            mac: of.mac,
            address: of.address,
            address_6: of.address_6,
        };
        Self {
            id: network.id,
            name: network.name,
            created: network.created.map(time::to),
            driver: network.driver,
            internal: network.internal,
            pools: network.pools.into_iter().map(pool).collect(),
            labels: network.labels.into_iter().collect(),
            options: network.options.into_iter().collect(),
            members: network.members.into_iter().map(|(id, of)| (id, member(of))).collect(),
            users: network.users,
        }
    }
}

impl TryFrom<wire::Network> for NetworkSummary {
    type Error = Invalid;

    fn try_from(network: wire::Network) -> Result<Self, Invalid> {
        let pool = |pool: wire::network::Pool| Pool {
            subnet: pool.subnet,
            range: pool.range,
            gateway: pool.gateway,
            reserved: pool.reserved.into_iter().collect(),
        };
        let member = |of: wire::network::Member| Member {
            name: of.name,
            endpoint: of.endpoint,
            mac: of.mac,
            address: of.address,
            address_6: of.address_6,
        };
        Ok(Self {
            id: network.id,
            name: network.name,
            created: network.created.map(|created| time::required("created", Some(created))).transpose()?,
            driver: network.driver,
            internal: network.internal,
            pools: network.pools.into_iter().map(pool).collect(),
            labels: network.labels.into_iter().collect(),
            options: network.options.into_iter().collect(),
            members: network.members.into_iter().map(|(id, of)| (id, member(of))).collect(),
            users: network.users,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let place = EndpointSpec {
            network: "n".into(),
            address: Some("10.89.0.9".parse().unwrap()),
            address_6: Some("fd00::9".parse().unwrap()),
            mac: Some("02:00:00:00:00:09".parse().unwrap()),
            aliases: vec!["a".into()],
            links: vec!["c:d".into()],
        };
        let wire = wire::EndpointSpec::from(place.clone());
        assert_eq!(EndpointSpec::try_from(wire.clone()), Ok(place));
        for wrong in [
            wire::EndpointSpec { address: "x".into(), ..wire.clone() },
            wire::EndpointSpec { address_6: "10.0.0.1".into(), ..wire.clone() },
            wire::EndpointSpec { mac: "1".into(), ..wire },
        ] {
            assert!(EndpointSpec::try_from(wrong).is_err());
        }
        let network = NetworkSummary {
            id: "i".into(),
            name: "n".into(),
            created: Some(jiff::Timestamp::UNIX_EPOCH),
            driver: "bridge".into(),
            internal: true,
            pools: vec![Pool {
                subnet: "10.0.0.0/8".into(),
                reserved: [("a".into(), "b".into())].into(),
                ..Pool::default()
            }],
            labels: [("a".into(), "b".into())].into(),
            options: [("c".into(), "d".into())].into(),
            members: [("m".into(), Member { name: "x".into(), ..Member::default() })].into(),
            users: 3,
        };
        assert_eq!(NetworkSummary::try_from(wire::Network::from(network.clone())), Ok(network));
        let wish = NetworkWish {
            name: "n".into(),
            ipv6: Some(false),
            subnets: vec!["s".into()],
            ..NetworkWish::default()
        };
        assert_eq!(NetworkWish::from(wire::CreateNetworkRequest::from(wish.clone())), wish);
    }
}
