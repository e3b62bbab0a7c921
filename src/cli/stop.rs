//! `stop`

use super::context::Context;
use super::error::Outcome;
use super::options::groups::Ending;
use super::parallel;

/// Stop one or more running containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ending: Ending,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Stops all of them at once.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    parallel::each(&cx.ui, &args.containers, |name| {
        let Ending { signal, timeout } = args.ending.clone();
        async move {
            client.stop(&name, timeout, signal).await?;
            Ok(Some(name))
        }
    })
    .await
}
