//! `save`

use super::context::Context;
use super::error::Outcome;
use super::output::Output;
use std::path::PathBuf;

/// Save one or more images to a tar archive (streamed to STDOUT by default)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    /// Save only the given platform (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// A file appears only when it is whole.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let output = Output::check(args.output, "save image", cx)?;
    let archive = cx.client().await?.save(&args.images, args.platform).await?;
    output.write(archive, cx).await
}
