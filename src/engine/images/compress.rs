//! Layers that are not compressed are compressed for a registry: once, on all cores, and kept as long as the layer is.
//!
//! A layer is cut into blocks. Each becomes a member of gzip (RFC 1952, 2.2) or a frame of zstd (RFC 8878, 3) of its own;
//! one behind the other, they are one stream again.
//!
//! ```text
//!                ┌ block ─ member ┐
//! plain layer ───┼ block ─ member ┼─ content store: labels of the plain layer name it, so that it is found and kept
//!                └ block ─ member ┘
//! ```

use super::content::{self, UNCOMPRESSED};
use super::facts::json;
use super::lease::Lease;
use super::registry::Outcomes;
use super::transfer;
use crate::engine::containerd::request;
use crate::engine::error::EngineError;
use crate::engine::{Inner, blocking};
use crate::model::image::{Compression, Progress, TransferOutcome};
use bytes::{Bytes, BytesMut};
use containerd_client::services::v1 as api;
use containerd_client::types::Descriptor;
use flate2::write::GzEncoder;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, TryStreamExt};
use prost_types::FieldMask;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Write};
use std::pin::pin;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// Bytes of a plain layer that are compressed as one piece.
const BLOCK: usize = 4 << 20;
/// Front of a label of a plain layer: the digest of the compressed one, which it keeps from being collected.
const KEPT: &str = "containerd.io/gc.ref.content.k3c.";
/// Levels: those that the programs of these names have by default.
const GZIP_LEVEL: u32 = 6;
const ZSTD_LEVEL: i32 = 3;

/// The media type of a compressed layer, for that of a plain one; `None`: it is none.
fn compressed_type(plain: &str, format: Compression) -> Option<String> {
    let (suffix, joint) = match plain {
        "application/vnd.oci.image.layer.v1.tar" => (format.as_str(), "+"),
        "application/vnd.docker.image.rootfs.diff.tar" => match format {
            Compression::Gzip => ("gzip", "."),
            _ => (format.as_str(), "."),
        },
        _ => return None,
    };
    Some(format!("{plain}{joint}{suffix}"))
}

/// Compresses one block.
fn member(block: &[u8], format: Compression) -> io::Result<Vec<u8>> {
    match format {
        Compression::None => Ok(block.to_vec()),
        Compression::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
            encoder.write_all(block)?;
            encoder.finish()
        }
        Compression::Zstd => zstd::bulk::compress(block, ZSTD_LEVEL),
    }
}

/// Gathers pieces of any size into blocks; a layer without a byte is one empty block.
fn blocks(
    pieces: impl Stream<Item = Result<Bytes, Status>> + Send,
) -> impl Stream<Item = Result<Bytes, Status>> + Send {
    async_stream::try_stream! {
        let mut pieces = pin!(pieces);
        let (mut gathered, mut first) = (BytesMut::new(), true);
        while let Some(piece) = pieces.next().await {
            gathered.extend_from_slice(&piece?);
            while gathered.len() >= BLOCK {
                first = false;
                yield gathered.split_to(BLOCK).freeze();
            }
        }
        if first || !gathered.is_empty() {
            yield gathered.freeze();
        }
    }
}

/// A way to write content, and how it is told of.
struct Packing<'a> {
    inner: &'a Inner,
    format: Compression,
    lease: &'a Lease,
    outcomes: &'a Outcomes,
}

impl Inner {
    /// The same manifest or index with all layers compressed, written under the lease; `None`: all are already.
    pub(super) async fn compressed(
        &self,
        target: &Descriptor,
        format: Compression,
        lease: &Lease,
        outcomes: &Outcomes,
    ) -> Result<Option<Descriptor>, EngineError> {
        match format {
            Compression::None => Ok(None),
            _ => Packing { inner: self, format, lease, outcomes }.document(target.clone()).await,
        }
    }
}

