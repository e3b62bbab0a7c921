//! `wait`

use super::context::Context;
use super::error::Outcome;
use super::parallel;
use crate::model::container::WaitCondition;

/// Block until one or more containers stop, then print their exit codes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Waits for all of them.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    parallel::each(&cx.ui, &args.containers, |name| async move {
        let status = client.wait(&name, WaitCondition::NotRunning).await?;
        Ok(Some(status.code.to_string()))
    })
    .await
}
