//! Loading an archive: the bytes go through containerd's streaming service, its transfer service imports and unpacks them.

use super::{UNNAMED, architecture};
use crate::engine::containerd::{patiently, request};
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::image::{LoadOutcome, Progress};
use crate::model::reference;
use bytes::Bytes;
use containerd_client::services::v1::{StreamInit, TransferOptions, TransferRequest};
use containerd_client::to_any;
use containerd_client::types::Platform;
use containerd_client::types::transfer as wire;
use futures::{Stream, StreamExt};
use prost::Message;
use prost_types::Any;
use std::io;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;

/// No part of an archive is sent in larger pieces.
const PIECE: usize = 64 << 10;

/// One named stream of containerd's streaming service.
struct Pipe {
    id: String,
    sender: mpsc::Sender<Any>,
    receiver: Streaming<Any>,
}

impl Engine {
    /// Loads a docker or OCI archive, also compressed by gzip or zstd.
    pub async fn load(
        &self,
        input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
    ) -> Result<ReceiverStream<Result<LoadOutcome, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(async move {
            let progress = sender.clone();
            let answer = tokio::select! {
                answer = inner.import(input, Some(progress)) => answer,
                () = sender.closed() => return,
            };
            let outcomes = match answer {
                Ok(names) => names.iter().map(|name| Ok(outcome(name))).collect(),
                Err(error) => vec![Err(error)],
            };
            for outcome in outcomes {
                if sender.send(outcome).await.is_err() {
                    break;
                }
            }
        });
        Ok(ReceiverStream::new(receiver))
    }
}

fn outcome(name: &str) -> LoadOutcome {
    match name.strip_prefix(UNNAMED).and_then(|rest| rest.strip_prefix('@')) {
        Some(digest) => LoadOutcome::Id(digest.to_owned()),
        None => LoadOutcome::Image(reference::familiar(name)),
    }
}

impl Inner {
    /// Imports an image of the binary, once ever; another name is nothing to do.
    pub(in crate::engine) async fn import_embedded(&self, reference: &str) -> Result<(), EngineError> {
        let Some(embedded) = self.config.embedded_images.iter().find(|e| e.reference == reference) else {
            return Ok(());
        };
        let _one = self.importing.lock().await;
        let key = format!("embedded-image {reference}");
        if !embedded.pinned && self.store.text(&key)?.is_some() {
            return Ok(());
        }
        if embedded.pinned && self.image_names().await?.iter().any(|i| i.name == reference) {
            return Ok(());
        }
        let file = tokio::fs::File::open(&embedded.archive)
            .await
            .map_err(EngineError::file("cannot open", &embedded.archive))?;
        self.import(tokio_util::io::ReaderStream::with_capacity(file, PIECE), None).await?;
        if !embedded.pinned {
            self.commit(crate::store::Change::new().text(&key, "imported")).await?;
        }
        Ok(())
    }

    /// Imports an archive; returns the names that were given, as containerd keeps them.
    pub(in crate::engine) async fn import(
        &self,
        input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
        outcomes: Option<mpsc::Sender<Result<LoadOutcome, EngineError>>>,
    ) -> Result<Vec<String>, EngineError> {
        let data = self.open_pipe().await?;
        let progress = self.open_pipe().await?;
        let message = TransferRequest {
            source: Some(to_any(&wire::ImageImportStream {
                stream: data.id.clone(),
                media_type: String::new(),
                force_compress: false,
            })),
            destination: Some(to_any(&self.destination())),
            options: Some(TransferOptions { progress_stream: progress.id.clone() }),
        };
        let names = tokio::spawn(watch_progress(progress.receiver, outcomes));
        let feeding = AbortOnDropHandle::new(tokio::spawn(feed(data.sender, data.receiver, input)));
        let answer = self.containerd.transfer().transfer(request(message)).await;
        drop(progress.sender);
        // What went wrong in reading is the cause; what containerd says is the consequence.
        let fed = if feeding.is_finished() { feeding.await.ok() } else { None };
        if let Some(Err(source)) = fed {
            return Err(EngineError::Broken(format!("cannot read the archive: {source}")));
        }
        answer.map_err(|status| import_error(&status))?;
        let mut names = tokio::time::timeout(Duration::from_secs(5), names)
            .await
            .ok()
            .and_then(Result::ok)
            .unwrap_or_default();
        names.sort();
        names.dedup();
        self.drop_archive_index(&mut names).await?;
        if names.is_empty() {
            return Err(EngineError::invalid("the archive has no image for this platform"));
        }
        self.await_cri(&names).await;
        for name in &names {
            self.image_event("load", name, &reference::familiar(name)).await;
        }
        Ok(names)
    }

