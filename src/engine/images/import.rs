//! Loading an archive: the bytes go through containerd's streaming service, its transfer service imports and unpacks them.
//!
//! containerd names the images that have a name in the archive. It could name the others by their digests, but then it
//! names the archive's own index, too, and nobody can take that name back for good: CRI marks each new name as its own a
//! moment later, and so brings back one that was deleted in between. So the others get their names here, and a lease
//! keeps their content until then.

use super::UNNAMED;
use super::lease::Lease;
use super::transfer::{self, Pipe, Saved};
use crate::engine::containerd::{patiently, request, words};
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::image::LoadOutcome;
use crate::model::reference;
use bytes::Bytes;
use containerd_client::services::v1::ListContentRequest;
use containerd_client::to_any;
use containerd_client::types::Descriptor;
use containerd_client::types::transfer as wire;
use futures::{Stream, StreamExt};
use prost::Message;
use prost_types::Any;
use std::collections::HashSet;
use std::io;
use std::pin::pin;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Streaming;

/// Size of the longest piece of an archive that is sent at once, in bytes.
pub(super) const PIECE: usize = 64 << 10;

/// Labels that only an index has: its first child is a manifest, or an index.
const OF_AN_INDEX: [&str; 2] =
    ["labels.\"containerd.io/gc.ref.content.m.0\"", "labels.\"containerd.io/gc.ref.content.0\""];

impl Engine {
    /// Loads a docker or OCI archive, also compressed by gzip or zstd.
    ///
    /// # Errors
    /// `InvalidArgument`: not an archive, or one without an image for this platform.
    pub async fn load(
        &self,
        input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
    ) -> Result<ReceiverStream<Result<LoadOutcome, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(async move {
            let progress = sender.clone();
            let tell = move |step| {
                // A reader that is slow misses some progress, never a name.
                progress.try_send(Ok(LoadOutcome::Progress(transfer::step(step)))).ok();
            };
            let answer = tokio::select! {
                answer = inner.import(input, tell) => answer,
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
    /// Imports an archive; returns the names that were given, as containerd keeps them, in their order.
    pub(super) async fn import(
        &self,
        input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
        tell: impl Fn(wire::Progress) + Send + 'static,
    ) -> Result<Vec<String>, EngineError> {
        let lease = self.lease("import").await?;
        let Pipe { id, sender, receiver } = self.open_pipe().await?;
        let source = wire::ImageImportStream { stream: id, ..Default::default() };
        let mut destination = self.store_for_us();
        destination.extra_references = vec![wire::ImageReference {
            name: UNNAMED.to_owned(),
            is_prefix: true,
            allow_overwrite: true,
            ..Default::default()
        }];
        let feeding = AbortOnDropHandle::new(tokio::spawn(feed(sender, receiver, input)));
        let ends = (to_any(&source), to_any(&destination));
        let answer = self.transfer(ends, Some(&lease), tell, import_error).await;
        // An error in reading is the cause; containerd's is its consequence.
        let fed = if feeding.is_finished() { feeding.await.ok() } else { None };
        if let Some(Err(source)) = fed {
            return Err(EngineError::Broken(format!("cannot read the archive: {source}")));
        }
        let saved = answer?;
        let mut names: Vec<String> = saved.iter().map(|saved| saved.name.clone()).collect();
        for target in self.without_a_name(&lease, &saved).await? {
            let name = format!("{UNNAMED}@{}", target.digest);
            self.point_name(&name, target).await?;
            names.push(name);
        }
        names.sort();
        names.dedup();
        if names.is_empty() {
            return Err(EngineError::invalid("the archive has no image for this platform"));
        }
        self.await_cri(&names).await;
        for name in &names {
            self.image_event("load", name, &reference::familiar(name)).await;
        }
        Ok(names)
    }

    /// The images of an archive that have no name in it. The archive's index is the one index under the lease that
    /// belongs to no other.
    async fn without_a_name(&self, lease: &Lease, saved: &[Saved]) -> Result<Vec<Descriptor>, EngineError> {
        let content = lease.content().await?;
        let indexes: Vec<String> =
            self.indexes().await?.into_iter().filter(|digest| content.contains(digest)).collect();
        let mut children = Vec::new();
        for index in &indexes {
            children.push((index, self.children(index).await?));
        }
        Ok(unnamed(&children, saved))
    }

    /// Digests of all indexes in the content store.
    async fn indexes(&self) -> Result<Vec<String>, EngineError> {
        patiently(|| {
            let mut content = self.containerd.content();
            let message = ListContentRequest { filters: OF_AN_INDEX.map(str::to_owned).to_vec() };
            async move {
                let mut pages = content.list(request(message)).await?.into_inner();
                let mut digests = Vec::new();
                while let Some(page) = pages.message().await? {
                    digests.extend(page.info.into_iter().map(|info| info.digest));
                }
                Ok(digests)
            }
        })
        .await
        .map_err(EngineError::call("cannot list content"))
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

/// The children, not saved under a name, of those indexes that are nobody's child.
fn unnamed(indexes: &[(&String, Vec<Descriptor>)], saved: &[Saved]) -> Vec<Descriptor> {
    let below: HashSet<&str> =
        indexes.iter().flat_map(|(_, children)| children).map(|child| child.digest.as_str()).collect();
    let tops = indexes.iter().filter(|(index, _)| !below.contains(index.as_str()));
    let mut found: Vec<Descriptor> = Vec::new();
    for child in tops.flat_map(|(_, children)| children) {
        let known = saved.iter().any(|s| s.digest == child.digest)
            || found.iter().any(|other| other.digest == child.digest);
        if !known {
            found.push(child.clone());
        }
    }
    found
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

fn import_error(status: &tonic::Status) -> EngineError {
    match words::is_bad_archive(status) {
        true => EngineError::invalid(format!("invalid archive: {}", status.message())),
        false => EngineError::call("cannot load the archive")(status.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_a_name_are_those_of_the_topmost_index() {
        let descriptor = |digest: &str| Descriptor { digest: digest.to_owned(), ..Default::default() };
        let index = |children: &[&str]| children.iter().map(|d| descriptor(d)).collect::<Vec<_>>();
        let (top, nested) = ("top".to_owned(), "nested".to_owned());
        let indexes =
            [(&nested, index(&["amd64", "arm64"])), (&top, index(&["nested", "plain", "named", "plain"]))];
        let saved = [Saved { name: "n".into(), digest: "named".into() }];
        let found: Vec<String> = unnamed(&indexes, &saved).into_iter().map(|d| d.digest).collect();
        assert_eq!(found, ["nested", "plain"]);
        assert!(unnamed(&[], &saved).is_empty());
    }
}
