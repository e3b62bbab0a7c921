//! A process's descriptors: pipes or a terminal on its side, the hub, containerd's FIFOs and files on the other.

use super::crilog::{self, Writer};
use super::hub::{CHUNK, Follower, Hub};
use crate::model::attach::CLIENTS_ONLY;
use crate::sys::poll::asynchronous;
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::termios::{Winsize, tcsetwinsize};
use std::io;
use std::sync::{Arc, Mutex};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};

/// The places that containerd names for a process's streams: paths of FIFOs, `file://` for output, or empty.
#[derive(Clone, Debug, Default)]
pub(super) struct Paths {
    pub(super) stdin: String,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) terminal: bool,
    /// The shim writes the log itself; the FIFOs only tell containerd of the end.
    pub(super) log: Option<crate::model::amendment::Log>,
}

/// An entry for a process's standard input.
#[derive(Debug)]
pub(super) enum Typed {
    Data(Bytes),
    /// The end of the input, after what was queued before.
    End,
}

/// The way to a process's standard input and terminal. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Input {
    queue: mpsc::Sender<Typed>,
    terminal: Option<Arc<AsyncFd<OwnedFd>>>,
    /// Ends the input from containerd's FIFO.
    hang_up: watch::Sender<bool>,
}

impl Input {
    /// Queues an entry; waits while the process does not read. A process that has no standard input takes all and reads
    /// nothing.
    pub(super) async fn send(&self, typed: Typed) {
        // A process that is gone reads no more.
        let _ = self.queue.send(typed).await;
    }

    /// Ends the input of containerd's client, after what its FIFO still holds.
    pub(super) fn hang_up(&self) {
        self.hang_up.send_replace(true);
    }

    /// Sets the terminal's size, in characters.
    pub(super) fn resize(&self, columns: u16, rows: u16) -> io::Result<()> {
        let Some(terminal) = &self.terminal else {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "the process has no terminal"));
        };
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(terminal.get_ref(), size)?)
    }
}

/// Our ends of a process's streams.
pub(super) enum Ends {
    Pipes { stdin: Option<OwnedFd>, stdout: OwnedFd, stderr: OwnedFd },
    Terminal(OwnedFd),
}

/// A pipe, both ends close-on-exec.
pub(super) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(pipe_with(PipeFlags::CLOEXEC)?)
}

/// Connects a process with its hub and with the places that containerd named.
pub(super) fn connect(hub: &Arc<Hub>, ends: Ends, paths: &Paths) -> io::Result<()> {
    let (queue, typed) = mpsc::channel(16);
    let (hang_up, hung_up) = watch::channel(false);
    let logs = [paths.stdout.as_str(), if paths.terminal { "" } else { &paths.stderr }];
    let own = paths.log.clone().map(|log| Arc::new(Mutex::new(Writer::new(log))));
    for (stream, path) in logs.into_iter().enumerate() {
        if let Some(mut log) = Log::open(path)? {
            let follower = Follower::new(hub, stream);
            let own = own.clone();
            tokio::spawn(async move {
                match own {
                    // The FIFO is held to the end, which tells containerd.
                    Some(own) => crilog::follow(follower, &own).await,
                    None => write_log(follower, &mut log).await,
                }
                drop(log);
            });
        }
    }
    let terminal = match ends {
        Ends::Terminal(master) => {
            let master = Arc::new(asynchronous(master)?);
            tokio::spawn(read(hub.clone(), 0, master.clone()));
            hub.close(1);
            tokio::spawn(write_stdin(typed, Some(master.clone())));
            Some(master)
        }
        Ends::Pipes { stdin, stdout, stderr } => {
            tokio::spawn(read(hub.clone(), 0, Arc::new(asynchronous(stdout)?)));
            tokio::spawn(read(hub.clone(), 1, Arc::new(asynchronous(stderr)?)));
            let stdin = stdin.map(asynchronous).transpose()?.map(Arc::new);
            tokio::spawn(write_stdin(typed, stdin));
            None
        }
    };
    if !paths.stdin.is_empty() && paths.stdin != CLIENTS_ONLY {
        let fifo = fifo(&paths.stdin)?;
        tokio::spawn(read_fifo(fifo, queue.clone(), hung_up));
    } else {
        // A hang-up of containerd's client ends nobody else's input.
        tokio::spawn(end_on_hang_up(queue.clone(), hung_up));
    }
    hub.bind(Input { queue, terminal, hang_up });
    Ok(())
}

