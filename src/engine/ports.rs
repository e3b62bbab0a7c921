//! Published ports: which of the host's lead to a container, and that they do so as long as it runs.
//!
//! ```text
//! start -> publish: wishes -> ports that are free ─> the record, `Attempt::published`
//! end, failed start -> withdraw
//! the process for ports has come up, or an engine has -> follow: what is published is made what the records say
//! ```

use super::Inner;
use super::error::EngineError;
use super::lifecycle;
use super::parts::{Lead, NotPublished};
use crate::model::id::ContainerId;
use crate::model::port::{Port, Publish, Published};
use crate::model::reason::Reason;
use crate::store::Record;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// Ports that are tried for a wish that any will do for.
const TRIES: usize = 64;
/// Range of the ports that are given out, where the kernel does not say.
const GIVEN_OUT: (u16, u16) = (32768, 60999);

impl Inner {
    /// Publishes the ports that a container asked for, and notes them in its record; all of them, or none.
    pub(in crate::engine) async fn publish(&self, record: &mut Record) -> Result<(), EngineError> {
        record.attempt.published = Vec::new();
        let wishes = wishes(record);
        if wishes.is_empty() || self.is_secluded(record) {
            return Ok(());
        }
        let mut numbers = Vec::new();
        let mut published = Vec::new();
        for wish in wishes {
            match self.publish_one(record, &wish, &mut numbers).await {
                Ok(ports) => published.extend(ports),
                Err(error) => {
                    for number in numbers {
                        self.parts.ports.remove(number).await.ok();
                    }
                    return Err(in_dockers_words(record, error));
                }
            }
        }
        published.sort();
        record.attempt.published = published;
        Ok(())
    }

    /// Publishes one wish; `numbers` gets what is to be withdrawn should another one fail.
    async fn publish_one(
        &self,
        record: &Record,
        wish: &Publish,
        numbers: &mut Vec<u32>,
    ) -> Result<Vec<Published>, NotPublished> {
        let candidates = candidates(wish);
        let last = candidates.len() - 1;
        for (tried, host) in candidates.into_iter().enumerate() {
            match self.publish_at(record, wish, host).await {
                Err(NotPublished::Taken(_)) if tried < last => {}
                Err(error) => return Err(error),
                Ok(done) => {
                    numbers.extend(done.iter().map(|(number, _)| number));
                    return Ok(done.into_iter().map(|(_, published)| published).collect());
                }
            }
        }
        Err(NotPublished::Refused("no port of the host is free".into()))
    }

    /// Publishes a wish at one port of the host, at all addresses that it is for.
    async fn publish_at(
        &self,
        record: &Record,
        wish: &Publish,
        host: u16,
    ) -> Result<Vec<(u32, Published)>, NotPublished> {
        let mut done = Vec::new();
        for ip in addresses(wish) {
            let published = Published { port: wish.port, ip, host };
            let Some(lead) = lead(record, published) else {
                return Err(NotPublished::Refused("the container has no address".into()));
            };
            match self.parts.ports.add(&lead).await {
                Ok(number) => done.push((number, published)),
                // All addresses are those that there are.
                Err(NotPublished::NoVersion) if wish.ip.is_none() && ip.is_ipv6() => {}
                Err(error) => {
                    for (number, _) in done {
                        self.parts.ports.remove(number).await.ok();
                    }
                    return Err(error);
                }
            }
        }
        Ok(done)
    }

    /// Withdraws what this is true of.
    pub(in crate::engine) async fn withdraw_those(
        &self,
        which: impl Fn(&Lead) -> bool,
    ) -> Result<(), NotPublished> {
        for (number, _) in self.parts.ports.all().await?.into_iter().filter(|(_, lead)| which(lead)) {
            self.parts.ports.remove(number).await.ok();
        }
        Ok(())
    }

    /// Withdraws the ports of a container whose end, or whose failed start, is known.
    pub(in crate::engine) async fn withdraw(&self, record: &Record) {
        if record.attempt.published.is_empty() {
            return;
        }
        // When it comes up again, nothing is published that is not to be.
        if let Err(error) = self.withdraw_those(|lead| lead.owner == record.id.as_str()).await {
            tracing::warn!(?error, container = record.name, "cannot withdraw ports");
        }
    }

    /// Makes what is published what the records say; false: somebody did not answer.
    pub(in crate::engine) async fn follow_ports(self: &Arc<Self>) -> bool {
        let mut all_done = self.follow_pod_ports().await;
        let all = match self.parts.ports.all().await {
            Ok(all) => all,
            Err(error) => {
                tracing::warn!(?error, "cannot ask what is published");
                return false;
            }
        };
        for (number, there) in all {
            // Others publish, too.
            let Ok(id) = ContainerId::try_from(there.owner.clone()) else { continue };
            // A start that is under way has its ports before it is written down.
            let _one = self.records.lock(&id).await;
            if !self.records.get(&id).is_ok_and(|record| leads(&record).any(|lead| lead == there)) {
                self.parts.ports.remove(number).await.ok();
            }
        }
        let wanted = self.records.all().into_iter().filter(|record| leads(record).next().is_some());
        for id in wanted.map(|record| record.id) {
            let _one = self.records.lock(&id).await;
            let Ok(record) = self.records.get(&id) else { continue };
            for lead in leads(&record) {
                if let Err(error) = self.parts.ports.add(&lead).await {
                    tracing::warn!(?error, container = record.name, "cannot publish a port again");
                    all_done &= !matches!(error, NotPublished::Away(_));
                }
            }
        }
        all_done
    }
}

