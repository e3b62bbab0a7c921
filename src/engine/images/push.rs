//! `push`, through containerd's transfer service.
//!
//! Of an index that is here in parts only, the manifest for one platform is pushed: a registry takes no index whose
//! manifests it does not have. containerd pushes what a name leads to, so that manifest has one for the time being.

use super::mount::Mounts;
use super::registry::{self, Logins, Outcomes, Transfer, Way};
use super::{ENGINE, own_platform, remove};
use crate::engine::containerd::{Containerd, call_behind, request};
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::image::{Compression, Progress, TransferOutcome, Transferred};
use crate::model::login::Login;
use crate::model::platform::Platform;
use crate::model::reason::Reason;
use crate::model::reference::{NOWHERE, Reference};
use containerd_client::services::v1::{CreateImageRequest, DeleteImageRequest, Image};
use containerd_client::to_any;
use containerd_client::types::Descriptor;
use containerd_client::types::transfer as wire;
use futures::{Stream, StreamExt};
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use tokio_stream::wrappers::ReceiverStream;

/// Front of the names that exist while something is pushed.
pub(super) const PASSING: &str = "k3c.local/pushing/";

impl Engine {
    /// Sends an image to its registry; plain layers are compressed first. Each question among the outcomes takes one of
    /// the logins; when there are no more, the answer is that there are no credentials.
    ///
    /// # Errors
    /// At once: `InvalidArgument` (the reference, the platform), `NotFound` (the image, or not for that platform). Among
    /// the outcomes: `Unauthorized`, `NotFound` (the repository), `Unavailable` (busy, or it hung up, several times),
    /// `Timeout`, and what the registry says.
    pub async fn push(
        &self,
        reference: &str,
        platform: Option<String>,
        compression: Compression,
        logins: impl Stream<Item = Login> + Send + 'static,
    ) -> Result<ReceiverStream<Result<TransferOutcome, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let reference = Reference::parse(reference)?;
        if reference.digest.is_some() {
            return Err(EngineError::invalid("cannot push a digest reference"));
        }
        if !reference.has_registry() {
            return Err(EngineError::invalid(format!(
                "cannot push {}: {NOWHERE} is no registry; give the image a name in one first (tag {} HOST/NAME)",
                reference.familiar(),
                reference.familiar()
            )));
        }
        let platform = platform.map(|text| Platform::parse(&text, &own_platform())).transpose()?;
        let target = inner.pushed(&reference, platform.as_ref()).await?;
        let mut logins = logins.boxed();
        Ok(registry::serve(|outcomes| async move {
            inner
                .push(&reference, target, compression, &mut logins, &outcomes)
                .await
                .map(TransferOutcome::Done)
        }))
    }
}

/// A name that is taken away when this is dropped: also when whoever pushes goes away.
struct Passing {
    name: String,
    containerd: Containerd,
}

impl Drop for Passing {
    fn drop(&mut self) {
        let containerd = self.containerd.clone();
        let message = DeleteImageRequest { name: std::mem::take(&mut self.name), sync: false, target: None };
        call_behind("a name of a push stays until its time is over", move || {
            let mut images = containerd.images();
            let message = message.clone();
            async move { images.delete(request(message)).await }
        });
    }
}

/// What is pushed.
struct Target {
    descriptor: Descriptor,
    /// The whole of what the name leads to.
    whole: bool,
}