impl Packing<'_> {
    /// Writes a manifest or an index anew, if anything in it changes.
    async fn document(&self, target: Descriptor) -> Result<Option<Descriptor>, EngineError> {
        let mut document: Value = json(&self.inner.blob(&target.digest).await?, &target.digest)?;
        let entries = if document["manifests"].is_array() { "manifests" } else { "layers" };
        let mut changed = false;
        for entry in document[entries].as_array_mut().into_iter().flatten() {
            let new = match entries {
                "manifests" => self.child(entry).await?,
                _ => self.layer(entry).await?,
            };
            if let Some(new) = new {
                (entry["digest"], entry["size"]) = (new.digest.into(), new.size.into());
                entry["mediaType"] = new.media_type.into();
                changed = true;
            }
        }
        if !changed {
            return Ok(None);
        }
        let bytes = document.to_string().into_bytes();
        let size = i64::try_from(bytes.len()).unwrap_or(0);
        let digest = self.inner.write_blob(bytes, content::references(&document), self.lease.id()).await?;
        Ok(Some(Descriptor { digest, size, ..target }))
    }

    /// A manifest in an index.
    fn child<'a>(&'a self, entry: &Value) -> BoxFuture<'a, Result<Option<Descriptor>, EngineError>> {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        let target =
            Descriptor { media_type: text("mediaType"), digest: text("digest"), ..Descriptor::default() };
        Box::pin(self.document(target))
    }

    /// A layer in a manifest: the one that was compressed before, or a new one.
    async fn layer(&self, entry: &Value) -> Result<Option<Descriptor>, EngineError> {
        let media_type = entry["mediaType"].as_str().and_then(|plain| compressed_type(plain, self.format));
        let (Some(media_type), Some(plain)) = (media_type, entry["digest"].as_str()) else { return Ok(None) };
        let failed = EngineError::call("cannot find a layer");
        let message = api::InfoRequest { digest: plain.to_owned() };
        let info = self.inner.containerd.content().info(request(message)).await.map_err(failed)?;
        let info = info.into_inner().info.unwrap_or_default();
        let label = format!("{KEPT}{}", self.format.as_str());
        if let Some(digest) = info.labels.get(&label)
            && let Some(size) = self.inner.size_of_blob(digest).await?
        {
            let size = i64::try_from(size).unwrap_or(0);
            return Ok(Some(Descriptor {
                media_type,
                digest: digest.clone(),
                size,
                ..Descriptor::default()
            }));
        }
        let (digest, size) = self.write(plain, info.size).await?;
        self.outcomes.send(step(plain, "Compressed", [0, 0])).await.ok();
        let message = api::UpdateRequest {
            info: Some(api::Info {
                digest: plain.to_owned(),
                labels: HashMap::from([(label.clone(), digest.clone())]),
                ..Default::default()
            }),
            update_mask: Some(FieldMask { paths: vec![format!("labels.{label}")] }),
        };
        let kept = self.inner.containerd.content().update(request(message)).await;
        kept.map_err(EngineError::call("cannot keep a compressed layer"))?;
        Ok(Some(Descriptor { media_type, digest, size, ..Descriptor::default() }))
    }

    /// Compresses a layer into the content store. Answers digest and size in bytes.
    async fn write(&self, plain: &str, total: i64) -> Result<(String, i64), EngineError> {
        let reference = format!("k3c-compress-{}", uuid::Uuid::new_v4());
        let (sender, requests) = mpsc::channel(2);
        let writing = self.inner.write_pieces(ReceiverStream::new(requests), self.lease.id());
        let feeding = self.feed(plain, total, &reference, sender);
        let (written, fed) = tokio::join!(writing, feeding);
        written.map_err(EngineError::call("cannot write a compressed layer"))?;
        fed
    }

    /// Sends the members of a layer, and at the end their digest.
    async fn feed(
        &self,
        plain: &str,
        total: i64,
        reference: &str,
        sender: mpsc::Sender<api::WriteContentRequest>,
    ) -> Result<(String, i64), EngineError> {
        let failed = || EngineError::call("cannot read a layer");
        let message = api::ReadContentRequest { digest: plain.to_owned(), offset: 0, size: 0 };
        let parts = self.inner.containerd.content().read(request(message)).await.map_err(failed())?;
        let pieces = parts.into_inner().map_ok(|part| Bytes::from(part.data));
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let format = self.format;
        let members = blocks(pieces).map(|block| async move {
            let block = block.map_err(failed())?;
            let member = blocking({
                let block = block.clone();
                move || member(&block, format)
            });
            let member =
                member.await?.map_err(|error| EngineError::Broken(format!("cannot compress: {error}")))?;
            Ok::<_, EngineError>((block.len(), member))
        });
        let mut members = pin!(members.buffered(cores));
        let (mut hash, mut offset, mut done) = (Sha256::new(), 0_i64, 0_i64);
        let message = |action: api::WriteAction| api::WriteContentRequest {
            action: action.into(),
            r#ref: reference.to_owned(),
            ..Default::default()
        };
        while let Some(member) = members.next().await {
            let (plain_bytes, data) = member?;
            hash.update(&data);
            let size = i64::try_from(data.len()).unwrap_or(0);
            // A receiver that is gone says why itself.
            if sender
                .send(api::WriteContentRequest { offset, data, ..message(api::WriteAction::Write) })
                .await
                .is_err()
            {
                break;
            }
            offset += size;
            done += i64::try_from(plain_bytes).unwrap_or(0);
            self.outcomes.try_send(step(plain, "Compressing", [done, total])).ok();
        }
        let digest = format!("sha256:{:x}", hash.finalize());
        let end = api::WriteContentRequest {
            offset,
            total: offset,
            expected: digest.clone(),
            labels: HashMap::from([(UNCOMPRESSED.to_owned(), plain.to_owned())]),
            ..message(api::WriteAction::Commit)
        };
        sender.send(end).await.ok();
        Ok((digest, offset))
    }
}

