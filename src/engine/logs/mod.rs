//! `logs`: files in CRI's format, written by the shim (those of foreign containers by containerd), for each attempt.

mod follow;
mod rotation;
mod tail;

pub(super) use rotation::{Rotation, run as rotate};

use super::containers::LOG;
use super::error::EngineError;
use super::{Engine, Inner, blocking};
use crate::model::container::{LogEntry, LogPosition, LogsOptions, Status, Stream};
use crate::model::crilog::parse;
use crate::model::id::ContainerId;
use crate::model::logopts::{self, Writer};
use crate::model::reason::Reason;
use crate::store::Record;
use crate::sys::rotated;
use follow::Watch;
use futures::StreamExt;
use futures::stream::BoxStream;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const BLOCK: usize = 64 << 10;
/// Time after an attempt's end when its log is complete for certain.
const SETTLED: Duration = Duration::from_secs(5);
/// Time without a byte, after the attempt's end, that makes a log complete although nothing said that it was closed.
const QUIET: Duration = Duration::from_millis(500);

type Entries = mpsc::Sender<Result<LogEntry, EngineError>>;

/// Container that a log belongs to.
#[derive(Clone, Debug)]
enum Source {
    Record { id: ContainerId, attempt: u32 },
    Foreign { container: String },
}

impl Engine {
    /// Entries in order; with `follow` until the attempt is over and all that it wrote was read.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Unsupported`: its log driver is `none`. Among the entries: `Internal`, when a
    /// file cannot be read.
    pub async fn logs(
        &self,
        who: &str,
        options: LogsOptions,
    ) -> Result<BoxStream<'static, Result<LogEntry, EngineError>>, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let (source, place, record) = match inner.records.find(who) {
            Ok(record) if record.spec.log.driver == "none" => {
                return Err(EngineError::refused(
                    Reason::Unsupported,
                    "configured logging driver does not support reading",
                ));
            }
            Ok(found) => {
                let (source, place) = inner.logs_of(&found, options.current_attempt);
                (source, place, Some(found))
            }
            Err(missing) => {
                let found = inner.find_foreign(who, true, missing).await?;
                let path = inner.foreign_log(&found.container.id).await?;
                (Source::Foreign { container: found.container.id }, Place::File(path), None)
            }
        };
        // Opened and watched before we answer, so that lines that are written from here on, and the end, cannot be
        // missed.
        let follow = options.follow;
        let attributes = match &record {
            Some(record) if options.details => {
                logopts::details(&record.spec.log, &writer(record)).unwrap_or_default()
            }
            _ => BTreeMap::new(),
        };
        let shown = match &place {
            Place::File(path) => path.clone(),
            Place::Attempts(dirs) => dirs.last().cloned().unwrap_or_default(),
        };
        let seen = place.clone();
        let (files, watch) =
            blocking(move || open(&seen, follow)).await?.map_err(EngineError::file("cannot read", shown))?;
        let (sender, receiver) = mpsc::channel(256);
        tokio::spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                answer = inner.send_logs(source, &place, (files, watch), &options, &sender) => {
                    if let Err(error) = answer {
                        let error = EngineError::Broken(format!("cannot read the log: {error}"));
                        sender.send(Err(error)).await.ok();
                    }
                }
                () = closed.closed() => {}
            }
        });
        let entries = ReceiverStream::new(receiver);
        Ok(entries.map(move |entry| Ok(LogEntry { attributes: attributes.clone(), ..entry? })).boxed())
    }
}

/// A container as its log options see it.
pub(super) fn writer(record: &Record) -> Writer<'_> {
    Writer {
        id: record.id.as_str(),
        name: &record.name,
        image: &record.spec.image,
        image_id: &record.resolved.image_id,
        labels: &record.resolved.labels,
        env: &record.resolved.env,
    }
}

/// Place of a container's logs.
#[derive(Clone, Debug)]
enum Place {
    /// Folders of attempts, in order.
    Attempts(Vec<PathBuf>),
    /// One file, of a foreign container.
    File(PathBuf),
}

impl Place {
    /// Files, the oldest first.
    fn files(&self) -> io::Result<Vec<PathBuf>> {
        match self {
            Self::File(path) => Ok(vec![path.clone()]),
            Self::Attempts(dirs) => {
                let mut all = Vec::new();
                for dir in dirs {
                    all.extend(rotated::files(&dir.join(LOG))?);
                }
                Ok(all)
            }
        }
    }

