//! Networks of the user's, and the predefined ones: what there is, who is in it, and how a pod is told of it.
//!
//! ```text
//! create, rm, prune -> record              (make, and the bridge, which the CNI plugin makes with the first pod)
//! run, start        -> attachments         of a record, as an annotation of its pod
//! connect           -> spec; while it runs, an interface at once (connect)
//! ```
//!
//! Which addresses are taken nobody writes down: the plugin reads it from the interfaces that are there.

mod connect;
mod directory;
mod make;
mod place;

pub(super) use directory::follow as follow_names;

use super::error::EngineError;
use super::{Engine, Inner, events, lifecycle};
use crate::model::container::{BRIDGE, EndpointSpec, NetworkMode, Pruned};
use crate::model::filter::{NetworkFilter, PruneFilter};
use crate::model::id::hex;
use crate::model::mac::Mac;
use crate::model::network::{Addresses, Member, Network, NetworkSummary, PREDEFINED, Pool};
use crate::model::reason::Reason;
use crate::model::subnet::Subnet6;
use crate::store::{Change, Record};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

/// A network that containers have addresses in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The one that is always there.
    Default,
    /// A user's.
    Users(Arc<Network>),
}

impl Known {
    /// Its name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Default => BRIDGE,
            Self::Users(network) => &network.name,
        }
    }
}

impl Engine {
    /// The networks that the filter lets through, by name; without members.
    ///
    /// # Errors
    /// Only those of every verb, as [`Engine`] says.
    pub async fn networks(&self, filter: &NetworkFilter) -> Result<Vec<NetworkSummary>, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let mut all: Vec<NetworkSummary> =
            PREDEFINED.iter().map(|name| inner.predefined_network(name)).collect();
        all.extend(inner.records.book().networks.values().map(|network| inner.network_summary(network)));
        all.retain(|network| filter.matches(network));
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// A network with its members, by its name, its ID or a prefix of that.
    ///
    /// # Errors
    /// `NotFound`: no such network; `InvalidArgument`: the prefix is several networks'.
    pub async fn inspect_network(&self, who: &str) -> Result<NetworkSummary, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let all = self.networks(&NetworkFilter::default()).await?;
        let found = pick(all, who, |network| (&network.name, &network.id))?;
        let mut network = found.ok_or_else(|| EngineError::NoSuchNetwork(who.to_owned()))?;
        network.members = inner.members(&network);
        Ok(network)
    }

    /// Removes a network that no running container is in.
    ///
    /// # Errors
    /// `NotFound`: no such network; `PermissionDenied`: a predefined one; `InUse`: a container that runs is in it.
    pub async fn remove_network(&self, who: &str) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let _alone = inner.networks.write().await;
        inner.remove_network(who).await
    }

    /// Removes the networks that no container is in.
    ///
    /// # Errors
    /// Only those of every verb, as [`Engine`] says: a network that cannot be removed is left out, and named in the log.
    pub async fn prune_networks(&self, filter: &PruneFilter) -> Result<Pruned, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let mut pruned = Pruned::default();
        let _alone = inner.networks.write().await;
        for network in inner.records.book().networks.values() {
            let used = inner.users(&network.name) > 0;
            if used || !filter.matches(&network.labels, Some(network.created)) {
                continue;
            }
            match inner.remove_network(&network.name).await {
                Ok(()) => pruned.deleted.push(network.name.clone()),
                Err(error) => tracing::info!(%error, network = network.name, "is not pruned"),
            }
        }
        Ok(pruned)
    }
}

impl Inner {
    /// A network's ID, and the bits of its IPv4 addresses that it has in common.
    pub(super) fn network_facts(&self, name: &str) -> (String, u32) {
        match self.records.book().networks.get(name) {
            Some(network) => (network.id.clone(), network.addresses.subnet.bits().into()),
            None => {
                let bits =
                    self.config.subnet.filter(|_| name == BRIDGE).map_or(0, |subnet| subnet.bits().into());
                (self.predefined_id(name), bits)
            }
        }
    }

    /// The name of a network that is named by its ID, or a prefix of that; any other text is itself.
    pub(super) fn network_name(&self, who: &str) -> String {
        let modes =
            PREDEFINED.iter().find(|name| !who.is_empty() && self.predefined_id(name).starts_with(who));
        match (self.network(who), modes) {
            (Ok(known), _) => known.name().to_owned(),
            (Err(_), Some(name)) => (*name).to_owned(),
            (Err(_), None) => who.to_owned(),
        }
    }

