//! The first process in the namespaces: it keeps them and the listening socket alive, restarts the engine (and only
//! it) by itself, and is the engine's hands: it spawns what the engine asks for and reports how it ended. One
//! thread, no tokio, no policy.
//!
//! The messages between it, the daemon and the engine are drawn in [`crate::model::holder`]. It listens on `holder.sock` for a daemon that
//! takes over from one that died.

mod children;
mod daemon;
pub mod end;
mod engine;
mod lock;

use crate::config::{Instance, env as names};
use crate::model::holder::{HolderStatus, HolderToDaemon};
use crate::model::reason::chain;
use crate::supervise::{greeting, identity};
use crate::sys::{inherit, memory, packet, process};
use children::Children;
use daemon::Daemons;
use end::Realm;
use engine::Engine;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The hidden stage's name.
pub const STAGE: &str = "__holder";
/// Time for an engine to drain before everything is killed, beyond the containers' own grace.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);
/// Time for an engine to drain when it was told to hurry.
const HURRIED_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two looks at the children's logs, when nothing else happens.
const LOOK_AT_LOGS: Duration = Duration::from_secs(60);

/// The way into the namespaces, which `rootless` knows; its answer are warnings.
pub type Enter = fn(&Instance, &OwnedFd) -> io::Result<Vec<String>>;

/// The stage; it returns when everything has ended.
pub fn run(enter: Enter) -> i32 {
    match Holder::start(enter) {
        Ok(mut holder) => holder.serve(),
        Err(_) => 1,
    }
}

struct Holder {
    instance: Instance,
    status: HolderStatus,
    signals: SignalFd,
    daemons: Daemons,
    engine: Engine,
    children: Children,
    /// Time of the order to stop everything.
    stopping: Option<Instant>,
    hurried: bool,
    /// Nothing has happened since memory was given back.
    rests: bool,
    _data_lock: File,
}

impl Holder {
    fn start(enter: Enter) -> io::Result<Self> {
        let daemon = inherit::take(names::CONTROL_FD)?;
        let listener = inherit::take(names::LISTEN_FD)?;
        let begun = daemon.try_clone()?;
        Self::begin(enter, listener, begun).inspect_err(|e| {
            let _ = packet::write(&daemon, &HolderToDaemon::Failed { message: chain(e) });
        })
    }

    /// Enters the namespaces, with `daemon` writing the ID maps.
    fn begin(enter: Enter, listener: OwnedFd, daemon: OwnedFd) -> io::Result<Self> {
        greeting::exchange(&daemon, None).map_err(|e| io::Error::other(chain(&e)))?;
        let instance: Instance = std::env::var(names::INSTANCE)
            .map_err(io::Error::other)
            .and_then(|text| Ok(serde_json::from_str(&text)?))?;
        // A session of its own: Ctrl-C in the daemon's terminal is the daemon's to deal with.
        let _ = rustix::process::setsid();
        let data_lock = lock::take(&instance)?;
        let signals = block_signals()?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        for message in enter(&instance, &daemon)? {
            let _ = packet::write(&daemon, &HolderToDaemon::Warning { message });
        }
        let path = instance.dirs.holder_socket();
        let _ = std::fs::remove_file(&path);
        let socket = packet::listen_at(&path)?;
        let process = identity::own()?;
        let status = HolderStatus {
            user_namespace: instance.rootless.then(|| process::user_namespace(process.pid)).transpose()?,
            process,
            cgroup: instance.cgroup.clone(),
            engine_ready: false,
        };
        packet::write(&daemon, &HolderToDaemon::Status(status.clone()))?;
        Ok(Self {
            engine: Engine::new(instance.bundle.join("bin").join("k3c"), listener),
            daemons: Daemons::new(socket, daemon),
            instance,
            status,
            signals,
            children: Children::default(),
            stopping: None,
            hurried: false,
            rests: false,
            _data_lock: data_lock,
        })
    }

