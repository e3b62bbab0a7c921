//! `pull`, through containerd's transfer service. Credentials are asked for on the way, when the registry wants them:
//!
//! ```text
//! registry: 401 -> containerd: AuthRequest -> a stream of its own -> question -> client
//!                  containerd: AuthResponse <-         ...        <- login    <- client
//! ```

use super::transfer::{self, Pipe};
use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::image::{Progress, PullOutcome};
use crate::model::login::{Login, LoginQuestion};
use crate::model::reason::Reason;
use crate::model::reference::Reference;
use containerd_client::to_any;
use containerd_client::types::transfer as wire;
use futures::{Stream, StreamExt};
use prost::Message;
use std::pin::pin;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

/// The way of a pull's outcomes to its caller.
type Outcomes = mpsc::Sender<Result<PullOutcome, EngineError>>;

impl Engine {
    /// Fetches an image from its registry. Each question among the outcomes takes one of the logins; when there are no
    /// more, the answer is that there are no credentials.
    ///
    /// # Errors
    /// At once: `InvalidArgument` (the reference), `Unsupported` (the platform). Among the outcomes: `Unauthorized`,
    /// `NotFound`, and what the registry says.
    pub async fn pull(
        &self,
        reference: &str,
        platform: Option<String>,
        logins: impl Stream<Item = Login> + Send + 'static,
    ) -> Result<ReceiverStream<Result<PullOutcome, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let reference = Reference::parse(reference)?;
        let own = own_platform();
        if let Some(platform) = platform.filter(|p| *p != own && !p.starts_with(&format!("{own}/"))) {
            return Err(EngineError::refused(
                Reason::Unsupported,
                format!("cannot pull for {platform}: only {own} is supported"),
            ));
        }
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(async move {
            let outcome = tokio::select! {
                outcome = inner.pull(&reference, logins, &sender) => outcome,
                () = sender.closed() => return,
            };
            sender.send(outcome).await.ok();
        });
        Ok(ReceiverStream::new(receiver))
    }
}

fn own_platform() -> String {
    format!("linux/{}", super::architecture())
}

impl Inner {
    async fn pull(
        &self,
        reference: &Reference,
        logins: impl Stream<Item = Login> + Send + 'static,
        outcomes: &Outcomes,
    ) -> Result<PullOutcome, EngineError> {
        let name = reference.to_string();
        let pipe = self.open_pipe().await?;
        let resolver = wire::RegistryResolver {
            auth_stream: pipe.id.clone(),
            host_dir: self.config.registries.display().to_string(),
            ..Default::default()
        };
        let source = wire::OciRegistry { reference: name.clone(), resolver: Some(resolver) };
        let destination = wire::ImageStore { name: name.clone(), ..self.store_for_us() };
        let _answering = AbortOnDropHandle::new(tokio::spawn(answer(pipe, logins, outcomes.clone())));
        let (steps, shown) = (outcomes.clone(), reference.clone());
        let tell = move |progress| {
            if let Some(step) = step(&shown, progress) {
                // A reader that is slow misses some progress, never a question or the end.
                steps.try_send(Ok(PullOutcome::Progress(step))).ok();
            }
        };
        let ends = (to_any(&source), to_any(&destination));
        self.transfer(ends, None, tell, |status| pull_error(reference, status)).await?;
        let found = self.find_image(&name).await?;
        // containerd takes an index in which nothing is for this platform, too.
        if let Err(error) = self.facts(&found.group.id).await {
            tracing::debug!(%error, "pulled what is of no use here");
            self.delete_name(&name, true).await?;
            return Err(EngineError::refused(
                Reason::NotFound,
                format!("no matching manifest for {} in the manifest list entries", own_platform()),
            ));
        }
        self.await_cri(std::slice::from_ref(&name)).await;
        self.image_event("pull", &found.group.id, &reference.familiar()).await;
        Ok(PullOutcome::Done { reference: name, id: found.group.id })
    }
}

