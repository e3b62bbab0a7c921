//! Facts: an image's manifest and configuration, read from containerd's content store and kept by digest.

use super::own_platform;
use crate::engine::Inner;
use crate::engine::containerd::{patiently, request};
use crate::engine::error::EngineError;
use crate::engine::locks::held;
use crate::model::container::Healthcheck;
use crate::model::id::hex;
use crate::model::image::ImageConfig;
use crate::model::platform::Platform;
use containerd_client::services::v1::{InfoRequest, ReadContentRequest};
use containerd_client::types::Descriptor;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

/// An image's facts for this platform, or for another one if there is nothing for this one.
#[derive(Debug)]
pub(in crate::engine) struct Facts {
    /// The image ID: the digest of the manifest or index.
    pub(in crate::engine) id: String,
    /// CRI's image ID.
    pub(in crate::engine) config_digest: String,
    /// The whole configuration.
    pub(in crate::engine) config: Value,
    /// Names of the committed snapshots, bottom first; empty for an image without layers.
    pub(in crate::engine) chain: Vec<String>,
    /// The manifest that all this is of.
    pub(in crate::engine) manifest: String,
    /// Media type and size of what `id` names.
    pub(in crate::engine) descriptor: Value,
}

impl Facts {
    /// A string of the configuration's `config` object.
    pub(in crate::engine) fn text(&self, key: &str) -> String {
        self.config["config"][key].as_str().unwrap_or_default().to_owned()
    }

    /// A list of strings of the configuration's `config` object.
    pub(in crate::engine) fn list(&self, key: &str) -> Vec<String> {
        strings(&self.config["config"][key])
    }

    /// The keys of an object of the configuration's `config` object.
    pub(in crate::engine) fn keys(&self, key: &str) -> Vec<String> {
        self.config["config"][key].as_object().map(|o| o.keys().cloned().collect()).unwrap_or_default()
    }

    /// Labels.
    pub(in crate::engine) fn labels(&self) -> std::collections::BTreeMap<String, String> {
        self.config["config"]["Labels"]
            .as_object()
            .map(|o| o.iter().filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect())
            .unwrap_or_default()
    }

    /// The part of the configuration that containers run by.
    pub(super) fn image_config(&self) -> ImageConfig {
        let check = &self.config["config"]["Healthcheck"];
        let time = |key: &str| check[key].as_u64().filter(|nanos| *nanos > 0).map(Duration::from_nanos);
        let retries = check["Retries"].as_u64().and_then(|n| u32::try_from(n).ok());
        ImageConfig {
            user: self.text("User"),
            exposed: self.keys("ExposedPorts"),
            env: self.list("Env"),
            entrypoint: self.list("Entrypoint"),
            cmd: self.list("Cmd"),
            volumes: self.keys("Volumes"),
            working_dir: self.text("WorkingDir"),
            labels: self.labels(),
            stop_signal: self.text("StopSignal"),
            args_escaped: self.config["config"]["ArgsEscaped"].as_bool().unwrap_or_default(),
            health: check.is_object().then(|| Healthcheck {
                test: strings(&check["Test"]),
                interval: time("Interval"),
                timeout: time("Timeout"),
                start_period: time("StartPeriod"),
                start_interval: time("StartInterval"),
                retries: retries.unwrap_or_default(),
            }),
            on_build: self.list("OnBuild"),
            shell: self.list("Shell"),
        }
    }

    /// True when CRI can look the image up: in an index it looks for this platform's manifest, and takes any that it is
    /// led to.
    pub(in crate::engine) fn is_for_cri(&self) -> bool {
        self.manifest == self.id || own_platform().takes(&platform_of(&self.config))
    }

    /// The topmost snapshot.
    pub(in crate::engine) fn top(&self) -> &str {
        self.chain.last().map_or("", String::as_str)
    }
}

/// The strings of a list; empty where there is none.
pub(super) fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

/// The architecture in Go's words.
pub(in crate::engine) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

impl Inner {
    /// The facts of the image that a manifest's or index's digest names.
    pub(in crate::engine) async fn facts(&self, digest: &str) -> Result<Arc<Facts>, EngineError> {
        if let Some(known) = held(&self.images.facts).get(digest).cloned() {
            return Ok(known);
        }
        let facts = Arc::new(self.read_facts(digest).await?);
        held(&self.images.facts).insert(digest.to_owned(), facts.clone());
        Ok(facts)
    }

    async fn read_facts(&self, id: &str) -> Result<Facts, EngineError> {
        let bytes = self.blob(id).await?;
        let top: Value = json(&bytes, id)?;
        let descriptor = serde_json::json!({
            "mediaType": top["mediaType"], "digest": id, "size": bytes.len(),
        });
        let mut chosen = id.to_owned();
        let manifest = if top["manifests"].is_array() {
            chosen = self.chosen(&top).await?.ok_or_else(|| not_for_us(id))?;
            let bytes = self.blob(&chosen).await?;
            json(&bytes, &chosen)?
        } else {
            top
        };
        let config_digest = manifest["config"]["digest"].as_str().unwrap_or_default().to_owned();
        let bytes = self.blob(&config_digest).await?;
        let config: Value = json(&bytes, &config_digest)?;
        let chain = chain_ids(&config);
        Ok(Facts { id: id.to_owned(), config_digest, config, chain, manifest: chosen, descriptor })
    }