    fn serve(&mut self) -> i32 {
        loop {
            if self.is_over() {
                self.end_everything();
                self.daemons.report(&HolderToDaemon::Stopped);
                return 0;
            }
            if self.engine.start_at.is_some_and(|at| at <= Instant::now()) {
                self.start_engine();
            }
            if let Err(e) = self.wait() {
                self.daemons.report(&HolderToDaemon::Warning { message: format!("holder: {e}") });
                crate::sys::patience::pause(Duration::from_millis(100));
            }
        }
    }

    /// True when the engine is gone after its drain, or when grace is over.
    fn is_over(&self) -> bool {
        let grace = self.instance.config.stop_timeout() + DRAIN_LIMIT;
        let limit = if self.hurried { HURRIED_LIMIT } else { grace };
        self.stopping.is_some_and(|since| !self.engine.is_connected() || since.elapsed() >= limit)
    }

    /// Waits until something happens, and deals with it.
    fn wait(&mut self) -> io::Result<()> {
        let timeout = match (self.engine.start_at, self.stopping) {
            (Some(at), _) => at.saturating_duration_since(Instant::now()),
            (None, Some(_)) => Duration::from_millis(500),
            (None, None) if !self.rests => memory::PAUSE,
            (None, None) => LOOK_AT_LOGS,
        };
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(1),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut sources = vec![Source::Signals];
        let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
        let others =
            self.engine.socket().map(|fd| (Source::Engine, fd)).into_iter().chain(self.daemons.sources());
        for (source, fd) in others {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) if self.engine.start_at.is_none() && self.stopping.is_none() => {
                self.children.cap_logs();
                if !std::mem::replace(&mut self.rests, true) {
                    let _ = memory::give_back();
                }
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => self.rests = false,
            Err(e) => return Err(e.into()),
        }
        let ready: Vec<Source> = sources
            .into_iter()
            .zip(&fds)
            .filter(|(_, fd)| !fd.revents().is_empty())
            .map(|(source, _)| source)
            .collect();
        drop(fds);
        let has = |source| ready.contains(&source);
        // The engine's last words come before the news of its end.
        if has(Source::Engine) {
            self.hear_engine();
        }
        if has(Source::Signals) {
            self.hear_signals()?;
        }
        if has(Source::Daemon) {
            self.hear_daemon();
        }
        for caller in (0..Daemons::MOST_CALLERS).rev().filter(|caller| has(Source::Caller(*caller))) {
            self.daemons.hear_caller(caller, &self.status);
        }
        if has(Source::Listener) {
            self.daemons.accept()?;
        }
        Ok(())
    }

    fn hear_signals(&mut self) -> io::Result<()> {
        while let Some(info) = self.signals.read_signal()? {
            if info.ssi_signo == u32::try_from(libc::SIGTERM).unwrap_or(0) {
                self.stop();
            }
            // SIGCHLD: below.
        }
        for (key, exit) in self.children.reap() {
            self.child_ended(key, exit);
        }
        Ok(())
    }

    /// Kills all processes below, by user namespace and by cgroup.
    fn end_everything(&mut self) {
        let realm = Realm {
            user_namespace: self.status.user_namespace,
            // Our own cgroup is the root of our cgroup namespace's `init`.
            cgroup: self.status.cgroup.is_some().then(|| PathBuf::from("/sys/fs/cgroup")),
        };
        realm.end(Some(self.status.process.pid), || {
            let _ = self.children.reap();
            self.children.pids()
        });
        let _ = std::fs::remove_file(self.instance.dirs.holder_socket());
    }
}

/// A descriptor that the holder waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Signals,
    Engine,
    Daemon,
    /// A connection to `holder.sock` that has not greeted yet, by index.
    Caller(usize),
    /// `holder.sock` itself.
    Listener,
}

/// Blocks the signals that arrive by descriptor from here on.
fn block_signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [Signal::SIGCHLD, Signal::SIGTERM] {
        set.add(signal);
    }
    // Children inherit the mask: those in Go set one of their own, and so does each stage of ours that wants these.
    set.thread_block()?;
    let mut ignored = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGHUP] {
        ignored.add(signal);
    }
    ignored.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}
