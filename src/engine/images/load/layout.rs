//! Images of an archive whose files are in the content store: in OCI's layout, or in Docker's. Everything that
//! containerd, CRI or we ourselves will read later is looked at here: it must be there, of the length that is said, and
//! of a size that can be read.

use super::archive::{LARGEST_DOCUMENT, bad, clean};
use super::store::{Blob, Files};
use crate::engine::Inner;
use crate::engine::compression::Kind;
use crate::engine::error::EngineError;
use crate::engine::images::lease::Lease;
use crate::engine::images::save::{NAME, REF_NAME};
use crate::engine::images::{own_platform, platform_of};
use crate::model::platform::Platform;
use crate::model::reference::{self, Reference};
use containerd_client::types::Descriptor;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};
use std::collections::HashMap;

const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] = ["application/vnd.oci.image.manifest.v1+json", DOCKER_MANIFEST];
const CONFIGS: [&str; 2] = ["application/vnd.oci.image.config.v1+json", DOCKER_CONFIG];
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// The most indexes within indexes.
const DEEPEST: usize = 8;

/// An image of an archive, which is in the content store.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    pub(super) target: Descriptor,
    pub(super) name: Option<Reference>,
    /// True when it can be run here, and is unpacked for that.
    pub(super) ours: bool,
    /// What is here of it: digests of manifests and indexes, and what they say.
    pub(super) documents: Vec<(String, Value)>,
}

/// What is below a descriptor.
#[derive(Default)]
struct Below {
    images: Vec<(Descriptor, Platform)>,
    documents: Vec<(String, Value)>,
}

impl Inner {
    /// The images of an archive. `None`: all; one that is for several platforms is unpacked for this host's, and as a
    /// whole one that is for others only.
    pub(super) async fn images_in(
        &self,
        files: &Files,
        wanted: Option<&Platform>,
        lease: &Lease,
    ) -> Result<Vec<Found>, EngineError> {
        let mut images = Vec::new();
        if let Some(layout) = files.document("oci-layout") {
            let version = document("oci-layout", layout)?["imageLayoutVersion"].take();
            if version != "1.0.0" {
                return Err(bad(format!("its layout has a version that is not known: {version}")));
            }
            let index = files.document("index.json").ok_or_else(|| bad("it has no index.json"))?;
            let index = document("index.json", index)?;
            for descriptor in list(&index["manifests"], "index.json")? {
                let name = name_of(descriptor)?;
                let below = self.below(descriptor, 0).await?;
                images.extend(chosen(target(descriptor)?, below, name, wanted));
            }
        } else {
            let nothing =
                || bad("it has neither oci-layout nor manifest.json, so it is no archive of images");
            let manifest = files.document("manifest.json").ok_or_else(nothing)?;
            let manifest = document("manifest.json", manifest)?;
            for image in list(&manifest, "manifest.json")? {
                let (target, platform, document) = self.docker_image(files, image, lease).await?;
                let tags = image["RepoTags"].as_array().into_iter().flatten();
                let names = tags.map(|tag| Ok(Some(Reference::parse(tag.as_str().unwrap_or_default())?)));
                let names: Vec<_> = names.collect::<Result<_, EngineError>>()?;
                for name in if names.is_empty() { vec![None] } else { names } {
                    let below = Below {
                        images: vec![(target.clone(), platform.clone())],
                        documents: vec![(target.digest.clone(), document.clone())],
                    };
                    images.extend(chosen(target.clone(), below, name, wanted));
                }
            }
        }
        match (images.is_empty(), wanted) {
            (false, _) => Ok(images),
            (true, Some(platform)) => {
                Err(EngineError::invalid(format!("the archive has no image for {platform}")))
            }
            (true, None) => Err(EngineError::invalid("the archive has no image")),
        }
    }

