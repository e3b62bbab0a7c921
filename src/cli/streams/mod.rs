//! A process's streams become ours: what it writes is written, what is typed goes there, our signals are its, and its
//! exit code ends us.
//!
//! ```text
//! standard input ─ thread ─ detach keys ─> session ─> standard output, standard error
//! SIGWINCH ─ size ─────────────────────────>    └───> exit code
//! ```

pub(crate) mod detach;
pub(crate) mod first;

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::options::value;
use super::signals::{Forwarded, Resized};
use crate::client::{Attachment, Client, ClientError, Incoming, Outgoing};
use crate::sys::terminal::{self, Raw};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::io::Read;
use tokio::sync::mpsc;

/// Bytes of standard input in one piece.
const CHUNK: usize = 32 << 10;

/// Options of joining a process's streams.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// The process has a terminal.
    pub(crate) tty: bool,
    /// Our standard input is its standard input.
    pub(crate) stdin: bool,
    /// Keys that detach; only with a terminal and standard input.
    pub(crate) detach_keys: Vec<u8>,
}

/// Outcome of following a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The process ended.
    Exit(u8),
    /// The keys were pressed; it goes on.
    Detached,
}

impl Ended {
    /// The outcome of a verb: the process's exit code, or `detached`.
    pub(crate) fn outcome(self, detached: Outcome) -> Outcome {
        match self {
            Self::Exit(0) => Ok(()),
            Self::Exit(code) => Err(CommandError::exit(code)),
            Self::Detached => detached,
        }
    }
}

/// The container that gets our signals, and the signals; `None`: they end us.
pub(crate) type Target<'a> = Option<(&'a str, Forwarded)>;

/// A flag of all verbs that join streams.
#[derive(Debug, clap::Args)]
pub(crate) struct DetachKeys {
    /// Override the key sequence for detaching a container
    #[arg(
        long = "detach-keys",
        id = "detach_keys",
        value_name = "string",
        default_value = "",
        hide_default_value = true
    )]
    text: String,
}

impl DetachKeys {
    /// The keys of the flag, else those of Docker's own settings, else Docker's.
    pub(crate) fn parse(&self) -> Result<Vec<u8>, CommandError> {
        let text = match self.text.as_str() {
            "" => crate::credentials::setting("detachKeys").unwrap_or_default(),
            flag => flag.to_owned(),
        };
        detach::parse(&text).map_err(CommandError::failed)
    }
}

/// A flag of all verbs that join a container's first process.
#[derive(Debug, clap::Args)]
#[command(mut_arg("sig_proxy", value::switch))]
pub(crate) struct SigProxy {
    /// Proxy received signals to the process
    #[arg(id = "sig_proxy", long = "sig-proxy", action = clap::ArgAction::Set)]
    pub(crate) on: bool,
}

impl SigProxy {
    /// The signals that go to a process; one with a terminal gets them from its keys.
    pub(crate) fn signals(&self, tty: bool, cx: &Context) -> Result<Option<Forwarded>, CommandError> {
        Ok(if self.on && !tty { Some(cx.signals.forward()?) } else { None })
    }
}

/// Refuses early what cannot work: a terminal in the container and none here.
pub(crate) fn check_terminal(tty: bool, stdin: bool, cx: &Context) -> Outcome {
    if tty && stdin && !cx.ui.terminals().stdin {
        return Err(CommandError::failed("the input device is not a TTY"));
    }
    Ok(())
}

/// A session that is joined to our streams. Raw mode ends with it.
pub(crate) struct Joined {
    attachment: Attachment,
    typist: Option<tokio::task::JoinHandle<bool>>,
    resized: Option<Resized>,
    raw: Option<Raw>,
}

impl Joined {
    /// Begins to type and to follow our terminal's size; what is typed before the start waits for it.
    pub(crate) async fn begin(
        attachment: Attachment,
        options: Options,
        cx: &Context,
    ) -> Result<Self, CommandError> {
        let interactive = options.tty && options.stdin;
        // Docker's variable, for those who debug terminals.
        let cooked = std::env::var_os(crate::config::env::NORAW).is_some_and(|v| !v.is_empty());
        let raw = match interactive && cx.ui.terminals().stdin && !cooked {
            true => Some(Raw::enter()?),
            false => None,
        };
        let resized = match options.tty {
            true => {
                if let Some((columns, rows)) = terminal::size() {
                    let _ = attachment.input.send(Outgoing::Resize(columns, rows)).await;
                }
                Some(Resized::listen()?)
            }
            false => None,
        };
        let typist = options.stdin.then(|| {
            let keys = interactive.then(|| detach::Watch::new(options.detach_keys));
            tokio::spawn(type_in(attachment.input.clone(), keys))
        });
        Ok(Self { attachment, typist, resized, raw })
    }