/// Hands containerd's questions on, and the logins back, one by one.
async fn answer(pipe: Pipe, logins: impl Stream<Item = Login> + Send, outcomes: Outcomes) {
    let Pipe { sender, mut receiver, .. } = pipe;
    let mut logins = pin!(logins);
    while let Ok(Some(any)) = receiver.message().await {
        let Ok(request) = wire::AuthRequest::decode(any.value.as_slice()) else { continue };
        let question = LoginQuestion {
            host: request.host,
            reference: request.reference,
            challenges: request.wwwauthenticate,
        };
        if outcomes.send(Ok(PullOutcome::Question(question))).await.is_err() {
            return;
        }
        let login = logins.next().await.unwrap_or_default();
        if sender.send(to_any(&response(login))).await.is_err() {
            return;
        }
    }
}

fn response(login: Login) -> wire::AuthResponse {
    let (kind, username, secret) = match login {
        Login::Anonymous => (wire::AuthType::None, String::new(), String::new()),
        Login::Password { username, password } => (wire::AuthType::Credentials, username, password),
        Login::IdentityToken(token) => (wire::AuthType::Refresh, String::new(), token),
    };
    wire::AuthResponse { auth_type: kind.into(), username, secret, ..Default::default() }
}

/// A step of the transfer in Docker's words: what is pulled, then each layer.
fn step(reference: &Reference, progress: wire::Progress) -> Option<Progress> {
    if progress.event == "fetching image content" {
        let id = reference.tag.clone().or_else(|| reference.digest.clone()).unwrap_or_default();
        let status = format!("Pulling from {}", reference.path);
        return Some(Progress { id, status, ..Default::default() });
    }
    let kind = &progress.desc.as_ref()?.media_type;
    if !kind.contains(".layer.") && !kind.contains(".rootfs.") {
        return None;
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
    let step = transfer::step(progress);
    let hex = step.id.strip_prefix("sha256:").unwrap_or(&step.id);
    Some(Progress { id: hex.chars().take(12).collect(), status: status.to_owned(), ..step })
}

fn pull_error(reference: &Reference, status: &Status) -> EngineError {
    let text = status.message();
    let has = |part: &str| text.contains(part);
    if has("401") || has("authorization failed") || has("403") || has("insufficient_scope") {
        EngineError::refused(
            Reason::Unauthorized,
            format!(
                "pull access denied for {}, repository does not exist or may require 'docker login'",
                reference.familiar_repository()
            ),
        )
    } else if has("not found") {
        EngineError::refused(
            Reason::NotFound,
            format!("manifest for {} not found: manifest unknown: manifest unknown", reference.familiar()),
        )
    } else {
        EngineError::call("cannot pull")(status.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use containerd_client::types::Descriptor;

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

    #[test]
    fn logins_as_containerd_has_them() {
        for (login, kind, username, secret) in [
            (Login::Anonymous, wire::AuthType::None, "", ""),
            (
                Login::Password { username: "u".into(), password: "p".into() },
                wire::AuthType::Credentials,
                "u",
                "p",
            ),
            (Login::IdentityToken("t".into()), wire::AuthType::Refresh, "", "t"),
        ] {
            let made = response(login);
            assert_eq!((made.auth_type(), &*made.username, &*made.secret), (kind, username, secret));
        }
    }

    #[test]
    fn refusals_by_the_registrys_words() {
        let reference = Reference::parse("localhost:5000/a").unwrap();
        for (text, reason) in [
            (
                "failed to resolve image: unexpected status from HEAD request: 401 Unauthorized",
                Reason::Unauthorized,
            ),
            ("failed to resolve image: localhost:5000/a:latest: not found", Reason::NotFound),
            ("dial tcp 127.0.0.1:5000: connect: connection refused", Reason::Internal),
        ] {
            assert_eq!(pull_error(&reference, &Status::unknown(text)).reason(), reason, "{text}");
        }
    }
}
