//! A process's streams, over as many connections as it takes: when the engine is replaced, the session goes on where it
//! was. Input is kept until the process's side has it, and output that was shown is acknowledged, so that the shim can
//! forget it.

use super::{Client, ClientError};
use crate::api;
use crate::model::attach::{Frame, Hello, VERSION};
use crate::model::container::ExecSpec;
use crate::model::reason::Reason;
use crate::proto::k3c::v1 as wire;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;

/// Input that may be under way, in bytes.
const WINDOW: u64 = 256 << 10;
/// The longest absence of an engine that a session outlives.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest wait for the other side to hang up at the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Streams of a process that are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// A name or an ID.
    pub container: String,
    /// Empty: the first process.
    pub exec: String,
    /// Comes before the start.
    pub starter: bool,
    /// Standard output (and a terminal's).
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
}

/// A message to the process.
#[derive(Debug)]
pub enum Outgoing {
    /// Input.
    Typed(Bytes),
    /// The end of the input.
    End,
    /// The terminal's size: columns and rows.
    Resize(u16, u16),
    /// Nothing more is wanted.
    Leave,
}

/// A message from the process.
#[derive(Debug)]
pub enum Incoming {
    /// Output; stream 0 is standard output, 1 standard error.
    Output(u8, Vec<u8>),
    /// The process has ended, with a shell's code; all output came before.
    Exit(u32),
}

/// An open session. It ends when both halves are dropped, or when the process does.
#[derive(Debug)]
pub struct Attachment {
    /// Waits while the process does not read.
    pub input: mpsc::Sender<Outgoing>,
    /// Ends after the exit; an error is the end too.
    pub output: mpsc::Receiver<Result<Incoming, ClientError>>,
}

impl Attachment {
    /// Leaves at once, and so that the other side knows: the process need not wait for somebody who does not come again.
    pub async fn leave(self) {
        drop(self.output);
        let _ = timeout(FAREWELL, self.input.closed()).await;
    }
}

impl Client {
    /// Attaches; when this returns, everything from here on is seen.
    pub async fn attach(&self, wanted: Wanted) -> Result<Attachment, ClientError> {
        let mut session = Session::new(self.clone(), wanted);
        let connection = session.connect(None).await?;
        Ok(session.begin(connection))
    }

    /// Describes one more process in a running container; answers its ID.
    pub async fn create_exec(&self, container: &str, spec: ExecSpec) -> Result<String, ClientError> {
        let request = api::exec_request(container, spec);
        Ok(self.answer(self.containers().create_exec(request).await)?.id)
    }

    /// Starts it.
    pub async fn start_exec(&self, container: &str, exec: &str) -> Result<(), ClientError> {
        let request = wire::StartExecRequest { container: container.to_owned(), exec: exec.to_owned() };
        self.answer(self.containers().start_exec(request).await).map(drop)
    }
}

/// Frames of one connection. An error that is an absence is the connection's end.
pub(super) type Frames = BoxStream<'static, Result<Frame, ClientError>>;

pub(super) struct Connection {
    pub(super) to: mpsc::Sender<wire::AttachRequest>,
    pub(super) from: Frames,
}

pub(super) struct Session {
    client: Client,
    wanted: Wanted,
    name: String,
    /// Offsets up to which output was handed out.
    shown: [u64; 2],
    /// Offset after the last byte of input.
    typed: u64,
    /// Input that the other side may not have yet, with its offset.
    kept: VecDeque<(u64, Bytes)>,
    /// Offset up to which the process has it.
    taken: u64,
    /// The input has ended.
    ended: bool,
    size: Option<(u16, u16)>,
}

/// Cause of leaving a connection.
enum Left {
    /// The engine went away.
    Lost,
    Done,
    /// The output is read by nobody any more.
    Deaf,
}

impl Connection {
    async fn goodbye(&mut self) {
        if let Some(bye) = api::attach_request(Frame::Bye) {
            let _ = self.to.send(bye).await;
        }
        self.farewell().await;
    }

