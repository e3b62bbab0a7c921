//! A container's places in networks: what it may wish for, how its pod is told, and what became of it.

use super::Known;
use crate::engine::Inner;
use crate::engine::error::EngineError;
use crate::engine::lifecycle;
use crate::model::attachment::{Attachment, Bridged};
use crate::model::container::{BRIDGE, ContainerSpec, EndpointSpec, NetworkMode};
use crate::model::id::ContainerId;
use crate::model::network::Network;
use crate::model::reason::Reason;
use crate::store::{Endpoint, Record};
use serde_json::Value;
use std::net::Ipv4Addr;

impl Inner {
    /// Replaces IDs of networks and of linked containers by names and IDs that stay, and refuses wishes that a network
    /// cannot grant.
    pub(in crate::engine) fn settle_places(&self, spec: &mut ContainerSpec) -> Result<(), EngineError> {
        if !spec.network.has_address() {
            return match spec.endpoints.first() {
                Some(_) => Err(EngineError::invalid(
                    "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
                )),
                None => Ok(()),
            };
        }
        let mut places = spec.places();
        for place in &mut places {
            self.settle_place(place)?;
        }
        for (index, place) in places.iter().enumerate() {
            if places[..index].iter().any(|other| other.network == place.network) {
                let text = format!("network {:?} is specified multiple times", place.network);
                return Err(EngineError::invalid(text));
            }
        }
        let Some(first) = places.first() else { return Ok(()) };
        spec.network = mode(&first.network);
        if !spec.endpoints.is_empty() {
            spec.endpoints = places;
        }
        Ok(())
    }

    /// One of them.
    pub(super) fn settle_place(&self, place: &mut EndpointSpec) -> Result<Known, EngineError> {
        let known = self.network(&place.network)?;
        known.name().clone_into(&mut place.network);
        let refused = |why: String| {
            Err(EngineError::invalid(format!(
                "invalid config for network {}: invalid endpoint settings:\n{why}",
                place.network
            )))
        };
        match &known {
            Known::Default if place.address.is_some() || place.address_6.is_some() => {
                return refused(
                    "user specified IP address is supported on user defined networks only".into(),
                );
            }
            Known::Default => {}
            Known::Users(network) => {
                let four = &network.addresses;
                if let Some(address) = place.address.filter(|address| !four.subnet.has_host(*address)) {
                    return refused(format!("no configured subnet contains IP address {address}"));
                }
                if let Some(address) = place.address.filter(|address| *address == four.gateway) {
                    return refused(format!("{address} is the network's gateway"));
                }
                let own = |address| network.subnet6.is_some_and(|subnet| subnet.has_host(address));
                if let Some(address) = place.address_6.filter(|address| !own(*address)) {
                    return refused(format!("no configured subnet contains IP address {address}"));
                }
            }
        }
        for link in &mut place.links {
            let (who, alias) = link.split_once(':').unwrap_or((link, link));
            let other = self.records.find(who).map_err(|_| {
                EngineError::refused(
                    Reason::NotFound,
                    format!("could not get container for {who}: No such container: {who}"),
                )
            })?;
            *link = format!("{}:{alias}", other.id);
        }
        Ok(known)
    }

