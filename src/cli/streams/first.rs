//! A container's first process, followed to its end: what `run`, `start -a` and `attach` share.
//!
//! With `--rm` the end is the container's removal, so that `ps -a` does not have it any more. After detaching neither is
//! waited for.

use super::{Ended, Joined, StreamError};
use crate::cli::context::Context;
use crate::cli::error::{CommandError, Kind};
use crate::cli::signals::Forwarded;
use crate::client::{Client, ClientError};
use crate::model::container::WaitCondition;
use crate::model::reason::Reason;
use serde_json::Value;

/// Facts of a container that decide how its streams are joined.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Facts {
    /// The whole ID.
    pub(crate) id: String,
    /// True when it has a terminal.
    pub(crate) tty: bool,
    /// True when it reads a standard input.
    pub(crate) open_stdin: bool,
    /// True when it was made with `--rm`.
    pub(crate) auto_remove: bool,
}

impl Facts {
    /// Reads Docker's document of the container that was asked for as `name`.
    pub(crate) fn of(document: &Value, name: &str) -> Self {
        let is = |part: &str, key: &str| document[part][key].as_bool().unwrap_or(false);
        Self {
            id: document["Id"].as_str().unwrap_or(name).to_owned(),
            tty: is("Config", "Tty"),
            open_stdin: is("Config", "OpenStdin"),
            auto_remove: is("HostConfig", "AutoRemove"),
        }
    }
}

/// Stays with the first process of `container` until its end, or until the keys are pressed. `signals` are sent to it.
pub(crate) async fn follow(
    joined: Joined,
    container: &str,
    auto_remove: bool,
    signals: Option<Forwarded>,
    client: &Client,
    cx: &Context,
) -> Result<Ended, CommandError> {
    let target = signals.map(|signals| (container, signals));
    let ended = match joined.follow(target, client, cx).await {
        Ok(ended) => ended,
        Err(StreamError::Own(error)) => return Err(error),
        Err(StreamError::Session(error)) => without_streams(container, error, client).await?,
    };
    if auto_remove && matches!(ended, Ended::Exit(_)) {
        until_removed(container, client).await?;
    }
    Ok(ended)
}

/// The streams of a container that went away meanwhile are lost, but not its exit code.
async fn without_streams(
    container: &str,
    error: ClientError,
    client: &Client,
) -> Result<Ended, CommandError> {
    if !matches!(error.reason, Reason::NotRunning | Reason::NotFound) {
        return Err(error.into());
    }
    let status = client.wait(container, WaitCondition::NotRunning).await?;
    Ok(Ended::Exit(u8::try_from(status.code & 0xff).unwrap_or(u8::MAX)))
}

/// A removal that fails ends the wait, as in Docker with 125; the engine goes on trying.
async fn until_removed(container: &str, client: &Client) -> Result<(), CommandError> {
    match client.wait(container, WaitCondition::Removed).await {
        Err(error) if !error.is_not_found() => {
            Err(CommandError::new(Kind::Code(125), format!("Error waiting for container: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn facts() {
        let document = json!({"Id": "abc", "Config": {"Tty": true, "OpenStdin": false}, "HostConfig": {"AutoRemove": true}});
        let expected = Facts { id: "abc".into(), tty: true, open_stdin: false, auto_remove: true };
        assert_eq!(Facts::of(&document, "web"), expected);
        let foreign = Facts { id: "pod/web".into(), tty: false, open_stdin: false, auto_remove: false };
        assert_eq!(Facts::of(&json!({}), "pod/web"), foreign);
    }
}
