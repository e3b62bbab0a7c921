//! `save`: images as one archive in the layout of OCI that docker save's readers know, too. It is made on its way: the
//! blobs in containerd's content store, with headers in between. Nothing is packed again, and memory does not grow with
//! the image.
//!
//! ```text
//! oci-layout ─ index.json ─ blobs/sha256/index ─ blobs/sha256/manifest ─┬ blobs/sha256/configuration
//!              manifest.json (Docker's) ────────────────────────────────┴ blobs/sha256/layer
//! ```

use super::facts::json;
use super::lease::Lease;
use super::{Group, own_platform, platform_of};
use crate::engine::containerd::request;
use crate::engine::error::EngineError;
use crate::engine::{Archive, Engine, Inner};
use crate::model::archive::Part;
use crate::model::platform::Platform;
use crate::model::reference::Reference;
use bytes::Bytes;
use containerd_client::services::v1::ReadContentRequest;
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Annotation of a descriptor: the whole name of the image.
pub(super) const NAME: &str = "io.containerd.image.name";
/// Annotation of a descriptor: the tag.
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// Contents of an archive.
#[derive(Default)]
struct Contents {
    /// Blobs by their digests, with their sizes in bytes.
    blobs: BTreeMap<String, u64>,
    /// Descriptors in `index.json`.
    index: Vec<Value>,
    /// `manifest.json`, by the digest of the manifest.
    docker: BTreeMap<String, DockerImage>,
}

/// An image in `manifest.json`.
#[derive(Default)]
struct DockerImage {
    config: String,
    layers: Vec<String>,
    tags: BTreeSet<String>,
}

/// A manifest of which everything is there.
struct Whole {
    descriptor: Value,
    platform: Platform,
    config: String,
    layers: Vec<String>,
    /// The manifest's own blobs.
    blobs: Vec<(String, u64)>,
}

impl Engine {
    /// Images as an archive; `None`: each platform that is there. A repository without a tag means all of its tags.
    ///
    /// # Errors
    /// `NotFound`: no such image, or none for the platform; `InvalidArgument`: a reference, or the platform;
    /// `Unavailable`: an image is still being imported. In the archive: `Internal`, when content cannot be read.
    pub async fn save(&self, images: &[String], platform: Option<String>) -> Result<Archive, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let own = own_platform();
        let platform = platform.map(|text| Platform::parse(&text, &own)).transpose()?;
        let lease = inner.lease("save").await?;
        let mut contents = Contents::default();
        let mut saved = Vec::new();
        for who in images {
            for (id, name) in inner.meant(who).await? {
                lease.hold(&id).await?;
                inner.add(&mut contents, who, &id, name.as_ref(), platform.as_ref()).await?;
                saved.push((name.map_or_else(|| id.clone(), |n| n.familiar()), id));
            }
        }
        for (name, id) in saved {
            inner.image_event("save", &id, &name).await;
        }
        let (sender, receiver) = mpsc::channel(8);
        tokio::spawn(async move {
            let mut pieces = pin!(pieces(inner, contents, lease));
            while let Some(piece) = pieces.next().await {
                // The receiver is gone, so there is nobody to save for.
                if sender.send(piece.map(Part::Data)).await.is_err() {
                    break;
                }
            }
        });
        Ok(ReceiverStream::new(receiver))
    }
}

impl Inner {
    /// IDs and names that an argument means.
    async fn meant(&self, who: &str) -> Result<Vec<(String, Option<Reference>)>, EngineError> {
        let found = self.find_image(who).await;
        let by_id = found.as_ref().is_ok_and(|found| found.reference.is_none());
        let all = match Reference::parse(who) {
            Ok(reference) if !by_id && !who.ends_with(&reference.suffix()) => {
                all_tags(self.image_groups().await?.values(), &reference.repository())
            }
            _ => Vec::new(),
        };
        if !all.is_empty() {
            return Ok(all);
        }
        let found = found?;
        Ok(vec![(found.group.id, found.reference)])
    }

    /// Adds an image, as far as it is there.
    async fn add(
        &self,
        contents: &mut Contents,
        who: &str,
        id: &str,
        name: Option<&Reference>,
        platform: Option<&Platform>,
    ) -> Result<(), EngineError> {
        let (indexes, mut manifests) = self.tree(id).await?;
        if let Some(platform) = platform {
            manifests.retain(|manifest| platform.takes(&manifest.platform));
        }
        let own = own_platform();
        let best = manifests.iter().position(|m| own.takes(&m.platform)).unwrap_or(0);
        let Some(shown) = manifests.get(best) else {
            return Err(match platform {
                Some(platform) => EngineError::other_platform(who, platform),
                None => EngineError::Broken(format!("of the image {who} no platform is whole")),
            });
        };
        let entry = contents.docker.entry(digest_of(&shown.descriptor)).or_insert_with(|| DockerImage {
            config: shown.config.clone(),
            layers: shown.layers.clone(),
            tags: BTreeSet::new(),
        });
        entry.tags.extend(name.filter(|n| n.tag.is_some()).map(Reference::familiar));
        // One platform: its manifest is the image, as it would be in a registry that has no other.
        let (mut target, rest) = match (platform, indexes.first()) {
            (None, Some(index)) => (index.0.clone(), &manifests[..]),
            _ => (shown.descriptor.clone(), &manifests[best..=best]),
        };
        if platform.is_none() {
            contents.blobs.extend(indexes.iter().map(|(index, size)| (digest_of(index), *size)));
        }
        contents.blobs.extend(rest.iter().flat_map(|manifest| manifest.blobs.iter().cloned()));
        if let Some(name) = name {
            target["annotations"] = match &name.tag {
                Some(tag) => json!({ NAME: name.to_string(), REF_NAME: tag }),
                None => json!({ NAME: name.to_string() }),
            };
        }
        if !contents.index.contains(&target) {
            contents.index.push(target);
        }
        Ok(())
    }

