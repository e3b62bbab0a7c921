//! The pod's socket for attached clients (see `model::attach` for the protocol).
//!
//! A session that lost its connection is kept for a while, with the output that it has not seen: the engine may have
//! been replaced.
//! A session that does not come back in time is forgotten, so that a dead client disturbs nobody.

use super::hub::{Found, Hub, Kind, ReaderId};
use super::stdio::Typed;
use super::{Shared, log};
use crate::model::attach::{Codec, Frame, Hello, LONGEST, VERSION, Welcome};
use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio_util::codec::Framed;

/// Longest time that a session may be without a connection.
const AWAY: Duration = Duration::from_secs(20);
/// Longest wait for output after the end of a process whose streams another one holds.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A client, over all of its connections.
#[derive(Debug)]
pub(super) struct Session {
    hub: Arc<Hub>,
    reader: ReaderId,
    wants: [bool; 2],
    /// Input on its way to the process. It is queued, so that a process that does not read holds up no other message.
    queue: mpsc::UnboundedSender<Entry>,
    /// Bytes of input that were put into the queue.
    queued: AtomicU64,
    /// Bytes of them that the process's pipe has.
    typed: watch::Sender<u64>,
    /// Number of connections so far; only the last one is served.
    connection: AtomicU64,
}

/// An entry on its way to a process.
#[derive(Debug)]
enum Entry {
    Typed(Bytes),
    End,
    Resize(u16, u16),
}

type Connection = Framed<UnixStream, Codec>;

/// Sessions by name.
pub(super) type Sessions = Arc<Mutex<HashMap<String, Arc<Session>>>>;

/// Serves the pod's socket for as long as the shim lives.
pub(super) fn serve(shared: &Arc<Shared>, path: &Path) -> io::Result<()> {
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)?;
    let shared = shared.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let shared = shared.clone();
            tokio::spawn(async move {
                if let Err(error) = client(&shared, stream).await
                    && error.kind() != io::ErrorKind::UnexpectedEof
                    && error.kind() != io::ErrorKind::BrokenPipe
                {
                    log(&format!("an attached client: {error}"));
                }
            });
        }
    });
    Ok(())
}

async fn client(shared: &Arc<Shared>, stream: UnixStream) -> io::Result<()> {
    let (mut to, mut from) = Framed::new(stream, Codec::default()).split();
    let Some(Frame::Hello(hello)) = from.next().await.transpose()? else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no greeting"));
    };
    let refuse = |why: &str| Frame::Refused { why: why.to_owned() };
    if hello.version != VERSION {
        return to.send(refuse("the attach protocol of this container is of another version")).await;
    }
    let Some(session) = session(shared, &hello) else {
        return to.send(refuse("the session is over")).await;
    };
    let number = session.connection.fetch_add(1, Ordering::SeqCst) + 1;
    let from_here = session.hub.position(session.reader);
    let typed = session.queued.load(Ordering::SeqCst);
    to.send(Frame::Welcome(Welcome { version: VERSION, typed, from: from_here })).await?;
    // Both directions end with the first that ends.
    let outcome = tokio::select! {
        outcome = take(&session, from) => outcome.map(|()| true),
        outcome = give(&session, from_here, to) => outcome.map(|()| true),
    };
    let over = *outcome.as_ref().unwrap_or(&false);
    if over {
        forget(shared, &hello.session, &session);
    } else {
        let (shared, name) = (shared.clone(), hello.session.clone());
        tokio::spawn(async move {
            tokio::time::sleep(AWAY).await;
            if session.connection.load(Ordering::SeqCst) == number {
                forget(&shared, &name, &session);
            }
        });
    }
    outcome.map(drop)
}

/// A new session, or one that comes again.
fn session(shared: &Arc<Shared>, hello: &Hello) -> Option<Arc<Session>> {
    let mut sessions = shared.sessions.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = sessions.get(&hello.session) {
        if let Some(from) = hello.from {
            (0..2).for_each(|stream| known.hub.done(known.reader, stream, from[stream]));
        }
        return Some(known.clone());
    }
    if hello.from.is_some() {
        return None;
    }
    let hub = shared.hub(&hello.container, &hello.exec);
    // Only the starter may come before there is a process.
    if !hello.starter && hub.input().is_none() {
        return None;
    }
    let kind = if hello.starter { Kind::Starter } else { Kind::Later };
    let wants = [hello.stdout, hello.stderr];
    let reader = hub.join(kind, wants, None);
    let (queue, entries) = mpsc::unbounded_channel();
    let session = Arc::new(Session {
        hub: hub.clone(),
        reader,
        wants,
        queue,
        queued: AtomicU64::new(0),
        typed: watch::channel(0).0,
        connection: AtomicU64::new(0),
    });
    tokio::spawn(type_in(hub, entries, session.typed.clone()));
    sessions.insert(hello.session.clone(), session.clone());
    Some(session)
}