    /// A network in which containers have addresses, by its name, its ID or a prefix of that.
    pub(super) fn network(&self, who: &str) -> Result<Known, EngineError> {
        // By its name first: this is asked for each container whenever something changes.
        let book = self.records.book();
        if who == BRIDGE || who == "default" {
            return Ok(Known::Default);
        }
        if let Some(network) = book.networks.get(who) {
            return Ok(Known::Users(network.clone()));
        }
        if who.len() >= 12 && self.predefined_id(BRIDGE).starts_with(who) {
            return Ok(Known::Default);
        }
        let all: Vec<Arc<Network>> = book.networks.values().cloned().collect();
        match pick(all, who, |network| (&network.name, &network.id))? {
            Some(network) => Ok(Known::Users(network)),
            None => Err(EngineError::NoSuchNetwork(who.to_owned())),
        }
    }

    /// Removes a network; its caller holds the lock.
    async fn remove_network(&self, who: &str) -> Result<(), EngineError> {
        if PREDEFINED.contains(&who) || PREDEFINED.iter().any(|name| self.predefined_id(name) == who) {
            let text = format!("{who} is a pre-defined network and cannot be removed");
            return Err(EngineError::refused(Reason::PermissionDenied, text));
        }
        let network = match self.network(who)? {
            Known::Users(network) => network,
            Known::Default => return Err(EngineError::NoSuchNetwork(who.to_owned())),
        };
        let active: Vec<String> = self
            .records
            .all()
            .into_iter()
            .filter(|record| lifecycle::lives(record.status) && is_in(record, &network.name))
            .map(|record| format!("name:{:?} id:{:?}", record.name, record.id.short()))
            .collect();
        if !active.is_empty() {
            let text = format!(
                "error while removing network: network {} has active endpoints ({})",
                network.name,
                active.join(", ")
            );
            return Err(EngineError::refused(Reason::InUse, text));
        }
        let event = events::network(&network.id, &network.name, "destroy", &[]);
        self.records.commit(Change::new().remove_network(&network.name).event(event)).await?;
        // What stays behind a crash, or a failure, goes when an engine starts.
        if let Err(error) = self.parts.networks.remove(&network.bridge()).await {
            tracing::warn!(error, network = network.name, "cannot remove a network's bridge");
        }
        Ok(())
    }

    /// Removes bridges of networks that are no more.
    pub(super) async fn tidy_networks(&self) {
        let _alone = self.networks.write().await;
        let bridges: Vec<String> =
            self.records.book().networks.values().map(|network| network.bridge()).collect();
        if let Err(error) = self.parts.networks.keep(&bridges).await {
            tracing::warn!(error, "cannot look for bridges of networks that are no more");
        }
    }

    /// How many containers have a place in a network.
    fn users(&self, name: &str) -> usize {
        self.records.all().iter().filter(|record| wants(record, name)).count()
    }

    /// ID of a predefined network: the same for as long as there is the data directory.
    pub(super) fn predefined_id(&self, name: &str) -> String {
        hash(&format!("{}/network/{name}", self.records.instance()))
    }

    fn predefined_network(&self, name: &str) -> NetworkSummary {
        let driver = if name == "none" { "null" } else { name };
        let addresses = self.config.subnet.filter(|_| name == BRIDGE).map(Addresses::of);
        NetworkSummary {
            id: self.predefined_id(name),
            name: name.to_owned(),
            driver: driver.to_owned(),
            pools: addresses.map(|of| pools(&of, self.config.subnet6)).unwrap_or_default(),
            users: i64::try_from(self.users(name)).unwrap_or(i64::MAX),
            ..NetworkSummary::default()
        }
    }

    fn network_summary(&self, network: &Network) -> NetworkSummary {
        NetworkSummary {
            id: network.id.clone(),
            name: network.name.clone(),
            created: Some(network.created),
            driver: "bridge".to_owned(),
            internal: network.internal,
            pools: pools(&network.addresses, network.subnet6),
            labels: network.labels.clone(),
            options: network.options.clone(),
            members: BTreeMap::new(),
            users: i64::try_from(self.users(&network.name)).unwrap_or(i64::MAX),
        }
    }

