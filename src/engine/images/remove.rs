//! `rmi`: names first, the content with the last name.

use super::{Found, UNNAMED, own_platform};
use crate::engine::containerd::{patiently, request};
use crate::engine::error::EngineError;
use crate::engine::locks::held;
use crate::engine::{Engine, Inner};
use crate::model::image::Removed;
use crate::model::platform::Platform;
use crate::model::reason::Reason;
use crate::model::reference::{self, Reference};
use containerd_client::services::v1::{DeleteImageRequest, GetImageRequest};
use std::time::Duration;
use tonic::Code;

impl Engine {
    /// Removes a name, and the image with its last one; with platforms, only what of the image is for these. Untagged
    /// parents do not exist here: `no_prune` keeps nothing.
    ///
    /// # Errors
    /// `NotFound`: no such image, or none for a platform; `InUse`: a container uses it; `Conflict`: it is k3c's own, or in several repositories
    /// and not forced; `InvalidArgument`: the reference is none; `Unavailable`: it is still being imported.
    pub async fn remove_image(
        &self,
        who: &str,
        force: bool,
        _no_prune: bool,
        platforms: &[String],
    ) -> Result<Vec<Removed>, EngineError> {
        let inner = self.inner();
        inner.ready().await;
        let own = own_platform();
        let platforms: Vec<Platform> =
            platforms.iter().map(|text| Platform::parse(text, &own)).collect::<Result<_, _>>()?;
        let found = inner.find_image(who).await?;
        if inner.is_hidden(&found.group) {
            return Err(EngineError::refused(
                Reason::Conflict,
                format!("conflict: unable to delete {who} (cannot be forced) - image belongs to k3c itself"),
            ));
        }
        if !platforms.is_empty() {
            return inner.remove_platforms(who, &found, &platforms, force).await;
        }
        let tags = found.group.tags();
        let named = found.reference.as_ref().filter(|r| r.digest.is_none()).map(ToString::to_string);
        let mut removed = Vec::new();
        if let Some(name) = &named
            && tags.len() > 1
        {
            inner.delete_name(name, true).await?;
            inner.image_event("untag", &found.group.id, &reference::familiar(name)).await;
            return Ok(vec![Removed::Untagged(reference::familiar(name))]);
        }
        if named.is_none() && !force && repositories(&tags) > 1 {
            return Err(EngineError::refused(
                Reason::Conflict,
                format!(
                    "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
                    short(&found.group.id)
                ),
            ));
        }
        let used = inner.check_unused(who, &found, force)?;
        if !used {
            inner.burials.let_go_of_image(&found.group.id).await;
        }
        for tag in &tags {
            inner.delete_name(tag, !used).await?;
            removed.push(Removed::Untagged(reference::familiar(tag)));
            inner.image_event("untag", &found.group.id, &reference::familiar(tag)).await;
        }
        for name in found.group.names.iter().filter(|n| n.contains('@')) {
            inner.delete_name(name, !used).await?;
            if !name.starts_with(UNNAMED) {
                removed.push(Removed::Untagged(reference::familiar(name)));
            }
        }
        if !used {
            // CRI's own name holds the content; it may be shared by another manifest of the same configuration.
            for name in found.group.names.iter().filter(|n| reference::is_digest(n)) {
                inner.delete_name(name, true).await?;
            }
            // CRI may have made its name after we looked.
            if let Ok(facts) = inner.facts(&found.group.id).await {
                let groups = inner.image_groups().await?;
                let shared = groups
                    .values()
                    .any(|g| g.id == found.group.id && g.names.iter().any(|n| !reference::is_digest(n)));
                if !shared {
                    inner.delete_name(&facts.config_digest, true).await?;
                }
            }
            held(&inner.images.facts).remove(&found.group.id);
            removed.push(Removed::Deleted(found.group.id.clone()));
            inner.image_event("delete", &found.group.id, &found.group.id).await;
        }
        Ok(removed)
    }
}

