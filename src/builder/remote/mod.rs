//! A BuildKit elsewhere, for those who outgrow one machine.
//!
//! ```text
//! tcp://HOST:PORT ──────────── a socket, with TLS if there are certificates
//! unix:///PATH ─────────────── a socket of this machine
//! ssh://[USER@]HOST[:PORT] ─── `ssh HOST buildctl dial-stdio`
//! ```

mod address;
mod ssh;
mod tls;

use super::BuildError;
use crate::client;
use crate::model::reason::cause;
use crate::proto::moby::buildkit::v1::ListWorkersRequest;
use crate::proto::moby::buildkit::v1::control_client::ControlClient;
use address::{Certificates, Place};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::io;
use std::time::Duration;
use tls::Tls;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower::ServiceExt;

/// The longest wait for a builder to answer. One behind `ssh` may have to wait for a password.
const PATIENCE: Duration = Duration::from_secs(20);
/// The longest wait for the first bytes of a server; one that speaks second is as good.
const FIRST_WORDS: Duration = Duration::from_secs(1);
/// Silence after which TCP asks whether the other side is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Address of a builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    text: String,
    place: Place,
    certificates: Option<Certificates>,
}

/// A stream of bytes to a builder.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Remote {
    /// A builder's address, with options for TLS: `cacert`, `cert`, `key`, `servername`, `tlsdir`.
    ///
    /// # Errors
    /// An address or an option that is none.
    pub fn new(address: &str, options: &[(String, String)]) -> Result<Self, BuildError> {
        let refused = |why: String| BuildError::Builder { address: address.to_owned(), why };
        let place = Place::parse(address).map_err(refused)?;
        let certificates = Certificates::parse(options).map_err(refused)?;
        match (&place, &certificates) {
            (Place::Unix(_) | Place::Ssh(_), Some(_)) => {
                Err(refused("certificates are for tcp:// only".to_owned()))
            }
            _ => Ok(Self { text: address.to_owned(), place, certificates }),
        }
    }

    /// Connects, and asks whether a BuildKit is there.
    ///
    /// # Errors
    /// Nobody listens there, TLS does not come about, or it is no BuildKit.
    pub async fn connect(&self) -> Result<Channel, BuildError> {
        let failed = |why: String| BuildError::Builder { address: self.text.clone(), why };
        let dialer = Dialer::new(self).map_err(failed)?;
        let complaints = dialer.complaints.clone();
        let patience = match self.place {
            Place::Ssh(_) => Duration::MAX,
            _ => PATIENCE,
        };
        match timeout(patience, dialer.connected()).await {
            Err(_) => Err(failed(format!("it does not answer within {} s", PATIENCE.as_secs()))),
            Ok(Ok(channel)) => Ok(channel),
            Ok(Err(Failure::Known(why))) => Err(failed(why)),
            Ok(Err(Failure::Broken(why))) => {
                let last = complaints.last().await;
                Err(failed(last.map_or_else(|| self.broken(&why), |last| format!("ssh: {last}"))))
            }
        }
    }

    /// Words for a connection that broke before BuildKit said anything.
    fn broken(&self, why: &str) -> String {
        let hint = match (&self.place, &self.certificates) {
            (Place::Tcp(..), None) => "; if it wants TLS, cacert=, cert= and key= name the certificates",
            _ => "",
        };
        format!("it does not answer as a BuildKit does: {why}{hint}")
    }
}

/// Why there is no connection.
enum Failure {
    /// In words.
    Known(String),
    /// A connection that was made, and broke.
    Broken(String),
}

#[derive(Clone)]
struct Dialer {
    place: Place,
    tls: Option<Tls>,
    complaints: ssh::Complaints,
}

impl Dialer {
    fn new(remote: &Remote) -> Result<Self, String> {
        let tls = match (&remote.place, &remote.certificates) {
            (Place::Tcp(host, _), Some(certificates)) => Some(Tls::load(certificates, host)?),
            _ => None,
        };
        Ok(Self { place: remote.place.clone(), tls, complaints: ssh::Complaints::default() })
    }

    /// The name by which the other side knows itself.
    fn authority(&self) -> String {
        match &self.place {
            Place::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Place::Tcp(host, port) => format!("{host}:{port}"),
            Place::Unix(_) | Place::Ssh(_) => "buildkit".to_owned(),
        }
    }

    async fn connected(self) -> Result<Channel, Failure> {
        let known = |error: &dyn std::fmt::Display| Failure::Known(error.to_string());
        let authority = self.authority();
        let endpoint = Endpoint::from_shared(format!("http://{authority}")).map_err(|e| known(&e))?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let origin =
            format!("{scheme}://{authority}").parse().map_err(|e: http::uri::InvalidUri| known(&e))?;
        let endpoint = client::tuned(endpoint).origin(origin);
        let dial = tower::service_fn(move |_: http::Uri| {
            let dialer = self.clone();
            async move { dialer.dial().await.map(TokioIo::new) }
        });
        let channel = endpoint.connect_with_connector(dial).await.map_err(|error| failure(&error))?;
        let mut control = ControlClient::new(channel.clone());
        match control.list_workers(ListWorkersRequest::default()).await {
            Ok(_) => Ok(channel),
            Err(status) if status.code() == Code::Unimplemented => {
                Err(Failure::Known(format!("it is not a BuildKit: {}", status.message())))
            }
            Err(status) => Err(refusal(&status)),
        }
    }

    async fn dial(&self) -> io::Result<Box<dyn Stream>> {
        match &self.place {
            Place::Unix(path) => unix(path).await,
            Place::Ssh(host) => Ok(Box::new(ssh::connect(host, &self.complaints)?)),
            Place::Tcp(..) => {
                let mut connector = HttpConnector::new();
                connector.enforce_http(false);
                connector.set_nodelay(true);
                connector.set_keepalive(Some(KEEPALIVE));
                let uri = format!("http://{}", self.authority()).parse().map_err(io::Error::other)?;
                let stream = connector.oneshot(uri).await.map_err(|error| io::Error::other(root(&error)))?;
                let stream = stream.into_inner();
                match self.tls.clone() {
                    None => Ok(Box::new(stream)),
                    Some(tls) => {
                        let mut stream = tls.connector.connect(tls.server, stream).await?;
                        // With TLS 1.3 our side is done before the other one has looked at our certificate.
                        if let Ok(first) = timeout(FIRST_WORDS, stream.fill_buf()).await {
                            first?;
                        }
                        Ok(Box::new(stream))
                    }
                }
            }
        }
    }
}

#[cfg(unix)]
async fn unix(path: &std::path::Path) -> io::Result<Box<dyn Stream>> {
    Ok(Box::new(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(windows)]
async fn unix(_: &std::path::Path) -> io::Result<Box<dyn Stream>> {
    std::future::ready(Err(io::Error::other("unix:// is not supported on Windows"))).await
}

/// The failure of a connection that was not made.
fn failure(error: &(dyn Error + 'static)) -> Failure {
    Failure::Known(tls::words(error).unwrap_or_else(|| root(error)))
}

/// The failure of the first call.
fn refusal(status: &Status) -> Failure {
    match (status.source(), status.source().and_then(tls::words)) {
        (_, Some(words)) => Failure::Known(words),
        (Some(source), None) => Failure::Broken(root(source)),
        (None, None) => Failure::Known(status.message().to_owned()),
    }
}

/// The last of all causes, in words.
fn root(error: &(dyn Error + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.downcast_ref::<io::Error>().map_or_else(|| last.to_string(), cause)
}
