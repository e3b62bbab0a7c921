//! `run` in the foreground: attached before the start, so that no byte is lost, until the container's end.
//!
//! ```text
//! attach ─ start ─ streams, signals, exit code ─ [gone, with --rm]
//! ```

use super::super::context::Context;
use super::super::error::Outcome;
use super::super::streams::{Joined, Options as Streams, first};
use super::not_started;
use crate::client::{Client, Wanted};
use crate::model::id::ContainerId;

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

/// Starts it and stays with it until its end.
pub(super) async fn run(id: &ContainerId, options: Options, client: &Client, cx: &Context) -> Outcome {
    // Signals that come before the start are kept and sent after it.
    let signals = match options.forward_signals {
        true => Some(cx.signals.forward()?),
        false => None,
    };
    let wanted = Wanted {
        container: id.to_string(),
        exec: String::new(),
        starter: true,
        stdout: options.output[0],
        stderr: options.output[1],
    };
    let attachment = match client.attach(wanted).await {
        Ok(attachment) => attachment,
        Err(error) => return Err(not_started(id, options.remove, error, client).await),
    };
    let joined = Joined::begin(attachment, options.streams, cx).await?;
    if let Err(error) = client.start(id.as_str()).await {
        drop(joined);
        return Err(not_started(id, options.remove, error, client).await);
    }
    first::follow(joined, id.as_str(), options.remove, signals, client, cx).await?.outcome(Ok(()))
}
