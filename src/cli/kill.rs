//! `kill`

use super::context::Context;
use super::error::Outcome;
use super::parallel;

/// Kill one or more running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string", default_value = "KILL", hide_default_value = true)]
    signal: String,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Sends the signal to all of them.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    let signal = args.signal.as_str();
    parallel::each(&cx.ui, &args.containers, |name| async move {
        client.kill(&name, signal).await?;
        Ok(Some(name))
    })
    .await
}
