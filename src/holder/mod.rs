//! The first process in the namespaces: it keeps them and the listening socket alive, restarts the engine (and only
//! it) by itself, and is the engine's hands: it spawns what the engine asks for and reports how it ended. One
//! thread, no tokio, no policy.
//!
//! It listens on `holder.sock` for a daemon that takes over from one that died.

mod children;

use crate::config::{Instance, env as names};
use crate::model::holder::{
    FromHolder, FromKeeper, HolderStatus, PROTOCOL, SpawnRequest, ToHolder, ToKeeper,
};
use crate::model::reason::chain;
use crate::supervise::identity;
use crate::sys::{inherit, packet, process};
use children::Children;
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::Signal;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The hidden stage's name.
pub const STAGE: &str = "__holder";
/// What the engine is called among the children.
const ENGINE: &str = "engine";
/// How long an engine may take to drain before everything is killed, beyond the containers' own grace.
const HURRY_AFTER: Duration = Duration::from_secs(20);

/// How often the children's logs are looked at, when nothing else happens.
const LOOK_AT_LOGS: Duration = Duration::from_secs(60);

/// The way into the namespaces, which `rootless` knows; what comes back are warnings.
pub type Enter = fn(&Instance, &OwnedFd) -> io::Result<Vec<String>>;

/// The stage: never returns before everything has ended.
pub fn run(enter: Enter) -> i32 {
    match Holder::start(enter) {
        Ok(mut holder) => holder.serve(),
        Err(_) => 1,
    }
}

struct Holder {
    instance: Instance,
    status: HolderStatus,
    signals: nix::sys::signalfd::SignalFd,
    listener: OwnedFd,
    takeover: OwnedFd,
    daemon: Option<OwnedFd>,
    engine: Option<Engine>,
    engine_binary: PathBuf,
    failures: u32,
    start_at: Option<Instant>,
    children: Children,
    stopping: Option<Instant>,
    hurried: bool,
    last_words: Option<String>,
    _data_lock: File,
}

struct Engine {
    socket: OwnedFd,
    started: Instant,
}

/// Nobody else may use the data: not another runtime directory's instance, not another host with the same home.
fn lock_data(instance: &Instance) -> io::Result<File> {
    let path = instance.dirs.data_lock();
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    // An instance that ends at this moment, or a holder that was just killed, gets a moment.
    for _ in 0..20 {
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
                write!(file, "process {} on {host}", std::process::id())?;
                return Ok(file);
            }
            Err(TryLockError::Error(e)) => return Err(e),
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    let mut who = String::new();
    let _ = file.read_to_string(&mut who);
    Err(io::Error::other(format!(
        "{} is used by another k3c ({who}): stop that one, or give this one a place of its own with XDG_DATA_HOME",
        instance.dirs.data.display()
    )))
}

impl Holder {
    fn start(enter: Enter) -> io::Result<Self> {
        let daemon = inherit::take(names::CONTROL_FD)?;
        let listener = inherit::take(names::LISTEN_FD)?;
        let instance: Instance = std::env::var(names::INSTANCE)
            .map_err(io::Error::other)
            .and_then(|text| Ok(serde_json::from_str(&text)?))?;
        Self::enter(enter, instance, listener, &daemon, daemon.try_clone()?).inspect_err(|e| {
            let message = chain(e);
            let _ = packet::write(&daemon, &FromHolder::Failed { message });
        })
    }

    fn enter(
        enter: Enter,
        instance: Instance,
        listener: OwnedFd,
        daemon: &OwnedFd,
        keep: OwnedFd,
    ) -> io::Result<Self> {
        // A session of its own: Ctrl-C in the daemon's terminal is the daemon's to deal with.
        let _ = rustix::process::setsid();
        let data_lock = lock_data(&instance)?;
        let signals = block_signals()?;
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
        let warnings = enter(&instance, daemon)?;
        for message in warnings {
            let _ = packet::write(daemon, &FromHolder::Warning { message });
        }
        let path = instance.dirs.holder_socket();
        let _ = std::fs::remove_file(&path);
        let takeover = packet::listen_at(&path)?;
        let pid = i32::try_from(std::process::id()).map_err(io::Error::other)?;
        let status = HolderStatus {
            protocol: PROTOCOL,
            process: identity::of(pid)?,
            user_namespace: instance.rootless.then(|| process::user_namespace(pid)).transpose()?,
            cgroup: instance.cgroup.clone(),
            engine_ready: false,
        };
        packet::write(daemon, &FromHolder::Status(status.clone()))?;
        let engine_binary = instance.bundle.join("bin").join("k3c");
        Ok(Self {
            instance,
            status,
            signals,
            listener,
            takeover,
            daemon: Some(keep),
            engine: None,
            engine_binary,
            failures: 0,
            start_at: Some(Instant::now()),
            children: Children::default(),
            stopping: None,
            hurried: false,
            last_words: None,
            _data_lock: data_lock,
        })
    }

