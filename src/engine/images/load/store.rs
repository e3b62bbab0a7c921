//! Writes the files of an archive into containerd's content store, under a lease. A file that is named by its digest must
//! have it, and one that is there already is passed over.

use super::archive::{DOCUMENTS, Item, bad};
use crate::engine::containerd::words;
use crate::engine::error::EngineError;
use crate::engine::images::lease::Lease;
use crate::engine::{Inner, blocking};
use crate::model::image::Progress;
use crate::model::reference;
use crate::sys::disk;
use bytes::Bytes;
use containerd_client::services::v1::{WriteAction, WriteContentRequest};
use std::collections::HashMap;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_stream::wrappers::ReceiverStream;

/// Length of the beginning of a file that tells its compression, in bytes.
const HEAD: usize = 6;
/// Progress is told of files that are at least this long, in bytes.
const TELLING: i64 = 64 << 10;

/// Files of an archive, by name.
#[derive(Default)]
pub(super) struct Files {
    blobs: HashMap<String, Blob>,
    links: HashMap<String, String>,
    documents: HashMap<String, Vec<u8>>,
}

/// A file in the content store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: String,
    /// Bytes.
    pub(super) size: u64,
    /// The first bytes.
    pub(super) head: Bytes,
}

impl Files {
    /// A document that is not kept in the store.
    pub(super) fn document(&self, name: &str) -> Option<&[u8]> {
        self.documents.get(name).map(Vec::as_slice)
    }

    /// A file by one of its names.
    pub(super) fn blob(&self, name: &str) -> Option<&Blob> {
        let mut name = name;
        // Links that lead to each other lead to no file.
        for _ in 0..8 {
            match self.links.get(name) {
                Some(target) => name = target,
                None => break,
            }
        }
        self.blobs.get(name)
    }
}

impl Inner {
    /// Takes an archive's items to their end.
    pub(super) async fn store_files(
        &self,
        mut items: Receiver<Item>,
        lease: &Lease,
        tell: &(impl Fn(Progress) + Sync),
    ) -> Result<Files, EngineError> {
        let mut files = Files::default();
        while let Some(item) = items.recv().await {
            match item {
                Item::Link { name, target } => drop(files.links.insert(name, target)),
                Item::File { name, .. } if DOCUMENTS.contains(&name.as_str()) => {
                    let text = gathered(&mut items).await?;
                    files.documents.insert(name, text);
                }
                Item::File { name, .. } if is_legacy(&name) => {}
                Item::File { name, size } => {
                    let blob = self.store_file(&mut items, &name, size, lease, tell).await?;
                    files.blobs.insert(name, blob);
                }
                // Of a file that is passed over.
                Item::Data(_) | Item::End => {}
            }
        }
        Ok(files)
    }

    /// Takes a file's bytes to its end; `size` 0: it is not known.
    pub(super) async fn store_file(
        &self,
        items: &mut Receiver<Item>,
        name: &str,
        size: u64,
        lease: &Lease,
        tell: &(impl Fn(Progress) + Sync),
    ) -> Result<Blob, EngineError> {
        let expected = digest_in(name);
        if let Some(digest) = &expected {
            // Held first: it may be there and belong to nobody any more.
            lease.hold(digest).await?;
            if let Some(size) = self.size_of_blob(digest).await? {
                return Ok(Blob { digest: digest.clone(), size, head: passed_over(items).await? });
            }
        }
        self.check_room(name, size).await?;
        let (sender, requests) = mpsc::channel(2);
        let written = self.write_pieces(ReceiverStream::new(requests), lease.id());
        let first = WriteContentRequest {
            action: WriteAction::Write.into(),
            r#ref: format!("{}-{name}", lease.id()),
            total: i64::try_from(size).unwrap_or(i64::MAX),
            expected: expected.clone().unwrap_or_default(),
            ..Default::default()
        };
        let (written, fed) = tokio::join!(written, feed(items, first, sender, tell));
        let (head, size) = fed?;
        match written {
            Ok(digest) => Ok(Blob { digest: expected.unwrap_or(digest), size, head }),
            Err(status) if expected.is_some() && words::has_another_digest(&status) => {
                Err(bad(format!("{name:?} has not the digest that its name says")))
            }
            Err(status) => Err(EngineError::call("cannot load the archive")(status)),
        }
    }

