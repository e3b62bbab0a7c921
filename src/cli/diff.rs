//! `diff`

use super::context::Context;
use super::error::Outcome;

/// Inspect changes to files or directories on a container's filesystem
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

/// A line for each: A, C or D, and the path.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    for (kind, path) in cx.client().await?.diff(&args.container).await? {
        cx.ui.line(&format!("{kind} {path}"))?;
    }
    Ok(())
}
