//! `restart`

use super::context::Context;
use super::error::Outcome;
use super::options::value;
use super::parallel;

/// Restart one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, alias = "time", value_name = "int", value_parser = value::integer)]
    timeout: Option<i64>,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Restarts all of them at once.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    let (timeout, signal) = (args.timeout, args.signal);
    parallel::each(&cx.ui, &args.containers, |name| {
        let signal = signal.clone();
        async move {
            let warnings = client.restart(&name, timeout, signal).await?;
            warnings.iter().for_each(|w| cx.ui.warning(w));
            Ok(Some(name))
        }
    })
    .await
}
