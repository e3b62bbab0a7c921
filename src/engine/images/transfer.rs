//! containerd's transfer service: one call moves an image; bytes, progress and questions go through named streams of its
//! streaming service beside that call.
//!
//! ```text
//! stream(id) -> first answer: the id is known -> transfer(ids) ... the streams end with the call
//! ```

use super::{lease::Lease, own_platform};
use crate::engine::Inner;
use crate::engine::containerd::{leased, patiently, request};
use crate::engine::error::EngineError;
use crate::model::image::Progress;
use crate::model::platform::Platform;
use containerd_client::services::v1::{StreamInit, TransferOptions, TransferRequest};
use containerd_client::to_any;
use containerd_client::types::transfer as wire;
use prost::Message;
use prost_types::Any;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Status, Streaming};

/// Longest wait for the end of the progress, after the end of the call.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// A named stream of containerd's streaming service.
pub(super) struct Pipe {
    pub(super) id: String,
    pub(super) sender: mpsc::Sender<Any>,
    pub(super) receiver: Streaming<Any>,
}

/// A name that a transfer gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) name: String,
    /// Digest of the manifest or index that it names.
    pub(super) digest: String,
}

impl Inner {
    /// Opens a stream; containerd knows its id when this returns.
    pub(super) async fn open_pipe(&self) -> Result<Pipe, EngineError> {
        let id = uuid::Uuid::new_v4().to_string();
        let (sender, receiver) = patiently(|| {
            let init = to_any(&StreamInit { id: id.clone() });
            let mut streaming = self.containerd.streaming();
            async move {
                let (sender, messages) = mpsc::channel(16);
                sender.try_send(init).ok();
                let mut receiver =
                    streaming.stream(request(ReceiverStream::new(messages))).await?.into_inner();
                // The first answer says that the stream has its name.
                receiver.message().await?;
                Ok((sender, receiver))
            }
        })
        .await
        .map_err(EngineError::call("cannot open a stream"))?;
        Ok(Pipe { id, sender, receiver })
    }

    /// Moves an image. `tell` is called with the progress; `refusal` puts containerd's error into words.
    pub(super) async fn transfer(
        &self,
        (source, destination): (Any, Any),
        lease: Option<&Lease>,
        tell: impl Fn(wire::Progress) + Send + 'static,
        refusal: impl FnOnce(&Status) -> EngineError,
    ) -> Result<Vec<Saved>, EngineError> {
        let progress = self.open_pipe().await?;
        let message = TransferRequest {
            source: Some(source),
            destination: Some(destination),
            options: Some(TransferOptions { progress_stream: progress.id.clone() }),
        };
        let watching = AbortOnDropHandle::new(tokio::spawn(watch(progress.receiver, tell)));
        let call = match lease {
            Some(lease) => leased(message, lease.id()),
            None => request(message),
        };
        let answer = self.containerd.transfer().transfer(call).await;
        drop(progress.sender);
        answer.map_err(|status| refusal(&status))?;
        match tokio::time::timeout(LAST_WORDS, watching).await {
            Ok(Ok(saved)) => Ok(saved),
            _ => Err(EngineError::Broken("containerd did not tell which names it gave".to_owned())),
        }
    }

    /// An image store that takes content for the host's platform and unpacks it.
    pub(super) fn store_for_us(&self) -> wire::ImageStore {
        self.store_for(&own_platform())
    }

    /// An image store that takes content for a platform and unpacks it.
    pub(super) fn store_for(&self, platform: &Platform) -> wire::ImageStore {
        let platform = containerd_client::types::Platform {
            os: platform.os.clone(),
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            ..Default::default()
        };
        wire::ImageStore {
            platforms: vec![platform.clone()],
            unpacks: vec![wire::UnpackConfiguration {
                platform: Some(platform),
                snapshotter: self.config.snapshotter.clone(),
            }],
            ..Default::default()
        }
    }
}

/// Reads progress until the transfer is over; returns the names it gave.
async fn watch(mut receiver: Streaming<Any>, tell: impl Fn(wire::Progress)) -> Vec<Saved> {
    let mut saved = Vec::new();
    while let Ok(Some(any)) = receiver.message().await {
        let Ok(progress) = wire::Progress::decode(any.value.as_slice()) else { continue };
        if progress.event == "saved" {
            let digest = progress.desc.map(|d| d.digest).unwrap_or_default();
            saved.push(Saved { name: progress.name, digest });
        } else {
            tell(progress);
        }
    }
    saved
}

/// A digest as progress shows it: twelve digits.
pub(super) fn short(digest: &str) -> String {
    digest.strip_prefix("sha256:").unwrap_or(digest).chars().take(12).collect()
}

/// Progress in containerd's words; its id is a digest, or a name.
pub(super) fn step(progress: wire::Progress) -> Progress {
    Progress {
        id: progress.desc.map(|d| d.digest).unwrap_or(progress.name),
        status: progress.event,
        current: progress.progress,
        total: progress.total,
    }
}
