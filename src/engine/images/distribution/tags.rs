//! Tags of a repository, and manifests as a registry has them.

use super::{Asker, json};
use crate::engine::error::EngineError;
use crate::engine::images::content;
use crate::engine::images::registry::{Logins, Outcomes, serve};
use crate::engine::images::retry::Known;
use crate::engine::images::{history::shown, platform_of};
use crate::engine::{Engine, Inner};
use crate::model::image::TransferOutcome;
use crate::model::login::Login;
use crate::model::reason::Reason;
use crate::model::reference::{NOWHERE, Reference};
use futures::{Stream, StreamExt};
use serde_json::{Value, json};
use tokio_stream::wrappers::ReceiverStream;

/// Tags that are asked for at once.
const PAGE: usize = 1000;
/// The most tags of a repository.
const MOST: usize = 100_000;

/// Kinds of manifests and indexes that are known.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, \
     application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

impl Engine {
    /// The tags of a repository at its registry, sorted: a document with a list `tags`. Logins as for a pull.
    ///
    /// # Errors
    /// At once: `InvalidArgument` (the reference). Among the outcomes: `Unauthorized`, `NotFound` (the repository),
    /// `Unavailable` (busy, several times), `Timeout`, and what else the registry or the network says.
    pub async fn remote_tags(
        &self,
        reference: &str,
        logins: impl Stream<Item = Login> + Send + 'static,
    ) -> Result<ReceiverStream<Result<TransferOutcome, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let reference = at_a_registry(reference)?;
        let mut logins = logins.boxed();
        Ok(serve(|outcomes| async move {
            inner.remote_tags(&reference, &mut logins, &outcomes).await.map(TransferOutcome::Document)
        }))
    }

    /// The manifest or index that a registry has under a name; `verbose`: each of its manifests, with its descriptor;
    /// `insecure`: whatever its certificate, and by plain HTTP if need be. Logins as for a pull.
    ///
    /// # Errors
    /// As for [`Self::remote_tags`]; `NotFound` for the manifest.
    pub async fn remote_manifest(
        &self,
        reference: &str,
        verbose: bool,
        insecure: bool,
        logins: impl Stream<Item = Login> + Send + 'static,
    ) -> Result<ReceiverStream<Result<TransferOutcome, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let reference = at_a_registry(reference)?;
        let mut logins = logins.boxed();
        Ok(serve(|outcomes| async move {
            let known = Known::default();
            let mut asker = Asker { insecure, ..Asker::new(&reference, &outcomes, &mut logins, &known) };
            let document = match verbose {
                true => inner.remote_manifests(&mut asker).await?,
                false => inner.manifest_at(&mut asker, &object(&reference)).await?.1,
            };
            Ok(TransferOutcome::Document(document))
        }))
    }
}

/// What is looked for below a repository.
fn object(reference: &Reference) -> String {
    reference.digest.clone().or_else(|| reference.tag.clone()).unwrap_or_default()
}

fn at_a_registry(text: &str) -> Result<Reference, EngineError> {
    let reference = Reference::parse(text)?;
    match reference.has_registry() {
        true => Ok(reference),
        false => {
            let text = format!("cannot ask about {}: {NOWHERE} is no registry", reference.familiar());
            Err(EngineError::refused(Reason::NotFound, text))
        }
    }
}

impl Inner {
    async fn remote_tags(
        &self,
        reference: &Reference,
        logins: &mut Logins,
        outcomes: &Outcomes,
    ) -> Result<Value, EngineError> {
        let known = Known::default();
        let mut asker = Asker::new(reference, outcomes, logins, &known);
        let mut tags: Vec<String> = Vec::new();
        let mut last = String::new();
        loop {
            let path = format!("tags/list?n={PAGE}{last}");
            let answer = self.ask(&mut asker, &path, "application/json").await;
            let answer = answer.map_err(|error| match error.reason() {
                Reason::NotFound => {
                    let name = reference.familiar_repository();
                    let text =
                        format!("repository {name} not found: name unknown: the registry does not have it");
                    EngineError::refused(Reason::NotFound, text)
                }
                _ => error,
            })?;
            let page = json(reference, &answer.body)?;
            let page: Vec<&str> =
                page["tags"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            tags.extend(page.iter().map(|tag| (*tag).to_owned()));
            if tags.len() > MOST {
                let name = reference.familiar_repository();
                return Err(EngineError::Broken(format!("repository {name} has more than {MOST} tags")));
            }
            let more = answer.headers.get("link").and_then(|link| link.to_str().ok());
            // An answer that begins again would never end.
            let next = page.last().map(|tag| format!("&last={tag}")).filter(|next| *next != last);
            match (more.is_some_and(|link| link.contains("rel=\"next\"")), next) {
                (true, Some(next)) => last = next,
                _ => break,
            }
        }
        // Some registries have no order.
        tags.sort();
        tags.dedup();
        Ok(json!({ "name": reference.repository(), "tags": tags }))
    }

    /// A manifest's bytes, and what they say. Content that was asked for by its digest must have it.
    async fn manifest_at(
        &self,
        asker: &mut Asker<'_>,
        object: &str,
    ) -> Result<(Vec<u8>, Value), EngineError> {
        let body = self.ask(asker, &format!("manifests/{object}"), MANIFESTS).await?.body;
        let found = content::digest(&body);
        if object.starts_with("sha256:") && object != found {
            let domain = &asker.reference.domain;
            let text =
                format!("the registry {domain} sent other content than it said: {found}, not {object}");
            return Err(EngineError::refused(Reason::Internal, text));
        }
        let manifest = json(asker.reference, &body)?;
        Ok((body, manifest))
    }

    /// Each manifest below a name, with its descriptor, as `manifest inspect -v` has it.
    async fn remote_manifests(&self, asker: &mut Asker<'_>) -> Result<Value, EngineError> {
        let reference = asker.reference;
        let (body, top) = self.manifest_at(asker, &object(reference)).await?;
        // A digest in the name is that of what is shown.
        let name = match &reference.tag {
            Some(tag) => format!("{}:{tag}", reference.repository()),
            None => reference.repository(),
        };
        let size = |body: &[u8]| u64::try_from(body.len()).ok();
        let Some(children) = top["manifests"].as_array() else {
            let platform = platform_of(&self.config_of(asker, &top).await?);
            return Ok(shown(&name, &content::digest(&body), size(&body), top, &platform));
        };
        let mut all = Vec::new();
        for child in children {
            let digest = child["digest"].as_str().unwrap_or_default();
            let (body, manifest) = self.manifest_at(asker, digest).await?;
            all.push(shown(&name, digest, size(&body), manifest, &platform_of(&child["platform"])));
        }
        Ok(json!(all))
    }

    /// The configuration of an image; null where a manifest is none of an image.
    async fn config_of(&self, asker: &mut Asker<'_>, manifest: &Value) -> Result<Value, EngineError> {
        let kind = manifest["config"]["mediaType"].as_str().unwrap_or_default();
        let Some(digest) = manifest["config"]["digest"].as_str().filter(|_| kind.contains("image")) else {
            return Ok(Value::Null);
        };
        let answer = self.ask(asker, &format!("blobs/{digest}"), "*/*").await?;
        json(asker.reference, &answer.body)
    }
}
