//! Leases: content that is made under one is not collected until an image's name, or a container, holds it.

use crate::engine::Inner;
use crate::engine::containerd::{Containerd, call, request};
use crate::engine::error::EngineError;
use containerd_client::services::v1 as api;
use containerd_client::services::v1::leases_client::LeasesClient;
use jiff::{SignedDuration, Timestamp};
use std::collections::{HashMap, HashSet};

/// A lease that ends when it is dropped; one that nobody could end, after a day.
pub(super) struct Lease {
    id: String,
    containerd: Containerd,
}

impl Inner {
    /// Takes a lease; `purpose` is a word for people who list them.
    pub(super) async fn lease(&self, purpose: &str) -> Result<Lease, EngineError> {
        let end = Timestamp::now().checked_add(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MAX);
        let message = api::CreateRequest {
            id: format!("k3c-{purpose}-{}", uuid::Uuid::new_v4()),
            labels: HashMap::from([("containerd.io/gc.expire".to_owned(), end.to_string())]),
        };
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

    /// Digests of the content that it holds.
    pub(super) async fn content(&self) -> Result<HashSet<String>, EngineError> {
        let answer = call("cannot ask what a lease holds", || {
            let mut leases = LeasesClient::new(self.containerd.channel());
            let message = api::ListResourcesRequest { id: self.id.clone() };
            async move { leases.list_resources(request(message)).await }
        })
        .await?;
        let resources = answer.resources.into_iter();
        Ok(resources.filter(|r| r.r#type == "content").map(|r| r.id).collect())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut leases = LeasesClient::new(self.containerd.channel());
        let message = api::DeleteRequest { id: std::mem::take(&mut self.id), sync: false };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(status) = leases.delete(request(message)).await {
                    tracing::debug!(%status, "a lease stays until its time is over");
                }
            });
        }
    }
}
