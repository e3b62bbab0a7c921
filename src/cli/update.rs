//! `update`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::options::groups::Limits;
use super::options::restart;
use super::parallel;
use crate::model::container::Resources;

/// Update configuration of one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    limits: Limits,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Prints each name.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let restart = args.restart.as_deref().map(restart::parse).transpose().map_err(CommandError::failed)?;
    let resources = args.limits.resources();
    if resources == Resources::default() && restart.is_none() {
        return Err(CommandError::failed("you must provide one or more flags when using this command"));
    }
    let client = cx.client().await?;
    parallel::each(&cx.ui, &args.containers, |name| {
        let resources = resources.clone();
        async move {
            let warnings = client.update(&name, resources, restart).await?;
            warnings.iter().for_each(|w| cx.ui.warning(w));
            Ok(Some(name))
        }
    })
    .await
}