/// What is published for a container.
fn leads(record: &Record) -> impl Iterator<Item = Lead> {
    let published = record.attempt.published.iter().filter(|_| lifecycle::lives(record.status));
    published.filter_map(|published| lead(record, *published))
}

/// The wishes of a container, and those that follow from `-P`.
fn wishes(record: &Record) -> Vec<Publish> {
    let spec = &record.spec;
    if !spec.network.has_address() {
        return Vec::new();
    }
    let mut wishes = spec.publish.clone();
    if spec.publish_all {
        let exposed = record.resolved.exposed.iter().filter_map(|text| text.parse::<Port>().ok());
        let others = exposed.filter(|port| spec.publish.iter().all(|wish| wish.port != *port));
        wishes.extend(others.map(|port| Publish { ip: None, host: None, port }));
    }
    // What can be had at one port only comes first; a range takes what is left.
    wishes.sort_by_key(|wish| wish.host.map_or(u16::MAX, |(first, last)| last - first));
    wishes
}

/// Addresses of the host that a wish is for.
fn addresses(wish: &Publish) -> Vec<IpAddr> {
    match wish.ip {
        Some(ip) => vec![ip],
        None => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    }
}

/// Ports of the host that are tried in this order; at least one.
fn candidates(wish: &Publish) -> Vec<u16> {
    if let Some((first, last)) = wish.host {
        return (first..=last).collect();
    }
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut words = text.split_whitespace().filter_map(|word| word.parse::<u16>().ok());
    let (first, last) = match (words.next(), words.next()) {
        (Some(first), Some(last)) if first < last => (first, last),
        _ => GIVEN_OUT,
    };
    (0..TRIES).map(|_| rand::random_range(first..=last)).collect()
}

/// How a port of a container's is published: to its address of the same version of IP, where it has one.
fn lead(record: &Record, published: Published) -> Option<Lead> {
    let endpoint = record.attempt.endpoints.first()?;
    let four: Option<IpAddr> = endpoint.address.parse().ok();
    let six: Option<IpAddr> = endpoint.address_6.parse().ok();
    let (to, other) = match (published.ip.is_ipv6(), four, six) {
        (true, four, Some(six)) => (six, four),
        (_, Some(four), _) => (four, None),
        (_, None, six) => (six?, None),
    };
    Some(Lead { owner: record.id.to_string(), published, to, other })
}

fn in_dockers_words(record: &Record, error: NotPublished) -> EngineError {
    let (reason, why) = in_words(error);
    EngineError::refused(
        reason,
        format!(
            "failed to set up container networking: driver failed programming external connectivity on endpoint {} ({}): {why}",
            record.name, record.id
        ),
    )
}

/// The reason and the words of a refusal.
pub(super) fn in_words(error: NotPublished) -> (Reason, String) {
    match error {
        NotPublished::Taken(why) => (Reason::Conflict, why),
        NotPublished::NoVersion => {
            (Reason::InvalidArgument, "the host does not have this version of IP".to_owned())
        }
        NotPublished::Refused(why) => (Reason::InvalidArgument, why),
        NotPublished::Away(why) => (Reason::Unavailable, why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Status;
    use crate::store::Endpoint;

    #[test]
    fn candidates_of_each_kind_of_wish() {
        let of = |text| candidates(&Publish::parse(text).unwrap()[0]);
        assert_eq!(of("8080:80"), [8080]);
        assert_eq!(of("8080-8082:80"), [8080, 8081, 8082]);
        assert_eq!(of("80").len(), TRIES);
    }

    #[test]
    fn all_exposed_ports_that_have_no_wish() {
        let mut record = lifecycle::tests::record(Status::Created);
        record.spec.publish =
            [Publish::parse("7000-7001:80").unwrap(), Publish::parse("81:81").unwrap()].concat();
        record.resolved.exposed = vec!["80/tcp".into(), "53/udp".into()];
        let of = |record: &Record| wishes(record).iter().map(|w| w.port.to_string()).collect::<Vec<_>>();
        assert_eq!(of(&record), ["81/tcp", "80/tcp"]);
        record.spec.publish_all = true;
        assert_eq!(of(&record), ["81/tcp", "80/tcp", "53/udp"]);
    }

    #[test]
    fn versions_of_ip() {
        let mut record = lifecycle::tests::record(Status::Running);
        let published =
            |ip: &str| Published { port: "80/tcp".parse().unwrap(), ip: ip.parse().unwrap(), host: 1 };
        assert_eq!(lead(&record, published("::")), None);
        let endpoint = |address: &str, address_6: &str| {
            vec![Endpoint { address: address.into(), address_6: address_6.into(), ..Endpoint::default() }]
        };
        for (four, six, ip, to, other) in [
            ("10.0.0.2", "fd00::2", "0.0.0.0", "10.0.0.2", None),
            ("10.0.0.2", "fd00::2", "::", "fd00::2", Some("10.0.0.2")),
            ("10.0.0.2", "", "::", "10.0.0.2", None),
            ("", "fd00::2", "0.0.0.0", "fd00::2", None),
        ] {
            record.attempt.endpoints = endpoint(four, six);
            let lead = lead(&record, published(ip)).unwrap();
            assert_eq!(
                (lead.to.to_string().as_str(), lead.other.map(|ip| ip.to_string()).as_deref()),
                (to, other)
            );
        }
    }
}
