//! An archive from the web, on its way to the engine.

use crate::cli::error::CommandError;
use crate::model::image::Progress as Step;
use crate::model::reason::chain;
use async_stream::try_stream;
use bytes::Bytes;
use futures::Stream;
use reqwest::{Client, Response, Url};
use std::error::Error;
use std::io;
use std::time::Duration;
use tokio::sync::watch;

/// Longest wait for a connection, and for the next bytes.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most addresses to which an answer may send us on.
const REDIRECTS: usize = 10;

/// Asks for what is at a URL; an answer that is none of it is an error in words.
pub(super) async fn open(source: &str) -> Result<Response, CommandError> {
    let bad = |why: String| CommandError::failed(format!("cannot fetch {source}: {why}"));
    let url = Url::parse(source).map_err(|error| bad(error.to_string()))?;
    let mut builder = Client::builder()
        .user_agent(concat!("k3c/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(PATIENCE)
        .read_timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::limited(REDIRECTS));
    if url.host_str().is_some_and(is_local) {
        builder = builder.no_proxy();
    }
    let client = builder.build().map_err(|error| bad(why(&error)))?;
    let response = client.get(url).send().await.map_err(|error| bad(why(&error)))?;
    match response.status().is_success() {
        true => Ok(response),
        false => Err(bad(format!("the server answers {}", response.status()))),
    }
}

/// No proxy leads to this machine.
fn is_local(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// The deepest cause: those above it name the request, which is known.
fn why(error: &reqwest::Error) -> String {
    let mut deepest: &(dyn Error + 'static) = error;
    while let Some(cause) = deepest.source() {
        deepest = cause;
    }
    chain(deepest)
}

/// The bytes of an answer; `steps` says how far it is. One that is cut off is an error, and no end.
pub(super) fn bytes(
    source: String,
    mut response: Response,
    steps: watch::Sender<Step>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    try_stream! {
        let total = response.content_length().and_then(|n| i64::try_from(n).ok()).unwrap_or_default();
        steps.send_modify(|step| {
            *step = Step { status: format!("Downloading from {source}"), total, ..Step::default() };
        });
        while let Some(part) = response
            .chunk()
            .await
            .map_err(|error| io::Error::other(format!("cannot fetch {source}: {}", why(&error))))?
        {
            let length = i64::try_from(part.len()).unwrap_or_default();
            steps.send_modify(|step| step.current += length);
            yield part;
        }
    }
}
