//! Errors of calls.

use super::Address;
use crate::api::{Invalid, reason};
use crate::model::reason::Reason;
use std::error::Error;
use tonic::{Code, Status};

/// A refusal by the daemon, or its absence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ClientError {
    /// Stable reason, by which programs decide.
    pub reason: Reason,
    /// Docker's text, without "Error response from daemon: ".
    pub message: String,
    /// True when the connection failed, so that the daemon said nothing.
    pub disconnected: bool,
}

impl ClientError {
    /// An error of the client itself, or of a daemon that answered.
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), disconnected: false }
    }

    /// An error because there is no daemon to talk to (any more).
    pub(super) fn disconnected(message: impl Into<String>) -> Self {
        Self { reason: Reason::Unavailable, message: message.into(), disconnected: true }
    }

    /// An error because the other side ended a stream in the middle.
    pub(crate) fn hung_up() -> Self {
        Self::disconnected("the daemon hung up")
    }

    /// The error of a status: one of ours by its word, any other by its code; a broken connection is told from both.
    pub(super) fn from_status(status: &Status, address: &Address) -> Self {
        if let Some(reason) = reason::of(status) {
            return Self::new(reason, status.message());
        }
        if broken(status) {
            return Self::disconnected(format!(
                "cannot talk to the k3c daemon at {address}: {}. Is it running?",
                root_cause(status)
            ));
        }
        Self::new(reason::from_code(status.code()), status.message())
    }

    /// True for an error because there is no such thing.
    pub fn is_not_found(&self) -> bool {
        self.reason == Reason::NotFound
    }

    /// True when the daemon, or a part that it needs, is away; it may come back.
    pub fn is_unavailable(&self) -> bool {
        self.reason == Reason::Unavailable
    }
}

impl From<Invalid> for ClientError {
    fn from(invalid: Invalid) -> Self {
        Self::new(Reason::Internal, format!("the daemon's answer makes no sense: {invalid}"))
    }
}

/// True for a status that tonic made of a connection that failed, or of one that ended in the middle of an answer.
fn broken(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        let reset = error.downcast_ref::<h2::Error>().is_some();
        if reset
            || error.is::<std::io::Error>()
            || error.is::<tonic::transport::Error>()
            || error.is::<hyper::Error>()
        {
            return true;
        }
        cause = error.source();
    }
    // A stream that ends without its trailers.
    status.code() == Code::Unknown && status.message().contains("grpc-status")
        || status.code() == Code::Internal && status.message().contains("protocol error: unexpected end")
}

fn root_cause(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = status.source();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}
