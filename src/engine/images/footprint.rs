//! What images take on the disk, piece by piece: content and unpacked layers, for each platform that is here. Images
//! share pieces, so that sizes are sums of different ones.

use super::facts::{chain_ids, json};
use super::{Group, own_platform, platform_of};
use crate::engine::Inner;
use crate::engine::containerd::{call, request};
use crate::engine::error::EngineError;
use crate::engine::locks::held;
use crate::model::image::ImageManifest;
use crate::model::platform::Platform;
use containerd_client::services::v1::ListContentRequest;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

/// Sizes of all content that is here, in bytes, by digest.
pub(super) type Here = HashMap<String, i64>;

/// Pieces of images, and their sizes in bytes: digests of content, and names of snapshots.
pub(in crate::engine) type Pieces = BTreeMap<String, i64>;

/// What a piece of small content says of others.
#[derive(Debug)]
pub(super) enum Outline {
    /// Its manifests, with the platforms that it says.
    Index(Vec<(String, Platform)>),
    /// Its configuration and layers; what is no image has no configuration of one.
    Manifest { config: Option<String>, content: Vec<String> },
    /// Its platform and its snapshots.
    Config { platform: Platform, chain: Vec<String> },
}

/// What is here of an image.
#[derive(Debug, Default)]
pub(in crate::engine) struct Footprint {
    /// Indexes, and what is no image.
    rest: Pieces,
    /// The image for each platform; one of which nothing is here has no pieces.
    pub(super) variants: Vec<Variant>,
}

/// An image for one platform.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) digest: String,
    pub(super) platform: Platform,
    /// True when all of its content is here.
    pub(super) whole: bool,
    content: Pieces,
    snapshots: Pieces,
}

impl Variant {
    /// True when something of it is here.
    pub(super) fn is_here(&self) -> bool {
        !self.content.is_empty()
    }
}

impl Footprint {
    /// All pieces.
    pub(in crate::engine) fn pieces(self) -> Pieces {
        let variants = self.variants.into_iter().flat_map(|v| v.content.into_iter().chain(v.snapshots));
        self.rest.into_iter().chain(variants).collect()
    }

    /// Each platform as people see it; `used` is the manifest that containers are made of, and by how many.
    pub(super) fn manifests(&self, used: (&str, i64)) -> Vec<ImageManifest> {
        let shown = |variant: &Variant| ImageManifest {
            id: variant.digest.clone(),
            platform: variant.platform.to_string(),
            available: variant.whole,
            content_size: variant.content.values().sum(),
            unpacked_size: variant.snapshots.values().sum(),
            containers: if variant.digest == used.0 { used.1 } else { 0 },
        };
        self.variants.iter().map(shown).collect()
    }

    /// Bytes of content.
    pub(super) fn content_size(&self) -> i64 {
        let mut all = self.rest.clone();
        all.extend(self.variants.iter().flat_map(|variant| variant.content.clone()));
        all.values().sum()
    }

    /// Bytes of content and snapshots.
    pub(super) fn size(&self) -> i64 {
        let mut snapshots = Pieces::new();
        snapshots.extend(self.variants.iter().flat_map(|variant| variant.snapshots.clone()));
        self.content_size() + snapshots.values().sum::<i64>()
    }
}

impl Inner {
    /// Sizes of all content that is here.
    pub(super) async fn content_here(&self) -> Result<Here, EngineError> {
        let mut here = Here::new();
        let parts = call("cannot list the images' content", || {
            let mut content = self.containerd.content();
            async move {
                let mut answers =
                    content.list(request(ListContentRequest { filters: Vec::new() })).await?.into_inner();
                let mut all = Vec::new();
                while let Some(part) = answers.message().await? {
                    all.extend(part.info);
                }
                Ok(tonic::Response::new(all))
            }
        })
        .await?;
        here.extend(parts.into_iter().map(|info| (info.digest, info.size)));
        Ok(here)
    }

    /// What is here of the image that a digest names.
    pub(super) async fn footprint(&self, id: &str, here: &Here) -> Result<Footprint, EngineError> {
        let mut footprint = Footprint::default();
        let mut left = VecDeque::from([(id.to_owned(), Platform::default())]);
        let mut seen = Vec::new();
        while let Some((digest, said)) = left.pop_front() {
            if seen.contains(&digest) {
                continue;
            }
            seen.push(digest.clone());
            let Some(size) = here.get(&digest) else {
                if said.os != "unknown" {
                    footprint.variants.push(Variant {
                        digest,
                        platform: said,
                        whole: false,
                        content: Pieces::new(),
                        snapshots: Pieces::new(),
                    });
                }
                continue;
            };
            match &*self.outline(&digest, false).await? {
                Outline::Index(children) => {
                    footprint.rest.insert(digest, *size);
                    left.extend(children.iter().cloned());
                }
                Outline::Manifest { config, content } => {
                    let mut pieces = Pieces::from([(digest.clone(), *size)]);
                    let held = content.iter().filter_map(|piece| Some((piece.clone(), *here.get(piece)?)));
                    pieces.extend(held);
                    let whole = content.iter().all(|piece| here.contains_key(piece));
                    let Some(config) = config.as_ref().filter(|_| said.os != "unknown") else {
                        footprint.rest.extend(pieces);
                        continue;
                    };
                    let (platform, snapshots) = match here.contains_key(config) {
                        true => self.unpacked(config).await?,
                        false => (said, Pieces::new()),
                    };
                    footprint.variants.push(Variant { digest, platform, whole, content: pieces, snapshots });
                }
                Outline::Config { .. } => {}
            }
        }
        Ok(footprint)
    }

