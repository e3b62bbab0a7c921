//! Signatures only, until the engine is merged.

use crate::model::container::*;
use crate::model::event::{Event, EventFilter};
use crate::model::id::ContainerId;
use crate::model::image::{ImageSummary, LoadOutcome, PullOutcome, Removed};
use crate::model::reason::Reason;
use crate::model::system::Version;
use crate::model::volume::VolumeSummary;
use bytes::Bytes;
use std::collections::BTreeMap;
use tokio_stream::wrappers::ReceiverStream;

#[derive(Debug, thiserror::Error)]
#[error("no engine")]
pub struct EngineError;

impl EngineError {
    pub fn reason(&self) -> Reason {
        Reason::Unsupported
    }
}

type R<T> = Result<T, EngineError>;

#[derive(Clone, Default)]
pub struct Engine;

#[expect(clippy::unused_async, reason = "signatures")]
impl Engine {
    pub async fn create(&self, _: ContainerSpec, _: Option<String>) -> R<(ContainerId, Vec<String>)> {
        Err(EngineError)
    }
    pub async fn start_container(&self, _: &str) -> R<Vec<String>> {
        Err(EngineError)
    }
    pub async fn stop(&self, _: &str, _: Option<i64>, _: Option<String>) -> R<()> {
        Err(EngineError)
    }
    pub async fn kill(&self, _: &str, _: &str) -> R<()> {
        Err(EngineError)
    }
    pub async fn remove(&self, _: &str, _: bool, _: bool) -> R<()> {
        Err(EngineError)
    }
    pub async fn wait(&self, _: &str, _: WaitCondition) -> R<ExitStatus> {
        Err(EngineError)
    }
    pub async fn list(&self, _: ListFilter) -> R<Vec<ContainerSummary>> {
        Err(EngineError)
    }
    pub async fn inspect(&self, _: &str, _: bool) -> R<serde_json::Value> {
        Err(EngineError)
    }
    pub async fn logs(&self, _: &str, _: LogsOptions) -> R<ReceiverStream<R<LogEntry>>> {
        Err(EngineError)
    }
    pub async fn images(&self, _: bool, _: BTreeMap<String, Vec<String>>) -> R<Vec<ImageSummary>> {
        Err(EngineError)
    }
    pub async fn inspect_image(&self, _: &str) -> R<serde_json::Value> {
        Err(EngineError)
    }
    pub async fn tag(&self, _: &str, _: &str) -> R<()> {
        Err(EngineError)
    }
    pub async fn remove_image(&self, _: &str, _: bool, _: bool) -> R<Vec<Removed>> {
        Err(EngineError)
    }
    pub async fn load(
        &self,
        _: impl futures::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static,
    ) -> R<ReceiverStream<R<LoadOutcome>>> {
        Err(EngineError)
    }
    pub async fn pull(&self, _: &str, _: Option<String>) -> R<ReceiverStream<R<PullOutcome>>> {
        Err(EngineError)
    }
    pub async fn create_volume(&self, _: Option<String>, _: BTreeMap<String, String>) -> R<VolumeSummary> {
        Err(EngineError)
    }
    pub async fn volumes(&self) -> R<Vec<VolumeSummary>> {
        Err(EngineError)
    }
    pub async fn remove_volume(&self, _: &str, _: bool) -> R<()> {
        Err(EngineError)
    }
    pub async fn info(&self) -> R<serde_json::Value> {
        Err(EngineError)
    }
    pub async fn version(&self) -> R<Version> {
        Ok(Version { version: env!("CARGO_PKG_VERSION").to_owned(), ..Version::default() })
    }
    pub async fn events(&self, _: EventFilter) -> ReceiverStream<R<Event>> {
        ReceiverStream::new(tokio::sync::mpsc::channel(1).1)
    }
}
