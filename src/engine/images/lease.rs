//! Leases: content that is made under one is not collected until an image's name, or a container, holds it.
//!
//! A pull's lease stays when the pull does not come to its end, for a day: it holds the layers that are here, and the
//! pieces of others, from which the next pull of the image goes on. The pull that succeeds ends those of its
//! predecessors, and so does `image prune`.

use crate::engine::Inner;
use crate::engine::containerd::{Containerd, call, call_behind, request};
use crate::engine::error::EngineError;
use crate::engine::locks::held;
use containerd_client::services::v1 as api;
use containerd_client::services::v1::leases_client::LeasesClient;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

/// Front of the IDs of pulls' leases.
pub(in crate::engine) const OF_PULLS: &str = "k3c-pull-";
/// Label of a pull's lease: the name that is pulled.
const NAME: &str = "io.k3c.pull";

/// Label of a lease: the start of the engine that took it. containerd may take a lease after that engine's death.
pub(in crate::engine) const ENGINE: &str = "io.k3c.engine";

/// Kind of a lease's resource: content that is not here as a whole.
const PIECE: &str = "ingests";

/// IDs of the leases of pulls that are under way.
pub(super) type Pulling = Arc<Mutex<HashSet<String>>>;

/// A lease that ends when it is dropped; one that nobody could end, after a day.
pub(super) struct Lease {
    id: String,
    containerd: Containerd,
}

/// The lease of a pull. Dropped, it stays, if it holds anything.
pub(super) struct PullLease {
    lease: Option<Lease>,
    pulling: Pulling,
}

impl Inner {
    /// Takes a lease; `purpose` is a word for people who list them.
    pub(super) async fn lease(&self, purpose: &str) -> Result<Lease, EngineError> {
        self.labelled(purpose, HashMap::new()).await
    }

    /// Takes the lease of a pull.
    pub(super) async fn pull_lease(&self, name: &str) -> Result<PullLease, EngineError> {
        let lease = self.labelled("pull", HashMap::from([(NAME.to_owned(), name.to_owned())])).await?;
        let pulling = self.images.pulling.clone();
        held(&pulling).insert(lease.id.clone());
        Ok(PullLease { lease: Some(lease), pulling })
    }

    /// Ends the leases that pulls left which did not come to their end: of one image, or all.
    pub(in crate::engine) async fn end_partial_pulls(&self, name: Option<&str>) -> Result<(), EngineError> {
        let all = call("cannot list leases", || {
            let mut leases = LeasesClient::new(self.containerd.channel());
            async move { leases.list(request(api::ListRequest::default())).await }
        })
        .await?;
        for lease in all.leases {
            let of_it = name.is_none_or(|name| lease.labels.get(NAME).is_some_and(|of| of == name));
            if lease.id.starts_with(OF_PULLS) && of_it && !held(&self.images.pulling).contains(&lease.id) {
                drop(Lease { id: lease.id, containerd: self.containerd.clone() });
            }
        }
        Ok(())
    }

    async fn labelled(
        &self,
        purpose: &str,
        mut labels: HashMap<String, String>,
    ) -> Result<Lease, EngineError> {
        let end = Timestamp::now().checked_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
        labels.insert("containerd.io/gc.expire".to_owned(), end.to_string());
        labels.insert(ENGINE.to_owned(), self.course.started.to_string());
        let message = api::CreateRequest { id: format!("k3c-{purpose}-{}", uuid::Uuid::new_v4()), labels };
        let containerd = self.containerd.clone();
        // In a task of its own: a caller that goes away meanwhile leaves a lease that is dropped when it is there.
        let taken = tokio::spawn(async move {
            call("cannot take a lease", || {
                let mut leases = LeasesClient::new(containerd.channel());
                let message = message.clone();
                async move { leases.create(request(message)).await }
            })
            .await?;
            Ok(Lease { id: message.id, containerd })
        });
        taken.await.map_err(|died| EngineError::Broken(format!("taking a lease died: {died}")))?
    }
}

impl Lease {
    /// The ID by which a call names it.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Keeps what a digest names, and what that refers to.
    pub(super) async fn hold(&self, digest: &str) -> Result<(), EngineError> {
        call("cannot keep an image", || {
            let mut leases = LeasesClient::new(self.containerd.channel());
            let resource = api::Resource { id: digest.to_owned(), r#type: "content".to_owned() };
            let message = api::AddResourceRequest { id: self.id.clone(), resource: Some(resource) };
            async move { leases.add_resource(request(message)).await }
        })
        .await
        .map(drop)
    }

    async fn resources(&self) -> Result<Vec<api::Resource>, EngineError> {
        let answer = call("cannot ask what a lease holds", || {
            let mut leases = LeasesClient::new(self.containerd.channel());
            let message = api::ListResourcesRequest { id: self.id.clone() };
            async move { leases.list_resources(request(message)).await }
        })
        .await?;
        Ok(answer.resources)
    }
}

impl PullLease {
    /// The ID by which a call names it; `None` when it has ended.
    pub(super) fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Throws the pieces away that it holds, and lets go of the rest.
    pub(super) async fn discard(self) -> Result<(), EngineError> {
        let Some(lease) = &self.lease else { return Ok(()) };
        for piece in lease.resources().await?.into_iter().filter(|r| r.r#type == PIECE) {
            call("cannot throw a piece of a layer away", || {
                let mut content = lease.containerd.content();
                let message = api::AbortRequest { r#ref: piece.id.clone() };
                async move { content.abort(request(message)).await }
            })
            .await?;
        }
        self.end();
        Ok(())
    }

    /// Lets go of what it holds.
    pub(super) fn end(mut self) {
        if let Some(lease) = self.lease.take() {
            held(&self.pulling).remove(&lease.id);
        }
    }
}

impl Drop for PullLease {
    fn drop(&mut self) {
        let Some(lease) = self.lease.take() else { return };
        held(&self.pulling).remove(&lease.id);
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                if lease.resources().await.is_ok_and(|held| !held.is_empty()) {
                    lease.leave();
                }
            })),
            Err(_) => lease.leave(),
        }
    }
}

impl Lease {
    /// Leaves it to its time.
    fn leave(mut self) {
        self.id.clear();
    }
}

impl Drop for Lease {
    /// Collects at once what nothing else holds: by itself containerd would do that after many changes more.
    fn drop(&mut self) {
        if self.id.is_empty() {
            return;
        }
        let containerd = self.containerd.clone();
        let message = api::DeleteRequest { id: std::mem::take(&mut self.id), sync: true };
        call_behind("a lease stays until its time is over", move || {
            let mut leases = LeasesClient::new(containerd.channel());
            let message = message.clone();
            async move { leases.delete(request(message)).await }
        });
    }
}
