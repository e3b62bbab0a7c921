//! Layers that a registry has in another repository: containerd asks it to take them from there, and says of those, too,
//! that they exist already.

use super::distribution::Asker;
use super::registry::{Logins, Outcomes};
use super::retry::Known;
use crate::engine::Inner;
use crate::engine::containerd::{patiently, request};
use crate::engine::error::EngineError;
use crate::model::reference::{self, Reference};
use containerd_client::services::v1::InfoRequest;
use std::collections::HashMap;

/// Front of the label of content with the repositories of a registry that it is known to be in.
const SOURCE: &str = "containerd.io/distribution.source.";

/// Other repositories from which layers will be taken, by the layers' digests.
pub(super) type Mounts = HashMap<String, String>;

impl Inner {
    /// Layers below a digest that the repository does not have yet, and another one of the registry may.
    pub(super) async fn mounts(
        &self,
        digest: &str,
        reference: &Reference,
        logins: &mut Logins,
        outcomes: &Outcomes,
    ) -> Result<Mounts, EngineError> {
        let known = Known::default();
        let mut asker = Asker::new(reference, outcomes, logins, &known);
        let mut mounts = Mounts::new();
        let footprint = self.footprint(digest, &self.content_here().await?).await?;
        for layer in footprint.pieces().into_keys().filter(|piece| reference::is_digest(piece)) {
            if let Some(repository) = self.elsewhere(&layer, reference).await
                && self.is_missing_at(&mut asker, &layer).await
            {
                mounts.insert(layer, repository);
            }
        }
        Ok(mounts)
    }

    /// Another repository of the registry that is known to have a piece of content.
    async fn elsewhere(&self, digest: &str, reference: &Reference) -> Option<String> {
        let answer = patiently(|| {
            let mut content = self.containerd.content();
            let message = InfoRequest { digest: digest.to_owned() };
            async move { content.info(request(message)).await }
        })
        .await;
        let labels = answer.ok()?.into_inner().info?.labels;
        // Without the port, as containerd has it.
        let host = reference.domain.split(':').next().unwrap_or_default();
        candidate(labels.get(&format!("{SOURCE}{host}"))?, &reference.path)
    }
}

/// The repository of a list that containerd takes: of those with most of the path in common, the last.
fn candidate(list: &str, path: &str) -> Option<String> {
    let common = |repository: &&str| {
        let pairs = repository.split('/').zip(path.split('/'));
        pairs.take_while(|(a, b)| a == b).count()
    };
    list.split(',').filter(|repository| *repository != path).max_by_key(common).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::candidate;

    #[test]
    fn where_a_layer_is_taken_from() {
        for (list, path, from) in [
            ("a/b", "a/b", None),
            ("a/b,a/c", "a/b", Some("a/c")),
            ("x,a/c,y", "a/b", Some("a/c")),
            ("x,y", "a/b", Some("y")),
        ] {
            assert_eq!(candidate(list, path).as_deref(), from, "{list} {path}");
        }
    }
}
