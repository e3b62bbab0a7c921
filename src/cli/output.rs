//! The place of an archive that a command writes: standard output, or a file that appears only when it is whole.

use super::context::Context;
use super::error::{CommandError, Outcome};
use crate::client::ClientError;
use crate::model::archive::Part;
use crate::model::reason::cause;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::io;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// A place that can be written to.
pub(super) enum Output {
    Stdout,
    /// Another name of a pipe.
    Pipe(PathBuf),
    File(PathBuf),
}

impl Output {
    /// Refuses a place where an archive cannot go; `what` fails then, in words: `save image`.
    pub(super) fn check(path: Option<PathBuf>, what: &str, cx: &Context) -> Result<Self, CommandError> {
        let Some(path) = path else {
            return match cx.ui.terminals().stdout {
                true => Err(CommandError::failed(
                    "cowardly refusing to save to a terminal. Use the -o flag or redirect",
                )),
                false => Ok(Self::Stdout),
            };
        };
        let bad = |why: String| CommandError::failed(format!("failed to {what}: invalid output path: {why}"));
        let folder = folder(&path);
        if !folder.is_dir() {
            return Err(bad(format!("directory {folder:?} does not exist")));
        }
        match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::File(path)),
            Err(error) => Err(failed(&path)(error)),
            Ok(found) if found.is_file() => Ok(Self::File(path)),
            Ok(found) if found.is_dir() => Err(bad(format!("{path:?} is a directory"))),
            Ok(_) if is_pipe(&path) => Ok(Self::Pipe(path)),
            Ok(_) => Err(bad(format!("{path:?} must be a directory or a regular file: got a device"))),
        }
    }

    /// Writes an archive to its end.
    pub(super) async fn write(
        self,
        mut archive: BoxStream<'static, Result<Part<Bytes>, ClientError>>,
        cx: &Context,
    ) -> Outcome {
        let (path, part) = match self {
            Self::Stdout => {
                while let Some(part) = archive.next().await {
                    match part? {
                        Part::Data(bytes) => cx.ui.data(&bytes)?,
                        Part::LeftOut(text) => cx.ui.warning(&text),
                    }
                }
                return Ok(());
            }
            Self::Pipe(path) => (path, None),
            Self::File(path) => {
                let part = tempfile::Builder::new().prefix(".k3c-part-").tempfile_in(folder(&path));
                let part = part.map_err(failed(&path))?;
                (path, Some(part))
            }
        };
        let file = match &part {
            Some(part) => part.reopen(),
            None => std::fs::File::options().write(true).open(&path),
        };
        let mut file = tokio::fs::File::from_std(file.map_err(failed(&path))?);
        while let Some(part) = archive.next().await {
            match part? {
                Part::Data(bytes) => file.write_all(&bytes).await.map_err(failed(&path))?,
                Part::LeftOut(text) => cx.ui.warning(&text),
            }
        }
        file.flush().await.map_err(failed(&path))?;
        if let Some(part) = part {
            file.sync_all().await.map_err(failed(&path))?;
            part.persist(&path).map_err(|error| failed(&path)(error.error))?;
        }
        Ok(())
    }
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(".".as_ref())
}

fn failed(path: &Path) -> impl Fn(io::Error) -> CommandError {
    move |error| CommandError::failed(format!("open {}: {}", path.display(), cause(&error)))
}

#[cfg(unix)]
fn is_pipe(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_pipe(_: &Path) -> bool {
    false
}
