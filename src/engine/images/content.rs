//! Writing into containerd's content store.

use crate::engine::Inner;
use crate::engine::containerd::{call, leased, request};
use crate::engine::error::EngineError;
use containerd_client::services::v1 as api;
use futures::Stream;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use tonic::{Code, Status};

/// Front of the labels that keep other content from being collected.
const REFERENCE: &str = "containerd.io/gc.ref.content.";
/// Label of a compressed layer's content: the digest of the uncompressed layer.
pub(super) const UNCOMPRESSED: &str = "containerd.io/uncompressed";

impl Inner {
    /// Writes a small blob under a lease; answers its digest.
    pub(super) async fn write_blob(
        &self,
        data: Vec<u8>,
        labels: HashMap<String, String>,
        lease: &str,
    ) -> Result<String, EngineError> {
        let digest = digest(&data);
        let message = api::WriteContentRequest {
            action: api::WriteAction::Commit.into(),
            r#ref: format!("k3c-{digest}"),
            total: i64::try_from(data.len()).unwrap_or(0),
            expected: digest.clone(),
            offset: 0,
            data,
            labels,
        };
        self.write_pieces(futures::stream::iter([message]), lease)
            .await
            .map_err(EngineError::call("cannot write the image"))?;
        Ok(digest)
    }

    /// Puts labels on content that is there.
    pub(super) async fn label_content(
        &self,
        digest: &str,
        labels: HashMap<String, String>,
    ) -> Result<(), EngineError> {
        let paths = labels.keys().map(|label| format!("labels.{label}")).collect();
        let info = api::Info { digest: digest.to_owned(), labels, ..Default::default() };
        let mask = Some(prost_types::FieldMask { paths });
        call("cannot keep an image's content", || {
            let mut content = self.containerd.content();
            let message = api::UpdateRequest { info: Some(info.clone()), update_mask: mask.clone() };
            async move { content.update(request(message)).await }
        })
        .await
        .map(drop)
    }

    /// Lets content not keep other content from being collected any more.
    pub(super) async fn let_go(&self, digest: &str, other: &str) -> Result<(), EngineError> {
        let answer = call("cannot look at an image's content", || {
            let mut content = self.containerd.content();
            let message = api::InfoRequest { digest: digest.to_owned() };
            async move { content.info(request(message)).await }
        })
        .await?;
        let labels = answer.info.unwrap_or_default().labels;
        let of_it = labels.into_iter().filter(|(key, value)| key.starts_with(REFERENCE) && value == other);
        // A label without a value is none.
        let gone: HashMap<String, String> = of_it.map(|(key, _)| (key, String::new())).collect();
        match gone.is_empty() {
            true => Ok(()),
            false => self.label_content(digest, gone).await,
        }
    }

    /// Writes content in pieces under a lease, the last of which is the commit. Answers the digest of the pieces before
    /// the commit. It is as good when the same content is there, under another name or by somebody else.
    ///
    /// # Errors
    /// containerd's own status.
    pub(super) async fn write_pieces(
        &self,
        pieces: impl Stream<Item = api::WriteContentRequest> + Send + 'static,
        lease: &str,
    ) -> Result<String, Status> {
        let mut digest = String::new();
        let writing = async {
            let mut answers = self.containerd.content().write(leased(pieces, lease)).await?.into_inner();
            // Each says the digest of what is written so far.
            while let Some(answer) = answers.message().await? {
                digest = answer.digest;
            }
            Ok(())
        };
        match writing.await {
            Err(status) if Status::code(&status) != Code::AlreadyExists => Err(status),
            _ => Ok(digest),
        }
    }
}

/// The digest of content, in SHA-256.
pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// Labels that keep from being collected what a manifest or an index refers to.
pub(super) fn references(document: &Value) -> HashMap<String, String> {
    let config = document["config"]["digest"].as_str().map(|digest| ("config".to_owned(), digest));
    let lists = [("layers", "l"), ("manifests", "m")].into_iter().flat_map(|(list, letter)| {
        let entries = document[list].as_array().into_iter().flatten().enumerate();
        entries
            .filter_map(move |(index, entry)| Some((format!("{letter}.{index}"), entry["digest"].as_str()?)))
    });
    let label = |(name, digest): (String, &str)| (format!("{REFERENCE}{name}"), digest.to_owned());
    config.into_iter().chain(lists).map(label).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_below_is_kept() {
        let of = |document: Value| {
            let mut all: Vec<String> =
                references(&document).into_iter().map(|(k, v)| format!("{k}={v}")).collect();
            all.sort();
            all.join(" ").replace("containerd.io/gc.ref.content.", "")
        };
        let entries = json!([{ "digest": "a" }, { "digest": "b" }]);
        assert_eq!(of(json!({ "config": { "digest": "c" }, "layers": entries })), "config=c l.0=a l.1=b");
        assert_eq!(of(json!({ "manifests": entries })), "m.0=a m.1=b");
    }
}
