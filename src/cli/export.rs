//! `export`

use super::context::Context;
use super::error::Outcome;
use super::output::Output;
use std::path::PathBuf;

/// Export a container's filesystem as a tar archive
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "string")]
    output: Option<PathBuf>,
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

/// A file appears only when it is whole.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let output = Output::check(args.output, "export container", cx)?;
    let archive = cx.client().await?.export(&args.container).await?;
    output.write(archive, cx).await
}