    /// Draws the whole screen again: a size that is not, then the one that is.
    pub(crate) async fn redraw(&self) {
        if let (Some((columns, rows)), true) = (terminal::size(), self.resized.is_some()) {
            let wrong = Outgoing::Resize(columns.saturating_add(1), rows.saturating_add(1));
            let _ = self.attachment.input.send(wrong).await;
            let _ = self.attachment.input.send(Outgoing::Resize(columns, rows)).await;
        }
    }

    /// Stays until the process ends or the keys are pressed.
    pub(crate) async fn follow(
        mut self,
        mut target: Target<'_>,
        client: &Client,
        cx: &Context,
    ) -> Result<Ended, StreamError> {
        let mut deliveries = FuturesUnordered::new();
        let mut resized = false;
        let error = loop {
            // A process that never stops writing must not keep us from its signals.
            tokio::task::consume_budget().await;
            tokio::select! {
                heard = self.attachment.output.recv() => match heard {
                    Some(Ok(Incoming::Output(stream, data))) => {
                        let written = match stream {
                            0 => cx.ui.data(&data),
                            _ => cx.ui.error_data(&data),
                        };
                        if let Err(error) = written {
                            break error;
                        }
                    }
                    Some(Ok(Incoming::Exit(status))) => {
                        return Ok(Ended::Exit(u8::try_from(status & 0xff).unwrap_or(u8::MAX)));
                    }
                    Some(Err(error)) => return Err(StreamError::Session(error)),
                    None => return Err(StreamError::Session(ClientError::hung_up())),
                },
                detached = done(&mut self.typist) => if detached {
                    let _ = self.attachment.input.send(Outgoing::Leave).await;
                    // The terminal is restored before anything else is written.
                    drop(self.raw.take());
                    return Ok(Ended::Detached);
                },
                () = next_size(&mut self.resized) => resized = true,
                // Input may be in the way of a size; output and signals are not kept waiting.
                room = self.attachment.input.reserve(), if resized => {
                    resized = false;
                    if let (Ok(room), Some((columns, rows))) = (room, terminal::size()) {
                        room.send(Outgoing::Resize(columns, rows));
                    }
                }
                Some(signal) = next_signal(&mut target) => {
                    if let Some((container, _)) = &target {
                        let container = (*container).to_owned();
                        deliveries.push(async move { client.kill(&container, signal).await });
                    }
                }
                // A process that is ending needs no signal any more: as in Docker, nobody is told.
                Some(_) = deliveries.next(), if !deliveries.is_empty() => {}
            }
        };
        // `| head`: nobody wants more, and the process goes on without us.
        drop(self.raw.take());
        self.attachment.leave().await;
        Err(StreamError::Own(error.into()))
    }
}

/// Cause of the loss of the streams.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// Our own streams failed.
    Own(CommandError),
    /// The session failed.
    Session(ClientError),
}

async fn done(typist: &mut Option<tokio::task::JoinHandle<bool>>) -> bool {
    match typist {
        Some(running) => {
            let detached = running.await.unwrap_or(false);
            *typist = None;
            detached
        }
        None => std::future::pending().await,
    }
}

async fn next_size(resized: &mut Option<Resized>) {
    match resized {
        Some(resized) => resized.next().await,
        None => std::future::pending().await,
    }
}

async fn next_signal(target: &mut Target<'_>) -> Option<&'static str> {
    match target {
        Some((_, signals)) => signals.next().await,
        None => std::future::pending().await,
    }
}

/// Types until the end of standard input (false) or the keys (true). A thread of its own reads, because a read of a
/// terminal cannot be taken back; it ends with the program.
async fn type_in(input: mpsc::Sender<Outgoing>, mut keys: Option<detach::Watch>) -> bool {
    let (sender, mut typed) = mpsc::channel::<Vec<u8>>(2);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; CHUNK];
        loop {
            match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) if sender.blocking_send(buffer[..length].to_vec()).is_err() => return,
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return,
                Ok(_) | Err(_) => {}
            }
        }
    });
    while let Some(piece) = typed.recv().await {
        let (piece, detached) = match &mut keys {
            Some(keys) => keys.feed(&piece),
            None => (piece, false),
        };
        if !piece.is_empty() && input.send(Outgoing::Typed(Bytes::from(piece))).await.is_err() {
            return false;
        }
        if detached {
            return true;
        }
    }
    let _ = input.send(Outgoing::End).await;
    false
}