    /// Reads an image's facts anew the next time: something of it came, or went.
    pub(super) fn forget_facts(&self, id: &str) {
        held(&self.images.facts).remove(id);
    }

    /// The manifest that facts are of.
    pub(super) async fn manifest_of(&self, id: &str) -> Result<Value, EngineError> {
        let facts = self.facts(id).await?;
        json(&self.blob(&facts.manifest).await?, &facts.manifest)
    }

    /// The digest of an index's manifest for this platform, or else of one that is here.
    async fn chosen(&self, index: &Value) -> Result<Option<String>, EngineError> {
        let manifests = index["manifests"].as_array().map(Vec::as_slice).unwrap_or_default();
        let own = own_platform();
        let rank = |manifest: &&Value| match &manifest["platform"] {
            Value::Null => 1,
            platform if own.takes(&platform_of(platform)) => 0,
            _ => 2,
        };
        let mut manifests: Vec<&Value> =
            manifests.iter().filter(|manifest| manifest["platform"]["os"] != "unknown").collect();
        manifests.sort_by_key(rank);
        for manifest in &manifests {
            let Some(digest) = manifest["digest"].as_str() else { continue };
            if self.size_of_blob(digest).await?.is_some() {
                return Ok(Some(digest.to_owned()));
            }
        }
        Ok(None)
    }

    /// What there is for a platform under a manifest's or an index's digest: the manifest itself, or one of the index.
    pub(super) async fn manifest_for(
        &self,
        target: Descriptor,
        wanted: &Platform,
    ) -> Result<Option<Descriptor>, EngineError> {
        let top: Value = json(&self.blob(&target.digest).await?, &target.digest)?;
        if let Some(manifests) = top["manifests"].as_array() {
            let found = manifests
                .iter()
                .find(|m| wanted.takes(&platform_of(&m["platform"])))
                .or_else(|| manifests.iter().find(|m| m["platform"].is_null()));
            return Ok(found.and_then(child));
        }
        let config = top["config"]["digest"].as_str().unwrap_or_default();
        let config: Value = json(&self.blob(config).await?, config)?;
        Ok(Some(target).filter(|_| wanted.takes(&platform_of(&config))))
    }

    /// The manifests and indexes in an index; none for a manifest.
    pub(super) async fn children(&self, digest: &str) -> Result<Vec<Descriptor>, EngineError> {
        let top: Value = json(&self.blob(digest).await?, digest)?;
        let manifests = top["manifests"].as_array().into_iter().flatten();
        Ok(manifests.filter_map(child).collect())
    }

    /// Size of a blob in bytes; `None`: it is not there.
    pub(super) async fn size_of_blob(&self, digest: &str) -> Result<Option<u64>, EngineError> {
        let answer = patiently(|| {
            let mut content = self.containerd.content();
            let message = InfoRequest { digest: digest.to_owned() };
            async move { content.info(request(message)).await }
        })
        .await;
        match answer {
            Ok(answer) => {
                Ok(answer.into_inner().info.map(|info| u64::try_from(info.size).unwrap_or_default()))
            }
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(EngineError::call("cannot look for an image's content")(status)),
        }
    }

    /// A whole blob; only for small ones.
    pub(super) async fn blob(&self, digest: &str) -> Result<Vec<u8>, EngineError> {
        patiently(|| {
            let mut content = self.containerd.content();
            let message = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
            async move {
                let mut stream = content.read(request(message)).await?.into_inner();
                let mut bytes = Vec::new();
                while let Some(part) = stream.message().await? {
                    bytes.extend_from_slice(&part.data);
                }
                Ok(bytes)
            }
        })
        .await
        .map_err(EngineError::call("cannot read an image"))
    }
}

/// An entry of an index.
fn child(entry: &Value) -> Option<Descriptor> {
    Some(Descriptor {
        media_type: entry["mediaType"].as_str()?.to_owned(),
        digest: entry["digest"].as_str()?.to_owned(),
        size: entry["size"].as_i64()?,
        ..Default::default()
    })
}

/// The platform that an index's entry, or a configuration, says.
pub(in crate::engine) fn platform_of(said: &Value) -> Platform {
    let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
    Platform { os: text("os"), architecture: text("architecture"), variant: text("variant") }.normal()
}

fn not_for_us(id: &str) -> EngineError {
    EngineError::Broken(format!("image {id} is not for linux/{}", architecture()))
}

pub(super) fn json(bytes: &[u8], digest: &str) -> Result<Value, EngineError> {
    serde_json::from_slice(bytes).map_err(|e| EngineError::Broken(format!("cannot read {digest}: {e}")))
}

/// The names of an image's snapshots, bottom first, as the OCI image specification derives them.
pub(super) fn chain_ids(config: &Value) -> Vec<String> {
    let mut chain: Vec<String> = Vec::new();
    for diff in config["rootfs"]["diff_ids"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let next = match chain.last() {
            None => diff.to_owned(),
            Some(below) => {
                let hash = Sha256::digest(format!("{below} {diff}").as_bytes());
                format!("sha256:{}", hex(&hash))
            }
        };
        chain.push(next);
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::chain_ids;

    #[test]
    fn chains() {
        let config = serde_json::json!({"rootfs": {"diff_ids": ["sha256:a", "sha256:b"]}});
        let chain = chain_ids(&config);
        assert_eq!(chain[0], "sha256:a");
        assert_eq!(chain[1].len(), 71);
    }
}
