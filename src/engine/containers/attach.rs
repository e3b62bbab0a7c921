//! Attached clients: the engine finds the pod's shim and carries frames between it and the client.
//!
//! A client that starts a container attaches first, so that its shim has somebody to give the first byte to.

use super::target::Target;
use crate::engine::error::EngineError;
use crate::engine::lifecycle::{self, Verb};
use crate::engine::{Engine, Inner};
use crate::model::attach::{Codec, Frame, Hello, LONGEST, socket_name};
use crate::model::reason::Reason;
use crate::store::Record;
use futures::SinkExt;
use futures::stream::{BoxStream, Stream, StreamExt};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::codec::{FramedRead, FramedWrite};

/// Frames on their way to a client.
pub type Frames = BoxStream<'static, Result<Frame, EngineError>>;

impl Engine {
    /// Attaches. `hello.container` is what the user calls it; `frames` is what the client sends after that.
    ///
    /// # Errors
    /// `NotFound`: no such container; `Conflict`: it is paused, restarting or stopped; `NotRunning`: its streams are
    /// closed.
    pub async fn attach(
        &self,
        hello: Hello,
        frames: impl Stream<Item = Frame> + Send + 'static,
    ) -> Result<Frames, EngineError> {
        let inner = self.inner().clone();
        inner.ready().await;
        let target = inner.target(&hello.container).await?;
        let first = hello.exec.is_empty() && hello.from.is_none();
        let (target, stream) = match (first, hello.starter) {
            (true, true) => inner.prepare(target).await?,
            (true, false) => {
                lifecycle::may(Verb::Attach, target.status, &target.id, &hello.container)?;
                inner.join(target).await?
            }
            (false, _) => inner.join(target).await?,
        };
        // An exec always takes input; a container's first process only if it was made with an open one.
        let input = if hello.exec.is_empty() { target.open_stdin } else { true };
        let input_ends = if hello.exec.is_empty() { target.stdin_once } else { true };
        let main = hello.exec.is_empty();
        if first && hello.starter && lifecycle::rests(target.status) {
            // The start is to follow.
            inner
                .records
                .put_off(&target.id, inner.target_event(&target.id, &target.attributes, "attach", &[]));
        } else if first {
            inner.note_event(&target, "attach", &[]).await;
        }
        let hello = Hello { container: target.container.clone(), ..hello };
        let (seer, attempt) = (inner.clone(), target.clone());
        let ended = Arc::new(AtomicBool::new(false));
        let seen = ended.clone();
        let frames = frames.inspect(move |frame| {
            let (action, more) = match frame {
                // A goodbye before the container's end is a detach.
                Frame::Bye if main && !ended.load(Ordering::Relaxed) => ("detach", Vec::new()),
                Frame::Resize { columns, rows } if main => {
                    ("resize", vec![("height", rows.to_string()), ("width", columns.to_string())])
                }
                _ => return,
            };
            let (inner, target) = (inner.clone(), target.clone());
            tokio::spawn(async move { inner.note_event(&target, action, &more).await });
        });
        let answers = carry(stream, hello, frames.boxed(), input, input_ends);
        let note = move |answer: &Result<Frame, EngineError>| {
            if matches!(answer, Ok(Frame::Exit { .. })) {
                seen.store(true, Ordering::Relaxed);
            }
        };
        let answers = answers.inspect(note).then(move |answer| {
            let (inner, attempt) = (seer.clone(), attempt.clone());
            async move {
                if main && matches!(answer, Ok(Frame::Exit { .. })) {
                    inner.until_recorded(&attempt).await;
                }
                answer
            }
        });
        Ok(answers.boxed())
    }
}

impl Inner {
    /// Waits until the end of an attempt is in its record: the shim tells of it sooner than containerd, and a client
    /// that hears of it here is to see it in `ps`, too.
    async fn until_recorded(&self, attempt: &Target) {
        let mut changed = self.records.changes();
        loop {
            changed.borrow_and_update();
            let is_open = |record: &Record| {
                record.attempt.container == attempt.container
                    && (!record.attempt.used || lifecycle::lives(record.status))
            };
            if !self.records.get(&attempt.id).is_ok_and(|r| is_open(&r)) || changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Makes the attempt that the next start will use, so that one can attach to it before.
    async fn prepare(self: &Arc<Self>, target: Target) -> Result<(Target, UnixStream), EngineError> {
        let _one = self.records.lock(&target.id).await;
        let mut record = self.records.get(&target.id)?;
        if !lifecycle::rests(record.status) {
            return self.join(Target::from(&record)).await;
        }
        if !record.attempt.used && !record.attempt.container.is_empty() {
            // After a restart of the host its pod is gone, and a new one is needed.
            match self.join(Target::from(&record)).await {
                Err(error) if error.reason() == Reason::NotRunning => {}
                answer => return answer,
            }
        }
        self.fresh_attempt(&mut record).await?;
        self.join(Target::from(&record)).await
    }

    async fn join(&self, target: Target) -> Result<(Target, UnixStream), EngineError> {
        let stream = self.connect(&target.pod).await?;
        Ok((target, stream))
    }

    /// A shim listens from its beginning, so there is nothing to wait for.
    async fn connect(&self, pod: &str) -> Result<UnixStream, EngineError> {
        let path = self.config.run.join("shim").join(socket_name(pod));
        UnixStream::connect(&path).await.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                EngineError::refused(Reason::NotRunning, "the container's streams are closed")
            }
            _ => EngineError::file("cannot attach through", path)(error),
        })
    }
}

/// Carries frames in both directions, until one side is done. A client that goes without a word leaves its session to
/// the shim.
fn carry(
    stream: UnixStream,
    hello: Hello,
    frames: BoxStream<'static, Frame>,
    input: bool,
    input_ends: bool,
) -> Frames {
    let (from, to) = stream.into_split();
    let (from, to) = (FramedRead::new(from, Codec::default()), FramedWrite::new(to, Codec::default()));
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
    mut to: FramedWrite<OwnedWriteHalf, Codec>,
    hello: Hello,
    mut frames: BoxStream<'static, Frame>,
    input: bool,
    input_ends: bool,
) {
    if to.send(Frame::Hello(hello)).await.is_err() {
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
        let last = frame == Frame::Bye;
        if wanted && to.send(frame).await.is_err() {
            return;
        }
        if last {
            break;
        }
    }
    // The frames that were sent are read by the shim before the connection is closed.
    let _ = to.close().await;
    std::future::pending().await
}

async fn down(mut from: FramedRead<OwnedReadHalf, Codec>, sender: mpsc::Sender<Result<Frame, EngineError>>) {
    while let Some(Ok(frame)) = from.next().await {
        if sender.send(Ok(frame)).await.is_err() {
            return;
        }
    }
}
