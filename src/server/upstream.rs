//! One HTTP/2 connection to a backend, shared by all calls, made again when it broke.

use super::outgoing::Outgoing;
use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout_at};

/// Limit of an answer's headers, in bytes: BuildKit sends the whole Dockerfile with an error about a line of it.
const ANSWER_HEADER_BYTES: u32 = 16 << 20;

/// Longest time that a backend may be away before a call gives up.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A way to send calls.
pub(super) type Sender = SendRequest<Outgoing>;

/// A call could not be sent on.
#[derive(Debug, thiserror::Error)]
pub(super) enum UpstreamError {
    /// Nobody listens.
    #[error("cannot connect to {path}", path = .0.display())]
    Connect(PathBuf, #[source] io::Error),
    /// Somebody listens, but does not speak.
    #[error("no HTTP/2 on {path}", path = .0.display())]
    Handshake(PathBuf, #[source] hyper::Error),
    /// Nobody answered in time.
    #[error("no answer on {path}", path = .0.display())]
    Silent(PathBuf),
}

/// The shared connection.
#[derive(Default)]
pub(super) struct Upstream {
    current: Mutex<Option<(PathBuf, Sender)>>,
}

impl Upstream {
    /// The connection to `path`, made if there is none that works; waits for the backend to be back.
    pub(super) async fn sender(&self, path: &Path, deadline: Instant) -> Result<Sender, UpstreamError> {
        let mut current = self.current.lock().await;
        if let Some((at, sender)) = &*current
            && at == path
            && !sender.is_closed()
        {
            return Ok(sender.clone());
        }
        *current = None;
        let sender = patiently(path, deadline).await?;
        *current = Some((path.to_owned(), sender.clone()));
        Ok(sender)
    }

    /// Gives later calls a new connection. Calls on the old one go on.
    pub(super) async fn forget(&self) {
        *self.current.lock().await = None;
    }
}

async fn patiently(path: &Path, deadline: Instant) -> Result<Sender, UpstreamError> {
    let mut pause = Duration::from_millis(20);
    loop {
        let attempt = timeout_at(deadline, connect(path)).await;
        let error = match attempt {
            Ok(Ok(sender)) => return Ok(sender),
            Ok(Err(error)) => error,
            Err(_) => UpstreamError::Silent(path.to_owned()),
        };
        if Instant::now() + pause >= deadline {
            return Err(error);
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}

async fn connect(path: &Path) -> Result<Sender, UpstreamError> {
    let stream =
        UnixStream::connect(path).await.map_err(|error| UpstreamError::Connect(path.to_owned(), error))?;
    let handshake = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(ANSWER_HEADER_BYTES)
        .handshake(TokioIo::new(stream))
        .await;
    let (mut sender, connection) =
        handshake.map_err(|error| UpstreamError::Handshake(path.to_owned(), error))?;
    let name = path.to_owned();
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, path = %name.display(), "the connection to a backend ended");
        }
    });
    sender.ready().await.map_err(|error| UpstreamError::Handshake(path.to_owned(), error))?;
    Ok(sender)
}