    /// Waits until the other side has taken what was said and hung up: it would be lost with the connection.
    async fn farewell(&mut self) {
        let drained = async { while let Some(Ok(_)) = self.from.next().await {} };
        let _ = timeout(FAREWELL, drained).await;
    }
}

impl Session {
    pub(super) fn new(client: Client, wanted: Wanted) -> Self {
        Self {
            client,
            wanted,
            name: uuid::Uuid::new_v4().to_string(),
            shown: [0, 0],
            typed: 0,
            kept: VecDeque::new(),
            taken: 0,
            ended: false,
            size: None,
        }
    }

    /// Goes on in a task of its own, over a connection that is open.
    pub(super) fn begin(self, connection: Connection) -> Attachment {
        let (input, outgoing) = mpsc::channel(4);
        let (incoming, output) = mpsc::channel(1);
        tokio::spawn(async move { self.drive(connection, outgoing, incoming).await });
        Attachment { input, output }
    }

    /// The container is known only now.
    pub(super) fn is_of(&mut self, container: &str) {
        container.clone_into(&mut self.wanted.container);
    }

    /// The first request of a connection.
    pub(super) fn hello(&self, from: Option<[u64; 2]>) -> Option<wire::AttachRequest> {
        api::attach_request(Frame::Hello(Hello {
            version: VERSION,
            container: self.wanted.container.clone(),
            exec: self.wanted.exec.clone(),
            session: self.name.clone(),
            starter: self.wanted.starter,
            stdout: self.wanted.stdout,
            stderr: self.wanted.stderr,
            from,
        }))
    }

    async fn connect(&mut self, from: Option<[u64; 2]>) -> Result<Connection, ClientError> {
        let (to, requests) = mpsc::channel(16);
        // The first of them has to be there before the call is answered.
        if let Some(request) = self.hello(from) {
            let _ = to.send(request).await;
        }
        let answer = self.client.containers().attach(ReceiverStream::new(requests)).await;
        let address = self.client.address().clone();
        let from = self.client.answer(answer)?.map(move |message| match message {
            Ok(message) => Ok(Frame::try_from(message)?),
            Err(status) => Err(ClientError::from_status(&status, &address)),
        });
        self.welcomed(to, from.boxed()).await
    }

    /// Waits until everything from here on is seen.
    pub(super) async fn welcomed(
        &mut self,
        to: mpsc::Sender<wire::AttachRequest>,
        mut from: Frames,
    ) -> Result<Connection, ClientError> {
        match from.next().await.transpose()? {
            Some(Frame::Welcome(welcome)) => {
                if self.shown == [0, 0] {
                    self.shown = welcome.from;
                }
                self.kept.retain(|(offset, data)| offset + data.len() as u64 > welcome.typed);
                Ok(Connection { to, from })
            }
            Some(Frame::Refused { why }) => Err(ClientError::new(Reason::NotRunning, why)),
            _ => Err(ClientError::disconnected("the engine hung up")),
        }
    }

    async fn drive(
        mut self,
        mut connection: Connection,
        mut outgoing: mpsc::Receiver<Outgoing>,
        incoming: mpsc::Sender<Result<Incoming, ClientError>>,
    ) {
        let mut typing = true;
        loop {
            match self.carry(&mut connection, &mut outgoing, &incoming, &mut typing).await {
                Ok(Left::Done) => return,
                Ok(Left::Deaf) => return connection.goodbye().await,
                Ok(Left::Lost) => match self.again().await {
                    Ok(next) => connection = next,
                    Err(error) => {
                        let _ = incoming.send(Err(error)).await;
                        return;
                    }
                },
                Err(error) => {
                    let _ = incoming.send(Err(error)).await;
                    return;
                }
            }
        }
    }