    /// The containers that run and are in a network.
    fn members(&self, network: &NetworkSummary) -> BTreeMap<String, Member> {
        let NetworkSummary { name, id, .. } = network;
        let bits = |six: bool| {
            let pool = network.pool(six);
            pool.and_then(|pool| pool.subnet.split_once('/')).map_or("", |(_, bits)| bits).to_owned()
        };
        let with = |address: &str, bits: String| match address {
            "" => String::new(),
            address => format!("{address}/{bits}"),
        };
        let running = self.records.all().into_iter().filter(|record| lifecycle::lives(record.status));
        running
            .filter_map(|record| {
                let mode = record.spec.network.to_string() == *name && !record.spec.network.has_address();
                let place = record.attempt.endpoints.iter().find(|place| place.network == *name);
                if place.is_none() && !mode {
                    return None;
                }
                let place = place.cloned().unwrap_or_default();
                let member = Member {
                    name: record.name.clone(),
                    endpoint: self.endpoint_id(id, &record),
                    mac: mac(&place.mac, &place.address),
                    address: with(&place.address, bits(false)),
                    address_6: with(&place.address_6, bits(true)),
                };
                Some((record.id.to_string(), member))
            })
            .collect()
    }
}

/// Addresses as they are shown, of version 4 and 6.
fn pools(of: &Addresses, subnet6: Option<Subnet6>) -> Vec<Pool> {
    let text = |address: &Ipv4Addr| address.to_string();
    let mut gateways = of.gateways(subnet6).map(|address| address.to_string());
    let four = Pool {
        subnet: of.subnet.to_string(),
        range: of.range.map(|range| range.to_string()).unwrap_or_default(),
        gateway: gateways.next().unwrap_or_default(),
        reserved: of.reserved.iter().map(|(name, address)| (name.clone(), text(address))).collect(),
    };
    let six = subnet6.zip(gateways.next()).map(|(sixth, gateway)| Pool {
        subnet: sixth.to_string(),
        gateway,
        ..Pool::default()
    });
    [four].into_iter().chain(six).collect()
}

/// The hardware address of a place in a network.
pub(super) fn mac(wished: &str, address: &str) -> String {
    match (wished, address.parse()) {
        ("", Ok(address)) => Mac::of(address).to_string(),
        (wished, _) => wished.to_owned(),
    }
}

/// SHA-256 of a text, as 64 hexadecimal digits.
pub(super) fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// Whether a container's attempt has a place in a network.
fn is_in(record: &Record, name: &str) -> bool {
    record.attempt.endpoints.iter().any(|place| place.network == name)
}

/// Whether a container is to have a place in a network, or has that mode.
fn wants(record: &Record, name: &str) -> bool {
    match &record.spec.network {
        NetworkMode::Container(_) => false,
        mode if !mode.has_address() => mode.to_string() == name,
        _ => record.spec.places().iter().any(|EndpointSpec { network, .. }| network == name),
    }
}

/// The one of that name, or of that ID, or the only one whose ID begins so.
fn pick<T>(all: Vec<T>, who: &str, of: impl Fn(&T) -> (&String, &String)) -> Result<Option<T>, EngineError> {
    let exact = all.iter().position(|one| of(one).0 == who || of(one).1 == who);
    let by_prefix =
        || all.iter().enumerate().filter(|(_, one)| !who.is_empty() && of(one).1.starts_with(who));
    let place = match (exact, by_prefix().count()) {
        (Some(place), _) => Some(place),
        (None, 0) => None,
        (None, 1) => by_prefix().map(|(place, _)| place).next(),
        (None, several) => {
            return Err(EngineError::invalid(format!(
                "network {who} is ambiguous ({several} matches found on ID prefix)"
            )));
        }
    };
    Ok(place.and_then(|place| all.into_iter().nth(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_before_prefixes() {
        let all = || {
            vec![
                ("a".to_owned(), "b0".to_owned()),
                ("b".to_owned(), "c0".to_owned()),
                ("d".to_owned(), "b1".to_owned()),
            ]
        };
        let of = |who: &str| pick(all(), who, |one| (&one.0, &one.1)).map(|found| found.map(|one| one.0));
        for (who, found) in [("b", Some("b")), ("b0", Some("a")), ("c", Some("b")), ("x", None), ("", None)] {
            assert_eq!(of(who).unwrap().as_deref(), found, "{who}");
        }
        let several =
            pick(vec![("x".to_owned(), "b0".to_owned()), ("y".to_owned(), "b1".to_owned())], "b", |one| {
                (&one.0, &one.1)
            });
        assert!(several.unwrap_err().to_string().contains("ambiguous (2 matches"));
    }
}