    /// Opens all files, and again when names moved meanwhile.
    fn open(&self) -> io::Result<Vec<(PathBuf, File)>> {
        let mut last = Vec::new();
        for _ in 0..10 {
            let mut opened: Vec<(PathBuf, File)> = Vec::new();
            for path in self.files()? {
                match File::open(&path) {
                    Ok(file) => opened.push((path, file)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            let inodes: Vec<u64> = opened.iter().map(|(_, file)| inode(file)).collect::<io::Result<_>>()?;
            last = opened;
            let now: Vec<u64> =
                self.files()?.iter().filter_map(|p| Some(std::fs::metadata(p).ok()?.ino())).collect();
            if inodes == now {
                break;
            }
        }
        Ok(last)
    }

    /// The file after the one with this inode, with a watch; `None` when it is the last.
    fn next(&self, current: u64) -> io::Result<Option<(File, Watch)>> {
        let mut opened = self.open()?;
        let inodes: Vec<u64> = opened.iter().map(|(_, file)| inode(file)).collect::<io::Result<_>>()?;
        // A file that is gone is older than all that are there.
        let next = inodes.iter().position(|i| *i == current).map_or(0, |at| at + 1);
        if next >= opened.len() {
            return Ok(None);
        }
        let (path, file) = opened.swap_remove(next);
        Ok(Some((file, Watch::new(&path)?)))
    }
}

fn inode(file: &File) -> io::Result<u64> {
    Ok(file.metadata()?.ino())
}

/// Opened files in order, and a watch on the last.
type Opened = (Vec<File>, Option<Watch>);

fn open(place: &Place, follow: bool) -> io::Result<Opened> {
    let opened = place.open()?;
    let watch = match opened.last() {
        Some((path, _)) if follow => Some(Watch::new(path)?),
        _ => None,
    };
    Ok((opened.into_iter().map(|(_, file)| file).collect(), watch))
}

impl Inner {
    fn logs_of(&self, record: &Record, current: bool) -> (Source, Place) {
        let first = if current { record.attempt.number } else { 0 };
        let dirs = (first..=record.attempt.number).map(|n| self.log_dir(record, n)).collect();
        (Source::Record { id: record.id.clone(), attempt: record.attempt.number }, Place::Attempts(dirs))
    }

    async fn send_logs(
        self: &Arc<Self>,
        source: Source,
        place: &Place,
        (files, watch): Opened,
        options: &LogsOptions,
        sender: &Entries,
    ) -> io::Result<()> {
        let starts = match (options.after, options.tail) {
            (Some(after), _) => behind(&files, after)?,
            (None, Some(wanted)) => {
                let handles: Vec<File> = files.iter().map(File::try_clone).collect::<io::Result<_>>()?;
                blocking(move || starts(&handles, wanted)).await.map_err(io::Error::other)??
            }
            (None, None) => vec![Some(0); files.len()],
        };
        let count = files.len();
        let mut watch = watch;
        for (index, (file, start)) in files.into_iter().zip(starts).enumerate() {
            let Some(start) = start else { continue };
            let mut reader = Reader::new(file, start).await?;
            let last = index + 1 == count;
            match watch.take_if(|_| last) {
                Some(watch) => return self.follow(&source, place, (reader, watch), options, sender).await,
                None => {
                    if !reader.send_all(options, sender).await? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    async fn follow(
        self: &Arc<Self>,
        source: &Source,
        place: &Place,
        (mut reader, mut watch): (Reader, Watch),
        options: &LogsOptions,
        sender: &Entries,
    ) -> io::Result<()> {
        let mut changed = self.records.changes();
        let mut grew = Instant::now();
        loop {
            changed.borrow_and_update();
            // Asked before reading, so that lines that were written before the end are read in this round.
            let end = self.log_end(source).await;
            watch.drain()?;
            let closed = watch.closed;
            let before = reader.offset;
            if !reader.send_all(options, sender).await? {
                return Ok(());
            }
            if reader.offset != before {
                grew = Instant::now();
            }
            let over = match end {
                End::Open => false,
                End::Over => closed || grew.elapsed() > QUIET,
                End::Settled => true,
            };
            // The file is closed and read to its end, so there may be a younger one.
            if (closed || over) && reader.offset == before {
                let (place, inode) = (place.clone(), reader.inode);
                let next = blocking(move || place.next(inode)).await.map_err(io::Error::other)??;
                match next {
                    Some((file, fresh)) => {
                        (reader, watch) = (Reader::new(file, 0).await?, fresh);
                        continue;
                    }
                    None if over => return Ok(()),
                    None => {}
                }
            } else if over || closed {
                continue;
            }
            let pause = match (end, source) {
                (End::Over, _) => Duration::from_millis(50),
                (_, Source::Foreign { .. }) => Duration::from_millis(500),
                // A watch that was lost must not hang a reader for ever.
                _ => Duration::from_secs(5),
            };
            let until = options.until.map(|until| until.duration_since(Timestamp::now()));
            if until.is_some_and(|left| left.is_negative()) {
                return Ok(());
            }
            let pause = until.map_or(pause, |left| pause.min(left.unsigned_abs()));
            tokio::select! {
                woken = watch.wait() => woken?,
                changed = changed.changed() => if changed.is_err() { return Ok(()) },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn log_end(&self, source: &Source) -> End {
        match source {
            Source::Record { id, attempt } => match self.records.get(id) {
                Ok(record) => end_of(&record, *attempt),
                Err(_) => End::Over,
            },
            Source::Foreign { container } => match self.cri.status(container, false).await {
                Ok(answer) => {
                    let status = answer.status.unwrap_or_default();
                    if status.finished_at == 0 { End::Open } else { End::Over }
                }
                Err(error) if error.is_missing() => End::Over,
                Err(_) => End::Open,
            },
        }
    }
}

/// Certainty that nothing more is written to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The attempt runs, or may yet.
    Open,
    /// The process is gone; its last lines may still be on their way.
    Over,
    /// Nothing can come any more.
    Settled,
}

fn end_of(record: &Record, attempt: u32) -> End {
    if record.attempt.number != attempt {
        return End::Over;
    }
    match record.status {
        Status::Created if !record.attempt.used => End::Open,
        Status::Created => End::Settled,
        Status::Running | Status::Paused => End::Open,
        _ => match record.exit.finished {
            Some(finished) if Timestamp::now().duration_since(finished).unsigned_abs() < SETTLED => End::Over,
            _ => End::Settled,
        },
    }
}

/// Offset in each file of the part behind a position; `None`: nothing of it. A file that is gone is older than all
/// others.
fn behind(files: &[File], after: LogPosition) -> io::Result<Vec<Option<u64>>> {
    let inodes: Vec<u64> = files.iter().map(inode).collect::<io::Result<_>>()?;
    let Some(at) = inodes.iter().position(|inode| *inode == after.file) else {
        return Ok(vec![Some(0); files.len()]);
    };
    let start = |index: usize| match index.cmp(&at) {
        std::cmp::Ordering::Less => None,
        std::cmp::Ordering::Equal => Some(after.offset),
        std::cmp::Ordering::Greater => Some(0),
    };
    Ok((0..files.len()).map(start).collect())
}

/// Offset in each file of its part of the last `wanted` lines; `None`: nothing of it.
fn starts(files: &[File], wanted: u64) -> io::Result<Vec<Option<u64>>> {
    let mut left = wanted;
    let mut starts = vec![None; files.len()];
    for (index, file) in files.iter().enumerate().rev() {
        let last = index + 1 == files.len();
        if left == 0 && !last {
            break;
        }
        let found = tail::tail(file, left)?;
        starts[index] = Some(found.offset);
        left -= found.lines;
    }
    Ok(starts)
}

/// Reads one file's entries; keeps a line that is not complete yet.
#[derive(Debug)]
struct Reader {
    file: tokio::fs::File,
    inode: u64,
    /// Offset up to which the file was read.
    offset: u64,
    rest: Vec<u8>,
}

impl Reader {
    async fn new(file: File, offset: u64) -> io::Result<Self> {
        let inode = inode(&file)?;
        let mut file = tokio::fs::File::from_std(file);
        file.seek(SeekFrom::Start(offset)).await?;
        file.set_max_buf_size(BLOCK);
        Ok(Self { file, inode, offset, rest: Vec::new() })
    }

    /// Sends the entries that are there; false when the receiver is gone, or the entries are later than `until`.
    async fn send_all(&mut self, options: &LogsOptions, sender: &Entries) -> io::Result<bool> {
        let mut block = vec![0; BLOCK];
        loop {
            let count = self.file.read(&mut block).await?;
            if count == 0 {
                return Ok(true);
            }
            self.offset += u64::try_from(count).unwrap_or(0);
            self.rest.extend_from_slice(&block[..count]);
            let mut begin = 0;
            while let Some(length) = self.rest[begin..].iter().position(|b| *b == b'\n') {
                let line = &self.rest[begin..begin + length];
                begin += length + 1;
                let Some(mut entry) = parse(line) else { continue };
                let left = u64::try_from(self.rest.len() - begin).unwrap_or(0);
                entry.position = LogPosition { file: self.inode, offset: self.offset - left };
                if options.until.is_some_and(|until| entry.time > until) {
                    return Ok(false);
                }
                let wanted = match entry.stream {
                    Stream::Stdout => options.stdout,
                    Stream::Stderr => options.stderr,
                };
                let late = options.since.is_none_or(|since| entry.time >= since);
                if wanted && late && sender.send(Ok(entry)).await.is_err() {
                    return Ok(false);
                }
            }
            self.rest.drain(..begin);
        }
    }
}