    /// A configuration's platform, and the snapshots that its layers have become.
    async fn unpacked(&self, config: &str) -> Result<(Platform, Pieces), EngineError> {
        let outline = self.outline(config, true).await?;
        let Outline::Config { platform, chain } = &*outline else { return Ok(Default::default()) };
        let mut snapshots = Pieces::new();
        for name in chain {
            // What is below is unpacked first.
            let Some(size) = self.snapshot_size(name).await else { break };
            snapshots.insert(format!("snapshot {name}"), size);
        }
        Ok((platform.clone(), snapshots))
    }

    /// Bytes of a committed snapshot; `None`: there is none.
    pub(in crate::engine) async fn snapshot_size(&self, chain: &str) -> Option<i64> {
        let known = held(&self.images.sizes).get(chain).copied();
        if known.is_some() {
            return known;
        }
        let size = self.containerd.usage(&self.config.snapshotter, chain).await.ok()?;
        held(&self.images.sizes).insert(chain.to_owned(), size);
        Some(size)
    }

    /// What a piece of small content says; it never changes.
    async fn outline(&self, digest: &str, is_config: bool) -> Result<Arc<Outline>, EngineError> {
        if let Some(known) = held(&self.images.outlines).get(digest).cloned() {
            return Ok(known);
        }
        let said = json(&self.blob(digest).await?, digest)?;
        let outline = Arc::new(outline(&said, is_config));
        held(&self.images.outlines).insert(digest.to_owned(), outline.clone());
        Ok(outline)
    }

    /// The pieces of each image that people see, by its ID. One of which something cannot be read has none.
    pub(in crate::engine) async fn pieces_of_all(&self) -> Result<BTreeMap<String, Pieces>, EngineError> {
        let here = self.content_here().await?;
        let mut all = BTreeMap::new();
        for group in self.image_groups().await?.into_values().filter(|group: &Group| !self.is_hidden(group)) {
            let footprint = self.footprint(&group.id, &here).await;
            all.insert(group.id, footprint.map(Footprint::pieces).unwrap_or_default());
        }
        Ok(all)
    }
}

fn outline(said: &Value, is_config: bool) -> Outline {
    if is_config {
        let platform = match platform_of(said) {
            unknown if unknown.architecture.is_empty() => own_platform(),
            known => known,
        };
        return Outline::Config { platform, chain: chain_ids(said) };
    }
    let digest = |entry: &Value| entry["digest"].as_str().map(str::to_owned);
    match said["manifests"].as_array() {
        Some(children) => {
            let child = |entry: &Value| Some((digest(entry)?, platform_of(&entry["platform"])));
            Outline::Index(children.iter().filter_map(child).collect())
        }
        None => {
            let kind = said["config"]["mediaType"].as_str().unwrap_or_default();
            let config = digest(&said["config"]);
            let layers = said["layers"].as_array().into_iter().flatten().filter_map(digest);
            let content = config.clone().into_iter().chain(layers).collect();
            Outline::Manifest { config: config.filter(|_| kind.contains("image")), content }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn outlines() {
        let index = json!({ "manifests": [
            { "digest": "a", "platform": { "os": "linux", "architecture": "arm64" } },
            { "digest": "b" },
        ] });
        let Outline::Index(children) = outline(&index, false) else { panic!("no index") };
        assert_eq!(children[0], ("a".to_owned(), Platform::linux("arm64")));
        assert_eq!(children[1].1, Platform::default());
        let manifest = |kind: &str| {
            let config = json!({ "digest": "c", "mediaType": kind });
            outline(&json!({ "config": config, "layers": [{ "digest": "l" }] }), false)
        };
        for (kind, image) in [("application/vnd.oci.image.config.v1+json", true), ("text/x", false)] {
            let Outline::Manifest { config, content } = manifest(kind) else { panic!("no manifest") };
            assert_eq!((config.is_some(), content.join(" ").as_str()), (image, "c l"), "{kind}");
        }
    }

    #[test]
    fn shared_pieces_count_once() {
        let pieces =
            |all: &[(&str, i64)]| all.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
        let variant = |digest: &str, content: &[(&str, i64)], snapshots: &[(&str, i64)]| Variant {
            digest: digest.to_owned(),
            platform: Platform::linux("s390x"),
            whole: true,
            content: pieces(content),
            snapshots: pieces(snapshots),
        };
        let footprint = Footprint {
            rest: pieces(&[("index", 1)]),
            variants: vec![
                variant("m1", &[("m1", 2), ("layer", 100)], &[("snapshot l", 300)]),
                variant("m2", &[("m2", 3), ("layer", 100)], &[]),
            ],
        };
        assert_eq!((footprint.content_size(), footprint.size()), (106, 406));
        let shown = footprint.manifests(("m2", 5));
        assert_eq!((shown[0].content_size, shown[0].unpacked_size, shown[0].containers), (102, 300, 0));
        assert_eq!((shown[1].containers, shown[1].platform.as_str()), (5, "linux/s390x"));
        assert_eq!(footprint.pieces().values().sum::<i64>(), 406);
    }
}
