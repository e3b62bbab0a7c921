//! `builder`: BuildKit's cache, and the builds of the past; and which BuildKit is meant.

pub(crate) mod du;
pub(crate) mod history;
pub(crate) mod prune;

use super::context::Context;
use super::error::CommandError;
use super::options::csv;
use crate::builder::{self, BuildError, Remote};
use crate::config::env;
use tonic::transport::Channel;

/// The builder that is meant.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Place {
    /// Address of another BuildKit (format: "tcp://host:port[,cacert=file][,cert=file][,key=file]", "unix:///path",
    /// "ssh://[user@]host[:port]")
    #[arg(long, value_name = "string")]
    builder: Option<String>,
}

impl Place {
    /// Another builder than the daemon's own: that of the flag, or of the environment.
    ///
    /// # Errors
    /// An address that is none.
    pub(crate) fn remote(&self, cx: &Context) -> Result<Option<Remote>, CommandError> {
        let variable = |name| std::env::var(name).ok().filter(|text: &String| !text.is_empty());
        let text = match &self.builder {
            Some(given) => Some(given.clone()),
            None => variable(env::BUILDER),
        };
        if text.is_none() && variable(env::BUILDX_BUILDER).is_some_and(|name| name != OWN) {
            cx.ui.warning(&format!(
                "{} is ignored: there are no builders by name ({} takes an address)",
                env::BUILDX_BUILDER,
                env::BUILDER
            ));
        }
        match text.as_deref() {
            None | Some("" | OWN) => Ok(None),
            Some(text) => remote(text).map(Some).map_err(CommandError::failed),
        }
    }

    /// The connection to it.
    pub(super) async fn channel(&self, cx: &Context) -> Result<Channel, CommandError> {
        match self.remote(cx)? {
            None => Ok(cx.client().await?.channel()),
            Some(remote) => connected(&remote).await,
        }
    }
}

/// The daemon's own builder, as it is called where there are others.
const OWN: &str = "default";

/// Connects to a builder elsewhere.
pub(crate) async fn connected(remote: &Remote) -> Result<Channel, CommandError> {
    remote.connect().await.map_err(|error| CommandError::failed(format!("ERROR: {error}")))
}

/// `address[,option=value...]`
fn remote(text: &str) -> Result<Remote, String> {
    let refused = |error: BuildError| format!("ERROR: {error}");
    let mut fields =
        csv::fields(text).map_err(|why| format!("ERROR: invalid builder {text:?}: {why}"))?.into_iter();
    let address = fields.next().unwrap_or_default();
    let option = |field: String| match field.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_lowercase(), value.to_owned())),
        None => Err(format!("ERROR: invalid builder {text:?}: {field:?} is no option=value")),
    };
    let options = fields.map(option).collect::<Result<Vec<_>, _>>()?;
    Remote::new(&address, &options).map_err(refused)
}

/// Filters of the command line in BuildKit's form. Those that it has no words for are `other`'s.
fn filters(
    pairs: &[(String, String)],
    mut other: impl FnMut(&str, &str) -> Result<bool, CommandError>,
) -> Result<Vec<String>, CommandError> {
    let mut all = Vec::new();
    for (key, value) in pairs {
        match builder::filter(key, value) {
            Some(filter) => all.push(filter),
            None if other(key, value)? => {}
            None => return Err(CommandError::failed(format!("ERROR: invalid filter '{key}={value}'"))),
        }
    }
    // BuildKit joins filters by "or", and what is in one of them by "and".
    Ok(if all.is_empty() { all } else { vec![all.join(",")] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builders() {
        let options = [("cacert".to_owned(), "a,b".to_owned())];
        assert_eq!(remote("tcp://h:1,\"CACert=a,b\""), Ok(Remote::new("tcp://h:1", &options).unwrap()));
        for (text, why) in [
            ("mine", "cannot use the builder mine: it is no address"),
            ("tcp://h:1,x", "\"x\" is no option=value"),
            ("ssh://h,cacert=a", "for tcp:// only"),
        ] {
            assert!(remote(text).unwrap_err().contains(why), "{text}");
        }
    }
}