    fn serve(&mut self) -> i32 {
        loop {
            if let Some(code) = self.finished() {
                return code;
            }
            if self.start_at.is_some_and(|at| at <= Instant::now()) {
                self.start_engine();
            }
            if let Err(e) = self.wait_for_something() {
                self.tell(&FromHolder::Warning { message: format!("holder: {e}") });
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }

    /// After `Drained`, or when grace is over: kill what is left, and end.
    fn finished(&mut self) -> Option<i32> {
        let since = self.stopping?;
        let limit = if self.hurried {
            Duration::from_secs(10)
        } else {
            self.instance.config.stop_timeout() + HURRY_AFTER
        };
        if self.engine.is_some() && since.elapsed() < limit {
            return None;
        }
        self.kill_the_rest();
        self.tell(&FromHolder::Stopped);
        Some(0)
    }

    fn wait_for_something(&mut self) -> io::Result<()> {
        let mut fds = vec![
            PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN),
            PollFd::from_borrowed_fd(self.takeover.as_fd(), PollFlags::IN),
        ];
        let daemon_at = self.daemon.as_ref().map(|fd| {
            fds.push(PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN));
            fds.len() - 1
        });
        let engine_at = self.engine.as_ref().map(|engine| {
            fds.push(PollFd::from_borrowed_fd(engine.socket.as_fd(), PollFlags::IN));
            fds.len() - 1
        });
        let timeout = match (self.start_at, self.stopping) {
            (Some(at), _) => Some(at.saturating_duration_since(Instant::now())),
            (None, Some(_)) => Some(Duration::from_millis(500)),
            (None, None) => Some(LOOK_AT_LOGS),
        };
        let quiet = self.start_at.is_none() && self.stopping.is_none();
        let timeout = timeout.map(|d| Timespec {
            tv_sec: i64::try_from(d.as_secs()).unwrap_or(1),
            tv_nsec: i64::from(d.subsec_nanos()),
        });
        match poll(&mut fds, timeout.as_ref()) {
            Ok(0) if quiet => self.children.cap_logs(),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
        let ready = |at: usize| !fds[at].revents().is_empty();
        let (signal, takeover) = (ready(0), ready(1));
        let (daemon, engine) = (daemon_at.is_some_and(ready), engine_at.is_some_and(ready));
        drop(fds);
        // The engine's last words come before the news of its end.
        if engine {
            self.hear_engine();
        }
        if signal {
            self.hear_signals()?;
        }
        if daemon {
            self.hear_daemon();
        }
        if takeover {
            let fd = packet::accept_one(&self.takeover)?;
            let _ = packet::write(&fd, &FromHolder::Status(self.status.clone()));
            self.daemon = Some(fd);
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
            if key == ENGINE {
                self.engine_ended(&exit.to_string());
            } else if let Some(engine) = &self.engine {
                let _ = packet::write(&engine.socket, &FromKeeper::Exited { key, exit });
            }
        }
        Ok(())
    }

    fn hear_daemon(&mut self) {
        let Some(fd) = &self.daemon else { return };
        match packet::read::<ToHolder>(fd) {
            Ok(Some(ToHolder::Stop)) => self.stop(),
            Ok(Some(ToHolder::Hurry)) => {
                self.hurried = true;
                self.stopping = Some(Instant::now());
                if let Some(engine) = &self.engine {
                    let _ = packet::write(&engine.socket, &FromKeeper::Hurry);
                }
            }
            Ok(Some(ToHolder::Reload { binary })) => {
                self.engine_binary = binary;
                self.failures = 0;
                self.start_at = None;
                if self.children.signal(ENGINE, Signal::KILL).is_err() {
                    self.start_at = Some(Instant::now());
                }
            }
            Ok(Some(ToHolder::Attach | ToHolder::MapsWritten)) => {
                self.tell(&FromHolder::Status(self.status.clone()))
            }
            // A daemon of another version says things that we do not know.
            Err(e) if e.kind() == io::ErrorKind::InvalidData || e.kind() == io::ErrorKind::Other => {}
            Ok(None) | Err(_) => self.daemon = None,
        }
    }

    fn hear_engine(&mut self) {
        let Some(engine) = &self.engine else { return };
        match packet::read::<ToKeeper>(&engine.socket) {
            Ok(Some(ToKeeper::Spawn(request))) => self.spawn(request),
            Ok(Some(ToKeeper::Signal { key, signal })) => {
                if let Some(signal) = Signal::from_named_raw(signal) {
                    let _ = self.children.signal(&key, signal);
                }
            }
            Ok(Some(ToKeeper::Forget { key })) => self.children.forget(&key),
            Ok(Some(ToKeeper::Ready)) => {
                self.failures = 0;
                self.status.engine_ready = true;
                self.tell(&FromHolder::EngineReady);
            }
            Ok(Some(ToKeeper::Failed { message })) => self.last_words = Some(message),
            Ok(Some(ToKeeper::Warning { message })) => self.tell(&FromHolder::Warning { message }),
            Ok(Some(ToKeeper::Drained)) => {
                self.stopping = Some(Instant::now());
                self.engine = None;
            }
            // Its end is reported by SIGCHLD.
            Ok(None) | Err(_) => {
                let _ = self.children.signal(ENGINE, Signal::KILL);
                self.engine = None;
                if self.stopping.is_none() && !self.children.runs(ENGINE) && self.start_at.is_none() {
                    self.start_at = Some(Instant::now());
                }
            }
        }
    }

    fn spawn(&mut self, request: SpawnRequest) {
        let key = request.key.clone();
        let answer = match self.children.spawn(&request) {
            Ok(pid) => FromKeeper::Spawned { key, pid },
            Err(e) => FromKeeper::SpawnFailed {
                key,
                message: format!("cannot start {}: {e}", request.argv.join(" ")),
            },
        };
        if let Some(engine) = &self.engine {
            let _ = packet::write(&engine.socket, &answer);
        }
    }

    fn start_engine(&mut self) {
        self.start_at = None;
        if let Err(e) = self.try_start_engine() {
            self.engine_ended(&format!("cannot start {}: {e}", self.engine_binary.display()));
        }
    }

    fn try_start_engine(&mut self) -> io::Result<()> {
        let (ours, theirs) = packet::pair()?;
        let control = inherit::pass_on(&theirs)?;
        let listen = inherit::pass_on(&self.listener)?;
        let binary = self.engine_binary.display().to_string();
        let request = SpawnRequest {
            key: ENGINE.into(),
            argv: vec![binary, crate::config::env::ENGINE_STAGE.into()],
            env: vec![
                (names::CONTROL_FD.into(), control.to_string()),
                (names::LISTEN_FD.into(), listen.to_string()),
                (names::INSTANCE.into(), serde_json::to_string(&self.instance)?),
            ],
            log: self.instance.dirs.child_log(ENGINE),
        };
        let spawned = self.children.spawn(&request);
        inherit::keep(&self.listener)?;
        spawned?;
        packet::write(
            &ours,
            &FromKeeper::Hello {
                protocol: PROTOCOL,
                running: self.children.running(ENGINE),
                exited: self.children.exited(),
            },
        )?;
        self.engine = Some(Engine { socket: ours, started: Instant::now() });
        Ok(())
    }

    fn engine_ended(&mut self, how: &str) {
        let engine = self.engine.take();
        let was_ready = std::mem::replace(&mut self.status.engine_ready, false);
        self.children.forget(ENGINE);
        if self.stopping.is_some() {
            return;
        }
        if !was_ready {
            self.failures += 1;
            let message = self.last_words.take().unwrap_or_else(|| {
                format!("the engine ended ({how}); see {}", self.instance.dirs.child_log(ENGINE).display())
            });
            self.tell(&FromHolder::EngineFailed { message });
        }
        if engine.is_some_and(|e| e.started.elapsed() > Duration::from_secs(10)) {
            self.failures = 0;
        }
        let delay = if self.failures == 0 { 0 } else { (100_u64 << self.failures.min(7)).min(10_000) };
        self.start_at = Some(Instant::now() + Duration::from_millis(delay));
    }

    fn stop(&mut self) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(Instant::now());
        self.start_at = None;
        match &self.engine {
            Some(engine) if packet::write(&engine.socket, &FromKeeper::Drain).is_ok() => {}
            _ => self.engine = None,
        }
    }

