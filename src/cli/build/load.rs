//! An image from a builder elsewhere on its way into the store: the daemon takes the archive while it arrives.

use crate::cli::error::{CommandError, Outcome};
use crate::cli::ui::Ui;
use crate::client::{Client, ClientError};
use crate::model::image::{LoadOutcome, Progress};
use futures::StreamExt;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWrite, BufReader, DuplexStream};
use tokio::sync::mpsc;
use tokio_util::io::ReaderStream;
use tokio_util::task::AbortOnDropHandle;

/// Bytes of the archive in one message, and bytes that may wait.
const CHUNK: usize = 256 << 10;
/// The longest wait for the daemon's words when it takes no more.
const PATIENCE: Duration = Duration::from_secs(5);

/// A load. It ends when dropped, and leaves nothing of what is not whole.
pub(super) struct Loading {
    task: AbortOnDropHandle<Result<(), ClientError>>,
    steps: mpsc::UnboundedReceiver<Progress>,
}

/// Both ends of the way.
pub(super) fn pipe() -> (Box<dyn AsyncWrite + Send + Unpin>, DuplexStream) {
    let (to, from) = tokio::io::duplex(CHUNK);
    (Box::new(to), from)
}

/// Starts to load what arrives; until something does, the daemon is not asked.
pub(super) fn start(client: Client, from: DuplexStream) -> Loading {
    let (sender, steps) = mpsc::unbounded_channel();
    let task = AbortOnDropHandle::new(tokio::spawn(load(client, from, sender)));
    Loading { task, steps }
}

async fn load(
    client: Client,
    from: DuplexStream,
    steps: mpsc::UnboundedSender<Progress>,
) -> Result<(), ClientError> {
    let mut archive = BufReader::with_capacity(CHUNK, from);
    if archive.fill_buf().await.is_ok_and(<[u8]>::is_empty) {
        return Ok(());
    }
    let mut outcomes = client.load(ReaderStream::with_capacity(archive, CHUNK), None).await?;
    while let Some(outcome) = outcomes.next().await {
        if let LoadOutcome::Progress(step) = outcome? {
            steps.send(step).ok();
        }
    }
    Ok(())
}

impl Loading {
    /// Waits until the image is there.
    ///
    /// # Errors
    /// What the daemon says.
    pub(super) async fn finish(mut self, ui: &Ui, quiet: bool) -> Outcome {
        let mut progress = ui.progress(quiet);
        while let Some(step) = self.steps.recv().await {
            progress.step(&step);
        }
        drop(progress);
        match self.task.await {
            Ok(loaded) => loaded.map_err(|error| refused(&error)),
            Err(died) => Err(CommandError::failed(format!("ERROR: {died}"))),
        }
    }

    /// The daemon's words, if it was the daemon that took no more.
    pub(super) async fn refusal(self) -> Option<CommandError> {
        let ended = tokio::time::timeout(PATIENCE, self.task).await.ok()?;
        ended.ok()?.err().map(|error| refused(&error))
    }
}

fn refused(error: &ClientError) -> CommandError {
    CommandError::failed(format!(
        "ERROR: failed to load what was built (--push and --output need no store): {error}"
    ))
}
