//! The holder's side of the engine: starts it, again and again, and does what it asks for.

use super::Holder;
use crate::config::{Instance, env as names};
use crate::model::holder::{EngineToHolder, Exit, HolderToDaemon, HolderToEngine, SpawnRequest};
use crate::model::reason::chain;
use crate::supervise::greeting::{self, GreetingError};
use crate::sys::{inherit, packet};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::Signal;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::children::Children;

/// The engine's key among the children.
const KEY: &str = "engine";
/// A run of at least this long resets the restart back-off.
const LONG_RUN: Duration = Duration::from_secs(10);

/// The engine that runs, or is to run.
pub(super) struct Engine {
    /// The API's socket, which every engine inherits.
    listener: OwnedFd,
    connection: Option<Connection>,
    binary: PathBuf,
    /// The binary before the last `Reload`, until an engine of the new one is ready.
    former: Option<PathBuf>,
    failures: u32,
    /// Time of the next start; `None` while an engine runs.
    pub(super) start_at: Option<Instant>,
    /// The engine's own words about why it cannot go on.
    last_words: Option<String>,
}

struct Connection {
    socket: OwnedFd,
    since: Instant,
    /// The engine has said that it speaks our version.
    greeted: bool,
}

impl Engine {
    pub(super) fn new(binary: PathBuf, listener: OwnedFd) -> Self {
        Self {
            listener,
            connection: None,
            binary,
            former: None,
            failures: 0,
            start_at: Some(Instant::now()),
            last_words: None,
        }
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.connection.as_ref().map(|connection| connection.socket.as_fd())
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Sends a message; false when there is no engine to take it.
    fn send(&self, message: &HolderToEngine) -> bool {
        self.socket().is_some_and(|socket| packet::write(socket, message).is_ok())
    }

    fn spawn(&mut self, instance: &Instance, children: &mut Children) -> io::Result<()> {
        let (ours, theirs) = packet::pair()?;
        let control = inherit::pass_on(&theirs)?;
        let listen = inherit::pass_on(&self.listener)?;
        let request = SpawnRequest {
            key: KEY.into(),
            argv: vec![self.binary.display().to_string(), names::ENGINE_STAGE.into()],
            env: vec![
                (names::CONTROL_FD.into(), control.to_string()),
                (names::LISTEN_FD.into(), listen.to_string()),
                (names::INSTANCE.into(), serde_json::to_string(instance)?),
            ],
            log: instance.dirs.child_log(KEY),
        };
        let spawned = children.spawn(&request);
        inherit::keep_private(&self.listener)?;
        spawned?;
        greeting::give(&ours).map_err(io::Error::other)?;
        let hello = HolderToEngine::Hello { running: children.running(KEY), exited: children.exited() };
        packet::write(&ours, &hello)?;
        self.connection = Some(Connection { socket: ours, since: Instant::now(), greeted: false });
        Ok(())
    }

    /// An engine of another version is not started again: the one before it goes on. The answer is what people are told.
    fn refuse(&mut self, why: &GreetingError) -> String {
        let refused = format!("the engine {} cannot be used: {}", self.binary.display(), chain(why));
        match self.former.take() {
            Some(former) => {
                self.binary = former;
                self.failures = 0;
                format!(
                    "{refused}; the one before it goes on: stop the daemon and start it again to use the new one"
                )
            }
            None => refused,
        }
    }
}

impl Holder {
    pub(super) fn hear_engine(&mut self) {
        let Some(connection) = &mut self.engine.connection else { return };
        if !connection.greeted {
            match greeting::take(&connection.socket) {
                Ok(()) => connection.greeted = true,
                Err(GreetingError::Gone | GreetingError::Socket(_)) => self.engine_is_silent(),
                Err(e) => {
                    self.engine.last_words = Some(self.engine.refuse(&e));
                    self.engine_is_silent();
                }
            }
            return;
        }
        match packet::read::<EngineToHolder>(&connection.socket) {
            Ok(Some(EngineToHolder::Spawn(request))) => self.spawn(request),
            Ok(Some(EngineToHolder::Signal { key, signal })) => {
                if let Some(signal) = Signal::from_named_raw(signal) {
                    let _ = self.children.signal(&key, signal);
                }
            }
            Ok(Some(EngineToHolder::Forget { key })) => self.children.forget(&key),
            Ok(Some(EngineToHolder::Ready)) => {
                self.engine.failures = 0;
                self.engine.former = None;
                self.status.engine_ready = true;
                self.daemons.report(&HolderToDaemon::EngineReady);
            }
            Ok(Some(EngineToHolder::Failed { message })) => self.engine.last_words = Some(message),
            Ok(Some(EngineToHolder::Warning { message })) => {
                self.daemons.report(&HolderToDaemon::Warning { message });
            }
            Ok(Some(EngineToHolder::Drained)) => {
                self.stopping = Some(Instant::now());
                self.engine.connection = None;
            }
            Ok(None) | Err(_) => self.engine_is_silent(),
        }
    }

