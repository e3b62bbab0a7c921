//! Unix sockets.

use crate::client::{Address, ClientError};
use hyper_util::rt::TokioIo;
use std::io;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};

/// Connects when first used, and again after a break.
#[expect(clippy::unnecessary_wraps, reason = "the same on every system")]
pub(in crate::client) fn channel(endpoint: Endpoint, address: &Address) -> Result<Channel, ClientError> {
    let path = address.path().to_owned();
    Ok(endpoint.connect_with_connector_lazy(tower::service_fn(move |_: http::Uri| {
        let path = path.clone();
        async move { UnixStream::connect(path).await.map(TokioIo::new) }
    })))
}

/// Checks that somebody listens at the address.
pub(in crate::client) async fn probe(address: &Address) -> io::Result<()> {
    UnixStream::connect(address.path()).await.map(drop)
}
