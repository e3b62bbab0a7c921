//! `import`: a root filesystem becomes an image of one layer.

use super::archive::{self, Item, bad};
use super::{Read, opened, over};
use crate::engine::containerd::words;
use crate::engine::error::EngineError;
use crate::engine::images::{instructions, own_platform};
use crate::engine::{Engine, Inner, apart};
use crate::model::image::ImportOptions;
use crate::model::platform::Platform;
use crate::model::reference::Reference;
use bytes::Bytes;
use containerd_client::types::Descriptor;
use futures::Stream;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::io::{self, Read as _};
use tokio::sync::mpsc;

/// Size of a piece, in bytes.
const PIECE: usize = 1 << 20;
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl Engine {
    /// Makes an image of a root filesystem's archive, also one that is compressed by gzip, zstd, xz or bzip2; answers its
    /// ID.
    ///
    /// # Errors
    /// `InvalidArgument`: the reference, the platform, an instruction, or the archive is none or cut off; `Internal`: no
    /// space is left.
    pub async fn import(
        &self,
        input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
        options: ImportOptions,
    ) -> Result<String, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let name = match options.reference.as_str() {
            "" => None,
            text => Some(Reference::parse(text)?),
        };
        if name.as_ref().is_some_and(|name| name.digest.is_some()) {
            return Err(EngineError::invalid("cannot import digest reference"));
        }
        let config = config(&options)?;
        let id = inner.import_layer(input, config, name.as_ref()).await?;
        let shown = name.map_or_else(|| id.clone(), |name| name.familiar());
        inner.image_event("import", &id, &shown).await;
        Ok(id)
    }
}

impl Inner {
    async fn import_layer(
        &self,
        input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
        mut config: Value,
        name: Option<&Reference>,
    ) -> Result<String, EngineError> {
        let lease = self.lease("import").await?;
        let (sender, mut items) = mpsc::channel(4);
        let reading = apart(move || read(input, &sender))?;
        let stored = self.store_file(&mut items, "layer.tar", 0, &lease, &|_| {}).await;
        drop(items);
        over(reading).await?;
        let layer = stored?;
        config["rootfs"] = json!({ "type": "layers", "diff_ids": [layer.digest] });
        let descriptor = Descriptor {
            media_type: LAYER.to_owned(),
            digest: layer.digest.clone(),
            size: i64::try_from(layer.size).unwrap_or(i64::MAX),
            ..Default::default()
        };
        let unpacked = self.unpack_layer(&descriptor, "", &layer.digest, lease.id()).await;
        unpacked.map_err(|error| match error.says(words::is_no_tar) {
            true => bad("it is no tar archive, or is cut off"),
            false => error,
        })?;
        let layers = vec![json!({ "mediaType": LAYER, "digest": layer.digest, "size": layer.size })];
        self.write_image(&config, layers, layer.digest, name, lease.id()).await
    }
}

/// Reads an archive to its end.
fn read(
    input: impl Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
    items: &mpsc::Sender<Item>,
) -> Read {
    let broken = |error| Some(archive::broken(error));
    let mut plain = opened(input)?;
    let mut any = false;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        plain.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(broken)?;
        if piece.is_empty() {
            break;
        }
        any = true;
        items.blocking_send(Item::Data(piece.into())).map_err(|_| None)?;
    }
    if !any {
        return Err(Some(bad("it is empty")));
    }
    items.blocking_send(Item::End).map_err(|_| None)
}

/// The image's configuration, but for its layer.
fn config(options: &ImportOptions) -> Result<Value, EngineError> {
    let own = own_platform();
    let platform = match options.platform.as_str() {
        "" => own,
        text => Platform::parse(text, &own)?,
    };
    if platform.os != "linux" {
        return Err(EngineError::invalid(format!(
            "cannot import for {platform}: containers here are Linux's"
        )));
    }
    let now = Timestamp::now().to_string();
    let mut inner = json!({});
    for line in &options.changes {
        instructions::apply(&mut inner, line)?;
    }
    let comment = match options.comment.as_str() {
        "" => "Imported from -",
        text => text,
    };
    let mut config = json!({
        "created": now,
        "architecture": platform.architecture,
        "os": platform.os,
        "config": inner,
        "history": [{ "created": now, "comment": comment }],
    });
    if !platform.variant.is_empty() {
        config["variant"] = json!(platform.variant);
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations() {
        let options = ImportOptions {
            changes: vec!["CMD [\"/x\"]".into(), "ENV A=1".into()],
            platform: "linux/arm64".into(),
            ..ImportOptions::default()
        };
        let made = config(&options).unwrap();
        assert_eq!(made["config"], json!({ "Cmd": ["/x"], "Env": ["A=1"] }));
        assert_eq!((&made["architecture"], &made["os"]), (&json!("arm64"), &json!("linux")));
        assert_eq!(made["history"][0]["comment"], "Imported from -");
        let refused = |options: ImportOptions| config(&options).unwrap_err().to_string();
        let windows = ImportOptions { platform: "windows/amd64".into(), ..ImportOptions::default() };
        assert!(refused(windows).contains("cannot import for windows/amd64"));
        let run = ImportOptions { changes: vec!["RUN x".into()], ..ImportOptions::default() };
        assert!(refused(run).contains("RUN is not a valid change command"));
    }
}