    /// Kills an engine whose socket is closed or broken, which is of no use. Its end is reported by SIGCHLD.
    fn engine_is_silent(&mut self) {
        let _ = self.children.signal(KEY, Signal::KILL);
        self.engine.connection = None;
        if self.stopping.is_none() && !self.children.runs(KEY) && self.engine.start_at.is_none() {
            self.engine.start_at = Some(Instant::now());
        }
    }

    fn spawn(&mut self, request: SpawnRequest) {
        let key = request.key.clone();
        let answer = match self.children.spawn(&request) {
            Ok(pid) => HolderToEngine::Spawned { key, pid },
            Err(e) => HolderToEngine::SpawnFailed {
                key,
                message: format!("cannot start {}: {e}", request.argv.join(" ")),
            },
        };
        self.engine.send(&answer);
    }

    pub(super) fn start_engine(&mut self) {
        self.engine.start_at = None;
        if let Err(e) = self.engine.spawn(&self.instance, &mut self.children) {
            self.engine_ended(&format!("cannot start {}: {e}", self.engine.binary.display()));
        }
    }

    /// Kills the engine; the next one is started from `binary`.
    pub(super) fn replace_engine(&mut self, binary: PathBuf) {
        let before = std::mem::replace(&mut self.engine.binary, binary);
        self.engine.former.get_or_insert(before);
        self.engine.failures = 0;
        self.engine.start_at = None;
        if self.children.signal(KEY, Signal::KILL).is_err() {
            self.engine.start_at = Some(Instant::now());
        }
    }

    pub(super) fn child_ended(&mut self, key: String, exit: Exit) {
        if key == KEY {
            self.engine_ended(&exit.to_string());
        } else {
            self.engine.send(&HolderToEngine::Exited { key, exit });
        }
    }

    fn engine_ended(&mut self, how: &str) {
        let connection = self.engine.connection.take();
        let was_ready = std::mem::replace(&mut self.status.engine_ready, false);
        self.children.forget(KEY);
        if self.stopping.is_some() {
            return;
        }
        if !was_ready {
            self.engine.failures += 1;
            let message = self.engine.last_words.take().unwrap_or_else(|| {
                format!("the engine ended ({how}); see {}", self.instance.dirs.child_log(KEY).display())
            });
            self.daemons.report(&HolderToDaemon::EngineFailed { message });
        }
        if connection.is_some_and(|connection| connection.since.elapsed() > LONG_RUN) {
            self.engine.failures = 0;
        }
        let delay = match self.engine.failures {
            0 => 0,
            failures => (100_u64 << failures.min(7)).min(10_000),
        };
        self.engine.start_at = Some(Instant::now() + Duration::from_millis(delay));
    }

    /// Asks the engine to drain; without one there is nobody to wait for.
    pub(super) fn stop(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Instant::now());
        self.engine.start_at = None;
        if !self.engine.send(&HolderToEngine::Drain) {
            self.engine.connection = None;
        }
    }

    pub(super) fn hurry(&mut self) {
        self.hurried = true;
        self.stopping = Some(Instant::now());
        self.engine.send(&HolderToEngine::Hurry);
    }
}
