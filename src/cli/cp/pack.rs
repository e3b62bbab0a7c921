//! The archive of a local path, on its way to the daemon.

use super::CHUNK;
use crate::sys::local::{self, Moved};
use crate::sys::messages::{self, Messages};
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// The outcome of packing: what was left out, or an error.
pub(super) type Packed = Arc<std::sync::Mutex<Option<io::Result<Moved>>>>;

/// The archive of a local path, made while it is sent. An error ends it, and is kept.
pub(super) fn pack(
    source: PathBuf,
    name: String,
    through: bool,
    counted: Arc<AtomicU64>,
) -> (ReceiverStream<io::Result<Bytes>>, Packed) {
    let (sender, receiver) = mpsc::channel(8);
    let packed = Packed::default();
    let kept = packed.clone();
    tokio::task::spawn_blocking(move || {
        let failed = sender.clone();
        let mut archive = tar::Builder::new(Messages::new(CHUNK, move |piece: Bytes| {
            counted.fetch_add(u64::try_from(piece.len()).unwrap_or(0), Ordering::Relaxed);
            messages::send(&sender, Ok(piece))
        }));
        let outcome = local::pack(&source, Path::new(&name), through, &mut archive);
        // Stored before the end of the archive is sent, so that a reader of the end finds it.
        let failure = match outcome {
            Ok(moved) => {
                if let Ok(mut slot) = kept.lock() {
                    *slot = Some(Ok(moved));
                }
                archive.into_inner().and_then(|mut messages| messages.send()).err()
            }
            Err(error) => Some(error),
        };
        if let Some(error) = failure.filter(|error| error.kind() != io::ErrorKind::BrokenPipe) {
            if let Ok(mut slot) = kept.lock() {
                *slot = Some(Err(error));
            }
            let _ = failed.blocking_send(Err(io::ErrorKind::Other.into()));
        }
    });
    (ReceiverStream::new(receiver), packed)
}
