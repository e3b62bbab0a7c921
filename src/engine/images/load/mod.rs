//! `load`: the files of an archive go into containerd's content store, what they say is looked at, and then containerd's
//! transfer service unpacks the images and gives them their names.
//!
//! ```text
//! bytes ─ compression ─ archive (tar, refusals) ─ store (content, under a lease) ─ layout (is all there?)
//!                                                                                     │ an index of what is wanted
//!                                            names ─ transfer (unpacks, names) ───────┘
//! ```
//!
//! containerd could read the archive itself. But it keeps manifests in memory whatever their size, knows two ways of
//! compression, and says of an archive that is damaged which digest it did not find.
//!
//! An image without a name gets one of ours when it is unpacked. Until there are names only the lease holds the content,
//! so that of an archive that is refused nothing stays.

mod archive;
mod import;
mod layout;
mod store;

use super::lease::Lease;
use super::transfer::Pipe;
use super::{UNNAMED, content, own_platform};
use crate::engine::containerd::words;
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner, apart, compression};
use crate::model::image::{LoadOutcome, Progress};
use crate::model::platform::Platform;
use crate::model::reference;
use archive::Item;
use bytes::Bytes;
use containerd_client::to_any;
use containerd_client::types::transfer as wire;
use futures::Stream;
use layout::Found;
use prost::Message;
use prost_types::Any;
use serde_json::{Value, json};
use std::io;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;

/// Size of the longest piece that is sent to containerd's import at once, in bytes.
pub(super) const PIECE: usize = 64 << 10;