    /// Everything below us: by user namespace, by cgroup.
    fn kill_the_rest(&mut self) {
        let own = self.status.process.pid;
        // Our own cgroup is the root of our cgroup namespace's `init`.
        let tree = self.status.cgroup.is_some().then(|| PathBuf::from("/sys/fs/cgroup"));
        for _ in 0..50 {
            let mut left: Vec<i32> = match self.status.user_namespace {
                Some(namespace) => {
                    process::find(|pid| process::user_namespace(pid).is_ok_and(|inode| inode == namespace))
                }
                None => tree.as_deref().map(process::in_cgroup).unwrap_or_default(),
            };
            left.extend(self.children.pids());
            left.retain(|pid| *pid != own && *pid > 0 && !process::is_zombie(*pid));
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = process::signal(pid, Signal::KILL);
            }
            std::thread::sleep(Duration::from_millis(20));
            let _ = self.children.reap();
        }
        let _ = std::fs::remove_file(self.instance.dirs.holder_socket());
    }

    fn tell(&mut self, message: &FromHolder) {
        if let Some(daemon) = &self.daemon
            && packet::write(daemon, message).is_err()
        {
            self.daemon = None;
        }
    }
}

/// From here on these arrive by descriptor.
fn block_signals() -> io::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [NixSignal::SIGCHLD, NixSignal::SIGTERM] {
        set.add(signal);
    }
    // Children do not want these blocked: `std::process::Command` gives them an empty mask.
    set.thread_block()?;
    let mut ignored = SigSet::empty();
    for signal in [NixSignal::SIGINT, NixSignal::SIGHUP] {
        ignored.add(signal);
    }
    ignored.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}
