//! What the name server is told: which containers run, where, and what they are called. It follows the book.

use super::Known;
use crate::engine::Inner;
use crate::engine::lifecycle;
use crate::model::container::{BRIDGE, EndpointSpec, NetworkMode};
use crate::model::directory::{Directory, Listed, Place};
use crate::store::Record;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Weak;
use std::time::Duration;

/// Longest wait of a start for the name server.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells the name server whenever something changed that it must know.
pub(in crate::engine) async fn follow(engine: Weak<Inner>) {
    let Some(mut changes) = engine.upgrade().map(|inner| inner.records.changes()) else { return };
    let mut told = None;
    loop {
        changes.mark_unchanged();
        {
            let Some(inner) = engine.upgrade() else { return };
            let directory = inner.directory();
            if told.as_ref() != Some(&directory) {
                match inner.parts.names.tell(&directory).await {
                    Ok(()) => {
                        let places = directory.containers.iter().flat_map(|of| &of.places);
                        let told_of = places.flat_map(|place| place.addresses.iter().copied()).collect();
                        inner.told_of.send_replace(told_of);
                        told = Some(directory);
                    }
                    Err(error) => tracing::warn!(error, "cannot write the names of containers down"),
                }
            }
        }
        if changes.changed().await.is_err() {
            return;
        }
    }
}

impl Inner {
    /// All that the name server has to know.
    fn directory(&self) -> Directory {
        let book = self.records.book();
        let default = self.config.subnet.map(|subnet| subnet.first_host());
        let users = book.networks.values().map(|network| network.addresses.gateway);
        let subnets = book.networks.values().map(|network| network.addresses.subnet);
        // Who has a pod may ask from the moment in which it is started.
        let waits = |record: &Record| !record.attempt.used && !record.attempt.container.is_empty();
        let all = book.records.values().filter(|record| lifecycle::lives(record.status) || waits(record));
        Directory {
            listen: default.into_iter().chain(users).map(IpAddr::V4).collect(),
            within: self.config.subnet.into_iter().chain(subnets).collect(),
            upstream: Vec::new(),
            host: self.config.host_gateway,
            containers: all
                .filter(|record| !record.attempt.endpoints.is_empty())
                .map(|record| self.listed(record))
                .collect(),
        }
    }

    /// Waits until the name server knows a container that is about to start, but not for long: it may be away.
    pub(in crate::engine) async fn is_known_to_ask(&self, record: &Record) {
        let address = record.attempt.address().parse::<IpAddr>();
        let Ok(address) = address else { return };
        let mut told_of = self.told_of.subscribe();
        let known = told_of.wait_for(|all| all.contains(&address));
        tokio::time::timeout(PATIENCE, known).await.ok();
    }

    fn listed(&self, record: &Record) -> Listed {
        let wishes = record.spec.places();
        let places: Vec<Place> = record
            .attempt
            .endpoints
            .iter()
            .map(|place| {
                let wish = wishes.iter().find(|wish| wish.network == place.network);
                let aliases = wish.map(|wish| wish.aliases.as_slice()).unwrap_or_default();
                let mut names = vec![record.name.clone(), record.id.short().to_owned()];
                names.extend(aliases.iter().cloned());
                if !record.spec.hostname.is_empty() {
                    names.push(record.spec.hostname.clone());
                }
                let addresses = [&place.address, &place.address_6].into_iter();
                Place {
                    network: place.network.clone(),
                    addresses: addresses.filter_map(|address| address.parse().ok()).collect(),
                    names: names.into_iter().map(|name| name.to_lowercase()).collect(),
                }
            })
            .collect();
        let links = wishes.iter().flat_map(|wish| &wish.links).filter_map(|link| link.split_once(':'));
        Listed {
            id: record.id.to_string(),
            up: lifecycle::lives(record.status),
            links: links.map(|(id, alias)| (alias.to_lowercase(), id.to_owned())).collect(),
            servers: record.spec.dns.servers.iter().filter_map(|server| server.parse().ok()).collect(),
            secluded: places.iter().all(|place| self.is_internal(&place.network)),
            places,
        }
    }

    /// Whether a container's way out is an internal network: nothing comes in, either.
    pub(in crate::engine) fn is_secluded(&self, record: &Record) -> bool {
        record.spec.places().first().is_some_and(|place| self.is_internal(&place.network))
    }

    pub(in crate::engine) fn is_internal(&self, network: &str) -> bool {
        matches!(self.network(network), Ok(Known::Users(network)) if network.internal)
    }

    /// Where a container asks for names: at the gateway of its first network; `None`: elsewhere. As in Docker, servers that
    /// it wishes for are asked directly in the default network.
    pub(in crate::engine) fn name_server(&self, record: &Record) -> Option<Ipv4Addr> {
        let spec = &record.spec;
        if let NetworkMode::Container(who) = &spec.network {
            let other = self.records.find(who).ok()?;
            let chained = matches!(other.spec.network, NetworkMode::Container(_));
            return if chained { None } else { self.name_server(&other) };
        }
        let EndpointSpec { network, .. } = spec.places().into_iter().next()?;
        if network == BRIDGE && !spec.dns.servers.is_empty() {
            return None;
        }
        match self.network(&network).ok()? {
            Known::Default => self.config.subnet.map(|subnet| subnet.first_host()),
            Known::Users(network) => Some(network.addresses.gateway),
        }
    }
}
