//! The contract, used: one connection, typed methods in our nouns, errors with their reasons.
//!
//! This room prints nothing; news for a person on the way goes to the callback in [`Autostart`].

mod address;
mod attach;
mod autostart;
mod calls;
mod error;
mod files;
mod retry;
mod run;
mod transfer;
mod transport;

pub use crate::model::system::Version;
pub use address::Address;
pub use attach::{Attachment, Incoming, Outgoing, Wanted};
pub use autostart::Autostart;
pub use error::ClientError;
pub use run::Running;

use tonic::transport::{Channel, Endpoint};

/// Windows of HTTP/2: bytes that may be under way unread, per stream and per connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Limit of an answer's headers, in bytes: BuildKit sends the whole Dockerfile with an error about a line of it.
const HEADER_BYTES: u32 = 16 << 20;

/// A connection to the daemon. Cheap to clone; made again by itself after the engine was away.
///
/// Beside the reasons that a method's own docs name, each can answer `Unavailable` (there is no daemon, or containerd
/// is away), `Timeout` and `Internal` (the daemon failed, or its answer makes no sense). A prefix that several IDs
/// begin with is `InvalidArgument`.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    address: Address,
}

/// Connects, and starts the daemon if it does not run and `autostart` allows it.
pub async fn connect(address: &Address, autostart: Autostart<'_>) -> Result<Client, ClientError> {
    let client = Client { channel: channel(address)?, address: address.clone() };
    if let Err(error) = transport::probe(address).await {
        autostart::start(&client, autostart, error).await?;
    }
    Ok(client)
}

/// The channel to an address, connected when it is first used.
fn channel(address: &Address) -> Result<Channel, ClientError> {
    transport::channel(tuned(Endpoint::from_static("http://k3c")), address)
}

/// An endpoint with windows and limits for files and errors of BuildKit's.
pub fn tuned(endpoint: Endpoint) -> Endpoint {
    endpoint
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(HEADER_BYTES)
}

impl Client {
    /// The connection, for services that are not ours: BuildKit's, CRI's, containerd's.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The daemon's address.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

#[cfg(all(test, unix))]
mod tests;