impl Inner {
    /// Finds what is pushed: all that the name leads to, or the manifest for one platform.
    async fn pushed(
        &self,
        reference: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Target, EngineError> {
        let name = reference.to_string();
        let Some(descriptor) = self.target_of(&name).await? else {
            return Err(self.not_here(reference).await?);
        };
        if platform.is_none() && self.is_whole(&descriptor.digest).await? {
            return Ok(Target { descriptor, whole: true });
        }
        let own = own_platform();
        let platform = platform.unwrap_or(&own);
        let id = descriptor.digest.clone();
        match self.manifest_for(descriptor, platform).await? {
            Some(found) if self.size_of_blob(&found.digest).await?.is_some() => {
                Ok(Target { whole: found.digest == id, descriptor: found })
            }
            _ => Err(EngineError::other_platform(&reference.familiar(), platform)),
        }
    }

    async fn not_here(&self, reference: &Reference) -> Result<EngineError, EngineError> {
        let of_it =
            |name: &str| Reference::parse(name).is_ok_and(|r| r.repository() == reference.repository());
        let text = match self.image_names().await?.iter().any(|image| of_it(&image.name)) {
            true => format!("tag does not exist: {}", reference.familiar()),
            false => {
                format!("An image does not exist locally with the tag: {}", reference.familiar_repository())
            }
        };
        Ok(EngineError::refused(Reason::NotFound, text))
    }

    /// True for a manifest, and for an index of which every manifest is here.
    async fn is_whole(&self, digest: &str) -> Result<bool, EngineError> {
        for child in self.children(digest).await? {
            if self.size_of_blob(&child.digest).await?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn push(
        &self,
        reference: &Reference,
        mut target: Target,
        compression: Compression,
        logins: &mut Logins,
        outcomes: &Outcomes,
    ) -> Result<Transferred, EngineError> {
        let status = format!("The push refers to repository [{}]", reference.repository());
        let step = Progress { status, ..Progress::default() };
        outcomes.send(Ok(TransferOutcome::Progress(step))).await.ok();
        let image = target.descriptor.digest.clone();
        let lease = self.lease("push").await?;
        if let Some(packed) = self.compressed(&target.descriptor, compression, &lease, outcomes).await? {
            target = Target { descriptor: packed, whole: false };
        }
        let Descriptor { digest: id, size, .. } = target.descriptor.clone();
        let transfer = Transfer { way: Way::Push, reference, outcomes };
        let passing = match target.whole {
            true => None,
            false => Some(self.pass(target.descriptor).await?),
        };
        let source = passing.as_ref().map_or_else(|| reference.to_string(), |passing| passing.name.clone());
        let store = to_any(&wire::ImageStore { name: source.clone(), ..Default::default() });
        let ends = |stream| (store.clone(), to_any(&self.registry(reference, stream)));
        let mounts = self.mounts(&id, reference, logins, outcomes).await?;
        let step = move |reference: &Reference, progress| self::step(reference, progress, &mounts);
        self.move_image(transfer, &ends, None, logins, step).await?;
        drop(passing);
        self.image_event("push", &image, &reference.familiar()).await;
        Ok(Transferred { reference: reference.to_string(), id, unchanged: false, size })
    }

    /// Gives a manifest a name that ends by itself when nobody takes it away. With its mark on it, CRI lets it be.
    async fn pass(&self, target: Descriptor) -> Result<Passing, EngineError> {
        let name = format!("{PASSING}{}", uuid::Uuid::new_v4());
        let end = Timestamp::now().checked_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
        let labels = HashMap::from([
            ("containerd.io/gc.expire".to_owned(), end.to_string()),
            (remove::MARK.to_owned(), "managed".to_owned()),
            (ENGINE.to_owned(), self.course.started.to_string()),
        ]);
        let image = Image { name: name.clone(), target: Some(target), labels, ..Default::default() };
        let message = CreateImageRequest { image: Some(image), source_date_epoch: None };
        let passing = Passing { name, containerd: self.containerd.clone() };
        let made = self.containerd.images().create(request(message)).await;
        made.map_err(EngineError::call("cannot name what is pushed"))?;
        Ok(passing)
    }

    /// Takes the names away that an engine left which died while it pushed.
    pub(in crate::engine) async fn drop_dead_names(&self) {
        let started = self.course.started.to_string();
        for image in self.image_names().await.unwrap_or_default() {
            if image.name.starts_with(PASSING)
                && image.labels.get(ENGINE).is_none_or(|engine| *engine != started)
            {
                drop(Passing { name: image.name, containerd: self.containerd.clone() });
            }
        }
    }
}

/// A step of the transfer in Docker's words, for each layer.
fn step(_: &Reference, progress: wire::Progress, mounts: &Mounts) -> Option<Progress> {
    let from = progress.desc.as_ref().and_then(|desc| mounts.get(&desc.digest));
    let from = from.map(|repository| format!("Mounted from {repository}"));
    let status = match progress.event.as_str() {
        "waiting" => "Preparing",
        "uploading" => "Pushing",
        "complete" => "Pushed",
        "already exists" => from.as_deref().unwrap_or("Layer already exists"),
        _ => return None,
    };
    registry::layer_step(status, progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_in_dockers_words() {
        let reference = Reference::parse("localhost:5000/a").unwrap();
        for (event, said) in [
            ("waiting", Some("Preparing")),
            ("uploading", Some("Pushing")),
            ("complete", Some("Pushed")),
            ("already exists", Some("Layer already exists")),
            ("pushing content", None),
        ] {
            let desc = Descriptor {
                media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
                digest: format!("sha256:{}", "ab".repeat(32)),
                ..Default::default()
            };
            let progress = wire::Progress { event: event.to_owned(), desc: Some(desc), ..Default::default() };
            let step = step(&reference, progress, &Mounts::new()).map(|step| (step.id, step.status));
            assert_eq!(step, said.map(|said| ("ab".repeat(6), said.to_owned())), "{event}");
        }
    }
}