    /// The images below a descriptor. One for this platform must be whole; of images for others not everything need be
    /// there, and then they are none.
    fn below<'a>(&'a self, descriptor: &'a Value, depth: usize) -> BoxFuture<'a, Result<Below, EngineError>> {
        async move {
            if depth > DEEPEST {
                return Err(bad(format!("more than {DEEPEST} indexes are within each other")));
            }
            let media_type = descriptor["mediaType"].as_str().unwrap_or_default();
            let (index, manifest) = (INDEXES.contains(&media_type), MANIFESTS.contains(&media_type));
            if !index && !manifest {
                return Ok(Below::default());
            }
            let platform = &descriptor["platform"];
            let others = depth > 0 && platform.is_object() && !own_platform().takes(&platform_in(platform));
            let digest = target(descriptor)?.digest;
            if others && self.size_of_blob(&digest).await?.is_none() {
                return Ok(Below::default());
            }
            let top = self.small(descriptor).await?;
            if top["manifests"].is_array() == manifest || top["layers"].is_array() == index {
                return Err(bad(format!("{digest} is not what its media type says")));
            }
            if manifest {
                return self.below_manifest(descriptor, top, others).await;
            }
            let mut all = Below::default();
            for child in list(&top["manifests"], &digest)? {
                let below = self.below(child, depth + 1).await?;
                all.images.extend(below.images);
                all.documents.extend(below.documents);
            }
            all.documents.push((digest, top));
            Ok(all)
        }
        .boxed()
    }

    /// An image, if it is whole. What is no image, such as an attestation, is only kept.
    async fn below_manifest(
        &self,
        descriptor: &Value,
        manifest: Value,
        others: bool,
    ) -> Result<Below, EngineError> {
        let target = target(descriptor)?;
        let layers = list(&manifest["layers"], &target.digest)?;
        let missing = async |piece: &Value| -> Result<bool, EngineError> {
            let digest = self::target(piece)?.digest;
            Ok(self.size_of_blob(&digest).await?.is_none())
        };
        let kind = manifest["config"]["mediaType"].as_str().unwrap_or_default();
        let image = CONFIGS.contains(&kind);
        if (others || !image) && missing(&manifest["config"]).await? {
            return Ok(Below::default());
        }
        let config = if image { self.small(&manifest["config"]).await? } else { Value::Null };
        let platform = platform_in(&config);
        let ours = image && own_platform().takes(&platform);
        for layer in layers {
            if !ours && missing(layer).await? {
                return Ok(Below::default());
            }
            self.size_in_store(layer).await?;
        }
        let mut below = Below::default();
        if image && platform.os != "unknown" {
            same_number(&target.digest, layers.len(), &config)?;
            below.images.push((target.clone(), platform));
        }
        below.documents.push((target.digest, manifest));
        Ok(below)
    }

    /// The manifest of an image in Docker's layout, made of its files.
    async fn docker_image(
        &self,
        files: &Files,
        image: &Value,
        lease: &Lease,
    ) -> Result<(Descriptor, Platform, Value), EngineError> {
        let file = |name: &Value| {
            let name = clean(name.as_str().unwrap_or_default(), "manifest.json")?;
            let missing = || bad(format!("manifest.json names {name:?}, which is not in it"));
            files.blob(&name).cloned().ok_or_else(missing)
        };
        let config_file = file(&image["Config"])?;
        let descriptor =
            json!({ "mediaType": DOCKER_CONFIG, "digest": config_file.digest, "size": config_file.size });
        let config = self.small(&descriptor).await?;
        let mut layers = Vec::new();
        for name in list(&image["Layers"], "manifest.json")? {
            layers.push(layer(name, &file(name)?)?);
        }
        same_number(&config_file.digest, layers.len(), &config)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": DOCKER_MANIFEST,
            "config": descriptor,
            "layers": layers,
        });
        let bytes = manifest.to_string().into_bytes();
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let digest = self.write_blob(bytes, HashMap::new(), lease.id()).await?;
        let target =
            Descriptor { media_type: DOCKER_MANIFEST.to_owned(), digest, size, ..Default::default() };
        Ok((target, platform_in(&config), manifest))
    }

    /// A document that a descriptor names.
    async fn small(&self, descriptor: &Value) -> Result<Value, EngineError> {
        let size = self.size_in_store(descriptor).await?;
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        if size > LARGEST_DOCUMENT {
            return Err(bad(format!("{digest} has {size} bytes, more than {LARGEST_DOCUMENT}")));
        }
        document(digest, &self.blob(digest).await?)
    }

    /// Size of what a descriptor names; it must be there, and as long as the descriptor says.
    async fn size_in_store(&self, descriptor: &Value) -> Result<u64, EngineError> {
        let digest = target(descriptor)?.digest;
        let size = self.size_of_blob(&digest).await?;
        let size = size.ok_or_else(|| bad(format!("{digest} is not in it")))?;
        match descriptor["size"].as_u64() {
            Some(said) if said == size => Ok(size),
            _ => Err(bad(format!("{digest} has {size} bytes, not {}", descriptor["size"]))),
        }
    }
}

