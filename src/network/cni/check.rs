//! CHECK: is an attachment as it was made? STATUS: can there be attachments?

use super::answer::Known;
use super::error::{Code, Refusal};
use super::firewall;
use super::links::Links;
use super::request::{Config, Pod};
use super::stage::{Outcome, enter, go, open};
use std::net::IpAddr;

/// Compares what is there with an earlier answer.
pub(super) fn check(config: &Config, pod: &Pod) -> Result<Outcome, Refusal> {
    let places = config.places(pod)?;
    let path = pod.need_netns()?;
    let result = config
        .prev_result
        .as_ref()
        .ok_or_else(|| Refusal::new(Code::InvalidConfig, "prevResult: CHECK needs the answer to ADD"))?;
    let mut all = Vec::new();
    for place in &places {
        let known = Known::read(result, &place.interface).ok_or_else(|| {
            Refusal::new(Code::InvalidConfig, format!("prevResult: it has no interface {}", place.interface))
        })?;
        all.push((place, known));
    }
    let namespace = open(path, Code::UnknownContainer)?;
    enter(config)?;
    let mut links = Links::here().map_err(Refusal::kernel("ask the kernel about networks"))?;
    let differs = |words: String| Refusal::new(Code::Differs, words);
    let mut find = |name: &str| {
        links
            .find(name)
            .map_err(Refusal::kernel(format!("look for {name}")))?
            .ok_or_else(|| differs(format!("{name} is gone")))
    };
    for place in &places {
        let bridge = find(&place.network.bridge)?;
        let port = find(&pod.host_end(config, &place.interface))?;
        if port.master != Some(bridge.index) {
            return Err(differs(format!("{} is no port of {}", port.name, bridge.name)));
        }
        if let Some(down) = [&bridge, &port].into_iter().find(|link| !link.up) {
            return Err(differs(format!("{} is down", down.name)));
        }
    }
    go(&namespace, path)?;
    for (place, known) in &all {
        inside(known, &place.interface)?;
    }
    Ok(Outcome::default())
}

/// Compares the pod's interface; the thread is in the pod's namespace.
fn inside(known: &Known, name: &str) -> Result<(), Refusal> {
    let kernel = || Refusal::kernel(format!("ask about {name}"));
    let differs = |words: String| Err(Refusal::new(Code::Differs, format!("{name} {words}")));
    let mut links = Links::here().map_err(kernel())?;
    let Some(link) = links.find(name).map_err(kernel())? else { return differs("is gone".into()) };
    if !link.up {
        return differs("is down".into());
    }
    let mac = link.mac.to_string();
    if let Some(other) = known.mac.as_ref().filter(|known| **known != mac) {
        return differs(format!("has the MAC address {mac}, not {other}"));
    }
    let addresses = links.addresses(None).map_err(kernel())?;
    if let Some(missing) = known.addresses.iter().find(|known| !addresses.contains(&(link.index, **known))) {
        return differs(format!("lacks the address {missing}"));
    }
    let gateways = links.gateways(link.index).map_err(kernel())?;
    if let Some(missing) = known.gateways.iter().find(|known: &&IpAddr| !gateways.contains(known)) {
        return differs(format!("has no default route through {missing}"));
    }
    Ok(())
}

/// Whether pods can be attached.
pub(super) fn status(config: &Config) -> Result<Outcome, Refusal> {
    let not_available = |error: std::io::Error| Refusal::new(Code::NotAvailable, error.to_string());
    config.default_network()?;
    enter(config)?;
    Links::here().map_err(not_available)?;
    firewall::probe().map_err(not_available)?;
    Ok(Outcome::default())
}