    /// The annotation for a container's pod; `None`: one place in the default network, without a wish.
    pub(in crate::engine) fn attachments(
        &self,
        record: &Record,
    ) -> Result<Option<Vec<Attachment>>, EngineError> {
        let places = record.spec.places();
        if places.iter().all(|place| place.network == BRIDGE && place.mac.is_none()) {
            return Ok(None);
        }
        let numbered = places.iter().enumerate();
        numbered
            .map(|(number, place)| self.attachment(&record.id, place, interface(number)))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// A place as the plugin is told of it.
    pub(super) fn attachment(
        &self,
        of: &ContainerId,
        place: &EndpointSpec,
        interface: String,
    ) -> Result<Attachment, EngineError> {
        let network = match self.network(&place.network)? {
            Known::Default => None,
            Known::Users(network) => Some(network),
        };
        Ok(Attachment {
            interface,
            address: place.address,
            address_6: place.address_6,
            mac: place.mac,
            reserved: network.as_ref().map(|network| self.reserved(of, network)).unwrap_or_default(),
            network: network.map(|network| bridged(&network)),
        })
    }

    /// Addresses of a network that nobody gets by chance: those that others wish for, and the user's.
    fn reserved(&self, of: &ContainerId, network: &Network) -> Vec<Ipv4Addr> {
        let others = self.records.all().into_iter().filter(|record| record.id != *of);
        let wished = others
            .flat_map(|record| record.spec.endpoints)
            .filter(|place| place.network == network.name)
            .filter_map(|place| place.address);
        wished.chain(network.addresses.reserved.values().copied()).collect()
    }

    /// The places that a pod has got. `addresses`: those of its first interface.
    pub(in crate::engine) async fn places_of(
        &self,
        record: &Record,
        addresses: &[String],
    ) -> Result<Vec<Endpoint>, EngineError> {
        let wished = record.spec.places();
        let mut places: Vec<Endpoint> = wished
            .iter()
            .enumerate()
            .map(|(number, wish)| Endpoint {
                network: wish.network.clone(),
                network_id: self.users_id(&wish.network),
                interface: interface(number),
                mac: wish.mac.map(|mac| mac.to_string()).unwrap_or_default(),
                ..Endpoint::default()
            })
            .collect();
        let of = |all: &[String], version_6| {
            all.iter().find(|address| address.contains(':') == version_6).cloned().unwrap_or_default()
        };
        let metadata = match places.len() {
            0 | 1 => Value::Null,
            _ => self.containerd.pod_metadata(&record.attempt.pod).await?,
        };
        for (number, place) in places.iter_mut().enumerate() {
            let listed: Vec<String> = match number {
                0 => addresses.to_vec(),
                _ => metadata["CNIResult"]["Interfaces"][&place.interface]["IPConfigs"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|config| config["IP"].as_str().map(str::to_owned))
                    .collect(),
            };
            place.address = of(&listed, false);
            place.address_6 = of(&listed, true);
        }
        Ok(places)
    }

    /// ID of a user's network; empty: it is the default one, or none.
    pub(super) fn users_id(&self, name: &str) -> String {
        self.records.book().networks.get(name).map(|network| network.id.clone()).unwrap_or_default()
    }

    /// Whether the attempt that was made has the places that the container is to have now.
    pub(in crate::engine) fn is_in_place(&self, record: &Record) -> bool {
        let wished: Vec<(String, String)> = record
            .spec
            .places()
            .into_iter()
            .map(|place| (self.users_id(&place.network), place.network))
            .collect();
        let made = record.attempt.endpoints.iter();
        made.map(|place| (place.network_id.clone(), place.network.clone())).eq(wished)
    }

    /// A running container of which somebody speaks.
    pub(super) fn is_up(&self, record: &Record) -> bool {
        lifecycle::lives(record.status) && record.attempt.pid > 0
    }
}

/// The mode of a container whose way out is that network.
pub(super) fn mode(network: &str) -> NetworkMode {
    match network {
        BRIDGE => NetworkMode::Bridge,
        name => NetworkMode::Named(name.to_owned()),
    }
}

/// Name of a pod's interface.
pub(super) fn interface(number: usize) -> String {
    format!("eth{number}")
}

fn bridged(network: &Network) -> Bridged {
    let addresses = &network.addresses;
    Bridged {
        bridge: network.bridge(),
        subnet: addresses.subnet,
        gateway: addresses.gateway,
        range: addresses.range.unwrap_or(addresses.subnet),
        subnet6: network.subnet6,
        internal: network.internal,
        mtu: network.mtu(),
    }
}