impl Engine {
    /// Loads a docker or OCI archive, also one that is compressed by gzip, zstd, xz or bzip2.
    ///
    /// # Errors
    /// At once: `InvalidArgument` (the platform). Among the outcomes: `InvalidArgument`: not an archive, a broken one, or
    /// one without an image for that platform; `Conflict`: it has a name that is k3c's own;
    /// `Internal`: no space is left.
    pub async fn load(
        &self,
        input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
        platform: Option<String>,
    ) -> Result<ReceiverStream<Result<LoadOutcome, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let platform = platform.map(|text| Platform::parse(&text, &own_platform())).transpose()?;
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(async move {
            let progress = sender.clone();
            let tell = move |step| {
                // A reader that is slow misses some progress, never a name.
                progress.try_send(Ok(LoadOutcome::Progress(step))).ok();
            };
            let answer = tokio::select! {
                answer = inner.load_archive(input, platform.as_ref(), tell) => answer,
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
    /// Loads an archive, or what is for one platform; returns the names that were given, as containerd keeps them.
    pub(super) async fn load_archive(
        &self,
        input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
        platform: Option<&Platform>,
        tell: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Vec<String>, EngineError> {
        let lease = self.lease("load").await?;
        let (sender, items) = mpsc::channel(4);
        let reading = apart(move || read(input, &sender))?;
        let stored = self.store_files(items, &lease, &tell).await;
        // The reader's error is the cause; that files end too early is its consequence.
        over(reading).await?;
        let images = self.images_in(&stored?, platform, &lease).await?;
        // What containerd does not look at would be collected.
        for (digest, document) in images.iter().flat_map(|image| &image.documents) {
            self.label_content(digest, content::references(document)).await?;
        }
        let (ours, others): (Vec<Found>, Vec<Found>) = images.into_iter().partition(|image| image.ours);
        if !ours.is_empty() {
            self.unpack(&ours, &lease).await?;
        }
        let (mut names, mut known) = (Vec::new(), Vec::new());
        for image in ours.into_iter().chain(others) {
            let name = match &image.name {
                Some(name) => name.to_string(),
                None => format!("{UNNAMED}@{}", image.target.digest),
            };
            if !image.ours || image.name.is_none() {
                self.point_name(&name, image.target.clone()).await?;
            }
            self.forget_facts(&image.target.digest);
            if image.ours {
                known.push(name.clone());
            }
            names.push(name);
        }
        names.sort();
        names.dedup();
        self.await_cri(&known).await;
        for name in &names {
            self.image_event("load", name, &reference::familiar(name)).await;
        }
        Ok(names)
    }

    /// Lets containerd unpack images whose content it has, and name those that have a name.
    async fn unpack(&self, images: &[Found], lease: &Lease) -> Result<(), EngineError> {
        let archive = of_content(images).map_err(archive::broken)?;
        let Pipe { id, sender, receiver } = self.open_pipe().await?;
        let source = wire::ImageImportStream { stream: id, ..Default::default() };
        let mut destination = self.store_for_us();
        destination.extra_references = vec![wire::ImageReference {
            name: UNNAMED.to_owned(),
            is_prefix: true,
            allow_overwrite: true,
            ..Default::default()
        }];
        let _feeding = AbortOnDropHandle::new(tokio::spawn(feed(sender, receiver, archive)));
        let ends = (to_any(&source), to_any(&destination));
        self.transfer(ends, Some(lease), |_| {}, import_error).await.map(drop)
    }

    /// CRI learns of new images from containerd's events: waits until it has.
    pub(super) async fn await_cri(&self, names: &[String]) {
        for name in names {
            for _ in 0..100 {
                if self.cri.has_image(name).await.unwrap_or(true) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        }
    }
}

/// What became of reading. An error that is none: nobody received any more, and whoever did not says why.
type Read = Result<(), Option<EngineError>>;

/// Waits until an input was read.
async fn over(reading: impl Future<Output = Result<Read, EngineError>>) -> Result<(), EngineError> {
    match reading.await? {
        Err(Some(error)) => Err(error),
        Ok(()) | Err(None) => Ok(()),
    }
}

/// An input without its compression, to be read by a thread that may block.
fn opened<'a>(
    input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'a,
) -> Result<compression::Archive<'a>, EngineError> {
    let reader = tokio_util::io::StreamReader::new(Box::pin(input));
    compression::open(tokio_util::io::SyncIoBridge::new(reader)).map_err(archive::broken)
}

/// Reads an archive to its end.
fn read(
    input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
    items: &mpsc::Sender<Item>,
) -> Read {
    let mut plain = opened(input)?;
    archive::read(&mut plain, |item| items.blocking_send(item).map_err(|_| None))?;
    plain.check().map_err(|error| Some(archive::broken(error)))
}

/// An archive that says which content is wanted, and has none of it.
fn of_content(images: &[Found]) -> io::Result<Vec<u8>> {
    let manifests: Vec<Value> = images
        .iter()
        .map(|image| {
            let target = &image.target;
            let mut descriptor =
                json!({ "mediaType": target.media_type, "digest": target.digest, "size": target.size });
            if let Some(name) = &image.name {
                descriptor["annotations"] = json!({ super::save::NAME: name.to_string() });
            }
            descriptor
        })
        .collect();
    let mut archive = tar::Builder::new(Vec::new());
    for (name, document) in [
        ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
        ("index.json", json!({ "schemaVersion": 2, "manifests": manifests })),
    ] {
        let text = document.to_string();
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    archive.into_inner()
}

/// Sends an archive as fast as containerd widens the window; ends the stream at its end.
async fn feed(sender: mpsc::Sender<Any>, mut receiver: Streaming<Any>, archive: Vec<u8>) {
    let mut window = 0_i64;
    let mut left = Bytes::from(archive);
    while !left.is_empty() {
        while window <= 0 {
            match receiver.message().await {
                Ok(Some(any)) => {
                    let update = wire::WindowUpdate::decode(any.value.as_slice()).unwrap_or_default();
                    window += i64::from(update.update);
                }
                // containerd has seen enough, or failed, which the transfer itself reports.
                Ok(None) | Err(_) => return,
            }
        }
        let piece = left.split_to(left.len().min(PIECE).min(usize::try_from(window).unwrap_or(PIECE)));
        window -= i64::try_from(piece.len()).unwrap_or(i64::MAX);
        if sender.send(to_any(&wire::Data { data: piece.to_vec() })).await.is_err() {
            return;
        }
    }
    drop(sender);
    // Letting go of the other direction would cut off what containerd has not read yet: it closes it, or we are ended.
    while let Ok(Some(_)) = receiver.message().await {}
}

fn import_error(status: &tonic::Status) -> EngineError {
    if words::is_another_layer(status) {
        return archive::bad("a layer is not the one that its image's configuration names");
    }
    match words::bad_layer(status) {
        Some((digest, cause)) => archive::bad(format!("the layer {digest} cannot be unpacked: {cause}")),
        None => EngineError::call("cannot load the archive")(status.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Status;

    #[test]
    fn refusals_in_words() {
        let layer =
            "failed to extract layer (application/x sha256:ab) to overlayfs as \"extract-1 sha256:cd\": ";
        for (text, said) in [
            (
                format!("{layer}mount callback failed on /x: archive/tar: invalid tar header"),
                "invalid archive: the layer sha256:ab cannot be unpacked: invalid tar header".to_owned(),
            ),
            (
                format!("{layer}write /x: no space left on device"),
                format!("cannot load the archive: {layer}write /x: no space left on device"),
            ),
            (
                "wrong diff id calculated on extraction \"sha256:ab\"".to_owned(),
                "invalid archive: a layer is not the one that its image's configuration names".to_owned(),
            ),
        ] {
            assert_eq!(import_error(&Status::unknown(text)).to_string(), said);
        }
    }
}
