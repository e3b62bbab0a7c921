//! BuildKit's cache: what it takes, and taking it away.

use super::BuildError;
use crate::proto::moby::buildkit::v1::control_client::ControlClient;
use crate::proto::moby::buildkit::v1::{DiskUsageRequest, PruneRequest, UsageRecord};
use std::time::Duration;
use tonic::transport::Channel;

/// One record of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRecord {
    /// BuildKit's ID.
    pub id: String,
    /// A build is using it.
    pub in_use: bool,
    /// Bytes.
    pub size: i64,
    /// Shared with others or with images.
    pub shared: bool,
    /// `regular`, `source.local`, ...
    pub kind: String,
    /// The step that made it.
    pub description: String,
}

impl From<UsageRecord> for CacheRecord {
    fn from(record: UsageRecord) -> Self {
        Self {
            id: record.id,
            in_use: record.in_use,
            size: record.size,
            shared: record.shared,
            kind: record.record_type,
            description: record.description,
        }
    }
}

/// All records of the cache.
pub async fn usage(channel: Channel) -> Result<Vec<CacheRecord>, BuildError> {
    let mut control = ControlClient::new(channel).max_decoding_message_size(64 << 20);
    let answer = control.disk_usage(DiskUsageRequest::default()).await.map_err(BuildError::refused)?;
    Ok(answer.into_inner().record.into_iter().map(Into::into).collect())
}

/// Removes what no build uses: with `all` also what images share, with `unused_for` only what was not used for so long.
/// Answers the records that went.
pub async fn prune(
    channel: Channel,
    all: bool,
    unused_for: Option<Duration>,
) -> Result<Vec<CacheRecord>, BuildError> {
    let mut control = ControlClient::new(channel).max_decoding_message_size(64 << 20);
    let nanos = unused_for.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    let request = PruneRequest { all, keep_duration: nanos, ..PruneRequest::default() };
    let mut gone = Vec::new();
    let mut stream = control.prune(request).await.map_err(BuildError::refused)?.into_inner();
    while let Some(record) = stream.message().await.map_err(BuildError::refused)? {
        gone.push(record.into());
    }
    Ok(gone)
}