fn forget(shared: &Arc<Shared>, name: &str, session: &Arc<Session>) {
    session.hub.leave(session.reader);
    shared.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    shared.forget_unused_hubs();
}

/// Types a session's queued input, as fast as the process reads. Ends with the session.
async fn type_in(hub: Arc<Hub>, mut entries: mpsc::UnboundedReceiver<Entry>, typed: watch::Sender<u64>) {
    let mut changed = hub.subscribe();
    while let Some(entry) = entries.recv().await {
        // Input waits for the process.
        let input = loop {
            changed.mark_unchanged();
            if let Some(input) = hub.input() {
                break input;
            }
            if changed.changed().await.is_err() {
                return;
            }
        };
        match entry {
            Entry::Typed(data) => {
                let length = data.len() as u64;
                input.send(Typed::Data(data)).await;
                typed.send_modify(|typed| *typed += length);
            }
            Entry::End => input.send(Typed::End).await,
            // A process without a terminal has no size to set.
            Entry::Resize(columns, rows) => drop(input.resize(columns, rows)),
        }
    }
}

/// Takes the client's messages until its connection ends.
async fn take(session: &Session, mut from: SplitStream<Connection>) -> io::Result<()> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    loop {
        let Some(frame) = from.next().await.transpose()? else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        match frame {
            Frame::Seen { stream, offset } => session.hub.done(session.reader, usize::from(stream), offset),
            Frame::Bye => return Ok(()),
            Frame::Typed { offset, data } => {
                let queued = session.queued.load(Ordering::SeqCst);
                if queued - *session.typed.borrow() > LONGEST as u64 {
                    return Err(invalid("more input than was allowed"));
                }
                let known = usize::try_from(queued.saturating_sub(offset)).unwrap_or(usize::MAX);
                if known < data.len() {
                    let fresh = Bytes::from(data).slice(known..);
                    session.queued.fetch_add(fresh.len() as u64, Ordering::SeqCst);
                    let _ = session.queue.send(Entry::Typed(fresh));
                }
            }
            Frame::TypedEnd => drop(session.queue.send(Entry::End)),
            Frame::Resize { columns, rows } => match session.hub.input() {
                Some(input) => drop(input.resize(columns, rows)),
                None => drop(session.queue.send(Entry::Resize(columns, rows))),
            },
            _ => return Err(invalid("a frame that clients do not send")),
        }
    }
}

/// Sends the client the process's output, then its exit code; returns when the client has seen everything.
async fn give(session: &Session, mut at: [u64; 2], mut to: SplitSink<Connection, Frame>) -> io::Result<()> {
    let hub = &session.hub;
    let mut changed = hub.subscribe();
    let mut typed = session.typed.subscribe();
    // Told at least once: an earlier connection may have ended before the client heard it.
    let mut taken = None;
    let mut open = session.wants;
    loop {
        changed.mark_unchanged();
        let offset = *typed.borrow_and_update();
        if taken != Some(offset) {
            taken = Some(offset);
            to.send(Frame::TypedTo { offset }).await?;
        }
        let mut quiet = true;
        for stream in 0..2_u8 {
            let index = usize::from(stream);
            if !open[index] {
                continue;
            }
            match hub.look(session.reader, index, at[index]) {
                Found::Data(data) => {
                    quiet = false;
                    let frame = Frame::Output { stream, offset: at[index], data: data.to_vec() };
                    to.send(frame).await?;
                    at[index] += data.len() as u64;
                }
                Found::Wait => {}
                Found::End => {
                    open[index] = false;
                    to.send(Frame::End { stream }).await?;
                }
                Found::Cut => {
                    let why = "too slow: more than 1 MiB of output was not read; attach again".to_owned();
                    return to.send(Frame::Refused { why }).await;
                }
            }
        }
        if !quiet {
            continue;
        }
        let Some(exit) = hub.exit() else {
            tokio::select! {
                more = changed.changed() => more.map_err(io::Error::other)?,
                more = typed.changed() => more.map_err(io::Error::other)?,
            }
            continue;
        };
        if open != [false, false] {
            // A process that was left behind may hold the streams for long.
            if matches!(tokio::time::timeout(LAST_WORDS, changed.changed()).await, Ok(Ok(()))) {
                continue;
            }
        }
        to.send(Frame::Exit { status: exit.status }).await?;
        // The client closes when it has the code: its connection may break before.
        return std::future::pending().await;
    }
}
