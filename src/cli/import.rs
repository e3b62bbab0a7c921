//! `import`

use super::context::Context;
use super::error::{CommandError, Outcome};
use crate::model::image::ImportOptions;
use crate::model::reason::cause;
use tokio::io::AsyncRead;
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
    #[arg(required = true, value_name = "file|-")]
    source: String,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
}

/// Prints the image's ID.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let source = args.source.as_str();
    if ["http://", "https://"].iter().any(|scheme| source.starts_with(scheme)) {
        return Err(CommandError::failed(format!(
            "k3c imports files and standard input: fetch it first, such as by: curl -fL {source} | k3c import -"
        )));
    }
    let input: Box<dyn AsyncRead + Send + Unpin> = match source {
        "-" if cx.ui.terminals().stdin => {
            return Err(CommandError::failed("requested import from stdin, but stdin is empty"));
        }
        "-" => Box::new(tokio::io::stdin()),
        path => Box::new(
            tokio::fs::File::open(path)
                .await
                .map_err(|error| CommandError::failed(format!("open {path}: {}", cause(&error))))?,
        ),
    };
    let options = ImportOptions {
        reference: args.repository.unwrap_or_default(),
        changes: args.change,
        comment: args.message,
        platform: args.platform,
    };
    let archive = ReaderStream::with_capacity(input, CHUNK);
    let id = cx.client().await?.import(archive, options).await?;
    cx.ui.line(&id)?;
    Ok(())
}