    /// containerd also keeps the archive's own index, as if it were an image without a name: that goes.
    async fn drop_archive_index(&self, names: &mut Vec<String>) -> Result<(), EngineError> {
        let targets: Vec<String> = self
            .image_names()
            .await?
            .into_iter()
            .filter(|i| names.contains(&i.name))
            .filter_map(|i| i.target.map(|t| t.digest))
            .collect();
        let mut indexes = Vec::new();
        for name in names.iter() {
            let Some(digest) = name.strip_prefix(UNNAMED).and_then(|r| r.strip_prefix('@')) else { continue };
            let children = self.children(digest).await?;
            if !children.is_empty() && children.iter().all(|c| targets.contains(c)) {
                indexes.push(name.clone());
            }
        }
        for name in indexes {
            self.delete_name(&name, false).await?;
            names.retain(|n| *n != name);
        }
        Ok(())
    }

    /// CRI learns of new images from containerd's events: waits until it has.
    pub(super) async fn await_cri(&self, names: &[String]) {
        for name in names {
            for _ in 0..100 {
                if self.cri.has_image(name).await.unwrap_or(true) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    fn destination(&self) -> wire::ImageStore {
        let platform = Platform {
            os: "linux".to_owned(),
            architecture: architecture().to_owned(),
            ..Default::default()
        };
        wire::ImageStore {
            platforms: vec![platform.clone()],
            extra_references: vec![wire::ImageReference {
                name: UNNAMED.to_owned(),
                is_prefix: true,
                allow_overwrite: true,
                add_digest: true,
                skip_named_digest: true,
            }],
            unpacks: vec![wire::UnpackConfiguration {
                platform: Some(platform),
                snapshotter: self.config.snapshotter.clone(),
            }],
            ..Default::default()
        }
    }

    async fn open_pipe(&self) -> Result<Pipe, EngineError> {
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
}

/// Sends an archive as fast as containerd widens the window; ends the stream at its end.
async fn feed(
    sender: mpsc::Sender<Any>,
    mut receiver: Streaming<Any>,
    input: impl Stream<Item = Result<Bytes, io::Error>> + Send,
) -> io::Result<()> {
    let mut window = 0_i64;
    let mut input = pin!(input);
    while let Some(part) = input.next().await {
        let mut part = part?;
        while !part.is_empty() {
            while window <= 0 {
                match receiver.message().await {
                    Ok(Some(any)) => {
                        let update = wire::WindowUpdate::decode(any.value.as_slice()).unwrap_or_default();
                        window += i64::from(update.update);
                    }
                    // containerd has seen enough, or failed, which the transfer itself reports.
                    Ok(None) | Err(_) => return Ok(()),
                }
            }
            let piece = part.split_to(part.len().min(PIECE).min(usize::try_from(window).unwrap_or(PIECE)));
            window -= i64::try_from(piece.len()).unwrap_or(i64::MAX);
            if sender.send(to_any(&wire::Data { data: piece.to_vec() })).await.is_err() {
                return Ok(());
            }
        }
    }
    drop(sender);
    // Letting go of the other direction would cut off what containerd has not read yet: it closes it, or we are ended.
    while let Ok(Some(_)) = receiver.message().await {}
    Ok(())
}

/// Reads progress until the transfer is over; returns the names it saved.
async fn watch_progress(
    mut receiver: Streaming<Any>,
    outcomes: Option<mpsc::Sender<Result<LoadOutcome, EngineError>>>,
) -> Vec<String> {
    let mut names = Vec::new();
    while let Ok(Some(any)) = receiver.message().await {
        let Ok(progress) = wire::Progress::decode(any.value.as_slice()) else { continue };
        if progress.event == "saved" {
            names.push(progress.name);
            continue;
        }
        if let Some(outcomes) = &outcomes {
            let line = Progress {
                id: progress.desc.map(|d| d.digest).unwrap_or(progress.name),
                status: progress.event,
                current: progress.progress,
                total: progress.total,
            };
            // A reader that is slow misses some progress, never a name.
            outcomes.try_send(Ok(LoadOutcome::Progress(line))).ok();
        }
    }
    names
}

fn import_error(status: &tonic::Status) -> EngineError {
    let text = status.message();
    if text.contains("unrecognized image format")
        || text.contains("archive/tar")
        || text.contains("unexpected EOF")
    {
        EngineError::invalid(format!("invalid archive: {text}"))
    } else {
        EngineError::call("cannot load the archive")(status.clone())
    }
}

/// How often an image of the bundle is tried: without pause there is no pod, and nobody can pull it.
const TRIES: u32 = 5;

/// Imports what the binary brings: the images that k3c itself needs, or the others.
pub(in crate::engine) async fn import_all(inner: &Inner, pinned: bool) {
    for embedded in inner.config.embedded_images.iter().filter(|e| e.pinned == pinned) {
        for attempt in 1..=TRIES {
            match inner.import_embedded(&embedded.reference).await {
                Ok(()) => break,
                Err(error) => {
                    let image = &embedded.reference;
                    tracing::warn!(image, attempt, %error, "cannot import an image of the bundle");
                }
            }
            if attempt < TRIES {
                tokio::time::sleep(Duration::from_millis(100) * attempt).await;
            }
        }
    }
}