impl Inner {
    /// Lets go of what is for some platforms; the index stays as it is, so that a pull brings them back.
    async fn remove_platforms(
        &self,
        who: &str,
        found: &Found,
        platforms: &[Platform],
        force: bool,
    ) -> Result<Vec<Removed>, EngineError> {
        let id = &found.group.id;
        let footprint = self.footprint(id, &self.content_here().await?).await?;
        let here: Vec<_> = footprint.variants.iter().filter(|variant| variant.is_here()).collect();
        let mut going = Vec::new();
        for platform in platforms {
            let of_it: Vec<_> = here.iter().filter(|variant| platform.takes(&variant.platform)).collect();
            if of_it.is_empty() {
                return Err(EngineError::other_platform(who, platform));
            }
            going.extend(of_it.into_iter().map(|variant| variant.digest.clone()));
        }
        going.sort();
        going.dedup();
        if going.len() == here.len() {
            let all: Vec<String> = here.iter().map(|variant| variant.platform.to_string()).collect();
            let text = format!(
                "conflict: unable to delete {who} for {0} - there is nothing else of it: remove the image itself",
                all.join(" and ")
            );
            return Err(EngineError::refused(Reason::Conflict, text));
        }
        if going.contains(&self.facts(id).await?.manifest) {
            self.check_unused(who, found, force)?;
            self.burials.let_go_of_image(id).await;
        }
        // Its end collects what nothing holds any more.
        let _collecting = self.lease("remove").await?;
        for digest in &going {
            self.let_go(id, digest).await?;
            self.image_event("delete", digest, digest).await;
        }
        self.forget_facts(id);
        Ok(going.into_iter().map(Removed::Deleted).collect())
    }

    /// Refuses when a container uses the image; with force, answers whether a stopped one does.
    fn check_unused(&self, who: &str, found: &Found, force: bool) -> Result<bool, EngineError> {
        let records = self.records.all();
        let shown = found.reference.as_ref().map_or_else(|| who.to_owned(), Reference::familiar);
        let users = || records.iter().filter(|r| r.resolved.image_id == found.group.id);
        if let Some(user) = users().find(|r| r.status.is_up()) {
            return Err(EngineError::refused(
                Reason::InUse,
                format!(
                    "conflict: unable to delete {shown} (cannot be forced) - image is being used by running container {}",
                    user.id.short()
                ),
            ));
        }
        match users().next() {
            Some(user) if !force => Err(EngineError::refused(
                Reason::InUse,
                format!(
                    "conflict: unable to delete {shown} (must be forced) - image is being used by stopped container {}",
                    user.id.short()
                ),
            )),
            user => Ok(user.is_some()),
        }
    }

    /// Takes a name away; one that is not there is no error.
    pub(super) async fn delete_name(&self, name: &str, sync: bool) -> Result<(), EngineError> {
        self.await_mark(name).await?;
        let answer = patiently(|| {
            let mut images = self.containerd.images();
            let message = DeleteImageRequest { name: name.to_owned(), sync, target: None };
            async move { images.delete(request(message)).await }
        })
        .await;
        match answer {
            Err(status) if status.code() != Code::NotFound => {
                Err(EngineError::call("cannot remove the image")(status))
            }
            _ => Ok(()),
        }
    }
}

/// CRI's label on each name that it knows.
pub(super) const MARK: &str = "io.cri-containerd.image";

impl Inner {
    /// CRI puts its mark on a new name a moment after that was made, by making it anew: a name that was deleted in
    /// between would be back. Waits for the mark, for as long as CRI may need. An image that is not for this platform
    /// CRI leaves alone.
    pub(super) async fn await_mark(&self, name: &str) -> Result<(), EngineError> {
        for _ in 0..200 {
            let answer = patiently(|| {
                let mut images = self.containerd.images();
                let message = GetImageRequest { name: name.to_owned() };
                async move { images.get(request(message)).await }
            })
            .await;
            let image = match answer {
                Ok(answer) => answer.into_inner().image.unwrap_or_default(),
                Err(status) if status.code() == Code::NotFound => return Ok(()),
                Err(status) => return Err(EngineError::call("cannot look at the image")(status)),
            };
            let digest = image.target.unwrap_or_default().digest;
            let known = self.facts(&digest).await.is_ok_and(|facts| facts.is_for_cri());
            if image.labels.contains_key(MARK) || !known {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tracing::warn!(name, "CRI has not taken notice of a name that is deleted: it may bring it back");
        Ok(())
    }
}

fn repositories(tags: &[String]) -> usize {
    let mut repositories: Vec<String> =
        tags.iter().filter_map(|t| Reference::parse(t).ok()).map(|r| r.repository()).collect();
    repositories.sort();
    repositories.dedup();
    repositories.len()
}

fn short(id: &str) -> &str {
    let hex = id.strip_prefix("sha256:").unwrap_or(id);
    hex.get(..12).unwrap_or(hex)
}
