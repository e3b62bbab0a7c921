//! One socket: our services, and by gRPC path those of containerd and BuildKit.
//!
//! ```text
//! accept -> who may connect -> HTTP/1.1 : a sentence
//!                              HTTP/2   : route (path, metadata) -> door -> services (decode, call the engine, encode)
//!                                                                -> proxy    (frames and trailers untouched)
//! ```
//!
//! The listener is somebody else's: clients queue on it while no engine accepts.

mod door;
mod guarded;
mod health;
mod outgoing;
mod peer;
mod pods;
mod proxy;
mod refusal;
mod route;
mod services;
mod upstream;

use crate::engine::{Engine, EngineError};
use crate::supervise::NotReady;
use door::Door;
use futures::future::BoxFuture;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use outgoing::Outgoing;
use proxy::Proxy;
use route::Route;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use tonic::service::Routes;

/// Windows of HTTP/2: bytes that may be under way unread, per stream and per connection, towards clients and backends.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Limit of a call's headers, in bytes: BuildKit's sessions announce each method in a header of its own.
const HEADER_BYTES: u32 = 1 << 20;

/// Longest time for calls under way to end, after the shutdown was asked for.
const GRACE: Duration = Duration::from_secs(3);

/// A wait for something that a call must not find missing.
pub type Wait = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// Backends of the calls that are not ours, and the waits before them.
#[derive(Clone)]
pub struct Backends {
    /// containerd's socket; may come and go.
    pub containerd: PathBuf,
    /// buildkitd, started when first needed.
    pub buildkit: Arc<dyn Buildkit>,
    /// Waits until pods can be made: the engine knows all that are there.
    pub pods: Wait,
    /// Ports of the host that lead to pods.
    pub host_ports: Arc<dyn HostPorts>,
    /// Waits until the images of the binary are there, but not for ever.
    pub images: Wait,
}

/// The part of the daemon that publishes the ports of the host which CRI's clients want for their pods.
pub trait HostPorts: Send + Sync {
    /// Publishes what the configuration of a new pod says; if it cannot be had, the pod is removed.
    fn publish(&self, pod: String) -> BoxFuture<'_, Result<(), EngineError>>;

    /// Withdraws what is published for a pod, which may be named by the beginning of its ID.
    fn withdraw(&self, pod: String) -> BoxFuture<'_, ()>;
}

/// The part of the daemon that runs buildkitd.
pub trait Buildkit: Send + Sync {
    /// A buildkitd that runs until the lease is dropped. `start`: bring it up if it is down; otherwise its absence is
    /// the error.
    fn acquire(&self, start: bool) -> BoxFuture<'_, Result<BuildkitLease, BuildkitError>>;
}

/// Why there is no buildkitd.
#[derive(Debug, thiserror::Error)]
pub enum BuildkitError {
    /// It is down, and the call does not start it.
    #[error("buildkitd does not run; a build starts it")]
    Down,
    /// The disk of this folder is full: buildkitd would end at once, and say why in its log only.
    #[error("cannot start buildkitd: no space left on device for {}", .0.display())]
    DiskFull(PathBuf),
    /// It was started, and does not answer.
    #[error(transparent)]
    NotReady(#[from] NotReady),
}

/// A use of buildkitd; when the last one is dropped, the idle clock runs.
pub struct BuildkitLease {
    /// The socket at which buildkitd listens.
    pub socket: PathBuf,
    guard: Box<dyn Send + Sync>,
}

impl BuildkitLease {
    /// A lease of a buildkitd at `socket`; `guard` is dropped with it.
    pub fn new(socket: PathBuf, guard: Box<dyn Send + Sync>) -> Self {
        Self { socket, guard }
    }

    fn into_guard(self) -> Box<dyn Send + Sync> {
        self.guard
    }
}

/// Serves until `shutdown`, then lets calls under way end for a moment.
pub async fn serve(
    listener: std::os::unix::net::UnixListener,
    engine: Engine,
    backends: Backends,
    shutdown: CancellationToken,
) -> io::Result<()> {
    serve_routes(listener, services::routes(&engine), backends, shutdown).await
}

async fn serve_routes(
    listener: std::os::unix::net::UnixListener,
    ours: Routes,
    backends: Backends,
    shutdown: CancellationToken,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let door = Door::new(ours);
    let router = Arc::new(Router { door: door.clone(), proxy: Proxy::new(backends) });
    let gate = peer::Gate::of_this_process();
    let connections = TaskTracker::new();
    // Ends the connections for which the grace after `shutdown` was not enough.
    let hurry = CancellationToken::new();
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, or a client that has gone already: neither is a reason to stop.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        if let Err(why) = gate.admit(&stream) {
            tracing::warn!(%why, "refused a connection");
            continue;
        }
        connections.spawn(connection(stream, Arc::clone(&router), shutdown.clone(), hurry.clone()));
    }
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        hurry.cancel();
        connections.wait().await;
    }
    // A call that takes longer has its wish in the records, and the next engine goes on with it.
    tokio::time::timeout(GRACE, door.idle()).await.ok();
    Ok(())
}

/// Serves one connection until the client leaves.
async fn connection(
    stream: UnixStream,
    router: Arc<Router>,
    shutdown: CancellationToken,
    hurry: CancellationToken,
) {
    let service = hyper::service::service_fn(move |request| {
        let router = Arc::clone(&router);
        async move { Ok::<_, Infallible>(router.answer(request).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http2()
        .auto_date_header(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(HEADER_BYTES)
        .max_concurrent_streams(None);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut leaving = false;
    let outcome = loop {
        tokio::select! {
            outcome = serving.as_mut() => break outcome,
            () = shutdown.cancelled(), if !leaving => {
                leaving = true;
                serving.as_mut().graceful_shutdown();
            }
            () = hurry.cancelled() => return,
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a client's connection ended");
    }
}

struct Router {
    door: Door,
    proxy: Proxy,
}

impl Router {
    async fn answer(&self, request: http::Request<Incoming>) -> http::Response<Body> {
        if request.version() != http::Version::HTTP_2 {
            return refusal::http1();
        }
        match route::route(request.uri().path(), request.headers()) {
            Route::Ours => self.door.answer(request).await,
            Route::Backend(backend) => {
                let needs = route::needs(request.uri().path());
                if !pods::concerns(request.uri().path()) {
                    self.proxy.prepared(needs).await;
                    return self.proxy.forward(backend, request.map(Outgoing::Passed)).await;
                }
                match pods::look(request, &self.proxy).await {
                    pods::Answer::Done(answer) => answer,
                    pods::Answer::Forward(request) => {
                        self.proxy.prepared(needs).await;
                        self.proxy.forward(backend, request).await
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