    /// The manifests below a digest of which everything is there: descriptors, and their platforms.
    pub(super) async fn manifests(&self, id: &str) -> Result<Vec<(Value, Platform)>, EngineError> {
        let (_, manifests) = self.tree(id).await?;
        Ok(manifests.into_iter().map(|manifest| (manifest.descriptor, manifest.platform)).collect())
    }

    /// The indexes below a digest with their sizes, itself first, and the manifests that are whole.
    async fn tree(&self, id: &str) -> Result<(Vec<(Value, u64)>, Vec<Whole>), EngineError> {
        let (mut indexes, mut manifests) = (Vec::new(), Vec::new());
        let mut seen = HashSet::from([id.to_owned()]);
        let mut left = VecDeque::from([json!({ "digest": id })]);
        while let Some(descriptor) = left.pop_front() {
            let digest = digest_of(&descriptor);
            let Some(size) = self.size_of_blob(&digest).await? else { continue };
            let top = json(&self.blob(&digest).await?, &digest)?;
            let children = top["manifests"].as_array();
            let kind = if children.is_some() { "index" } else { "manifest" };
            let media_type = top["mediaType"].as_str().map(str::to_owned);
            let media_type =
                media_type.unwrap_or_else(|| format!("application/vnd.oci.image.{kind}.v1+json"));
            let own = json!({ "mediaType": media_type, "digest": digest, "size": size });
            match children {
                Some(children) => {
                    let new = children.iter().filter(|child| seen.insert(digest_of(child)));
                    left.extend(new.cloned());
                    indexes.push((own, size));
                }
                None => manifests.extend(self.whole(own, size, &top).await?),
            }
        }
        Ok((indexes, manifests))
    }

    /// A manifest, if all of its content is there.
    async fn whole(&self, descriptor: Value, size: u64, top: &Value) -> Result<Option<Whole>, EngineError> {
        let mut blobs = vec![(digest_of(&descriptor), size)];
        let config = digest_of(&top["config"]);
        let layers: Vec<String> = top["layers"].as_array().into_iter().flatten().map(digest_of).collect();
        for digest in std::iter::once(&config).chain(&layers) {
            match self.size_of_blob(digest).await? {
                Some(size) => blobs.push((digest.clone(), size)),
                None => return Ok(None),
            }
        }
        // What is no image, such as an attestation, has a configuration of another kind.
        let kind = top["config"]["mediaType"].as_str().unwrap_or_default();
        let image =
            if kind.contains("image") { json(&self.blob(&config).await?, &config)? } else { Value::Null };
        let platform = platform_of(&image);
        Ok(Some(Whole { descriptor, platform, config, layers, blobs }))
    }
}

fn all_tags<'a>(
    groups: impl Iterator<Item = &'a Group>,
    repository: &str,
) -> Vec<(String, Option<Reference>)> {
    let named = |group: &'a Group| {
        group
            .tags()
            .into_iter()
            .filter_map(move |name| Some((group.id.clone(), Reference::parse(&name).ok()?)))
    };
    groups
        .flat_map(named)
        .filter(|(_, name)| name.repository() == repository)
        .map(|(id, name)| (id, Some(name)))
        .collect()
}

fn digest_of(descriptor: &Value) -> String {
    descriptor["digest"].as_str().unwrap_or_default().to_owned()
}

/// Name of a blob in an archive.
fn place(digest: &str) -> String {
    format!("blobs/{}", digest.replacen(':', "/", 1))
}

/// The archive, piece by piece. The lease keeps the content until the end.
fn pieces(
    inner: Arc<Inner>,
    contents: Contents,
    lease: Lease,
) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + 'static {
    async_stream::try_stream! {
        let _held = lease;
        let algorithms: BTreeSet<&str> = contents.blobs.keys().filter_map(|d| d.split(':').next()).collect();
        yield header("blobs/", None)?;
        for algorithm in algorithms {
            yield header(&format!("blobs/{algorithm}/"), None)?;
        }
        for (digest, size) in &contents.blobs {
            yield header(&place(digest), Some(*size))?;
            let mut read = pin!(blob_pieces(&inner, digest, *size));
            while let Some(piece) = read.next().await {
                yield piece?;
            }
            yield padding(*size);
        }
        for (name, document) in documents(&contents) {
            let text = document.to_string();
            let size = text.len() as u64;
            yield header(name, Some(size))?;
            yield text.into();
            yield padding(size);
        }
        yield Bytes::from_static(&[0; 1024]);
    }
}

