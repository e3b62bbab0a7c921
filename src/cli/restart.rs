//! `restart`

use super::context::Context;
use super::error::Outcome;
use super::options::groups::Ending;
use super::parallel;

/// Restart one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    ending: Ending,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Restarts all of them at once.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    parallel::each(&cx.ui, &args.containers, |name| {
        let Ending { signal, timeout } = args.ending.clone();
        async move {
            let warnings = client.restart(&name, timeout, signal).await?;
            warnings.iter().for_each(|w| cx.ui.warning(w));
            Ok(Some(name))
        }
    })
    .await
}
