//! `load`

use super::context::Context;
use super::error::{CommandError, Outcome};
use crate::model::image::LoadOutcome;
use crate::model::reason::cause;
use futures::StreamExt;
use std::path::PathBuf;
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

/// Bytes of an archive in one message.
const CHUNK: usize = 256 << 10;

/// Load an image from a tar archive or STDIN
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "string")]
    input: Option<PathBuf>,
    /// Load only the given platform (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

/// Streams the archive to the engine, which unpacks it.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let input: Box<dyn AsyncRead + Send + Unpin> =
        match &args.input {
            Some(path) => Box::new(tokio::fs::File::open(path).await.map_err(|error| {
                CommandError::failed(format!("open {}: {}", path.display(), cause(&error)))
            })?),
            None if cx.ui.terminals().stdin => {
                return Err(CommandError::failed("requested load from stdin, but stdin is empty"));
            }
            None => Box::new(tokio::io::stdin()),
        };
    let archive = ReaderStream::with_capacity(input, CHUNK);
    let mut outcomes = cx.client().await?.load(archive, args.platform).await?;
    let mut progress = cx.ui.progress(args.quiet);
    while let Some(outcome) = outcomes.next().await {
        match outcome? {
            LoadOutcome::Progress(step) => progress.step(&step),
            LoadOutcome::Image(name) => progress.line(&format!("Loaded image: {name}"))?,
            LoadOutcome::Id(id) => progress.line(&format!("Loaded image ID: {id}"))?,
        }
    }
    Ok(())
}
