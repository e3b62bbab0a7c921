//! BuildKit's cache: what it takes, and taking it away.

use super::BuildError;
use crate::proto::moby::buildkit::v1::control_client::ControlClient;
use crate::proto::moby::buildkit::v1::{DiskUsageRequest, PruneRequest, UsageRecord};
use jiff::Timestamp;
use std::time::Duration;
use tonic::transport::Channel;

/// Largest answer, in bytes: all records come in one.
const MESSAGE_LIMIT: usize = 64 << 20;

/// One record of the cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheRecord {
    /// BuildKit's ID.
    pub id: String,
    /// IDs of the records that it lies on.
    pub parents: Vec<String>,
    /// A build is using it.
    pub in_use: bool,
    /// It may still change.
    pub mutable: bool,
    /// Bytes.
    pub size: i64,
    /// Shared with others or with images.
    pub shared: bool,
    /// `regular`, `source.local`, ...
    pub kind: String,
    /// The step that made it.
    pub description: String,
    /// Time at which it was made.
    pub created: Option<Timestamp>,
    /// `None`: never.
    pub last_used: Option<Timestamp>,
    /// Number of builds that used it.
    pub uses: i64,
}

impl From<UsageRecord> for CacheRecord {
    fn from(record: UsageRecord) -> Self {
        Self {
            id: record.id,
            parents: record.parents,
            in_use: record.in_use,
            mutable: record.mutable,
            size: record.size,
            shared: record.shared,
            kind: record.record_type,
            description: record.description,
            created: moment(record.created_at.as_ref()),
            last_used: moment(record.last_used_at.as_ref()),
            uses: record.usage_count,
        }
    }
}

/// A moment as BuildKit has it; one that cannot be shown is none.
pub(super) fn moment(time: Option<&prost_types::Timestamp>) -> Option<Timestamp> {
    time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok())
}

/// Records that a prune takes: those that no build uses and that all conditions allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pruning {
    /// Also what images share, and what is BuildKit's own.
    pub all: bool,
    /// Only what was not used for so long.
    pub unused_for: Option<Duration>,
    /// Filters as [`filter`] makes them; one of them must match.
    pub filters: Vec<String>,
    /// Bytes that are always kept; 0: none.
    pub reserved: i64,
    /// Bytes down to which is pruned; 0: everything.
    pub most: i64,
    /// Bytes that are to be free on the disk; 0: any.
    pub free: i64,
}

/// A condition in BuildKit's form. Answers `None` for a key that it has not.
pub fn filter(key: &str, value: &str) -> Option<String> {
    let quoted = || format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    match (key, value) {
        ("id" | "type", _) => Some(format!("{key}=={}", quoted())),
        ("parents" | "description", _) => Some(format!("{key}~={}", quoted())),
        ("inuse" | "mutable" | "immutable" | "shared" | "private", "true" | "1" | "") => Some(key.to_owned()),
        ("mutable", "false" | "0") => Some("immutable".to_owned()),
        ("immutable", "false" | "0") => Some("mutable".to_owned()),
        ("shared", "false" | "0") => Some("private".to_owned()),
        ("private", "false" | "0") => Some("shared".to_owned()),
        _ => None,
    }
}

/// Records of the cache for which one of the filters holds; without filters, all.
///
/// # Errors
/// Whatever BuildKit says.
pub async fn usage(channel: Channel, filters: Vec<String>) -> Result<Vec<CacheRecord>, BuildError> {
    let mut control = ControlClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
    let request = DiskUsageRequest { filter: filters, ..DiskUsageRequest::default() };
    let answer = control.disk_usage(request).await.map_err(BuildError::refused)?;
    Ok(answer.into_inner().record.into_iter().map(Into::into).collect())
}

/// Removes records. Answers those that went.
///
/// # Errors
/// Whatever BuildKit says.
pub async fn prune(channel: Channel, pruning: Pruning) -> Result<Vec<CacheRecord>, BuildError> {
    let mut control = ControlClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT);
    let nanos = pruning.unused_for.map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    let request = PruneRequest {
        filter: pruning.filters,
        all: pruning.all,
        keep_duration: nanos,
        reserved_space: pruning.reserved,
        max_used_space: pruning.most,
        min_free_space: pruning.free,
    };
    let mut gone = Vec::new();
    let mut stream = control.prune(request).await.map_err(BuildError::refused)?.into_inner();
    while let Some(record) = stream.message().await.map_err(BuildError::refused)? {
        gone.push(record.into());
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_in_buildkits_form() {
        for (key, value, expected) in [
            ("type", "exec.cachemount", Some("type==\"exec.cachemount\"")),
            ("description", "a \"b\" \\c", Some("description~=\"a \\\"b\\\" \\\\c\"")),
            ("inuse", "true", Some("inuse")),
            ("shared", "false", Some("private")),
            ("mutable", "0", Some("immutable")),
            ("inuse", "false", None),
            ("colour", "red", None),
        ] {
            assert_eq!(filter(key, value).as_deref(), expected, "{key}={value}");
        }
    }
}
