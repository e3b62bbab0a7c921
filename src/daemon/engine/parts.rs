//! The engine's parts, from the rooms that have them.

use crate::config::Instance;
use crate::engine;
use crate::engine::{Attached, Detach, Lead, NotPublished};
use crate::model::attachment::Attachment;
use crate::model::container::{Dns, Identity};
use crate::model::directory::Directory;
use crate::model::port::{Port, Published};
use crate::model::subnet::Subnet;
use crate::network::{cni, dns, names, ports};
use futures::future::BoxFuture;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;

pub(super) fn of(instance: &Instance) -> engine::Parts {
    let servers = instance.config.dns.clone();
    let socket = instance.dirs.rootlesskit().join(ports::SOCKET);
    let (file, door) = instance.dirs.names();
    engine::Parts {
        names: Arc::new(Names {
            names: names::Names::new(servers),
            server: dns::Client::new(file, door),
            upstream: instance.config.dns.iter().filter_map(|server| server.parse().ok()).collect(),
        }),
        ports: Arc::new(Ports(ports::Client::new(socket))),
        networks: Arc::new(Networks(cni::Live::of(instance))),
    }
}

#[derive(Debug)]
struct Names {
    names: names::Names,
    server: dns::Client,
    /// Name servers of the settings.
    upstream: Vec<IpAddr>,
}

impl engine::Names for Names {
    fn hosts(&self, of: &Identity<'_>) -> String {
        names::hosts(of)
    }

    fn resolver(&self, asked: &Dns, server: Option<Ipv4Addr>) -> Option<Dns> {
        self.names.resolver(asked, server)
    }

    fn tell<'a>(&'a self, directory: &'a Directory) -> BoxFuture<'a, Result<(), String>> {
        let directory = Directory { upstream: self.upstream.clone(), ..directory.clone() };
        let server = self.server.clone();
        Box::pin(blocking(move || server.tell(&directory).map_err(|error| error.to_string())))
    }
}

#[derive(Debug)]
struct Ports(ports::Client);

impl engine::Ports for Ports {
    fn add<'a>(&'a self, lead: &'a Lead) -> BoxFuture<'a, Result<u32, NotPublished>> {
        let Published { port, ip, host } = lead.published;
        let spec = ports::Spec {
            proto: port.protocol.to_string(),
            parent_ip: ip.to_string(),
            parent_port: host,
            child_port: port.number,
            child_ip: lead.to.to_string(),
            other_ip: lead.other.map(|ip| ip.to_string()).unwrap_or_default(),
            owner: lead.owner.clone(),
        };
        Box::pin(async move { self.0.add(&spec).await.map(|status| status.id).map_err(not_published) })
    }

    fn remove(&self, number: u32) -> BoxFuture<'_, Result<(), NotPublished>> {
        Box::pin(async move { self.0.remove(number).await.map_err(not_published) })
    }

    fn all(&self) -> BoxFuture<'_, Result<Vec<(u32, Lead)>, NotPublished>> {
        Box::pin(async move {
            let all = self.0.all().await.map_err(not_published)?;
            Ok(all.into_iter().filter_map(|status| Some((status.id, lead(&status.spec)?))).collect())
        })
    }
}

fn not_published(refusal: ports::Refusal) -> NotPublished {
    match refusal {
        ports::Refusal::Taken(words) => NotPublished::Taken(words),
        ports::Refusal::NoVersion(_) => NotPublished::NoVersion,
        ports::Refusal::Bad(words) => NotPublished::Refused(words),
        away @ ports::Refusal::Away(_) => NotPublished::Away(away.to_string()),
    }
}

/// A port that was published by an engine of ours; `None`: others say it in other words.
fn lead(spec: &ports::Spec) -> Option<Lead> {
    let port = Port { number: spec.child_port, protocol: spec.proto.parse().ok()? };
    let published = Published { port, ip: spec.parent_ip.parse().ok()?, host: spec.parent_port };
    let other = spec.other_ip.parse().ok();
    Some(Lead { owner: spec.owner.clone(), published, to: spec.child_ip.parse().ok()?, other })
}

#[derive(Debug)]
struct Networks(cni::Live);

impl engine::Networks for Networks {
    fn hosts(&self) -> BoxFuture<'_, Vec<(Subnet, String)>> {
        Box::pin(async move {
            blocking(cni::hosts).await.unwrap_or_else(|error| {
                tracing::warn!(error, "cannot ask for the host's networks");
                Vec::new()
            })
        })
    }

    fn connect<'a>(
        &'a self,
        pod: &'a str,
        netns: &'a Path,
        attachment: &'a Attachment,
    ) -> BoxFuture<'a, Result<Attached, String>> {
        let (live, pod, netns, attachment) =
            (self.0.clone(), pod.to_owned(), netns.to_owned(), attachment.clone());
        Box::pin(async move {
            let got = blocking(move || live.connect(&pod, &netns, &attachment)).await?;
            let of = |six: bool| {
                let own = got.addresses.iter().find(|address| address.is_ipv6() == six);
                own.map(IpAddr::to_string).unwrap_or_default()
            };
            Ok(Attached { address: of(false), address_6: of(true), mac: got.mac })
        })
    }

    fn disconnect<'a>(&'a self, detach: &'a Detach) -> BoxFuture<'a, Result<(), String>> {
        let (live, Detach { pod, netns, interface, way_out }) = (self.0.clone(), detach.clone());
        Box::pin(blocking(move || live.disconnect(&pod, &netns, &interface, way_out)))
    }

    fn remove<'a>(&'a self, bridge: &'a str) -> BoxFuture<'a, Result<(), String>> {
        let (live, bridge) = (self.0.clone(), bridge.to_owned());
        Box::pin(blocking(move || live.remove(&bridge)))
    }

    fn keep<'a>(&'a self, bridges: &'a [String]) -> BoxFuture<'a, Result<(), String>> {
        let (live, bridges) = (self.0.clone(), bridges.to_vec());
        Box::pin(blocking(move || live.keep(&bridges)))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}
