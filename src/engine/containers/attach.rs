//! Attached clients: the engine finds the pod's shim and carries frames between it and the client.
//!
//! Whoever starts a container attaches first, so that its shim has somebody to give the first byte to.

use crate::engine::error::EngineError;
use crate::engine::{Engine, Inner};
use crate::model::attach::{Frame, Hello, LONGEST, socket_name};
use crate::model::container::Status;
use crate::model::reason::Reason;
use crate::store::Record;
use futures::stream::{BoxStream, Stream, StreamExt};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// How long a shim may take to listen: it was started when its pod was made.
const PATIENCE: Duration = Duration::from_secs(5);

/// What goes to a client.
pub type Frames = BoxStream<'static, Result<Frame, EngineError>>;

impl Engine {
    /// Attaches. `hello.container` is what the user calls it; `frames` is what the client sends after that.
    pub async fn attach(
        &self,
        hello: Hello,
        frames: impl Stream<Item = Frame> + Send + 'static,
    ) -> Result<Frames, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let mut record = inner.find(&hello.container)?;
        if hello.exec.is_empty() {
            if hello.starter && hello.from.is_none() {
                record = inner.prepare(&record).await?;
            } else if hello.from.is_none() {
                refuse_unless_running(&record)?;
            }
        }
        // An exec has what it was made with; a container's first process only what it asked for.
        let input = if hello.exec.is_empty() { record.spec.open_stdin } else { true };
        let input_ends = if hello.exec.is_empty() { record.spec.stdin_once } else { true };
        let stream = inner.connect(&record.pod).await?;
        let hello = Hello { container: record.container.clone(), ..hello };
        Ok(carry(stream, hello, frames.boxed(), input, input_ends))
    }
}

/// In Docker's words.
fn refuse_unless_running(record: &Record) -> Result<(), EngineError> {
    let refuse = |text: &str| Err(EngineError::refused(Reason::Conflict, text));
    match record.status {
        Status::Running => Ok(()),
        Status::Paused => refuse("cannot attach to a paused container, unpause it first"),
        Status::Restarting => refuse("cannot attach to a restarting container, wait until it is running"),
        _ => refuse("cannot attach to a stopped container, start it first"),
    }
}

impl Inner {
    /// Makes the attempt that the next start will use, so that one can attach to it before.
    async fn prepare(self: &Arc<Self>, record: &Record) -> Result<Record, EngineError> {
        let _one = self.lock(&record.id).await;
        let mut record = self.record(&record.id)?;
        let rests = matches!(record.status, Status::Created | Status::Exited | Status::Dead);
        if rests && (record.used || record.container.is_empty() || !self.has_pod(&record).await) {
            self.fresh_attempt(&mut record).await?;
        }
        Ok(record)
    }

    /// Its pod's shim listens. After a restart of the host there is none.
    async fn has_pod(&self, record: &Record) -> bool {
        UnixStream::connect(self.shim_socket(&record.pod)).await.is_ok()
    }

    fn shim_socket(&self, pod: &str) -> PathBuf {
        self.config.run.join("shim").join(socket_name(pod))
    }

    async fn connect(&self, pod: &str) -> Result<UnixStream, EngineError> {
        let path = self.shim_socket(pod);
        let end = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => return Ok(stream),
                // Gone with its pod: there is nothing to wait for.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(EngineError::refused(
                        Reason::NotRunning,
                        "the container's streams are closed",
                    ));
                }
                Err(error) if Instant::now() >= end => {
                    return Err(EngineError::file("cannot attach through", path)(error));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// Both directions, until one side is done. A client that goes without a word leaves its session to the shim.
fn carry(
    stream: UnixStream,
    hello: Hello,
    frames: BoxStream<'static, Frame>,
    input: bool,
    input_ends: bool,
) -> Frames {
    let (from, to) = stream.into_split();
    let (sender, receiver) = mpsc::channel(4);
    let gone = sender.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = up(to, hello, frames, input, input_ends) => {}
            () = down(from, sender) => {}
            // The call was dropped.
            () = gone.closed() => {}
        }
    });
    ReceiverStream::new(receiver).boxed()
}

async fn up(
    mut to: OwnedWriteHalf,
    hello: Hello,
    mut frames: BoxStream<'static, Frame>,
    input: bool,
    input_ends: bool,
) {
    if to.write_all(&Frame::Hello(hello).encode()).await.is_err() {
        return;
    }
    while let Some(frame) = frames.next().await {
        let wanted = match &frame {
            Frame::Typed { data, .. } if data.len() > LONGEST / 2 => return,
            Frame::Typed { .. } => input,
            Frame::TypedEnd => input && input_ends,
            Frame::Seen { .. } | Frame::Resize { .. } | Frame::Bye => true,
            _ => false,
        };
        if wanted && to.write_all(&frame.encode()).await.is_err() {
            return;
        }
        if frame == Frame::Bye {
            break;
        }
    }
    // What was said is read before the connection is closed.
    let _ = to.shutdown().await;
    std::future::pending().await
}

async fn down(mut from: OwnedReadHalf, sender: mpsc::Sender<Result<Frame, EngineError>>) {
    while let Ok(length) = from.read_u32().await {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > LONGEST {
            return;
        }
        let mut frame = vec![0; length];
        if from.read_exact(&mut frame).await.is_err() {
            return;
        }
        let Some(frame) = Frame::decode(&frame) else { return };
        if sender.send(Ok(frame)).await.is_err() {
            return;
        }
    }
}
