//! `run` in the foreground: attached before the start, so that no byte is lost, until the container's end.
//!
//! ```text
//! made ─ attached ─ started ─ streams, signals, exit code ─ [gone, with --rm]
//! ```

use super::super::context::Context;
use super::super::error::Outcome;
use super::super::streams::{Joined, Options as Streams, first};
use super::not_started;
use crate::client::{Client, ClientError, Running, Wanted};

/// Options of following a container.
pub(super) struct Options {
    /// Wait until it is gone.
    pub(super) remove: bool,
    /// Our signals are the container's.
    pub(super) forward_signals: bool,
    /// Standard output and standard error are wanted.
    pub(super) output: [bool; 2],
    /// Terminal, standard input, detach keys.
    pub(super) streams: Streams,
}

impl Options {
    /// The streams to ask for; the container has no name yet.
    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            container: String::new(),
            exec: String::new(),
            starter: true,
            stdout: self.output[0],
            stderr: self.output[1],
        }
    }
}

/// Stays with it until its end.
pub(super) async fn run(mut running: Running, options: Options, client: &Client, cx: &Context) -> Outcome {
    // Signals that come before the start are kept and sent after it.
    let signals = match options.forward_signals {
        true => Some(cx.signals.forward()?),
        false => None,
    };
    let id = running.id.clone();
    let attachment = match running.attachment().await {
        Ok(Some(attachment)) => attachment,
        Ok(None) => return Err(ClientError::hung_up().into()),
        Err(error) => return Err(not_started(&id, options.remove, error, client).await),
    };
    let joined = Joined::begin(attachment, options.streams, cx).await?;
    if let Err(error) = running.started().await {
        drop(joined);
        return Err(not_started(&id, options.remove, error, client).await);
    }
    first::follow(joined, id.as_str(), options.remove, signals, client, cx).await?.outcome(Ok(()))
}
