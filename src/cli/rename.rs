//! `rename`

use super::context::Context;
use super::error::Outcome;

/// Rename a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    #[arg(required = true, value_name = "NEW_NAME")]
    name: String,
}

/// Says nothing.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    Ok(cx.client().await?.rename(&args.container, &args.name).await?)
}
