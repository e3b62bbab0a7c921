//! A transfer: entries as the walk finds them, contents as BuildKit asks for them, both through one short queue that
//! presses back.

use super::filter::Filter;
use super::index::{Contents, Index};
use super::{LocalError, join, platform, walk};
use crate::proto::fsutil::types::packet::PacketType;
use crate::proto::fsutil::types::{Packet, Stat};
use futures::{Stream, StreamExt};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, mpsc};
use tonic::Status;

/// Bytes of a file in one packet.
const PIECE: usize = 64 << 10;
/// Files that are open at a time.
const OPEN: usize = 4;

/// Entries that are announced together: each batch wakes somebody up.
const BATCH: usize = 128;

/// The way of packets to BuildKit, in batches.
pub(crate) type Packets = mpsc::Sender<Vec<Result<Packet, Status>>>;

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
        let error = data(PacketType::PacketErr, 0, text.clone().into_bytes());
        let _ = packets.send(vec![Ok(error), Err(Status::unknown(text))]).await;
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
        let mut batch = Vec::with_capacity(BATCH);
        walk::walk(&root, &filter, &index, |found| {
            batch.push(Ok(stat(Some(found))));
            match batch.len() {
                BATCH => emit(&packets, std::mem::replace(&mut batch, Vec::with_capacity(BATCH))),
                _ => Ok(()),
            }
        })?;
        batch.push(Ok(stat(None)));
        emit(&packets, batch)
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
                    if let Contents::File(size) = contents {
                        contents_of(&join(&root, &path), size, id, &packets)?;
                    }
                    emit(&packets, vec![Ok(data(PacketType::PacketData, id, Vec::new()))])
                }));
                continue;
            }
        };
        match request.r#type() {
            // Taken in at once, as a number: thousands of small messages that nobody reads would make HTTP/2 hang up.
            PacketType::PacketReq => waiting.push_back(request.id),
            PacketType::PacketFin => {
                let fin = data(PacketType::PacketFin, 0, Vec::new());
                return packets.send(vec![Ok(fin)]).await.map_err(|_| LocalError::Gone);
            }
            PacketType::PacketErr => {
                return Err(LocalError::Receiver(String::from_utf8_lossy(&request.data).into_owned()));
            }
            PacketType::PacketStat | PacketType::PacketData => {}
        }
    }
}

/// Sends a file in pieces. Blocks while nobody takes them. A file that has grown since it was announced is sent as it
/// was; of any other change the image would have something that never was.
fn contents_of(path: &Path, size: u64, id: u32, packets: &Packets) -> Result<(), LocalError> {
    let changed = |how| LocalError::Changed { path: path.to_owned(), how };
    let file = match platform::open(path) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(changed("it is no regular file any more")),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(changed("it is gone")),
        Err(error) => return Err(LocalError::io("open", path)(error)),
    };
    // Some file systems do not know the size of their files.
    let mut left = if size == 0 { u64::MAX } else { size };
    let mut file = file.take(left);
    loop {
        let mut piece = vec![0; PIECE];
        let read = match file.read(&mut piece) {
            Ok(0) if size > 0 && left > 0 => return Err(changed("it became shorter")),
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(LocalError::io("read", path)(error)),
        };
        piece.truncate(read);
        left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        emit(packets, vec![Ok(data(PacketType::PacketData, id, piece))])?;
    }
}

fn emit(packets: &Packets, batch: Vec<Result<Packet, Status>>) -> Result<(), LocalError> {
    packets.blocking_send(batch).map_err(|_| LocalError::Gone)
}

fn stat(stat: Option<Stat>) -> Packet {
    Packet { r#type: PacketType::PacketStat.into(), stat, ..Packet::default() }
}

fn data(kind: PacketType, id: u32, data: Vec<u8>) -> Packet {
    Packet { r#type: kind.into(), id, data, ..Packet::default() }
}

#[cfg(all(test, unix))]
mod tests {
    use super::super::Request;
    use super::*;
    use std::fs;
    use std::io::Write;
    use tokio_stream::wrappers::ReceiverStream;

    /// Announces a directory with one file, changes it, and asks for the file.
    async fn sent_after(change: impl Fn(&Path)) -> Result<Vec<u8>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "as it was").unwrap();
        let filter = Filter::new(dir.path(), &Request::default()).unwrap();
        let (requests, queue) = mpsc::channel(4);
        let (packets, sent) = mpsc::channel(4);
        let mut sent = ReceiverStream::new(sent).flat_map(futures::stream::iter);
        tokio::spawn(send(dir.path().to_owned(), filter, ReceiverStream::new(queue), packets));
        while sent.next().await.unwrap().unwrap().stat.is_some() {}
        change(&file);
        let ask = Packet { r#type: PacketType::PacketReq.into(), id: 0, ..Packet::default() };
        requests.send(Ok(ask)).await.unwrap();
        let mut all = Vec::new();
        loop {
            let packet = sent.next().await.unwrap().unwrap();
            match packet.r#type() {
                PacketType::PacketData if packet.data.is_empty() => return Ok(all),
                PacketType::PacketData => all.extend(packet.data),
                _ => {
                    let text = String::from_utf8(packet.data).unwrap();
                    return Err(text.strip_prefix(&file.display().to_string()).unwrap().to_owned());
                }
            }
        }
    }

    #[tokio::test]
    async fn files_that_change_meanwhile() {
        let append = |file: &Path| fs::File::options().append(true).open(file)?.write_all(b" and more");
        assert_eq!(sent_after(|file| append(file).unwrap()).await, Ok(b"as it was".to_vec()));
        let replaced = |file: &Path, other: &Path| fs::rename(other, file).unwrap();
        let refused = |how: &str| Err(format!(" changed while it was sent: {how}"));
        assert_eq!(sent_after(|file| fs::write(file, "as").unwrap()).await, refused("it became shorter"));
        assert_eq!(sent_after(|file| fs::write(file, "").unwrap()).await, refused("it became shorter"));
        assert_eq!(sent_after(|file| fs::remove_file(file).unwrap()).await, refused("it is gone"));
        let other = |file: &Path| file.with_extension("other");
        let no_file = refused("it is no regular file any more");
        let fifo = |file: &Path| {
            nix::unistd::mkfifo(&other(file), nix::sys::stat::Mode::S_IRUSR).unwrap();
            replaced(file, &other(file));
        };
        // Nobody writes into it, and yet nobody waits.
        assert_eq!(sent_after(fifo).await, no_file);
        let link = |file: &Path| {
            std::os::unix::fs::symlink("/etc/passwd", other(file)).unwrap();
            replaced(file, &other(file));
        };
        assert_eq!(sent_after(link).await, no_file);
        let directory = |file: &Path| {
            fs::remove_file(file).unwrap();
            fs::create_dir(file).unwrap();
        };
        assert_eq!(sent_after(directory).await, no_file);
    }
}
