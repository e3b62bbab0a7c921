//! `tag`

use super::context::Context;
use super::error::Outcome;

/// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "SOURCE_IMAGE[:TAG]")]
    source: String,
    #[arg(required = true, value_name = "TARGET_IMAGE[:TAG]")]
    target: String,
}

/// Says nothing when it worked.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    cx.client().await?.tag(&args.source, &args.target).await?;
    Ok(())
}
