//! `pull`, through CRI.

use crate::engine::Engine;
use crate::engine::error::EngineError;
use crate::model::image::PullOutcome;
use crate::model::reason::Reason;
use crate::model::reference::Reference;
use crate::proto::cri;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

impl Engine {
    /// Fetches an image from its registry.
    pub async fn pull(
        &self,
        reference: &str,
        platform: Option<String>,
    ) -> Result<ReceiverStream<Result<PullOutcome, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let reference = Reference::parse(reference)?;
        let own = format!("linux/{}", super::architecture());
        if let Some(platform) = platform.filter(|p| *p != own && !p.starts_with(&format!("{own}/"))) {
            return Err(EngineError::refused(
                Reason::Unsupported,
                format!("cannot pull for {platform}: only {own} is supported"),
            ));
        }
        let (sender, receiver) = mpsc::channel(8);
        tokio::spawn(async move {
            let spec = cri::ImageSpec { image: reference.to_string(), ..Default::default() };
            let message = cri::PullImageRequest { image: Some(spec), auth: None, sandbox_config: None };
            let mut images = inner.cri.images();
            let answer = tokio::select! {
                answer = images.pull_image(message) => answer,
                () = sender.closed() => return,
            };
            let outcome = match answer {
                Ok(_) => match inner.find_image(&reference.to_string()).await {
                    Ok(found) => {
                        inner.image_event("pull", &found.group.id, &reference.familiar()).await;
                        Ok(PullOutcome::Done { reference: reference.to_string(), id: found.group.id })
                    }
                    Err(error) => Err(error),
                },
                Err(status) => Err(pull_error(&reference, &status)),
            };
            sender.send(outcome).await.ok();
        });
        Ok(ReceiverStream::new(receiver))
    }
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
