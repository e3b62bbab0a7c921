//! Builds of the past, as BuildKit keeps them: what was built, how it ended, and everything that it said.

use super::BuildError;
use super::built::DIGEST;
use super::cache::moment;
use super::progress::Display;
use crate::proto::moby::buildkit::v1::control_client::ControlClient;
use crate::proto::moby::buildkit::v1::{
    BuildHistoryEventType, BuildHistoryRecord, BuildHistoryRequest, StatusRequest, UpdateBuildHistoryRequest,
};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tonic::Code;
use tonic::transport::Channel;

/// Logs come in messages of any size.
const MESSAGE_LIMIT: usize = 64 << 20;

/// Phase of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It goes on.
    Running,
    /// It succeeded.
    Completed,
    /// It failed.
    Failed,
    /// Its client went away, or interrupted it.
    Canceled,
}

impl Phase {
    /// The word of `docker buildx history`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "Running",
            Self::Completed => "Completed",
            Self::Failed => "Error",
            Self::Canceled => "Canceled",
        }
    }
}

/// A build of the past, or one that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// ID of the build.
    pub id: String,
    /// Phase.
    pub phase: Phase,
    /// Why it failed; empty if it did not.
    pub error: String,
    /// Its begin.
    pub created: Option<Timestamp>,
    /// Its end.
    pub completed: Option<Timestamp>,
    /// Attributes of the Dockerfile frontend: `target`, `build-arg:NAME`, ...
    pub attributes: BTreeMap<String, String>,
    /// What was made of the result: `image`, `local`, ..., with attributes.
    pub exporters: Vec<(String, BTreeMap<String, String>)>,
    /// Digest of the image, if one was made.
    pub digest: Option<String>,
    /// Steps in all.
    pub steps: i32,
    /// Steps that ended.
    pub steps_done: i32,
    /// Steps that were not run, because their result was known.
    pub steps_cached: i32,
    /// Number of warnings.
    pub warnings: i32,
}

impl From<BuildHistoryRecord> for Past {
    fn from(record: BuildHistoryRecord) -> Self {
        let code = record.error.as_ref().map(|error| Code::from_i32(error.code));
        let phase = match (record.completed_at.is_some(), code) {
            (false, _) => Phase::Running,
            (true, None) => Phase::Completed,
            (true, Some(Code::Cancelled)) => Phase::Canceled,
            (true, Some(_)) => Phase::Failed,
        };
        let results = record.result.map(|result| result.results).unwrap_or_default();
        let result = results.into_iter().min_by_key(|(number, _)| *number).map(|(_, made)| made.digest);
        Self {
            id: record.r#ref,
            phase,
            error: record.error.map_or_else(String::new, |error| error.message),
            created: moment(record.created_at.as_ref()),
            completed: moment(record.completed_at.as_ref()),
            // Caches are given with the keys to them.
            attributes: record.frontend_attrs.into_iter().filter(|(key, _)| key != "cache-imports").collect(),
            exporters: record
                .exporters
                .into_iter()
                .map(|e| (e.r#type, e.attrs.into_iter().collect()))
                .collect(),
            digest: record.exporter_response.get(DIGEST).cloned().or(result),
            steps: record.num_total_steps,
            steps_done: record.num_completed_steps,
            steps_cached: record.num_cached_steps,
            warnings: record.num_warnings,
        }
    }
}

fn control(channel: Channel) -> ControlClient<Channel> {
    ControlClient::new(channel).max_decoding_message_size(MESSAGE_LIMIT)
}

/// The builds that BuildKit remembers and those that go on, the newest first.
///
/// # Errors
/// Whatever BuildKit says.
pub async fn history(channel: Channel) -> Result<Vec<Past>, BuildError> {
    let request = BuildHistoryRequest { early_exit: true, ..BuildHistoryRequest::default() };
    let mut events =
        control(channel).listen_build_history(request).await.map_err(BuildError::history)?.into_inner();
    let mut builds: BTreeMap<String, Past> = BTreeMap::new();
    while let Some(event) = events.message().await.map_err(BuildError::history)? {
        let (kind, Some(record)) = (event.r#type(), event.record) else { continue };
        match kind {
            BuildHistoryEventType::Deleted => drop(builds.remove(&record.r#ref)),
            _ => drop(builds.insert(record.r#ref.clone(), record.into())),
        }
    }
    let mut builds: Vec<Past> = builds.into_values().collect();
    builds.sort_by_key(|build| std::cmp::Reverse(build.created));
    Ok(builds)
}

/// Shows what a build said, from its begin on; one that goes on is followed to its end.
///
/// # Errors
/// Whatever BuildKit says, also of a build that it does not know any more.
pub async fn logs(channel: Channel, build: &Past, display: &mut dyn Display) -> Result<(), BuildError> {
    let request = StatusRequest { r#ref: build.id.clone() };
    let mut said = control(channel).status(request).await.map_err(BuildError::history)?.into_inner();
    while let Some(status) = said.message().await.map_err(BuildError::history)? {
        display.update(status);
    }
    display.finish(matches!(build.phase, Phase::Failed | Phase::Canceled));
    Ok(())
}

/// Removes a build from the history.
///
/// # Errors
/// Whatever BuildKit says.
pub async fn forget(channel: Channel, id: &str) -> Result<(), BuildError> {
    let request = UpdateBuildHistoryRequest {
        r#ref: id.to_owned(),
        delete: true,
        ..UpdateBuildHistoryRequest::default()
    };
    control(channel).update_build_history(request).await.map_err(BuildError::history)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::google::rpc;
    use prost_types::Timestamp as Wire;

    #[test]
    fn phases() {
        let ended = Some(Wire { seconds: 5, nanos: 0 });
        let failed =
            |code: Code| Some(rpc::Status { code: code.into(), message: "why".into(), details: Vec::new() });
        for (completed_at, error, phase) in [
            (None, None, Phase::Running),
            (ended, None, Phase::Completed),
            (ended, failed(Code::Unknown), Phase::Failed),
            (ended, failed(Code::Cancelled), Phase::Canceled),
        ] {
            let record = BuildHistoryRecord { completed_at, error, ..BuildHistoryRecord::default() };
            assert_eq!(Past::from(record).phase, phase);
        }
    }
}
