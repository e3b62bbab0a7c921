//! `pause`, `unpause`

use super::context::Context;
use super::error::Outcome;
use super::parallel;

/// Pause all processes within one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Unpause all processes within one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct UnpauseArgs {
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Freezes them.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    parallel::each(&cx.ui, &args.containers, |name| async move {
        client.pause(&name).await?;
        Ok(Some(name))
    })
    .await
}

/// Lets them go on.
pub(crate) async fn unpause(args: UnpauseArgs, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    parallel::each(&cx.ui, &args.containers, |name| async move {
        client.unpause(&name).await?;
        Ok(Some(name))
    })
    .await
}
