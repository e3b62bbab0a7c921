//! Calls that are not ours, sent on as they are (one is read first: `pod`): frames, trailers, half-closes and resets both
//! ways.
//!
//! A client that goes away resets its stream: its request body fails, which resets the backend's stream; and where the
//! request was already complete, the answer's body is dropped, which does the same.

use super::guarded::Guarded;
use super::outgoing::Outgoing;
use super::route::{Backend, Needs};
use super::upstream::{PATIENCE, Sender, Upstream, UpstreamError};
use super::{Backends, BuildkitError, HostPorts, refusal};
use crate::api::reason;
use crate::model::reason::{Reason, chain};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, Uri, header};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::time::Instant;
use tonic::body::Body;

/// The way to the backends.
pub(super) struct Proxy {
    backends: Backends,
    containerd: Upstream,
    buildkit: Upstream,
}

/// Destination of a call, and the lease that keeps it there.
struct Target<'a> {
    name: &'static str,
    upstream: &'a Upstream,
    socket: PathBuf,
    held: Option<Box<dyn Send + Sync>>,
}

/// A call could not be sent on.
#[derive(Debug, thiserror::Error)]
enum ProxyError {
    #[error("buildkitd is not available")]
    Buildkit(#[source] BuildkitError),
    #[error("{name} is not available")]
    Away { name: &'static str, source: UpstreamError },
    #[error("the connection to {name} was lost")]
    Lost { name: &'static str, source: hyper::Error },
    #[error("malformed path")]
    Path(#[source] http::uri::InvalidUriParts),
}

impl Proxy {
    pub(super) fn new(backends: Backends) -> Self {
        Self { backends, containerd: Upstream::default(), buildkit: Upstream::default() }
    }

    /// Waits for the things that a call needs, as `Backends` has them.
    pub(super) async fn prepared(&self, needs: Needs) {
        match needs {
            Needs::Nothing => {}
            Needs::Pods => (self.backends.pods)().await,
            Needs::Images => (self.backends.images)().await,
        }
    }

    /// Ports of the host that lead to pods.
    pub(super) fn host_ports(&self) -> Arc<dyn HostPorts> {
        self.backends.host_ports.clone()
    }

    /// Sends a call on. Answers with the backend's answer, or with `Unavailable`.
    pub(super) async fn forward(&self, backend: Backend, request: Request<Outgoing>) -> Response<Body> {
        let outcome = match self.target(backend).await {
            Ok(target) => send(target, request).await,
            Err(why) => Err(why),
        };
        outcome.unwrap_or_else(|error| {
            let why = chain(&error);
            tracing::warn!(%why, "a call could not be sent on");
            refusal::grpc(reason::status(Reason::Unavailable, why))
        })
    }

    async fn target(&self, backend: Backend) -> Result<Target<'_>, ProxyError> {
        match backend {
            Backend::Containerd => Ok(Target {
                name: "containerd",
                upstream: &self.containerd,
                socket: self.backends.containerd.clone(),
                held: None,
            }),
            Backend::Buildkit { start } => {
                let lease = self.backends.buildkit.acquire(start).await;
                let lease = lease.map_err(ProxyError::Buildkit)?;
                Ok(Target {
                    name: "buildkitd",
                    upstream: &self.buildkit,
                    socket: lease.socket.clone(),
                    held: Some(lease.into_guard()),
                })
            }
        }
    }
}

async fn send(target: Target<'_>, request: Request<Outgoing>) -> Result<Response<Body>, ProxyError> {
    let Target { name, upstream, socket, held } = target;
    let deadline = Instant::now() + PATIENCE;
    let mut request = rewritten(request)?;
    loop {
        let sender = upstream.sender(&socket, deadline).await;
        let mut sender: Sender = sender.map_err(|source| ProxyError::Away { name, source })?;
        match sender.try_send_request(request).await {
            Ok(response) => return Ok(response.map(|body| Body::new(Guarded::new(body, held)))),
            Err(mut error) => {
                // The connection is gone. A request that was never sent goes out again on a new one; any other may have
                // been done.
                upstream.forget().await;
                match error.take_message() {
                    Some(unsent) if Instant::now() < deadline => request = unsent,
                    _ => return Err(ProxyError::Lost { name, source: error.into_error() }),
                }
            }
        }
    }
}

/// The request with an absolute URI, which HTTP/2 over a unix socket wants; the host means nothing there.
fn rewritten(request: Request<Outgoing>) -> Result<Request<Outgoing>, ProxyError> {
    let (mut parts, body) = request.into_parts();
    let mut uri = parts.uri.into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(Authority::from_static("localhost"));
    uri.path_and_query = uri.path_and_query.or_else(|| Some(PathAndQuery::from_static("/")));
    parts.uri = Uri::from_parts(uri).map_err(ProxyError::Path)?;
    parts.headers.remove(header::HOST);
    Ok(Request::from_parts(parts, body))
}