    /// Connects again, for as long as an engine may be away, and types again what may have been lost.
    async fn again(&mut self) -> Result<Connection, ClientError> {
        let end = Instant::now() + PATIENCE;
        let connection = loop {
            match self.connect(Some(self.shown)).await {
                Ok(connection) => break connection,
                Err(error) if error.is_unavailable() && Instant::now() < end => {
                    sleep(Duration::from_millis(50)).await;
                }
                Err(error) => return Err(error),
            }
        };
        let mut frames: Vec<Frame> = Vec::new();
        if let Some((columns, rows)) = self.size {
            frames.push(Frame::Resize { columns, rows });
        }
        for (offset, data) in &self.kept {
            frames.push(Frame::Typed { offset: *offset, data: data.to_vec() });
        }
        if self.ended {
            frames.push(Frame::TypedEnd);
        }
        for frame in frames {
            if let Some(request) = api::attach_request(frame) {
                // If this is lost too, the next connection is told again.
                let _ = connection.to.send(request).await;
            }
        }
        Ok(connection)
    }

    async fn carry(
        &mut self,
        connection: &mut Connection,
        outgoing: &mut mpsc::Receiver<Outgoing>,
        incoming: &mpsc::Sender<Result<Incoming, ClientError>>,
        typing: &mut bool,
    ) -> Result<Left, ClientError> {
        loop {
            let room = self.typed - self.taken < WINDOW;
            tokio::select! {
                frame = connection.from.next() => {
                    let frame = match frame {
                        Some(Ok(frame)) => frame,
                        None => return Ok(Left::Lost),
                        Some(Err(error)) if error.is_unavailable() => return Ok(Left::Lost),
                        Some(Err(error)) => return Err(error),
                    };
                    if let Some(left) = self.hear(frame, connection, incoming).await? {
                        return Ok(left);
                    }
                }
                said = outgoing.recv(), if *typing && room => match said {
                    Some(said) => {
                        if let Some(left) = self.say(said, connection).await {
                            connection.farewell().await;
                            return Ok(left);
                        }
                    }
                    // Input has ended; output may still be read.
                    None => *typing = false,
                },
                () = incoming.closed() => return Ok(Left::Deaf),
            }
        }
    }

    async fn hear(
        &mut self,
        frame: Frame,
        connection: &mut Connection,
        incoming: &mpsc::Sender<Result<Incoming, ClientError>>,
    ) -> Result<Option<Left>, ClientError> {
        match frame {
            Frame::Output { stream, offset, mut data } => {
                let shown = &mut self.shown[usize::from(stream & 1)];
                let known = usize::try_from(shown.saturating_sub(offset)).unwrap_or(usize::MAX);
                data.drain(..known.min(data.len()));
                *shown += data.len() as u64;
                let offset = *shown;
                if !data.is_empty() && incoming.send(Ok(Incoming::Output(stream, data))).await.is_err() {
                    return Ok(Some(Left::Deaf));
                }
                if let Some(seen) = api::attach_request(Frame::Seen { stream, offset }) {
                    let _ = connection.to.send(seen).await;
                }
            }
            Frame::TypedTo { offset } => {
                self.taken = self.taken.max(offset);
                self.kept.retain(|(at, data)| at + data.len() as u64 > offset);
            }
            Frame::Exit { status } => {
                connection.goodbye().await;
                let _ = incoming.send(Ok(Incoming::Exit(status))).await;
                return Ok(Some(Left::Done));
            }
            Frame::Refused { why } => return Err(ClientError::new(Reason::Conflict, why)),
            _ => {}
        }
        Ok(None)
    }

    async fn say(&mut self, said: Outgoing, connection: &mut Connection) -> Option<Left> {
        let mut last = None;
        let frame = match said {
            Outgoing::Typed(data) => {
                let offset = self.typed;
                self.typed += data.len() as u64;
                self.kept.push_back((offset, data.clone()));
                Frame::Typed { offset, data: data.to_vec() }
            }
            Outgoing::End => {
                self.ended = true;
                Frame::TypedEnd
            }
            Outgoing::Resize(columns, rows) => {
                self.size = Some((columns, rows));
                Frame::Resize { columns, rows }
            }
            Outgoing::Leave => {
                last = Some(Left::Done);
                Frame::Bye
            }
        };
        if let Some(request) = api::attach_request(frame) {
            // A request that is lost here is made again on the next connection.
            let _ = connection.to.send(request).await;
        }
        last
    }
}