/// What of a descriptor's images is loaded, if anything: all of it, if something can be run here, or is for several other
/// platforms; else the manifest for one.
fn chosen(
    top: Descriptor,
    below: Below,
    name: Option<Reference>,
    wanted: Option<&Platform>,
) -> Option<Found> {
    let own = own_platform();
    let of = |platform: &Platform| below.images.iter().find(|(_, has)| platform.takes(has));
    let ours = of(&own).is_some() && wanted.is_none_or(|wanted| wanted.takes(&own));
    let target = match (wanted, below.images.as_slice()) {
        _ if ours => top,
        (Some(wanted), _) => of(wanted)?.0.clone(),
        (None, []) => return None,
        (None, [(only, _)]) => only.clone(),
        (None, _) => top,
    };
    Some(Found { target, name, ours, documents: below.documents })
}

/// A descriptor as containerd has it.
fn target(descriptor: &Value) -> Result<Descriptor, EngineError> {
    let text = |key: &str| descriptor[key].as_str().unwrap_or_default().to_owned();
    let digest = text("digest");
    match reference::is_digest(&digest) {
        true => Ok(Descriptor {
            media_type: text("mediaType"),
            digest,
            size: descriptor["size"].as_i64().unwrap_or_default(),
            ..Default::default()
        }),
        false => Err(bad(format!("{digest:?} is no digest"))),
    }
}

/// Name of an image in OCI's layout. A tag alone is none.
fn name_of(descriptor: &Value) -> Result<Option<Reference>, EngineError> {
    let text = |key: &str| descriptor["annotations"][key].as_str().filter(|text| !text.is_empty());
    let whole = text(NAME).or_else(|| text(REF_NAME).filter(|text| text.contains(['/', ':', '@'])));
    let Some(whole) = whole else { return Ok(None) };
    let name = Reference::parse(whole)?;
    match &name.digest {
        Some(digest) if descriptor["digest"] != **digest => {
            Err(bad(format!("it gives the name {whole} to what has another digest")))
        }
        _ => Ok(Some(name)),
    }
}

/// Platform in a configuration, or in a descriptor; those of Docker's early days have no system.
fn platform_in(object: &Value) -> Platform {
    let mut platform = platform_of(object);
    if platform.os.is_empty() {
        "linux".clone_into(&mut platform.os);
    }
    platform
}

fn layer(name: &Value, file: &Blob) -> Result<Value, EngineError> {
    let suffix = match Kind::of(&file.head) {
        None => "",
        Some(Kind::Gzip) => ".gzip",
        Some(Kind::Zstd) => ".zstd",
        Some(other) => {
            return Err(bad(format!(
                "the layer {name} is compressed by {other}: layers may be by gzip or zstd"
            )));
        }
    };
    let media_type = format!("{DOCKER_LAYER}{suffix}");
    Ok(json!({ "mediaType": media_type, "digest": file.digest, "size": file.size }))
}

