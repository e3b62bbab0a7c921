//! What the engine does about networks itself: places of pods that run, and bridges of networks that are no more. It is
//! what the plugin does, in a thread of its own, because namespaces are entered.

use super::answer::Known;
use super::error::Refusal;
use super::links::Links;
use super::lock::Lock;
use super::request::{ANNOTATIONS, Config, Pod};
use super::stage::{Outcome, enter, go, open};
use super::{BRIDGE, BRIDGES, NAME, attach, config, detach, firewall};
use crate::config::Instance;
use crate::model::attachment::{self, Attachment};
use crate::model::subnet::Subnet;
use crate::network::netlink::errno;
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread;

/// The containers' networks of one instance.
#[derive(Clone, Debug)]
pub struct Live {
    /// The plugin's configuration, as a runtime hands it over.
    config: Value,
}

/// A place that a pod has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Got {
    /// Addresses, without their bits.
    pub addresses: Vec<IpAddr>,
    /// Hardware address.
    pub mac: String,
}

impl Live {
    /// Those of an instance.
    pub fn of(instance: &Instance) -> Self {
        let list: Value = serde_json::from_str(&config::render(instance)).unwrap_or_default();
        let mut config = list["plugins"][0].clone();
        for key in ["name", "cniVersion"] {
            config[key] = list[key].clone();
        }
        Self { config }
    }

    /// Gives a pod a place in one more network.
    ///
    /// # Errors
    /// What the plugin refuses, in words.
    pub fn connect(&self, pod: &str, netns: &Path, place: &Attachment) -> Result<Got, String> {
        let (config, pod, interface) = self.command(pod, netns, place)?;
        let (left, of) = (config.clone(), pod.clone());
        // An engine that died between this and its record left the interface. Each thread begins in our own namespace.
        apart(move || detach::del(&left, &of).map(whole))?;
        let answer = apart(move || attach::add(&config, &pod).map(whole))?.unwrap_or_default();
        let known = Known::read(&answer, &interface).unwrap_or_default();
        Ok(Got { addresses: known.addresses, mac: known.mac.unwrap_or_default() })
    }

    /// Takes an interface from a pod, and sends what goes nowhere else through another one.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn disconnect(
        &self,
        pod: &str,
        netns: &Path,
        interface: &str,
        way_out: Option<(String, Vec<IpAddr>)>,
    ) -> Result<(), String> {
        let place = Attachment { interface: interface.to_owned(), ..Attachment::default() };
        let (config, pod, _) = self.command(pod, netns, &place)?;
        let path = netns.to_owned();
        apart(move || {
            whole(detach::del(&config, &pod)?);
            match way_out {
                Some((interface, gateways)) => reroute(&path, &interface, &gateways),
                None => Ok(()),
            }
        })
    }

    /// Removes a bridge, and its rules. One that is not there is no error.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn remove(&self, bridge: &str) -> Result<(), String> {
        let (config, bridge) = (self.parsed()?, bridge.to_owned());
        apart(move || {
            enter(&config)?;
            let lock = Lock::take(&config.state)?;
            forget(&lock, &bridge)
        })
    }

    /// Removes all bridges of users' networks but these.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn keep(&self, bridges: &[String]) -> Result<(), String> {
        let (config, bridges) = (self.parsed()?, bridges.to_vec());
        apart(move || {
            enter(&config)?;
            let lock = Lock::take(&config.state)?;
            let mut links = Links::here().map_err(Refusal::kernel("ask the kernel about networks"))?;
            for link in links.named(BRIDGES).map_err(Refusal::kernel("list bridges"))? {
                if firewall::is_ours(&link) && link.name != BRIDGE && !bridges.contains(&link.name) {
                    tracing::info!(bridge = link.name, "removing the bridge of a network that is no more");
                    forget(&lock, &link.name)?;
                }
            }
            Ok(())
        })
    }

    fn parsed(&self) -> Result<Config, String> {
        Config::parse(self.config.to_string().as_bytes()).map_err(|refusal| refusal.to_string())
    }

    /// A command of CNI's about one place of a pod.
    fn command(&self, pod: &str, netns: &Path, place: &Attachment) -> Result<(Config, Pod, String), String> {
        let mut config = self.config.clone();
        let value = attachment::value(std::slice::from_ref(place));
        config["runtimeConfig"] = json!({ ANNOTATIONS: { attachment::ANNOTATION: value } });
        let config = Config::parse(config.to_string().as_bytes()).map_err(|refusal| refusal.to_string())?;
        let netns: Option<PathBuf> = Some(netns.to_owned());
        let interface = place.interface.clone();
        Ok((config, Pod { container: pod.to_owned(), interface: interface.clone(), netns }, interface))
    }
}

/// Networks that the caller's namespace has addresses in or routes to, and the names of the interfaces that lead there.
///
/// # Errors
/// The kernel refuses.
pub fn hosts() -> Result<Vec<(Subnet, String)>, String> {
    let failed = |error: std::io::Error| error.to_string();
    let mut links = Links::here().map_err(failed)?;
    let names = links.named("").map_err(failed)?;
    let all = links.destinations().map_err(failed)?;
    Ok(all
        .into_iter()
        .filter_map(|(to, bits, through)| {
            let link = names.iter().find(|link| link.index == through)?;
            let ours = link.name.starts_with(BRIDGES);
            (!ours).then(|| Some((Subnet::of(to, bits.min(30))?, link.name.clone())))?
        })
        .collect())
}

fn forget(lock: &Lock, bridge: &str) -> Result<(), Refusal> {
    let mut links = Links::here().map_err(Refusal::kernel("ask the kernel about networks"))?;
    if let Some(link) = links.find(bridge).map_err(Refusal::kernel(format!("look for {bridge}")))? {
        links.remove(link.index).map_err(Refusal::kernel(format!("remove {bridge}")))?;
    }
    lock.forget(bridge);
    firewall::forget(bridge).map_err(Refusal::kernel(format!("remove the rules of {bridge}")))
}

/// Sends what goes nowhere else to these gateways.
fn reroute(netns: &Path, interface: &str, gateways: &[IpAddr]) -> Result<(), Refusal> {
    go(&open(netns, super::error::Code::UnknownContainer)?, netns)?;
    let mut links = Links::here().map_err(Refusal::kernel("ask the kernel about networks"))?;
    let link = links.find(interface).map_err(Refusal::kernel(format!("look for {interface}")))?;
    let Some(link) = link else { return Ok(()) };
    for gateway in gateways {
        match links.route_all(link.index, *gateway) {
            // Version 6 is switched off, or does not lead out here; or an engine that died has done it.
            Err(error) if gateway.is_ipv4() && errno(&error) != libc::EEXIST => {
                return Err(Refusal::kernel(format!("route to {gateway} through {interface}"))(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Does also what nobody has to wait for; the answer.
fn whole(outcome: Outcome) -> Option<Value> {
    if let Some(afterwards) = outcome.afterwards {
        afterwards();
    }
    outcome.answer
}

/// Does it in a thread that may go into namespaces.
fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, String> {
    let done = thread::Builder::new().name(NAME.into()).spawn(work).map_err(|error| error.to_string())?;
    let done = done.join().map_err(|_| "the thread that set up a network panicked".to_owned())?;
    done.map_err(|refusal| refusal.to_string())
}
