//! `FileSend`: archives that exporters send. Each is for the output with the number that the call's metadata has.
//!
//! The service has two protocols under one name, and a definition for the other one only; so it is put together by hand.

use crate::builder::output::{Destination, Sink};
use crate::proto::moby::buildkit::v1::BytesMessage;
use futures::future::BoxFuture;
use futures::{Stream, StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio_util::io::{StreamReader, SyncIoBridge};
use tonic::body::Body;
use tonic::server::{NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// Metadata with the output's number; the first one if it is missing.
const NUMBER: &str = "buildkit-attachable-exporter-id";

/// Standard output, or what stands in for it.
pub(crate) type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// The store's name in an error about writing to it.
pub const STORE: &str = "the image to the store";

/// Takes what is sent.
#[derive(Clone)]
pub(super) struct FileSend(Arc<State>);

struct State {
    sinks: HashMap<usize, Sink>,
    /// They can be used once.
    targets: Mutex<Targets>,
}

/// What is written to and has no path.
#[derive(Default)]
pub struct Targets {
    /// Standard output, if an output goes there.
    pub stdout: Option<Output>,
    /// The store, if an image comes from elsewhere.
    pub loader: Option<Output>,
}

impl FileSend {
    pub(super) fn new(sinks: HashMap<usize, Sink>, targets: Targets) -> Self {
        Self(Arc::new(State { sinks, targets: Mutex::new(targets) }))
    }
}

impl NamedService for FileSend {
    const NAME: &'static str = "moby.filesync.v1.FileSend";
}

impl tower::Service<http::Request<Body>> for FileSend {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = Method(self.0.clone());
        Box::pin(async move {
            let codec = ProstCodec::<BytesMessage, BytesMessage>::default();
            Ok(tonic::server::Grpc::new(codec).streaming(method, request).await)
        })
    }
}

/// `DiffCopy`, the only one.
struct Method(Arc<State>);

impl StreamingService<BytesMessage> for Method {
    type Response = BytesMessage;
    type ResponseStream = futures::stream::Empty<Result<BytesMessage, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<BytesMessage>>) -> Self::Future {
        let state = self.0.clone();
        Box::pin(async move {
            let number = request.metadata().get(NUMBER).and_then(|value| value.to_str().ok());
            let number: usize = number.and_then(|text| text.parse().ok()).unwrap_or_default();
            let sink = state.sinks.get(&number).cloned();
            let sink = sink.ok_or_else(|| Status::not_found(format!("exporter {number} not found")))?;
            let pieces = request.into_inner().map(|piece| match piece {
                Ok(message) => Ok(message.data),
                Err(status) => Err(io::Error::other(status.message().to_owned())),
            });
            let target = |of: fn(&mut Targets) -> &mut Option<Output>| {
                of(&mut state.targets.lock().unwrap_or_else(PoisonError::into_inner)).take()
            };
            let (place, taken) = match &sink {
                Sink::Archive(Destination::Stdout) => {
                    ("standard output".to_owned(), write(target(|all| &mut all.stdout), pieces).await)
                }
                Sink::Loader => (STORE.to_owned(), write(target(|all| &mut all.loader), pieces).await),
                Sink::Archive(Destination::File(path)) => {
                    (path.display().to_string(), file(path, pieces).await)
                }
                Sink::Directory(path) => (path.display().to_string(), directory(path, pieces).await),
            };
            taken.map_err(|error| Status::unknown(format!("write {place}: {error}")))?;
            Ok(Response::new(futures::stream::empty()))
        })
    }
}

async fn write(
    to: Option<impl AsyncWrite + Unpin>,
    pieces: impl Stream<Item = io::Result<Vec<u8>>> + Send,
) -> io::Result<()> {
    let mut to = to.ok_or_else(|| io::Error::other("it is in use"))?;
    let mut pieces = std::pin::pin!(pieces);
    while let Some(piece) = pieces.try_next().await? {
        to.write_all(&piece).await?;
    }
    to.flush().await
}

/// A file is in its place when it is whole; a device or a pipe is written to.
async fn file(path: &Path, pieces: impl Stream<Item = io::Result<Vec<u8>>> + Send) -> io::Result<()> {
    if tokio::fs::metadata(path).await.is_ok_and(|data| !data.is_file()) {
        let file = tokio::fs::OpenOptions::new().write(true).open(path).await?;
        return write(Some(file), pieces).await;
    }
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".k3c-build-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder)?;
    let file = tokio::fs::File::from_std(temporary.reopen()?);
    write(Some(file), pieces).await?;
    temporary.persist(path).map(drop).map_err(|error| error.error)
}

async fn directory(
    path: &Path,
    pieces: impl Stream<Item = io::Result<Vec<u8>>> + Send + 'static,
) -> io::Result<()> {
    tokio::fs::create_dir_all(path).await?;
    let pieces = pieces.map_ok(io::Cursor::new);
    let archive = SyncIoBridge::new(StreamReader::new(Box::pin(pieces)));
    let path = path.to_owned();
    let unpacked = tokio::task::spawn_blocking(move || {
        let mut archive = archive;
        crate::sys::local::unpack(&path, &mut archive, false)?;
        // Blocks behind the end of the archive.
        io::copy(&mut archive, &mut io::sink()).map(drop)
    });
    unpacked.await.map_err(io::Error::other)?
}
