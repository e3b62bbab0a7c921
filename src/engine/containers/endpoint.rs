//! A container's parts in networks.

use crate::engine::Inner;
use crate::engine::lifecycle;
use crate::engine::networks;
use crate::model::container::{Endpoint, EndpointSpec};
use crate::store::Record;
use std::net::IpAddr;

impl Inner {
    /// A container's parts in networks; while it does not run, only the networks and what it wishes for there.
    pub(super) fn endpoints(&self, record: &Record) -> Vec<Endpoint> {
        let mode = &record.spec.network;
        let wishes = match mode.has_address() {
            true => record.spec.places(),
            false => vec![EndpointSpec::plain(mode.to_string())],
        };
        wishes.into_iter().map(|wish| self.endpoint(record, wish)).collect()
    }

    fn endpoint(&self, record: &Record, wish: EndpointSpec) -> Endpoint {
        let summary = self.network_facts(&wish.network);
        let place = record.attempt.endpoints.iter().find(|place| place.network == wish.network);
        let nothing = Endpoint { wish, network_id: summary.0.clone(), ..Endpoint::default() };
        let Some(place) = place.filter(|_| lifecycle::lives(record.status)) else { return nothing };
        let gateways = self.gateways(&place.network);
        let of = |six: bool| {
            let own = gateways.iter().find(|address| address.is_ipv6() == six);
            own.map(IpAddr::to_string).unwrap_or_default()
        };
        Endpoint {
            id: self.endpoint_id(&summary.0, record),
            address: place.address.clone(),
            prefix_len: summary.1,
            gateway: of(false),
            mac: networks::mac(&place.mac, &place.address),
            gateway_6: if place.address_6.is_empty() { String::new() } else { of(true) },
            address_6: place.address_6.clone(),
            ..nothing
        }
    }

    /// Path of the network namespace of a container that runs; empty: it is not known.
    pub(super) async fn namespace_path(&self, record: &Record) -> String {
        if !lifecycle::lives(record.status) || record.attempt.endpoints.is_empty() {
            return String::new();
        }
        match self.containerd.pod_metadata(&record.attempt.pod).await {
            Ok(metadata) => {
                let sandbox = &metadata["CNIResult"]["Interfaces"]["eth0"]["Sandbox"];
                sandbox.as_str().unwrap_or_default().to_owned()
            }
            Err(error) => {
                tracing::debug!(%error, pod = record.attempt.pod, "cannot ask for a pod's network");
                String::new()
            }
        }
    }
}