/// A blob's bytes. An archive with damaged content would be found to be none only when it is needed.
fn blob_pieces<'a>(
    inner: &'a Inner,
    digest: &'a str,
    size: u64,
) -> impl Stream<Item = Result<Bytes, EngineError>> + Send + 'a {
    async_stream::try_stream! {
        let failed = || EngineError::call("cannot read an image");
        let message = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
        let mut parts =
            inner.containerd.content().read(request(message)).await.map_err(failed())?.into_inner();
        let (mut hash, mut length) = (Sha256::new(), 0);
        while let Some(part) = parts.message().await.map_err(failed())? {
            hash.update(&part.data);
            length += part.data.len() as u64;
            yield Bytes::from(part.data);
        }
        let found = format!("sha256:{:x}", hash.finalize());
        if length != size || (digest.starts_with("sha256:") && digest != found) {
            Err(EngineError::Broken(format!(
                "the image's content {digest} is damaged: it has the digest {found} and {length} bytes"
            )))?;
        }
    }
}

fn documents(contents: &Contents) -> [(&'static str, Value); 3] {
    let docker: Vec<Value> = contents
        .docker
        .values()
        .map(|image| {
            json!({
                "Config": place(&image.config),
                "RepoTags": if image.tags.is_empty() { Value::Null } else { json!(image.tags) },
                "Layers": image.layers.iter().map(|layer| place(layer)).collect::<Vec<_>>(),
            })
        })
        .collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": contents.index,
    });
    [
        ("index.json", index),
        ("manifest.json", json!(docker)),
        ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
    ]
}

/// A header of tar: of a file with this many bytes, or of a folder.
fn header(name: &str, size: Option<u64>) -> Result<Bytes, EngineError> {
    let mut header = tar::Header::new_gnu();
    header
        .set_path(name)
        .map_err(|error| EngineError::Broken(format!("cannot put {name} into an archive: {error}")))?;
    let folder = size.is_none();
    header.set_entry_type(if folder { tar::EntryType::Directory } else { tar::EntryType::Regular });
    header.set_mode(if folder { 0o755 } else { 0o644 });
    header.set_size(size.unwrap_or_default());
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_cksum();
    Ok(Bytes::copy_from_slice(header.as_bytes()))
}

/// Zeros up to the next block.
fn padding(size: u64) -> Bytes {
    let over = usize::try_from(size % 512).unwrap_or_default();
    Bytes::from_static(&[0; 512]).slice(..(512 - over) % 512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks() {
        let lengths = [(0, 0), (1, 511), (511, 1), (512, 0), (513, 511)];
        for (size, left) in lengths {
            assert_eq!(padding(size).len(), left, "{size}");
        }
        let bytes = header("blobs/sha256/ab", Some(9 << 30)).unwrap();
        let read = tar::Header::from_byte_slice(&bytes);
        assert_eq!((bytes.len(), read.size().unwrap()), (512, 9 << 30));
        assert_eq!(place("sha256:ab"), "blobs/sha256/ab");
    }

    #[test]
    fn all_tags_of_a_repository() {
        let group = |id: &str, names: &[&str]| Group {
            id: id.into(),
            names: names.iter().map(ToString::to_string).collect(),
            updated: 0,
        };
        let digest = format!("sha256:{}", "ab".repeat(32));
        let groups = [
            group("1", &["docker.io/library/a:1", "docker.io/library/b:1", &digest]),
            group("2", &["docker.io/library/a:2", &format!("docker.io/library/a@{digest}")]),
        ];
        let found: Vec<String> = all_tags(groups.iter(), "docker.io/library/a")
            .into_iter()
            .map(|(id, name)| format!("{id} {}", name.unwrap().familiar()))
            .collect();
        assert_eq!(found, ["1 a:1", "2 a:2"]);
    }

    #[test]
    fn documents_that_others_read() {
        let mut contents = Contents::default();
        contents.index.push(json!({ "digest": "sha256:m" }));
        let image = DockerImage {
            config: "sha256:c".into(),
            layers: vec!["sha256:l".into()],
            tags: ["a:1".to_owned()].into(),
        };
        contents.docker.insert("sha256:m".into(), image);
        let [(_, index), (_, docker), (_, layout)] = documents(&contents);
        assert_eq!(index["manifests"][0]["digest"], "sha256:m");
        let expected =
            json!([{ "Config": "blobs/sha256/c", "RepoTags": ["a:1"], "Layers": ["blobs/sha256/l"] }]);
        assert_eq!(docker, expected);
        assert_eq!(layout["imageLayoutVersion"], "1.0.0");
    }
}
