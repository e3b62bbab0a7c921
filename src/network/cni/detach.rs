//! DEL, and GC: interfaces go, and with them their addresses.
//!
//! The kernel takes its time to remove an interface, and nobody needs to wait for that: it is marked, the answer is given,
//! and the removal goes on behind it. What is marked and still there, because that was killed, the next ADD removes.

use super::address::beginning;
use super::attach::Told;
use super::error::Refusal;
use super::links::{Link, Links};
use super::lock::Lock;
use super::request::{Config, Network, Pod};
use super::stage::{Afterwards, Outcome, enter, go, point};
use std::collections::HashSet;
use std::fs::File;

/// The alias of an interface that is being removed.
pub(super) const GONE: &str = "k3c: gone";

/// Detaches a pod; one that is not attached is detached already.
pub(super) fn del(config: &Config, pod: &Pod) -> Result<Outcome, Refusal> {
    let places = config.places(pod)?;
    if config.detached_netns.as_ref().is_some_and(|path| !path.exists()) {
        // With the namespace all is gone that was in it.
        return Ok(Outcome::default());
    }
    // Its namespace may be gone, too.
    let namespace = pod.netns.as_ref().and_then(|path| Some((File::open(path).ok()?, path)));
    enter(config)?;
    let mut links = Links::here().map_err(Refusal::kernel("ask the kernel about networks"))?;
    let mut found = Vec::new();
    for place in &places {
        let name = pod.host_end(config, &place.interface);
        found.extend(links.find(&name).map_err(Refusal::kernel(format!("look for {name}")))?);
    }
    if let (true, Some((namespace, path))) = (found.is_empty(), namespace) {
        let ports = ports(&mut links, &places[0].network)?;
        go(&namespace, path)?;
        found.extend(of_older_versions(ports, config, pod));
    }
    for port in &mut found {
        mark(&mut links, port)?;
        GONE.clone_into(&mut port.alias);
        point("marked");
    }
    Ok(Outcome { answer: None, afterwards: leftovers(links, &found) })
}

/// Removes all interfaces of a configuration's networks but those of the attachments that are said to be valid, and of
/// other networks that their pods were connected to later, of which a runtime does not know.
pub(super) fn gc(config: &Config) -> Result<Outcome, Refusal> {
    config.default_network()?;
    enter(config)?;
    let attachments = || config.valid.iter().flatten();
    let valid: HashSet<String> =
        attachments().map(|one| super::address::name(&config.name, &one.container, &one.interface)).collect();
    let containers: HashSet<&str> = attachments().map(|one| one.container.as_str()).collect();
    let mut links = Links::here().map_err(Refusal::kernel("ask the kernel about networks"))?;
    let _lock = Lock::take(&config.state)?;
    let mut outcome = Ok(Outcome::default());
    let all = links.named(&beginning(&config.name)).map_err(Refusal::kernel("list interfaces"))?;
    for port in all {
        let of_valid =
            Told::read(&port.alias).is_some_and(|told| containers.contains(told.container.as_str()));
        if port.alias == GONE || !valid.contains(&port.name) && !of_valid {
            point("removing");
            if let Err(error) = links.remove(port.index) {
                outcome = Err(Refusal::kernel(format!("remove {}", port.name))(error));
            }
        }
    }
    outcome
}

/// The removal of those among the bridge's ports that are marked; `None`: none is.
pub(super) fn leftovers(mut links: Links, ports: &[Link]) -> Option<Afterwards> {
    let gone: Vec<u32> = ports.iter().filter(|port| port.alias == GONE).map(|port| port.index).collect();
    (!gone.is_empty()).then(|| -> Afterwards {
        Box::new(move || {
            point("behind");
            for index in gone {
                let _ = links.remove(index);
            }
        })
    })
}

/// Marks an interface as one that goes.
fn mark(links: &mut Links, port: &Link) -> Result<(), Refusal> {
    match links.name_also(port.index, GONE) {
        Err(error) if crate::network::netlink::errno(&error) == libc::ENODEV => Ok(()),
        marked => marked.map_err(Refusal::kernel(format!("mark {}", port.name))),
    }
}

fn ports(links: &mut Links, network: &Network) -> Result<Vec<Link>, Refusal> {
    let asked = links.find(&network.bridge).and_then(|bridge| match bridge {
        Some(bridge) => links.ports(bridge.index),
        None => Ok(Vec::new()),
    });
    asked.map_err(Refusal::kernel(format!("list the interfaces of {}", network.bridge)))
}

/// The port whose other end is the pod's interface, of a pod that a version without our names attached; the thread is in
/// the pod's namespace.
fn of_older_versions(ports: Vec<Link>, config: &Config, pod: &Pod) -> Option<Link> {
    let own = Links::here().ok()?.find(&pod.interface).ok()??;
    let peer = own.peer?;
    ports.into_iter().find(|port| port.index == peer && !port.name.starts_with(&beginning(&config.name)))
}
