//! `pull`, through containerd's transfer service.
//!
//! A name leads to what the registry said, an index for the most part, of which the manifest for the host's platform is
//! here with its layers. An image for another platform has its name lead to that platform's manifest alone: CRI would
//! look for the host's in the index.

use super::own_platform;
use super::registry::{self, Logins, Outcomes, Transfer, Way};
use crate::engine::containerd::{patiently, request, words};
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::image::{Progress, TransferOutcome, Transferred};
use crate::model::login::Login;
use crate::model::platform::Platform;
use crate::model::reason::Reason;
use crate::model::reference::{NOWHERE, Reference};
use containerd_client::services::v1::GetImageRequest;
use containerd_client::to_any;
use containerd_client::types::Descriptor;
use containerd_client::types::transfer as wire;
use futures::{Stream, StreamExt};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

impl Engine {
    /// Fetches an image from its registry. Each question among the outcomes takes one of the logins; when there are no
    /// more, the answer is that there are no credentials.
    ///
    /// # Errors
    /// At once: `InvalidArgument` (the reference, the platform). Among the outcomes: `Unauthorized`, `NotFound` (also
    /// for that platform), `Unavailable` (busy, or it hung up, several times), `Timeout`, and what the registry says.
    pub async fn pull(
        &self,
        reference: &str,
        platform: Option<String>,
        all_platforms: bool,
        logins: impl Stream<Item = Login> + Send + 'static,
    ) -> Result<ReceiverStream<Result<TransferOutcome, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let reference = Reference::parse(reference)?;
        let own = own_platform();
        let wanted = match platform {
            Some(_) if all_platforms => {
                return Err(EngineError::invalid("conflicting options: a platform, and all platforms"));
            }
            Some(text) => Wanted { platform: Platform::parse(&text, &own)?, all: false },
            None => Wanted { platform: own, all: all_platforms },
        };
        if !reference.has_registry() {
            let text = format!("cannot pull {}: {NOWHERE} is no registry", reference.familiar());
            return Err(EngineError::refused(Reason::NotFound, text));
        }
        let mut logins = logins.boxed();
        Ok(registry::serve(|outcomes| async move {
            inner.pull(&reference, &wanted, &mut logins, &outcomes).await.map(TransferOutcome::Done)
        }))
    }
}

/// What is pulled of an index.
struct Wanted {
    /// The platform that is unpacked.
    platform: Platform,
    /// True when what is for other platforms comes along, packed.
    all: bool,
}

impl Inner {
    async fn pull(
        &self,
        reference: &Reference,
        wanted: &Wanted,
        logins: &mut Logins,
        outcomes: &Outcomes,
    ) -> Result<Transferred, EngineError> {
        let name = reference.to_string();
        let platform = &wanted.platform;
        let before = self.target_of(&name).await?;
        let mut store = wire::ImageStore { name: name.clone(), ..self.store_for(platform) };
        if wanted.all {
            store.platforms.clear();
        }
        let store = to_any(&store);
        let lease = self.pull_lease(&name).await?;
        let transfer = Transfer { way: Way::Pull, reference, outcomes };
        let ends = |stream| (to_any(&self.registry(reference, stream)), store.clone());
        if let Err(error) = self.move_image(transfer, &ends, lease.lease(), logins, step).await {
            // Pieces that are wrong would make the next pull fail, too, and others need the space that they take.
            if (registry::is_corrupt(&error) || words::is_full(&error.to_string()))
                && let Err(error) = lease.discard().await
            {
                tracing::debug!(%error, name, "pieces of a pull stay until their time is over");
            }
            return Err(error);
        }
        let Descriptor { digest: id, size, .. } = self.settle(&name, wanted, before.as_ref()).await?;
        lease.end();
        self.end_partial_pulls(Some(&name)).await?;
        if self.facts(&id).await.is_ok_and(|facts| facts.is_for_cri()) {
            self.await_cri(std::slice::from_ref(&name)).await;
        }
        self.image_event("pull", &id, &reference.familiar()).await;
        let unchanged = before.is_some_and(|before| before.digest == id);
        Ok(Transferred { reference: name, id, unchanged, size })
    }

