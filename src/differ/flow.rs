//! A layer's way from its blob to its files, on three threads:
//!
//! ```text
//! blob ── inflate ──┬── blocks ──> sum (the digest of the plain archive)
//!                   └── blocks ──> files
//! ```
//!
//! The queues are bounded and blocks are used again, so that no layer takes more memory than another.

use super::archive::Archive;
use crate::model::id::hex;
use crate::sys::layer::{Ground, Layer};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Size of a block, in bytes.
const BLOCK: usize = 256 << 10;
/// Blocks that wait for each reader.
const QUEUE: usize = 8;
/// Blocks of which the memory is kept for the next ones.
const SPARE: usize = 2 * QUEUE;

/// The way in which a blob is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// Not at all.
    Plain,
    /// As its first bytes say.
    AsItBegins,
}

/// The plain archive of a layer that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    /// `sha256:` and digits.
    pub(super) digest: String,
    /// Length in bytes.
    pub(super) size: u64,
}

/// Writes the files of a layer. When `cancelled` is set, it ends soon with an error.
///
/// # Errors
/// The blob is damaged or hostile; what the kernel says.
pub(super) fn apply(
    blob: File,
    packing: Packing,
    ground: Ground,
    cancelled: &AtomicBool,
) -> io::Result<Applied> {
    let (spare, empty) = sync_channel(SPARE);
    let pool = Pool { spare, empty: Mutex::new(empty) };
    let (to_sum, for_sum) = sync_channel::<Block<'_>>(QUEUE);
    let (to_files, for_files) = sync_channel::<io::Result<Block<'_>>>(QUEUE);
    std::thread::scope(|scope| {
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        let pool = &pool;
        named("inflate").spawn_scoped(scope, move || {
            let outcome = plain(blob, packing)
                .and_then(|mut archive| inflate(&mut *archive, pool, &to_sum, &to_files, cancelled));
            if let Err(error) = outcome {
                let _ = to_files.send(Err(error));
            }
        })?;
        let sum = named("sum").spawn_scoped(scope, move || sum(&for_sum))?;
        let written = files(Blocks { receiver: for_files, block: None, at: 0 }, ground);
        let applied = sum.join().map_err(|_| io::Error::other("the digest cannot be computed"))?;
        written.map(|()| applied)
    })
}

/// The plain archive of a blob.
fn plain(blob: File, packing: Packing) -> io::Result<Box<dyn Read>> {
    let mut blob = BufReader::with_capacity(BLOCK, blob);
    let first = blob.fill_buf()?;
    Ok(match first {
        _ if packing == Packing::Plain => Box::new(blob),
        [0x1f, 0x8b, 0x08, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, _, _, _, _, ..] => {
            Box::new(zstd::Decoder::with_buffer(blob)?)
        }
        _ => Box::new(blob),
    })
}

/// Hands the archive on in blocks, until it ends or nobody wants it.
fn inflate<'a>(
    archive: &mut dyn Read,
    pool: &'a Pool,
    to_sum: &SyncSender<Block<'a>>,
    to_files: &SyncSender<io::Result<Block<'a>>>,
    cancelled: &AtomicBool,
) -> io::Result<()> {
    loop {
        let mut bytes = pool.take();
        io::Read::take(&mut *archive, BLOCK as u64).read_to_end(&mut bytes)?;
        if cancelled.load(Ordering::Relaxed) {
            return Err(io::Error::other("cancelled"));
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let block = Arc::new(Bytes { bytes, pool });
        if to_sum.send(block.clone()).is_err() || to_files.send(Ok(block)).is_err() {
            return Ok(());
        }
    }
}

fn sum(blocks: &Receiver<Block<'_>>) -> Applied {
    let (mut sum, mut size) = (Sha256::new(), 0);
    for block in blocks {
        sum.update(&block.bytes);
        size += block.bytes.len() as u64;
    }
    Applied { digest: format!("sha256:{}", hex(&sum.finalize())), size }
}

fn files(blocks: Blocks<'_>, ground: Ground) -> io::Result<()> {
    let mut layer = Layer::open(ground)?;
    let mut archive = Archive::new(blocks);
    while let Some(entry) = archive.next()? {
        layer.put(&entry, &mut archive)?;
    }
    layer.finish()?;
    // What comes after the archive's end belongs to its digest, and may be damaged.
    let mut rest = archive.into_inner();
    loop {
        match rest.fill_buf()?.len() {
            0 => return Ok(()),
            length => rest.consume(length),
        }
    }
}

/// Bytes of the archive, for several readers.
type Block<'a> = Arc<Bytes<'a>>;

struct Bytes<'a> {
    bytes: Vec<u8>,
    pool: &'a Pool,
}

impl Drop for Bytes<'_> {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        match self.pool.spare.try_send(bytes) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
}

/// Memory of blocks that were read.
struct Pool {
    spare: SyncSender<Vec<u8>>,
    empty: Mutex<Receiver<Vec<u8>>>,
}

impl Pool {
    fn take(&self) -> Vec<u8> {
        let empty = self.empty.lock().unwrap_or_else(PoisonError::into_inner);
        empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK))
    }
}

/// The archive, as its reader gets it.
struct Blocks<'a> {
    receiver: Receiver<io::Result<Block<'a>>>,
    block: Option<Block<'a>>,
    at: usize,
}

impl BufRead for Blocks<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let used_up = self.block.as_ref().is_none_or(|block| self.at == block.bytes.len());
        if used_up {
            self.block = self.receiver.recv().ok().transpose()?;
            self.at = 0;
        }
        Ok(self.block.as_ref().map_or(&[], |block| &block.bytes[self.at..]))
    }

    fn consume(&mut self, amount: usize) {
        self.at += amount;
    }
}

impl Read for Blocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = Read::read(&mut self.fill_buf()?, buffer)?;
        self.consume(length);
        Ok(length)
    }
}
