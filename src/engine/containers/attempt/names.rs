//! Files and settings with the names that a container knows.

use super::HOSTS;
use crate::engine::Inner;
use crate::engine::error::EngineError;
use crate::model::container::{Dns, Identity};
use crate::proto::cri;
use crate::store::Record;

impl Inner {
    /// Writes the container's hosts file, which is mounted into it.
    pub(super) async fn write_hosts(&self, record: &Record) -> Result<(), EngineError> {
        let path = self.own_dir(record).join(HOSTS);
        let text = self.parts.names.hosts(&Identity {
            hostname: &record.resolved.hostname,
            domainname: &record.spec.domainname,
            address: record.attempt.address(),
            extra_hosts: &record.spec.extra_hosts,
        });
        tokio::fs::write(&path, text).await.map_err(EngineError::file("cannot write", &path))
    }

    /// Resolver settings for CRI; `None`: the host's.
    pub(super) fn dns(&self, asked: &Dns) -> Option<cri::DnsConfig> {
        let Dns { servers, searches, options } = self.parts.names.resolver(asked)?;
        Some(cri::DnsConfig { servers, searches, options })
    }
}