fn same_number(who: &str, layers: usize, config: &Value) -> Result<(), EngineError> {
    let said = config["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    match said == layers {
        true => Ok(()),
        false => Err(bad(format!("the image {who} has {layers} layers, and its configuration {said}"))),
    }
}

fn document(name: &str, bytes: &[u8]) -> Result<Value, EngineError> {
    serde_json::from_slice(bytes).map_err(|error| bad(format!("cannot read {name}: {error}")))
}

fn list<'a>(value: &'a Value, of: &str) -> Result<&'a [Value], EngineError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| bad(format!("{of} has no list of manifests or layers")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn names_in_annotations() {
        let digest = format!("sha256:{}", "ab".repeat(32));
        let of = |annotations: Value| {
            let name = name_of(&json!({ "digest": digest, "annotations": annotations }));
            name.map(|name| name.map(|n| n.familiar()).unwrap_or_default()).map_err(|e| e.to_string())
        };
        let own = format!("x@{digest}");
        for (annotations, name) in [
            (json!({ NAME: "docker.io/library/a:1", REF_NAME: "1" }), "a:1"),
            (json!({ REF_NAME: "localhost/a:1" }), "localhost/a:1"),
            (json!({ REF_NAME: "1" }), ""),
            (json!({ NAME: own }), own.as_str()),
            (Value::Null, ""),
        ] {
            assert_eq!(of(annotations.clone()).as_deref(), Ok(name), "{annotations}");
        }
        let other = format!("x@sha256:{}", "cd".repeat(32));
        assert!(of(json!({ NAME: other })).unwrap_err().contains("another digest"));
        assert!(of(json!({ NAME: "../x" })).unwrap_err().contains("invalid reference format"));
    }

    #[test]
    fn what_is_loaded() {
        let top = Descriptor { digest: "top".into(), ..Default::default() };
        let (own, other, third) = (own_platform(), Platform::linux("s390x"), Platform::linux("riscv64"));
        let of = |platforms: &[&Platform], wanted: Option<&Platform>| {
            let image = |p: &&Platform| {
                (Descriptor { digest: p.architecture.clone(), ..Default::default() }, (*p).clone())
            };
            let below = Below { images: platforms.iter().map(image).collect(), documents: Vec::new() };
            let found = chosen(top.clone(), below, None, wanted);
            found.map(|found| format!("{} {}", found.target.digest, found.ours)).unwrap_or_default()
        };
        assert_eq!(of(&[&other, &own], None), "top true");
        assert_eq!(of(&[&other, &own], Some(&own)), "top true");
        assert_eq!(of(&[&other, &own], Some(&other)), "s390x false");
        assert_eq!(of(&[&other], None), "s390x false");
        assert_eq!(of(&[&other, &third], None), "top false");
        assert_eq!((of(&[&other], Some(&own)), of(&[], None)), (String::new(), String::new()));
    }

    #[test]
    fn layers_by_their_first_bytes() {
        let of = |head: &'static [u8]| {
            let blob = Blob { digest: "sha256:a".into(), size: 6, head: Bytes::from_static(head) };
            layer(&json!("l"), &blob).map(|layer| layer["mediaType"].as_str().unwrap().to_owned())
        };
        assert_eq!(of(b"abcdef").unwrap(), DOCKER_LAYER);
        assert_eq!(of(&[0x1f, 0x8b, 8, 0, 0, 0]).unwrap(), format!("{DOCKER_LAYER}.gzip"));
        assert_eq!(of(&[0x28, 0xb5, 0x2f, 0xfd, 0, 0]).unwrap(), format!("{DOCKER_LAYER}.zstd"));
        assert!(of(b"BZh91A").unwrap_err().to_string().contains("compressed by bzip2"));
    }
}