/// Opens a FIFO for both directions: it neither ends nor breaks when containerd goes away, and opening does not wait.
fn fifo(path: &str) -> io::Result<AsyncFd<OwnedFd>> {
    use rustix::fs::{Mode, OFlags, open};
    let fd = open(path, OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    asynchronous(fd)
}

/// The target of a log.
enum Log {
    Fifo(AsyncFd<OwnedFd>),
    File(std::fs::File),
}

impl Log {
    fn open(path: &str) -> io::Result<Option<Self>> {
        if path.is_empty() {
            return Ok(None);
        }
        if let Some(path) = path.strip_prefix("file://") {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
            return Ok(Some(Self::File(file)));
        }
        if path.contains("://") {
            let text = format!("{path}: output goes to a FIFO or to file://");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        Ok(Some(Self::Fifo(fifo(path)?)))
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Fifo(fd) => {
                fd.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd.as_fd(), bytes)?)).await
            }
            Self::File(file) => io::Write::write(file, bytes),
        }
    }
}

async fn write_log(mut follower: Follower, log: &mut Log) {
    while let Some(bytes) = follower.next().await {
        match log.write(&bytes).await {
            Ok(written) => follower.done(written),
            Err(error) => return super::log(&format!("cannot write a container's log: {error}")),
        }
    }
}

async fn read(hub: Arc<Hub>, stream: usize, from: Arc<AsyncFd<OwnedFd>>) {
    let mut changed = hub.subscribe();
    loop {
        changed.mark_unchanged();
        let room = hub.room(stream);
        if room == 0 {
            if changed.changed().await.is_err() {
                break;
            }
            continue;
        }
        // Memory is taken only when there is something.
        let Ok(mut ready) = from.readable().await else { break };
        let mut buffer = vec![0; room];
        match ready.try_io(|fd| Ok(rustix::io::read(fd.as_fd(), &mut buffer[..])?)) {
            Ok(Ok(0)) => break,
            Ok(Ok(length)) => hub.append(stream, &buffer[..length]),
            // The other side of a terminal was closed.
            Ok(Err(error)) if error.kind() != io::ErrorKind::Interrupted => break,
            Ok(Err(_)) | Err(_) => {}
        }
    }
    hub.close(stream);
}

async fn write_stdin(mut typed: mpsc::Receiver<Typed>, mut to: Option<Arc<AsyncFd<OwnedFd>>>) {
    while let Some(typed) = typed.recv().await {
        let Typed::Data(mut data) = typed else {
            // A terminal has no end of its own: its reader is told by the character for it.
            if let Some(terminal) = to.take_if(|fd| rustix::termios::isatty(fd.get_ref().as_fd())) {
                let end = [4_u8];
                let _ = terminal
                    .async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd.as_fd(), &end)?))
                    .await;
                to = Some(terminal);
            } else {
                to = None;
            }
            continue;
        };
        while let (Some(fd), false) = (&to, data.is_empty()) {
            let written =
                fd.async_io(Interest::WRITABLE, |fd| Ok(rustix::io::write(fd.as_fd(), &data)?)).await;
            match written {
                Ok(length) => drop(data.split_to(length)),
                // The process reads no more.
                Err(_) => to = None,
            }
        }
    }
}

async fn end_on_hang_up(queue: mpsc::Sender<Typed>, mut hung_up: watch::Receiver<bool>) {
    if hung_up.wait_for(|done| *done).await.is_ok() {
        let _ = queue.send(Typed::End).await;
    }
}

async fn read_fifo(from: AsyncFd<OwnedFd>, queue: mpsc::Sender<Typed>, mut hung_up: watch::Receiver<bool>) {
    let mut buffer = Vec::new();
    loop {
        let over = *hung_up.borrow_and_update();
        if over && !has_data(from.get_ref()) {
            let _ = queue.send(Typed::End).await;
            return;
        }
        let mut ready = tokio::select! {
            ready = from.readable() => match ready {
                Ok(ready) => ready,
                Err(_) => return,
            },
            changed = hung_up.changed(), if !over => match changed {
                Ok(()) => continue,
                // The process is over.
                Err(_) => return,
            },
        };
        buffer.resize(CHUNK, 0);
        if let Ok(Ok(length)) = ready.try_io(|fd| Ok(rustix::io::read(fd.as_fd(), &mut buffer[..])?)) {
            let data = Bytes::copy_from_slice(&buffer[..length]);
            if queue.send(Typed::Data(data)).await.is_err() {
                return;
            }
        }
        buffer = Vec::new();
    }
}

fn has_data(fd: &OwnedFd) -> bool {
    let mut poll = [PollFd::new(fd, PollFlags::IN)];
    match rustix::event::poll(&mut poll, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(_) => poll[0].revents().contains(PollFlags::IN),
        Err(Errno::INTR) => true,
        Err(_) => false,
    }
}