/// A step of a layer, with its bytes: done, and all.
fn step(plain: &str, status: &str, [current, total]: [i64; 2]) -> Result<TransferOutcome, EngineError> {
    let id = transfer::short(plain);
    Ok(TransferOutcome::Progress(Progress { id, status: status.to_owned(), current, total }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::MultiGzDecoder;
    use std::io::Read;

    #[test]
    fn plain_layers_only() {
        let (oci, docker) =
            ("application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar");
        let of = |plain: &str, format| compressed_type(plain, format);
        assert_eq!(of(oci, Compression::Gzip).unwrap(), format!("{oci}+gzip"));
        assert_eq!(of(oci, Compression::Zstd).unwrap(), format!("{oci}+zstd"));
        assert_eq!(of(docker, Compression::Gzip).unwrap(), format!("{docker}.gzip"));
        for kind in
            [format!("{oci}+gzip"), format!("{docker}.gzip"), "application/vnd.in-toto+json".to_owned()]
        {
            assert_eq!(of(&kind, Compression::Gzip), None);
        }
    }

    #[tokio::test]
    async fn blocks_are_one_stream_again() {
        let plain: Vec<u8> = (0..2 * BLOCK + 5).map(|n| u8::try_from(n / 3 % 251).unwrap()).collect();
        for length in [0, 1, BLOCK, plain.len()] {
            let pieces = plain[..length].chunks(1 << 20).map(|piece| Ok(Bytes::copy_from_slice(piece)));
            let pieces: Vec<Result<Bytes, Status>> = pieces.collect();
            let blocks: Vec<Bytes> = blocks(futures::stream::iter(pieces)).try_collect().await.unwrap();
            assert_eq!(blocks.len(), length.div_ceil(BLOCK).max(1), "{length}");
            let joined =
                |format| blocks.iter().flat_map(|block| member(block, format).unwrap()).collect::<Vec<u8>>();
            let mut back = Vec::new();
            MultiGzDecoder::new(joined(Compression::Gzip).as_slice()).read_to_end(&mut back).unwrap();
            assert_eq!(back, plain[..length]);
            assert_eq!(zstd::decode_all(joined(Compression::Zstd).as_slice()).unwrap(), plain[..length]);
        }
    }
}
