//! A transfer: entries as the walk finds them, contents as BuildKit asks for them, both through one short queue that
//! presses back.

use super::filter::Filter;
use super::index::{Contents, Index};
use super::{LocalError, join, walk};
use crate::proto::fsutil::types::packet::PacketType;
use crate::proto::fsutil::types::{Packet, Stat};
use futures::{Stream, StreamExt};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc};
use tonic::Status;

/// Bytes of a file in one packet.
const PIECE: usize = 64 << 10;
/// Files that are open at a time.
const OPEN: usize = 4;

/// The way of packets to BuildKit.
pub(crate) type Packets = mpsc::Sender<Result<Packet, Status>>;

/// Sends `root` to whoever asks through `requests`, until they have all they want.
pub(crate) async fn send(
    root: PathBuf,
    filter: Filter,
    requests: impl Stream<Item = Result<Packet, Status>>,
    packets: Packets,
) {
    if let Err(error) = transfer(root, filter, requests, &packets).await {
        // A receiver that is gone does not hear why, either.
        let text = error.to_string();
        let _ = packets.send(Ok(data(PacketType::PacketErr, 0, text.clone().into_bytes()))).await;
        let _ = packets.send(Err(Status::unknown(text))).await;
    }
}

async fn transfer(
    root: PathBuf,
    filter: Filter,
    requests: impl Stream<Item = Result<Packet, Status>>,
    packets: &Packets,
) -> Result<(), LocalError> {
    let index = Arc::new(Mutex::new(Index::default()));
    let open = Arc::new(Semaphore::new(OPEN));
    let (failed, mut failures) = mpsc::channel(OPEN + 1);
    let run = |work: Box<dyn FnOnce() -> Result<(), LocalError> + Send>| {
        let failed = failed.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = work() {
                // The first one is what ends the transfer.
                let _ = failed.try_send(error);
            }
        });
    };
    let walking = (root.clone(), index.clone(), packets.clone());
    run(Box::new(move || {
        let (root, index, packets) = walking;
        walk::walk(&root, &filter, &index, |found| emit(&packets, stat(Some(found))))?;
        emit(&packets, stat(None))
    }));
    let mut requests = std::pin::pin!(requests);
    let mut waiting = VecDeque::new();
    loop {
        let request = tokio::select! {
            Some(error) = failures.recv() => return Err(error),
            request = requests.next() => match request {
                Some(Ok(request)) => request,
                Some(Err(_)) | None => return Ok(()),
            },
            permit = open.clone().acquire_owned(), if !waiting.is_empty() => {
                let permit = permit.map_err(|_| LocalError::Gone)?;
                let Some(id) = waiting.pop_front() else { continue };
                let (path, contents) = index.lock().unwrap_or_else(PoisonError::into_inner).file(id)?;
                let (root, packets) = (root.clone(), packets.clone());
                run(Box::new(move || {
                    let _permit = permit;
                    if contents == Contents::File {
                        contents_of(&join(&root, &path), id, &packets)?;
                    }
                    emit(&packets, data(PacketType::PacketData, id, Vec::new()))
                }));
                continue;
            }
        };
        match request.r#type() {
            // Taken in at once, as a number: thousands of small messages that nobody reads would make HTTP/2 hang up.
            PacketType::PacketReq => waiting.push_back(request.id),
            PacketType::PacketFin => {
                let fin = data(PacketType::PacketFin, 0, Vec::new());
                return packets.send(Ok(fin)).await.map_err(|_| LocalError::Gone);
            }
            PacketType::PacketErr => {
                return Err(LocalError::Receiver(String::from_utf8_lossy(&request.data).into_owned()));
            }
            PacketType::PacketStat | PacketType::PacketData => {}
        }
    }
}

/// Sends a file in pieces. Blocks while nobody takes them.
fn contents_of(path: &Path, id: u32, packets: &Packets) -> Result<(), LocalError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        // Gone since it was announced; another build of the same directory would not have had it.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(LocalError::io("open", path)(error)),
    };
    loop {
        let mut piece = vec![0; PIECE];
        let read = match file.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(LocalError::io("read", path)(error)),
        };
        piece.truncate(read);
        emit(packets, data(PacketType::PacketData, id, piece))?;
    }
}

fn emit(packets: &Packets, packet: Packet) -> Result<(), LocalError> {
    packets.blocking_send(Ok(packet)).map_err(|_| LocalError::Gone)
}

fn stat(stat: Option<Stat>) -> Packet {
    Packet { r#type: PacketType::PacketStat.into(), stat, ..Packet::default() }
}

fn data(kind: PacketType, id: u32, data: Vec<u8>) -> Packet {
    Packet { r#type: kind.into(), id, data, ..Packet::default() }
}
