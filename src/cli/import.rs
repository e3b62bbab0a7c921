//! `import`

mod fetch;

use super::context::Context;
use super::error::{CommandError, Outcome};
use crate::model::image::{ImportOptions, Progress};
use crate::model::reason::cause;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::io;
use std::pin::pin;
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

/// Bytes of an archive in one message.
const CHUNK: usize = 256 << 10;

/// Import the contents from a tarball to create a filesystem image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    message: String,
    /// Set platform of the imported image (e.g., "linux/amd64")
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    platform: String,
    #[arg(required = true, value_name = "file|URL|-")]
    source: String,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
}

/// Prints the image's ID.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let source = args.source.as_str();
    let (steps, mut told) = watch::channel(Progress::default());
    let archive: BoxStream<'static, io::Result<Bytes>> = match source {
        "-" if cx.ui.terminals().stdin => {
            return Err(CommandError::failed("requested import from stdin, but stdin is empty"));
        }
        "-" => ReaderStream::with_capacity(tokio::io::stdin(), CHUNK).boxed(),
        url if ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) => {
            fetch::bytes(url.to_owned(), fetch::open(url).await?, steps).boxed()
        }
        path => {
            let file = tokio::fs::File::open(path).await;
            let file =
                file.map_err(|error| CommandError::failed(format!("open {path}: {}", cause(&error))))?;
            ReaderStream::with_capacity(file, CHUNK).boxed()
        }
    };
    let options = ImportOptions {
        reference: args.repository.unwrap_or_default(),
        changes: args.change,
        comment: args.message,
        platform: args.platform,
    };
    let mut progress = cx.ui.progress(false);
    let mut importing = pin!(cx.client().await?.import(archive, options));
    let id = loop {
        tokio::select! {
            id = &mut importing => break id?,
            Ok(()) = told.changed() => progress.step(&told.borrow_and_update()),
        }
    };
    drop(progress);
    cx.ui.line(&id)?;
    Ok(())
}
