//! Files and settings with the names that a container knows.

use super::HOSTS;
use crate::engine::Inner;
use crate::engine::containers::HOST_GATEWAY;
use crate::engine::error::EngineError;
use crate::model::container::{Dns, Identity, NetworkMode};
use crate::proto::cri;
use crate::store::Record;

impl Inner {
    /// Writes the container's hosts file, which is mounted into it.
    pub(super) async fn write_hosts(&self, record: &Record) -> Result<(), EngineError> {
        let path = self.own_dir(record).join(HOSTS);
        if matches!(record.spec.network, NetworkMode::Container(_)) {
            // It gets the other one's when it starts.
            return Ok(());
        }
        let gateway = self.config.host_gateway.map(|address| format!(":{address}")).unwrap_or_default();
        let extra_hosts: Vec<String> = record
            .spec
            .extra_hosts
            .iter()
            .map(|host| match host.strip_suffix(HOST_GATEWAY) {
                Some(name) => format!("{name}{gateway}"),
                None => host.clone(),
            })
            .collect();
        let text = self.parts.names.hosts(&Identity {
            hostname: &record.resolved.hostname,
            domainname: &record.spec.domainname,
            address: record.attempt.address(),
            extra_hosts: &extra_hosts,
            of_host: record.spec.network == NetworkMode::Host,
        });
        tokio::fs::write(&path, text).await.map_err(EngineError::file("cannot write", &path))
    }

    /// Gives a container the hosts file of the one whose network it joins, as it is now.
    pub(super) async fn copy_hosts(&self, from: &Record, to: &Record) -> Result<(), EngineError> {
        let [from, to] = [from, to].map(|record| self.own_dir(record).join(HOSTS));
        let text = tokio::fs::read(&from).await.map_err(EngineError::file("cannot read", &from))?;
        // The file is mounted already: it is written, and not replaced.
        tokio::fs::write(&to, text).await.map_err(EngineError::file("cannot write", &to))
    }

    /// Resolver settings for CRI; `None`: the host's.
    pub(super) fn dns(&self, record: &Record) -> Option<cri::DnsConfig> {
        let server = self.name_server(record);
        let Dns { servers, searches, options } = self.parts.names.resolver(&record.spec.dns, server)?;
        Some(cri::DnsConfig { servers, searches, options })
    }
}
