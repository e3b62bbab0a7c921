//! `history` and `manifest inspect`: what an image was made by, and its manifests as they are.

use super::facts::json;
use super::{Facts, own_platform, platform_of};
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::image::HistoryEntry;
use crate::model::platform::Platform;
use crate::model::reference;
use jiff::Timestamp;
use serde_json::{Value, json};

impl Engine {
    /// Steps by which an image was made, newest first; `None`: for this platform, the only one that is unpacked.
    ///
    /// # Errors
    /// `NotFound`: no such image, or none for the platform; `InvalidArgument`: the reference or the platform is none;
    /// `Unavailable`: the image is still being imported.
    pub async fn history(
        &self,
        who: &str,
        platform: Option<String>,
    ) -> Result<Vec<HistoryEntry>, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let (found, facts) = inner.open_image(who).await?;
        if let Some(text) = platform {
            let wanted = Platform::parse(&text, &own_platform())?;
            if !wanted.takes(&platform_of(&facts.config)) {
                return Err(EngineError::other_platform(who, wanted));
            }
        }
        let sizes = inner.layer_sizes(&facts).await?;
        let mut entries = entries(&facts.config["history"], sizes);
        if let Some(newest) = entries.first_mut() {
            newest.id = found.group.id.clone();
            newest.tags = found.group.tags().iter().map(|tag| reference::familiar(tag)).collect();
        }
        Ok(entries)
    }

    /// The manifest or index of an image, as it is; `verbose`: each manifest that is here, with its descriptor.
    ///
    /// # Errors
    /// `NotFound`: no such image here; `InvalidArgument`: the reference is none; `Unavailable`: the image is still being
    /// imported.
    pub async fn inspect_manifest(&self, who: &str, verbose: bool) -> Result<Value, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let found = inner.find_image(who).await?;
        let id = &found.group.id;
        if !verbose {
            return json(&inner.blob(id).await?, id);
        }
        let name = found.reference.map_or_else(|| id.clone(), |reference| reference.to_string());
        let mut all = Vec::new();
        for (descriptor, platform) in inner.manifests(id).await? {
            let digest = descriptor["digest"].as_str().unwrap_or_default();
            let manifest = json(&inner.blob(digest).await?, digest)?;
            all.push(shown(&name, digest, descriptor["size"].as_u64(), manifest, &platform));
        }
        match <[Value; 1]>::try_from(all) {
            Ok([one]) => Ok(one),
            Err(all) => Ok(json!(all)),
        }
    }
}

/// A manifest as `manifest inspect -v` has it: with the descriptor by which it is found.
pub(super) fn shown(
    name: &str,
    digest: &str,
    size: Option<u64>,
    manifest: Value,
    platform: &Platform,
) -> Value {
    let media_type = manifest["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json");
    let kind = if media_type.contains("docker") { "SchemaV2Manifest" } else { "OCIManifest" };
    let mut descriptor = json!({ "mediaType": media_type, "digest": digest, "size": size });
    descriptor["platform"] = json!({ "architecture": platform.architecture, "os": platform.os });
    if !platform.variant.is_empty() {
        descriptor["platform"]["variant"] = json!(platform.variant);
    }
    json!({ "Ref": format!("{name}@{digest}"), "Descriptor": descriptor, kind: manifest })
}

impl Inner {
    /// Bytes of each layer, bottom first: of its files, or, where it is not unpacked, of its blob.
    async fn layer_sizes(&self, facts: &Facts) -> Result<Vec<i64>, EngineError> {
        let manifest = self.manifest_of(&facts.id).await?;
        let mut sizes = Vec::new();
        for (index, chain) in facts.chain.iter().enumerate() {
            let size = match self.containerd.usage(&self.config.snapshotter, chain).await {
                Ok(size) => size,
                Err(_) => manifest["layers"][index]["size"].as_i64().unwrap_or_default(),
            };
            sizes.push(size);
        }
        Ok(sizes)
    }
}

/// The steps, newest first. A layer of which the history says nothing is a step, too, so that no bytes are missing.
fn entries(history: &Value, sizes: Vec<i64>) -> Vec<HistoryEntry> {
    let mut sizes = sizes.into_iter();
    let mut entries: Vec<HistoryEntry> = Vec::new();
    for step in history.as_array().into_iter().flatten() {
        let text = |key: &str| step[key].as_str().unwrap_or_default().to_owned();
        let empty = step["empty_layer"].as_bool().unwrap_or_default();
        entries.push(HistoryEntry {
            created: text("created").parse::<Timestamp>().ok(),
            created_by: text("created_by"),
            size: if empty { 0 } else { sizes.next().unwrap_or_default() },
            comment: text("comment"),
            ..HistoryEntry::default()
        });
    }
    entries.extend(sizes.map(|size| HistoryEntry { size, ..HistoryEntry::default() }));
    entries.reverse();
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_is_counted_once() {
        let history = json!([
            { "created": "2026-01-01T00:00:00Z", "created_by": "COPY . /" },
            { "created_by": "CMD [\"sh\"]", "empty_layer": true, "comment": "buildkit" },
        ]);
        let rows = |history: &Value, sizes: Vec<i64>| -> Vec<(String, i64)> {
            entries(history, sizes).into_iter().map(|e| (e.created_by, e.size)).collect()
        };
        let row = |by: &str, size: i64| (by.to_owned(), size);
        assert_eq!(rows(&history, vec![5]), [row("CMD [\"sh\"]", 0), row("COPY . /", 5)]);
        assert_eq!(rows(&history, vec![5, 7]), [row("", 7), row("CMD [\"sh\"]", 0), row("COPY . /", 5)]);
        assert_eq!(rows(&Value::Null, vec![5]), [row("", 5)]);
        assert_eq!(rows(&history, vec![])[1], row("COPY . /", 0));
    }
}
