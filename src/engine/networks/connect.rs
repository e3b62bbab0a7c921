//! `network connect` and `disconnect`: a container's places change in its record, and while it runs at once.

use super::place::{interface, mode};
use super::{Known, hash};
use crate::engine::error::EngineError;
use crate::engine::parts::Detach;
use crate::engine::{Engine, Inner, events};
use crate::model::container::{EndpointSpec, NetworkMode};
use crate::model::network::Addresses;
use crate::model::reason::Reason;
use crate::store::{Change, Endpoint, Record};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

impl Engine {
    /// Gives a container a place in one more network.
    ///
    /// # Errors
    /// `NotFound`: no such container or network; `InvalidArgument`: it is in the host's network or another container's, or
    /// the wishes; `AlreadyExists`: it is in the network; `Conflict`: somebody has the address.
    pub async fn connect_network(&self, who: &str, mut place: EndpointSpec) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        let _stays = inner.networks.read().await;
        let _one = inner.records.lock(&id).await;
        let mut record = inner.records.get(&id)?;
        match &record.spec.network {
            NetworkMode::Host | NetworkMode::Container(_) => {
                return Err(EngineError::invalid(
                    "container sharing network namespace with another container or host cannot be connected to any \
                     other network",
                ));
            }
            NetworkMode::None | NetworkMode::Bridge | NetworkMode::Named(_) => {}
        }
        let known = inner.settle_place(&mut place)?;
        let mut places = record.spec.places();
        if places.iter().any(|other| other.network == place.network) {
            let text =
                format!("endpoint with name {} already exists in network {}", record.name, place.network);
            return Err(EngineError::refused(Reason::AlreadyExists, text));
        }
        places.push(place.clone());
        set(&mut record, places);
        if inner.is_up(&record) {
            let endpoint = inner.connect_now(&record, &place).await?;
            record.attempt.endpoints.push(endpoint);
        }
        inner.commit_place(&record, &known, "connect").await
    }

    /// Takes a container out of a network.
    ///
    /// # Errors
    /// `NotFound`: no such container or network; `InvalidArgument`: it is not in the network.
    pub async fn disconnect_network(&self, network: &str, who: &str) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let id = inner.records.find(who)?.id;
        let _stays = inner.networks.read().await;
        let _one = inner.records.lock(&id).await;
        let mut record = inner.records.get(&id)?;
        if record.spec.network == NetworkMode::Host && network == "host" {
            return Err(EngineError::invalid(
                "container cannot be disconnected from host network or connected to host network",
            ));
        }
        let known = inner.network(network)?;
        let mut places = record.spec.places();
        let before = places.len();
        places.retain(|place| place.network != known.name());
        if places.len() == before {
            return Err(EngineError::invalid(format!(
                "container {} is not connected to network {}",
                record.id,
                known.name()
            )));
        }
        set(&mut record, places);
        if inner.is_up(&record) {
            inner.disconnect_now(&mut record, known.name()).await?;
        }
        inner.commit_place(&record, &known, "disconnect").await
    }
}

impl Inner {
    async fn commit_place(&self, record: &Record, known: &Known, action: &str) -> Result<(), EngineError> {
        let (id, _) = self.network_facts(known.name());
        let container = [("container", record.id.to_string())];
        let event = events::network(&id, known.name(), action, &container);
        self.records.commit(Change::new().put(record).event(event)).await
    }

    /// Makes the interface of a container that runs.
    async fn connect_now(&self, record: &Record, place: &EndpointSpec) -> Result<Endpoint, EngineError> {
        let has = |name: &String| record.attempt.endpoints.iter().any(|place| place.interface == *name);
        let free = (0..).map(interface).find(|name| !has(name)).unwrap_or_default();
        let attachment = self.attachment(&record.id, place, free.clone())?;
        let made = self.parts.networks.connect(&record.attempt.pod, &namespace(record), &attachment).await;
        let made = made.map_err(|why| EngineError::refused(Reason::Conflict, why))?;
        Ok(Endpoint {
            network: place.network.clone(),
            network_id: self.users_id(&place.network),
            interface: free,
            address: made.address,
            address_6: made.address_6,
            mac: made.mac,
        })
    }

    /// Removes the interface of a container that runs; its way out is the next one, and its ports lead there.
    async fn disconnect_now(self: &Arc<Self>, record: &mut Record, network: &str) -> Result<(), EngineError> {
        let Some(at) = record.attempt.endpoints.iter().position(|place| place.network == network) else {
            return Ok(());
        };
        let gone = record.attempt.endpoints[at].clone();
        let next = record.attempt.endpoints.iter().enumerate().find(|(other, _)| *other != at);
        let next = next.filter(|_| at == 0).map(|(_, place)| place.clone());
        let way_out = next.map(|place| (place.interface.clone(), self.gateways(&place.network)));
        let detach = Detach {
            pod: record.attempt.pod.clone(),
            netns: namespace(record),
            interface: if gone.interface.is_empty() { interface(0) } else { gone.interface },
            way_out,
        };
        if at == 0 {
            self.withdraw(record).await;
        }
        let done = self.parts.networks.disconnect(&detach).await;
        done.map_err(|why| EngineError::refused(Reason::Internal, why))?;
        record.attempt.endpoints.remove(at);
        if at == 0
            && let Err(error) = self.publish(record).await
        {
            tracing::warn!(%error, container = record.name, "cannot publish the ports of a container that runs");
        }
        Ok(())
    }

    /// Addresses of a network's way out; none where it is internal.
    pub(in crate::engine) fn gateways(&self, network: &str) -> Vec<IpAddr> {
        match self.network(network) {
            Ok(Known::Users(network)) if !network.internal => {
                network.addresses.gateways(network.subnet6).collect()
            }
            Ok(Known::Default) => {
                let addresses = self.config.subnet.map(Addresses::of);
                addresses.map(|of| of.gateways(self.config.subnet6).collect()).unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    /// ID of a container's endpoint in a network.
    pub(in crate::engine) fn endpoint_id(&self, network_id: &str, record: &Record) -> String {
        hash(&format!("{network_id}/{}", record.attempt.pod))
    }
}

/// Writes the places that a container is to have.
fn set(record: &mut Record, places: Vec<EndpointSpec>) {
    record.spec.network = places.first().map_or(NetworkMode::None, |place| mode(&place.network));
    record.spec.endpoints = places;
}

/// Path of the network namespace of a container that runs.
fn namespace(record: &Record) -> PathBuf {
    format!("/proc/{}/ns/net", record.attempt.pid).into()
}
