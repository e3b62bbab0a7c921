//! `export`

use super::context::Context;
use super::error::{CommandError, Outcome};
use crate::model::archive::Part;
use crate::model::reason::cause;
use futures::StreamExt;
use std::path::PathBuf;
use tokio::io::AsyncWriteExt;

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
    if args.output.is_none() && cx.ui.terminals().stdout {
        return Err(CommandError::failed(
            "cowardly refusing to save to a terminal. Use the -o flag or redirect",
        ));
    }
    let mut archive = cx.client().await?.export(&args.container).await?;
    let Some(path) = args.output else {
        while let Some(part) = archive.next().await {
            match part? {
                Part::Data(bytes) => cx.ui.data(&bytes)?,
                Part::LeftOut(text) => cx.ui.warning(&text),
            }
        }
        return Ok(());
    };
    let failed =
        |error: std::io::Error| CommandError::failed(format!("open {}: {}", path.display(), cause(&error)));
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(".".as_ref());
    if !folder.is_dir() {
        return Err(CommandError::failed(format!(
            "failed to export container: invalid output path: directory {folder:?} does not exist"
        )));
    }
    let part = tempfile::Builder::new().prefix(".k3c-export-").tempfile_in(folder).map_err(failed)?;
    let mut file = tokio::fs::File::from_std(part.reopen().map_err(failed)?);
    while let Some(part) = archive.next().await {
        match part? {
            Part::Data(bytes) => file.write_all(&bytes).await.map_err(failed)?,
            Part::LeftOut(text) => cx.ui.warning(&text),
        }
    }
    file.flush().await.map_err(failed)?;
    part.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}
