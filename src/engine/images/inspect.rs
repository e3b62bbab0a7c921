//! `image inspect` and `tag`.

use super::facts::strings;
use crate::engine::containerd::{patiently, request};
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::image::ImageDetail;
use crate::model::reference::{self, Reference};
use containerd_client::services::v1::{CreateImageRequest, Image, UpdateImageRequest};
use containerd_client::types::Descriptor;
use jiff::Timestamp;
use serde_json::Value;
use tonic::Code;

impl Engine {
    /// All that is known of one image.
    ///
    /// # Errors
    /// `NotFound`: no such image; `InvalidArgument`: the reference is none, or the prefix of an ID is several images';
    /// `Unavailable`: it is still being imported.
    pub async fn inspect_image(&self, who: &str) -> Result<ImageDetail, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let (found, facts) = inner.open_image(who).await?;
        let group = &found.group;
        let config = &facts.config;
        let text = |key: &str| config[key].as_str().unwrap_or_default().to_owned();
        Ok(ImageDetail {
            id: group.id.clone(),
            tags: group.tags().iter().map(|t| reference::familiar(t)).collect(),
            digests: group.digests(),
            created: text("created"),
            tagged: Timestamp::from_second(group.updated).unwrap_or(Timestamp::UNIX_EPOCH),
            author: text("author"),
            comment: last_comment(config),
            architecture: text("architecture"),
            variant: text("variant"),
            os: text("os"),
            config: facts.image_config(),
            layers: strings(&config["rootfs"]["diff_ids"]),
            size: inner.footprint(&group.id, &inner.content_here().await?).await?.size(),
            media_type: facts.descriptor["mediaType"].as_str().unwrap_or_default().to_owned(),
            descriptor_size: facts.descriptor["size"].as_i64().unwrap_or_default(),
            config_digest: facts.config_digest.clone(),
            driver: inner.config.snapshotter.clone(),
        })
    }

    /// Gives an image one more name.
    ///
    /// # Errors
    /// `NotFound`: no such image; `InvalidArgument`: one of the references; `Unavailable`: the image is still being
    /// imported.
    pub async fn tag(&self, source: &str, target: &str) -> Result<(), EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let reference = Reference::parse(target).map_err(|e| {
            EngineError::invalid(format!(
                "Error parsing reference: {target:?} is not a valid repository/tag: {e}"
            ))
        })?;
        if reference.digest.is_some() {
            return Err(EngineError::invalid("refusing to create a tag with a digest reference"));
        }
        let found = inner.find_image(source).await?;
        inner.name_image(&reference.to_string(), &found.group.id).await?;
        inner.image_event("tag", &found.group.id, &reference.familiar()).await;
        Ok(())
    }
}

impl Inner {
    /// Makes a name, or moves it to another target.
    async fn name_image(&self, name: &str, id: &str) -> Result<(), EngineError> {
        let names = self.image_names().await?;
        let target: Descriptor = names
            .iter()
            .filter_map(|i| i.target.clone())
            .find(|t| t.digest == id)
            .ok_or_else(|| EngineError::NoSuchImage(id.to_owned()))?;
        self.point_name(name, target).await
    }

    /// Makes a name, or moves it.
    pub(super) async fn point_name(&self, name: &str, target: Descriptor) -> Result<(), EngineError> {
        let image = Image { name: name.to_owned(), target: Some(target), ..Default::default() };
        let made = patiently(|| {
            let mut images = self.containerd.images();
            let message = CreateImageRequest { image: Some(image.clone()), source_date_epoch: None };
            async move { images.create(request(message)).await }
        })
        .await;
        match made {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::AlreadyExists => {
                let message =
                    UpdateImageRequest { image: Some(image), update_mask: None, source_date_epoch: None };
                self.containerd
                    .images()
                    .update(request(message))
                    .await
                    .map(drop)
                    .map_err(EngineError::call("cannot tag the image"))
            }
            Err(status) => Err(EngineError::call("cannot tag the image")(status)),
        }
    }
}

fn last_comment(config: &Value) -> String {
    config["history"]
        .as_array()
        .and_then(|h| h.last())
        .and_then(|h| h["comment"].as_str())
        .unwrap_or_default()
        .to_owned()
}
