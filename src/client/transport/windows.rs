//! Named pipes: not there yet, and said so.

use crate::client::{Address, ClientError};
use crate::model::reason::Reason;
use std::io;
use tonic::transport::{Channel, Endpoint};

/// Refuses.
pub(in crate::client) fn channel(_: Endpoint, address: &Address) -> Result<Channel, ClientError> {
    Err(ClientError::new(
        Reason::Unsupported,
        format!("cannot connect to {address}: not supported on Windows yet"),
    ))
}

/// Error code of a pipe on which nobody listens.
#[expect(clippy::unused_async, reason = "the same on every system")]
pub(in crate::client) async fn probe(_: &Address) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