    /// Lets a name that was pulled lead to what can be used, and answers that. containerd takes an index in which
    /// nothing is for the platform, too: then the name is again as it was `before`.
    async fn settle(
        &self,
        name: &str,
        wanted: &Wanted,
        before: Option<&Descriptor>,
    ) -> Result<Descriptor, EngineError> {
        let gone = || EngineError::Broken(format!("{name} is gone again"));
        let target = self.target_of(name).await?.ok_or_else(gone)?;
        let platform = &wanted.platform;
        self.forget_facts(&target.digest);
        let found = self.manifest_for(target.clone(), platform).await;
        match found {
            Ok(None) if wanted.all && self.facts(&target.digest).await.is_ok() => Ok(target),
            Ok(Some(_)) if *platform == own_platform() => Ok(target),
            Ok(Some(manifest)) => {
                // CRI puts its mark on the name by making it anew, with what it leads to now.
                self.await_mark(name).await?;
                self.point_name(name, manifest.clone()).await?;
                Ok(manifest)
            }
            Ok(None) | Err(_) => {
                tracing::debug!(name, ?found, "pulled what is of no use here");
                match before {
                    Some(before) => self.point_name(name, before.clone()).await?,
                    None => self.delete_name(name, true).await?,
                }
                Err(EngineError::refused(
                    Reason::NotFound,
                    format!("no matching manifest for {platform} in the manifest list entries"),
                ))
            }
        }
    }

    /// What a name leads to, if there is one.
    pub(super) async fn target_of(&self, name: &str) -> Result<Option<Descriptor>, EngineError> {
        let answer = patiently(|| {
            let mut images = self.containerd.images();
            let message = GetImageRequest { name: name.to_owned() };
            async move { images.get(request(message)).await }
        })
        .await;
        match answer {
            Ok(answer) => Ok(answer.into_inner().image.and_then(|image| image.target)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(EngineError::call("cannot look at the image")(status)),
        }
    }
}

/// A step of the transfer in Docker's words: what is pulled, then each layer.
fn step(reference: &Reference, progress: wire::Progress) -> Option<Progress> {
    if progress.event == "fetching image content" {
        let id = reference.tag.clone().or_else(|| reference.digest.clone()).unwrap_or_default();
        let status = format!("Pulling from {}", reference.path);
        return Some(Progress { id, status, ..Default::default() });
    }
    let status = match progress.event.as_str() {
        "waiting" => "Pulling fs layer",
        "downloading" => "Downloading",
        "complete" => "Download complete",
        "already exists" => "Already exists",
        "extracting" => "Extracting",
        "extracted" => "Pull complete",
        _ => return None,
    };
    registry::layer_step(status, progress)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_layers_have_steps() {
        let reference = Reference::parse("alpine:3").unwrap();
        let of = |event: &str, kind: &str| {
            let desc = (!kind.is_empty()).then(|| Descriptor {
                media_type: kind.to_owned(),
                digest: format!("sha256:{}", "ab".repeat(32)),
                ..Default::default()
            });
            let event = event.to_owned();
            step(&reference, wire::Progress { event, desc, ..Default::default() })
                .map(|step| format!("{}: {}", step.id, step.status))
        };
        let (layer, manifest) =
            ("application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.manifest.v1+json");
        let docker = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        for (event, kind, said) in [
            ("fetching image content", manifest, Some("3: Pulling from library/alpine")),
            ("waiting", layer, Some("abababababab: Pulling fs layer")),
            ("extracted", docker, Some("abababababab: Pull complete")),
            ("waiting", manifest, None),
            ("Resolving from x", "", None),
        ] {
            assert_eq!(of(event, kind).as_deref(), said, "{event}");
        }
    }
}
