//! Names that a container knows: its /etc/hosts and its resolver's configuration.

use crate::engine::Inner;
use crate::engine::error::EngineError;
use crate::model::container::Dns;
use crate::proto::cri;
use crate::store::Record;

impl Inner {
    /// Writes the container's hosts file, which is mounted into it.
    pub(super) async fn write_hosts(&self, record: &Record) -> Result<(), EngineError> {
        let hosts = self.own_dir(record).join("hosts");
        tokio::fs::write(&hosts, hosts_file(record)).await.map_err(EngineError::file("cannot write", &hosts))
    }

    /// Resolver settings that were asked for, completed by the host's; `None`: none were, so all are the host's.
    pub(super) fn dns(&self, asked: &Dns) -> Option<cri::DnsConfig> {
        let mut servers = asked.servers.clone();
        if servers.is_empty() {
            servers.clone_from(&self.config.dns);
        }
        if servers.is_empty() && asked.searches.is_empty() && asked.options.is_empty() {
            return None;
        }
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let words = |key: &str| -> Vec<String> {
            host.lines()
                .filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix(char::is_whitespace))
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect()
        };
        if servers.is_empty() {
            servers = words("nameserver");
        }
        let mut searches = if asked.searches.is_empty() { words("search") } else { asked.searches.clone() };
        searches.retain(|domain| domain != ".");
        let options = if asked.options.is_empty() { words("options") } else { asked.options.clone() };
        Some(cri::DnsConfig { servers, searches, options })
    }
}

fn hosts_file(record: &Record) -> String {
    let mut text = "127.0.0.1\tlocalhost\n\
        ::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::\tip6-localnet\n\
        ff00::\tip6-mcastprefix\n\
        ff02::1\tip6-allnodes\n\
        ff02::2\tip6-allrouters\n"
        .to_owned();
    for entry in &record.spec.extra_hosts {
        if let Some((name, address)) = entry.split_once(':') {
            text.push_str(&format!("{address}\t{name}\n"));
        }
    }
    if !record.attempt.address().is_empty() {
        let mut names = record.resolved.hostname.clone();
        if !record.spec.domainname.is_empty() {
            names = format!("{names}.{} {names}", record.spec.domainname);
        }
        text.push_str(&format!("{}\t{names}\n", record.attempt.address()));
    }
    text
}
