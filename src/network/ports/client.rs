//! The engine's side of the API for ports.

use super::api::NO_VERSION;
use super::spec::{Spec, Status};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::UnixStream;

/// Time for one call. The process may be on its way up again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between attempts to reach it.
const PAUSE: Duration = Duration::from_millis(20);

/// Why a port is not published.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Somebody has that port.
    #[error("{0}")]
    Taken(String),
    /// The host does not have that version of IP.
    #[error("{0}")]
    NoVersion(String),
    /// Nobody can have it.
    #[error("{0}")]
    Bad(String),
    /// The process does not answer.
    #[error("the process for ports does not answer: {0}")]
    Away(String),
}

/// A client of the API. Each call has a connection of its own.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// A client of who listens there.
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Publishes a port.
    ///
    /// # Errors
    /// It cannot be had.
    pub async fn add(&self, spec: &Spec) -> Result<Status, Refusal> {
        let body = serde_json::to_vec(spec).map_err(|error| Refusal::Bad(error.to_string()))?;
        let (status, text) = self.call(Method::POST, "/v1/ports", body).await?;
        if status.is_success() {
            return read(&text);
        }
        let message: Message = read(&text).unwrap_or_default();
        let words = message.message;
        // RootlessKit itself has the same number for all refusals.
        let taken = status == StatusCode::CONFLICT
            || ["already in use", "conflict", "already allocated"].iter().any(|word| words.contains(word));
        Err(match words {
            words if taken => Refusal::Taken(words),
            words if words.starts_with(NO_VERSION) => Refusal::NoVersion(words),
            words => Refusal::Bad(words),
        })
    }

    /// Withdraws a port. One that is not there is no error.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn remove(&self, id: u32) -> Result<(), Refusal> {
        self.call(Method::DELETE, &format!("/v1/ports/{id}"), Vec::new()).await.map(drop)
    }

    /// All that is published.
    ///
    /// # Errors
    /// Nobody answers.
    pub async fn all(&self) -> Result<Vec<Status>, Refusal> {
        let (_, text) = self.call(Method::GET, "/v1/ports", Vec::new()).await?;
        // RootlessKit says `null` when there is none.
        Ok(read::<Option<Vec<Status>>>(&text)?.unwrap_or_default())
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), Refusal> {
        let called = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.once(method.clone(), path, body.clone()).await {
                    // It was killed and comes again; whatever it had done before is undone by that.
                    Err(Failure::Away(error)) => {
                        tracing::debug!(%error, "the process for ports is away");
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(Failure::Other(text)) => return Err(Refusal::Away(text)),
                    Ok(answer) => return Ok(answer),
                }
            }
        });
        called.await.map_err(|_| Refusal::Away(format!("nobody answers on {}", self.socket.display())))?
    }

    async fn once(&self, method: Method, path: &str, body: Vec<u8>) -> Result<(StatusCode, Bytes), Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(Failure::Away)?;
        let (mut sender, connection) =
            http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(Failure::http)?;
        let driver = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "ports")
            .header("content-type", "application/json")
            .body(Full::from(body))
            .map_err(|error| Failure::Other(error.to_string()))?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(Failure::http)?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(Failure::http)?;
            Ok((status, body.to_bytes()))
        };
        let answer = answer.await;
        driver.abort();
        answer
    }
}

/// A call that failed.
enum Failure {
    /// There is no process, or it ended.
    Away(io::Error),
    Other(String),
}

impl Failure {
    #[expect(clippy::needless_pass_by_value, reason = "it is a map_err")]
    fn http(error: hyper::Error) -> Self {
        Self::Away(io::Error::other(error.to_string()))
    }
}

#[derive(Default, serde::Deserialize)]
struct Message {
    #[serde(default)]
    message: String,
}

fn read<T: DeserializeOwned>(text: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(text).map_err(|error| Refusal::Away(format!("its answer makes no sense: {error}")))
}
