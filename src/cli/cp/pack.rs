//! The archive of a local path, on its way to the daemon.

use super::CHUNK;
use crate::sys::local::{self, Moved};
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
        let mut archive = tar::Builder::new(Sender { sender, buffer: Vec::with_capacity(CHUNK), counted });
        let outcome = local::pack(&source, Path::new(&name), through, &mut archive);
        // Stored before the end of the archive is sent, so that a reader of the end finds it.
        let failure = match outcome {
            Ok(moved) => {
                if let Ok(mut slot) = kept.lock() {
                    *slot = Some(Ok(moved));
                }
                archive.into_inner().and_then(|mut sender| sender.send()).err()
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

/// Gathers what is written into messages.
struct Sender {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
    counted: Arc<AtomicU64>,
}

impl Sender {
    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(CHUNK));
        self.counted.fetch_add(u64::try_from(full.len()).unwrap_or(0), Ordering::Relaxed);
        self.sender.blocking_send(Ok(full.into())).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl io::Write for Sender {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(CHUNK - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        if self.buffer.len() == CHUNK {
            self.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
