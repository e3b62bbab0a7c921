//! Images: containerd's image store, seen as Docker shows it.
//!
//! containerd keeps names, each with a target; an image is the group of names with one target. Besides the names that
//! people give, CRI keeps `sha256:<configuration>` for each image it knows; those hold the content and are not shown.

mod commit;
mod compress;
mod content;
mod distribution;
mod embedded;
mod facts;
mod footprint;
mod history;
mod inspect;
mod instructions;
mod lease;
mod list;
mod load;
mod mount;
mod pull;
mod push;
mod registry;
mod remove;
mod retry;
mod save;
mod transfer;

pub(super) use facts::{Facts, architecture, platform_of};
pub(super) use footprint::Pieces;
pub(super) use lease::{ENGINE, OF_PULLS};

use super::Inner;
use super::containerd::{call, request};
use super::error::EngineError;
use crate::model::platform::Platform;
use crate::model::reason::Reason;
use crate::model::reference::{self, Reference};
use containerd_client::services::v1::{Image, ListImagesRequest};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Repository of loaded images without a name, which get it and their digest; it is never shown.
pub(super) const UNNAMED: &str = "k3c.local/loaded";

/// The engine's memory of images. All of it can be read again.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// Facts by image ID.
    facts: Mutex<HashMap<String, Arc<Facts>>>,
    /// Bytes of committed snapshots, by their names.
    sizes: Mutex<HashMap<String, i64>>,
    /// What small content says of other content, by digest.
    outlines: Mutex<HashMap<String, Arc<footprint::Outline>>>,
    embedded: embedded::Embedded,
    pulling: lease::Pulling,
}

/// All the names of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Digest of the target, a manifest or an index.
    pub(super) id: String,
    /// Names as containerd keeps them.
    pub(super) names: Vec<String>,
    /// Time of the newest change, in seconds.
    pub(super) updated: i64,
}

impl Group {
    /// Names with a tag, complete.
    pub(super) fn tags(&self) -> Vec<String> {
        let is_tag =
            |n: &&String| !reference::is_digest(n) && !n.contains('@') && !n.starts_with(push::PASSING);
        let mut tags: Vec<String> = self.names.iter().filter(is_tag).cloned().collect();
        tags.sort();
        tags
    }

    /// `familiar@sha256:...` for each repository.
    pub(super) fn digests(&self) -> Vec<String> {
        let mut digests: Vec<String> = self
            .names
            .iter()
            .filter(|n| !reference::is_digest(n))
            .filter_map(|n| Reference::parse(n).ok())
            .filter(|r| r.repository() != UNNAMED && !r.repository().starts_with(push::PASSING))
            .map(|r| format!("{}@{}", r.familiar_repository(), self.id))
            .collect();
        digests.sort();
        digests.dedup();
        digests
    }
}

/// An image that was found.
#[derive(Clone, Debug)]
pub(super) struct Found {
    /// The image, with all its names.
    pub(super) group: Group,
    /// The complete reference it was found by; `None`: by ID.
    pub(super) reference: Option<Reference>,
}

impl Inner {
    /// Every name in containerd's image store.
    pub(super) async fn image_names(&self) -> Result<Vec<Image>, EngineError> {
        let answer = call("cannot list images", || {
            let mut images = self.containerd.images();
            async move { images.list(request(ListImagesRequest { filters: Vec::new() })).await }
        })
        .await?;
        Ok(answer.images)
    }

    /// Every image by ID, the hidden ones included.
    pub(super) async fn image_groups(&self) -> Result<BTreeMap<String, Group>, EngineError> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for image in self.image_names().await? {
            let Some(target) = image.target else { continue };
            let group = groups.entry(target.digest.clone()).or_default();
            group.id = target.digest;
            group.updated = group.updated.max(image.updated_at.map_or(0, |t| t.seconds));
            group.names.push(image.name);
        }
        Ok(groups)
    }

    /// True for an image that people never see, because it is only passing through.
    pub(super) fn is_hidden(&self, group: &Group) -> bool {
        let passes = |name: &String| name.starts_with(push::PASSING);
        !group.names.is_empty() && group.names.iter().all(passes)
    }

    /// Looks an image up by reference, ID, prefix of an ID, or CRI's ID (the configuration's digest).
    pub(super) async fn find_image(&self, who: &str) -> Result<Found, EngineError> {
        let reference = Reference::parse(who);
        if let Ok(reference) = &reference {
            self.await_embedded(&reference.to_string()).await?;
        }
        let complete = !is_hex(who) || self.embedded_are_over().await;
        let groups = self.image_groups().await?;
        if let Ok(reference) = &reference {
            let full = reference.to_string();
            if let Some(group) = groups.values().find(|g| g.names.contains(&full)) {
                return Ok(Found { group: group.clone(), reference: Some(reference.clone()) });
            }
            if let Some(digest) = &reference.digest {
                let repository = reference.repository();
                let same = |n: &String| Reference::parse(n).is_ok_and(|r| r.repository() == repository);
                if let Some(group) = groups.get(digest).filter(|g| g.names.iter().any(same)) {
                    return Ok(Found { group: group.clone(), reference: Some(reference.clone()) });
                }
            }
        }
        let hex = who.strip_prefix("sha256:").unwrap_or(who);
        if is_hex(who) {
            let begins = |digest: &str| digest.strip_prefix("sha256:").is_some_and(|d| d.starts_with(hex));
            let by_id: Vec<&Group> = groups
                .values()
                // A hidden image makes no prefix ambiguous.
                .filter(|g| hex.len() == 64 || !self.is_hidden(g))
                .filter(|g| begins(&g.id) || g.names.iter().any(|n| reference::is_digest(n) && begins(n)))
                .collect();
            match by_id.as_slice() {
                [] => {}
                [group] => return Ok(Found { group: (*group).clone(), reference: None }),
                [first, ..] if begins(&first.id) && hex.len() == 64 => {
                    return Ok(Found { group: (*first).clone(), reference: None });
                }
                several => {
                    // Several manifests may have one configuration: any of them will do.
                    let exact =
                        several.iter().find(|g| g.names.iter().any(|n| n.ends_with(hex) && hex.len() == 64));
                    return match exact {
                        Some(group) => Ok(Found { group: (*group).clone(), reference: None }),
                        None => Err(EngineError::AmbiguousPrefix(who.to_owned())),
                    };
                }
            }
        }
        if !complete {
            let why = "the images inside k3c are still being imported";
            return Err(EngineError::refused(
                Reason::Unavailable,
                format!("cannot tell whether there is an image {who}: {why}"),
            ));
        }
        match reference {
            Ok(reference) => Err(EngineError::NoSuchImage(reference.familiar())),
            Err(_) if reference::is_digest(who) || hex.len() == 64 => {
                Err(EngineError::NoSuchImage(who.to_owned()))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Looks an image up and reads it.
    pub(super) async fn open_image(&self, who: &str) -> Result<(Found, Arc<Facts>), EngineError> {
        let found = self.find_image(who).await?;
        let facts = self.facts(&found.group.id).await?;
        Ok((found, facts))
    }
}

/// The platform of this host.
pub(super) fn own_platform() -> Platform {
    Platform::linux(architecture())
}

/// True when a text may be an ID or the beginning of one.
fn is_hex(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    (1..=64).contains(&hex.len()) && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}