    /// Refuses a file for which the disk has no room, before the disk is full.
    async fn check_room(&self, name: &str, size: u64) -> Result<(), EngineError> {
        let data = self.config.data.clone();
        let free = blocking(move || disk::free(&data)).await?;
        match free {
            Ok(free) if free < size => Err(EngineError::Broken(format!(
                "cannot load the archive: no space left on device: {name:?} has {size} bytes, and {free} are free"
            ))),
            _ => Ok(()),
        }
    }
}

/// Sends a file's bytes, then the word that it is whole. Answers its first bytes, and how many it has.
async fn feed(
    items: &mut Receiver<Item>,
    mut request: WriteContentRequest,
    sender: Sender<WriteContentRequest>,
    tell: &(impl Fn(Progress) + Sync),
) -> Result<(Bytes, u64), EngineError> {
    let mut head = Bytes::new();
    let short = request.expected.get(7..19).unwrap_or_default().to_owned();
    loop {
        match items.recv().await {
            Some(Item::Data(bytes)) => {
                if head.is_empty() {
                    head = bytes.slice(..bytes.len().min(HEAD));
                }
                let length = i64::try_from(bytes.len()).unwrap_or_default();
                let piece = WriteContentRequest { data: bytes.into(), ..request.clone() };
                request.offset += length;
                // containerd has the bytes already, or has failed: the rest is passed over.
                sender.send(piece).await.ok();
                if request.total >= TELLING {
                    tell(Progress {
                        id: short.clone(),
                        status: "Loading layer".to_owned(),
                        current: request.offset,
                        total: request.total,
                    });
                }
            }
            Some(Item::End) => {
                request.action = WriteAction::Commit.into();
                let size = u64::try_from(request.offset).unwrap_or_default();
                sender.send(request).await.ok();
                return Ok((head, size));
            }
            _ => return Err(bad("it is cut off")),
        }
    }
}

/// Reads a file to its end; answers its first bytes.
async fn passed_over(items: &mut Receiver<Item>) -> Result<Bytes, EngineError> {
    let mut head = Bytes::new();
    loop {
        match items.recv().await {
            Some(Item::Data(bytes)) if head.is_empty() => head = bytes.slice(..bytes.len().min(HEAD)),
            Some(Item::Data(_)) => {}
            Some(Item::End) => return Ok(head),
            _ => return Err(bad("it is cut off")),
        }
    }
}

/// All of a document.
async fn gathered(items: &mut Receiver<Item>) -> Result<Vec<u8>, EngineError> {
    let mut all = Vec::new();
    loop {
        match items.recv().await {
            Some(Item::Data(bytes)) => all.extend_from_slice(&bytes),
            Some(Item::End) => return Ok(all),
            _ => return Err(bad("it is cut off")),
        }
    }
}

/// The digest by which a file is named.
fn digest_in(name: &str) -> Option<String> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    let digest = format!("{algorithm}:{hex}");
    reference::is_digest(&digest).then_some(digest)
}

/// True for files that only Docker before 1.10 reads.
fn is_legacy(name: &str) -> bool {
    name == "repositories" || name.ends_with("/VERSION") || name.ends_with("/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        assert_eq!(digest_in(&format!("blobs/sha256/{}", "ab".repeat(32))), Some(digest));
        for other in ["blobs/sha256/ab", "blobs/ab", "layer.tar", "blobs/md5/ab"] {
            assert_eq!(digest_in(other), None, "{other}");
        }
        assert!(is_legacy("repositories") && is_legacy("ab/VERSION") && !is_legacy("ab/layer.tar"));
    }

    #[test]
    fn links_lead_to_a_file_or_nowhere() {
        let blob = Blob { digest: "sha256:a".into(), size: 1, head: Bytes::new() };
        let mut files = Files::default();
        files.blobs.insert("a".into(), blob.clone());
        for (name, target) in [("b", "a"), ("c", "b"), ("x", "y"), ("y", "x"), ("z", "no")] {
            files.links.insert(name.into(), target.into());
        }
        assert_eq!(["a", "b", "c"].map(|name| files.blob(name)), [Some(&blob); 3]);
        assert_eq!(["x", "z", "no"].map(|name| files.blob(name)), [None; 3]);
    }
}
