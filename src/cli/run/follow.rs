//! `run` in the foreground: attached before the start, so that no byte is lost, until the container's end.
//!
//! ```text
//! attach ─ start ─ streams, signals, exit code ─ [gone, with --rm]
//! ```

use super::super::attach::ended;
use super::super::context::Context;
use super::super::error::{CommandError, Outcome};
use super::super::streams::{Ended, Joined, Options as Streams};
use super::{VERB, engine_refused, not_started};
use crate::client::{Client, Wanted};
use crate::model::container::WaitCondition;
use crate::model::id::ContainerId;

/// How to follow.
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
    // What comes before the start is kept and sent after it.
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
    let answer = joined.follow(signals.map(|s| (id.as_str(), s)), client, cx).await;
    let code = match ended(answer, id.as_str(), client).await? {
        Ended::Exit(code) => code,
        Ended::Detached => return Ok(()),
    };
    if options.remove {
        client.wait(id.as_str(), WaitCondition::Removed).await.map_err(|e| engine_refused(&e, VERB))?;
    }
    match code {
        0 => Ok(()),
        code => Err(CommandError::exit(code)),
    }
}
