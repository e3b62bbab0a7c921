//! Ports of the host that other clients of CRI want for their pods. What they want is in containerd's record of the pod, so
//! nothing is noted here.

use super::Inner;
use super::containerd::LABEL_ID;
use super::error::EngineError;
use super::parts::{Lead, NotPublished};
use super::ports::in_words;
use crate::model::port::{Port, Protocol, Published};
use crate::model::reason::Reason;
use crate::proto::cri;
use serde_json::Value;
use std::collections::{HashSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use tokio::sync::Mutex;

/// Begins the owner of a pod's port.
const POD: &str = "pod:";
/// The number of the namespace option that says: the host's.
const NODE: u64 = 2;

/// Pods that were the last to be told to end. They may still be there, and get no ports any more. Held while something is
/// published or withdrawn for a pod.
#[derive(Debug, Default)]
pub(super) struct Leaving(Mutex<VecDeque<String>>);

/// Pods that are remembered.
const REMEMBERED: usize = 256;

impl Inner {
    /// Publishes what a new pod wants; one that cannot have it is removed.
    pub(super) async fn publish_pod_or_remove_it(&self, pod: &str) -> Result<(), EngineError> {
        let refused = {
            let _one = self.leaving.0.lock().await;
            self.publish_pod(pod).await
        };
        if refused.is_err() {
            let stopped = self.cri.stop_pod(pod).await;
            if let Err(error) = stopped.and(self.cri.remove_pod(pod).await) {
                tracing::warn!(%error, pod, "cannot remove a pod whose ports cannot be published");
            }
        }
        refused
    }

    async fn publish_pod(&self, pod: &str) -> Result<(), EngineError> {
        let metadata = self.containerd.pod_metadata(pod).await?;
        let mut done = Vec::new();
        let wanted =
            leads(pod, &metadata).map_err(|why| EngineError::refused(Reason::InvalidArgument, why))?;
        for lead in wanted {
            match self.parts.ports.add(&lead).await {
                Ok(number) => done.push(number),
                // All addresses are those that there are.
                Err(NotPublished::NoVersion) if lead.published.ip == IpAddr::from(Ipv6Addr::UNSPECIFIED) => {}
                Err(error) => {
                    for number in done {
                        self.parts.ports.remove(number).await.ok();
                    }
                    let (reason, why) = in_words(error);
                    let words = format!("cannot publish the hostPort {}: {why}", lead.published.host);
                    return Err(EngineError::refused(reason, words));
                }
            }
        }
        Ok(())
    }

    /// Withdraws what is published for a pod that is about to end; it may be named by the beginning of its ID.
    pub(super) async fn withdraw_pod(&self, pod: &str) {
        let Ok(pods) = self.cri.pods(None).await else { return };
        let mut named = pods.into_iter().map(|known| known.id).filter(|id| id.starts_with(pod));
        let (Some(id), None) = (named.next(), named.next()) else { return };
        let mut leaving = self.leaving.0.lock().await;
        self.withdraw_those(|lead| lead.owner.strip_prefix(POD) == Some(&id)).await.ok();
        leaving.push_back(id);
        if leaving.len() > REMEMBERED {
            leaving.pop_front();
        }
    }

    /// Makes what is published for pods what those that run want; false: somebody did not answer.
    pub(super) async fn follow_pod_ports(&self) -> bool {
        // Before the pods are: what is published in between is a new one's.
        let Ok(all) = self.parts.ports.all().await else { return false };
        let Ok(pods) = self.cri.pods(None).await else { return false };
        let ready = |pod: &cri::PodSandbox| pod.state() == cri::PodSandboxState::SandboxReady;
        let foreign = pods.into_iter().filter(|pod| ready(pod) && !pod.labels.contains_key(LABEL_ID));
        let ids: HashSet<String> = foreign.map(|pod| pod.id).collect();
        let gone = |lead: &Lead| lead.owner.strip_prefix(POD).is_some_and(|pod| !ids.contains(pod));
        for (number, _) in all.into_iter().filter(|(_, lead)| gone(lead)) {
            self.parts.ports.remove(number).await.ok();
        }
        for pod in ids {
            let leaving = self.leaving.0.lock().await;
            if leaving.contains(&pod) {
                continue;
            }
            match self.publish_pod(&pod).await {
                Err(error) if error.reason() == Reason::Unavailable => return false,
                Err(error) => tracing::warn!(%error, pod, "cannot publish a pod's ports again"),
                Ok(()) => {}
            }
        }
        true
    }
}

/// The ports that a pod's configuration names, by containerd's record of it.
fn leads(pod: &str, metadata: &Value) -> Result<Vec<Lead>, String> {
    let config = &metadata["Config"];
    if config["linux"]["security_context"]["namespace_options"]["network"].as_u64() == Some(NODE) {
        return Ok(Vec::new());
    }
    let others = metadata["AdditionalIPs"].as_array().into_iter().flatten();
    let ips: Vec<IpAddr> =
        [&metadata["IP"]].into_iter().chain(others).filter_map(|ip| ip.as_str()?.parse().ok()).collect();
    let mut leads = Vec::new();
    for mapping in config["port_mappings"].as_array().into_iter().flatten() {
        let number = |key: &str| {
            mapping[key].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)
        };
        let Some(host) = number("host_port") else { continue };
        let number = number("container_port").ok_or_else(|| format!("hostPort {host}: no containerPort"))?;
        let protocol = match mapping["protocol"].as_u64().unwrap_or(0) {
            0 => Protocol::Tcp,
            1 => Protocol::Udp,
            _ => return Err(format!("hostPort {host}: SCTP ports cannot be published: use TCP or UDP")),
        };
        let at = match mapping["host_ip"].as_str().unwrap_or_default() {
            "" => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            ip => {
                vec![ip.parse::<IpAddr>().map_err(|_| format!("hostPort {host}: {ip:?} is no IP address"))?]
            }
        };
        for ip in at {
            let same = ips.iter().copied().find(|to| to.is_ipv4() == ip.is_ipv4());
            let other = ips.iter().copied().find(|to| to.is_ipv4() != ip.is_ipv4());
            let to = same.or(other).ok_or_else(|| format!("hostPort {host}: the pod has no address"))?;
            let published = Published { port: Port { number, protocol }, ip, host };
            leads.push(Lead { owner: format!("{POD}{pod}"), published, to, other: same.and(other) });
        }
    }
    Ok(leads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_pod_wants() {
        let of = |mappings: Value, network: u64| {
            let options = json!({"security_context": {"namespace_options": {"network": network}}});
            let metadata = json!({
                "IP": "10.0.0.2", "AdditionalIPs": ["fd00::2"],
                "Config": {"port_mappings": mappings, "linux": options},
            });
            leads("p", &metadata)
        };
        let web = json!([{"host_port": 8080, "container_port": 80}, {"container_port": 81}]);
        let both = of(web.clone(), 0).unwrap();
        let shown = |lead: &Lead| (lead.published.ip.to_string(), lead.to.to_string(), lead.owner.clone());
        assert_eq!(
            both.iter().map(shown).collect::<Vec<_>>(),
            [
                ("0.0.0.0".into(), "10.0.0.2".into(), "pod:p".into()),
                ("::".into(), "fd00::2".into(), "pod:p".into()),
            ]
        );
        assert_eq!(of(web, NODE).unwrap(), []);
        let one =
            of(json!([{"host_port": 5, "container_port": 6, "protocol": 1, "host_ip": "127.0.0.1"}]), 0)
                .unwrap();
        assert_eq!((one.len(), one[0].published.port.to_string()), (1, "6/udp".into()));
        for bad in [
            json!([{"host_port": 5}]),
            json!([{"host_port": 5, "container_port": 6, "protocol": 2}]),
            json!([{"host_port": 5, "container_port": 6, "host_ip": "x"}]),
        ] {
            assert!(of(bad.clone(), 0).is_err(), "{bad}");
        }
    }
}
