//! `k3c daemon`: takes the lock, starts the holder and writes its id maps, says when the API answers, then only waits
//! and forwards signals. It owns nothing that matters: a new daemon takes over a running holder.

use super::lock::{self, Lock};
use crate::children::bundle;
use crate::config::{DaemonConfig, Dirs, Instance, env as names};
use crate::model::holder::{FromHolder, HolderStatus, ToHolder};
use crate::rootless::{cgroup, find_program, ids, preflight};
use crate::supervise::identity;
use crate::sys::{inherit, packet, process};
use nix::sys::signal::{SigSet, Signal as NixSignal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::process::Signal;
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

const USAGE: &str = "Usage:  k3c daemon [OPTIONS]
       k3c daemon reload

Run k3c's service in the foreground, as an ordinary user or as root

Options:
      --config FILE   Read the configuration from FILE instead of the default one
      --group GROUP   As root: let the members of GROUP connect (they are root by that)
      --help          Print usage

Commands:
      reload          Replace the running engine by the installed binary's; containers go on";

/// What the command line said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Flags {
    config: Option<PathBuf>,
    group: Option<String>,
    reload: bool,
    help: bool,
}

fn parse(args: &[OsString]) -> Result<Flags, String> {
    let mut flags = Flags::default();
    let mut args = args.iter().map(|a| a.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        let (name, mut value) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut value = |name: &str| {
            value.take().or_else(|| args.next()).ok_or(format!("flag needs an argument: {name}"))
        };
        match name.as_str() {
            "--config" => flags.config = Some(value("--config")?.into()),
            "--group" => flags.group = Some(value("--group")?),
            "--help" | "-h" => flags.help = true,
            "reload" => flags.reload = true,
            flag if flag.starts_with('-') => return Err(format!("unknown flag: {flag}")),
            other => return Err(format!("k3c: 'k3c daemon' accepts no argument {other:?}")),
        }
    }
    Ok(flags)
}

/// The foreground process. Messages go to standard error.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let flags = match parse(&args) {
        Ok(flags) => flags,
        Err(message) => {
            say(&format!("{message}\n\n{USAGE}"));
            return ExitCode::from(125);
        }
    };
    if flags.help {
        let _ = writeln!(io::stdout(), "{USAGE}");
        return ExitCode::SUCCESS;
    }
    let outcome = if flags.reload { reload() } else { serve(flags) };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say(&format!("k3c: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn warn(text: &str) {
    say(&format!("WARNING: {text}"));
}

fn text(error: impl std::error::Error + 'static) -> String {
    crate::model::reason::chain(&error)
}

/// Tells the daemon that holds the lock to replace its engine.
fn reload() -> Result<(), String> {
    let dirs = Dirs::discover().map_err(text)?;
    let daemon = lock::owner(&dirs.lock()).map_err(text)?;
    process::signal_pinned(daemon.as_fd(), Signal::HUP).map_err(|e| format!("cannot signal the daemon: {e}"))
}

fn serve(flags: Flags) -> Result<(), String> {
    let root = crate::sys::user::is_root();
    let dirs = Dirs::discover().map_err(text)?;
    let explicit = flags.config.or_else(|| std::env::var_os(names::CONFIG).map(PathBuf::from));
    let mut config = DaemonConfig::load(explicit.as_deref(), &dirs.config_file()).map_err(text)?;
    if flags.group.is_some() {
        config.group = flags.group;
    }
    if config.group.is_some() && !root {
        return Err("--group is for root's daemon: yours serves you alone".into());
    }
    let caller = preflight::Caller::current();
    let found = if root { preflight::root(&dirs) } else { preflight::rootless(&caller, &dirs) };
    if !found.problems.is_empty() {
        let all: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
        return Err(format!("this host is not ready:\n\n{}", all.join("\n\n")));
    }
    found.warnings.iter().for_each(|w| warn(w));

    // Signals by descriptor from here on, before anything is made that would have to be cleaned up.
    let signals = block_signals().map_err(|e| format!("cannot block signals: {e}"))?;
    let runtime_lock = Lock::take(&dirs.lock()).map_err(text)?;
    let bundle = bundle::ensure(&dirs).map_err(text)?;
    bundle.warnings.iter().for_each(|w| warn(w));

    let mut daemon = Daemon { dirs, signals, _lock: runtime_lock, child: None, told: false, stops: 0 };
    daemon.sweep_leftovers()?;
    loop {
        let cgroup = cgroup::base(root).and_then(|base| cgroup::prepare(&base).ok());
        let control = match daemon.take_over() {
            Some(control) => control,
            None => {
                let instance = Instance {
                    rootless: !root,
                    uid: rustix::process::getuid().as_raw(),
                    gid: rustix::process::getgid().as_raw(),
                    dirs: daemon.dirs.clone(),
                    config: config.clone(),
                    bundle: bundle.dir.clone(),
                    cgroup,
                    slirp4netns: found.slirp4netns.clone(),
                };
                match daemon.start_holder(&instance, &found) {
                    Ok(control) => control,
                    Err(error) => {
                        daemon.clean_up();
                        return Err(error);
                    }
                }
            }
        };
        if daemon.watch(&control)? {
            daemon.clean_up();
            return Ok(());
        }
        warn("the holder was killed; everything is started anew");
        daemon.told = false;
        daemon.sweep_leftovers()?;
    }
}

fn block_signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [NixSignal::SIGTERM, NixSignal::SIGINT, NixSignal::SIGHUP, NixSignal::SIGCHLD] {
        set.add(signal);
    }
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
}

struct Daemon {
    dirs: Dirs,
    signals: SignalFd,
    _lock: Lock,
    child: Option<Child>,
    told: bool,
    stops: u32,
}

struct Control {
    socket: OwnedFd,
    pidfd: Option<OwnedFd>,
}

impl Daemon {
    fn state_file(&self) -> PathBuf {
        self.dirs.runtime.join("holder.json")
    }

    /// Connects to a holder that a daemon before us left running.
    fn take_over(&mut self) -> Option<Control> {
        let socket = packet::connect_to(&self.dirs.holder_socket()).ok()?;
        let Ok(Some(FromHolder::Status(status))) = packet::read::<FromHolder>(&socket) else { return None };
        say(&format!("k3c: taking over what runs (holder {})", status.process.pid));
        if status.engine_ready {
            self.ready();
        }
        Some(Control { pidfd: pinned(&status), socket })
    }

    fn start_holder(&mut self, instance: &Instance, found: &preflight::Findings) -> Result<Control, String> {
        let listener = listen(&self.dirs.socket(), instance.config.group.as_deref(), instance.rootless)?;
        let (ours, theirs) = packet::pair().map_err(|e| format!("cannot make a socket pair: {e}"))?;
        let passed = |fd: &dyn AsFd| {
            inherit::pass_on(fd.as_fd()).map_err(|e| format!("cannot pass a descriptor on: {e}"))
        };
        let binary = instance.bundle.join("bin").join("k3c");
        let mut command = match scope(instance) {
            Some(command) => command,
            None => Command::new(&binary),
        };
        let log = self.dirs.child_log("holder");
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(|e| format!("{}: {e}", log.display()))?;
        command
            .args((command.get_program() != binary.as_os_str()).then_some(&binary))
            .arg(crate::holder::STAGE)
            .env(names::CONTROL_FD, passed(&theirs)?.to_string())
            .env(names::LISTEN_FD, passed(&listener)?.to_string())
            .env(names::INSTANCE, serde_json::to_string(instance).map_err(|e| e.to_string())?)
            .stdin(std::process::Stdio::null())
            .stdout(output.try_clone().map_err(|e| e.to_string())?)
            .stderr(output);
        if instance.rootless {
            // Whoever finds it takes itself for rootless.
            command.env(names::ROOTLESSKIT_STATE_DIR, instance.dirs.rootlesskit());
        } else {
            command.env_remove(names::ROOTLESSKIT_STATE_DIR);
        }
        let child = command.spawn().map_err(|e| format!("cannot start the holder: {e}"))?;
        drop(theirs);
        drop(listener);
        let pid = child.id();
        self.child = Some(child);
        loop {
            match packet::read::<FromHolder>(&ours).map_err(|e| format!("cannot talk to the holder: {e}"))? {
                Some(FromHolder::UserNamespace) => {
                    let (uid, gid) = (instance.uid, instance.gid);
                    // Under systemd-run --scope the process is the same: it executes the holder in place.
                    ids::write_map("newuidmap", pid, uid, &found.uids).map_err(text)?;
                    ids::write_map("newgidmap", pid, gid, &found.gids).map_err(text)?;
                    packet::write(&ours, &ToHolder::MapsWritten)
                        .map_err(|e| format!("cannot talk to the holder: {e}"))?;
                }
                Some(FromHolder::Status(status)) => {
                    self.remember(&status);
                    return Ok(Control { pidfd: pinned(&status), socket: ours });
                }
                Some(FromHolder::Warning { message }) => warn(&message),
                Some(FromHolder::Failed { message }) => return Err(message),
                Some(other) => return Err(format!("the holder said {other:?} too early")),
                None => return Err(format!("the holder ended at once; see {}", log.display())),
            }
        }
    }

    fn remember(&self, status: &HolderStatus) {
        if let Ok(bytes) = serde_json::to_vec(status) {
            let _ = fs::write(self.state_file(), bytes);
        }
    }

    /// Until the holder ends: true if that was wanted.
    fn watch(&mut self, control: &Control) -> Result<bool, String> {
        let mut open = true;
        loop {
            let mut fds = vec![PollFd::from_borrowed_fd(self.signals.as_fd(), PollFlags::IN)];
            if open {
                fds.push(PollFd::from_borrowed_fd(control.socket.as_fd(), PollFlags::IN));
            }
            let pidfd_at = fds.len();
            if let Some(pidfd) = &control.pidfd {
                fds.push(PollFd::from_borrowed_fd(pidfd.as_fd(), PollFlags::IN));
            }
            match poll(&mut fds, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(e) => return Err(format!("poll: {e}")),
            }
            let message = open && !fds[1].revents().is_empty();
            let ended = fds.get(pidfd_at).is_some_and(|fd| !fd.revents().is_empty());
            drop(fds);
            if message {
                match packet::read::<FromHolder>(&control.socket) {
                    Ok(Some(said)) => self.hear(said)?,
                    Ok(None) => open = false,
                    Err(_) => {}
                }
            }
            self.hear_signals(control);
            if ended || (!open && control.pidfd.is_none()) {
                if let Some(mut child) = self.child.take() {
                    let _ = child.wait();
                }
                return Ok(self.stops > 0);
            }
        }
    }

    fn hear(&mut self, said: FromHolder) -> Result<(), String> {
        match said {
            FromHolder::EngineReady => self.ready(),
            FromHolder::EngineFailed { message } if self.told => {
                warn(&format!("the engine: {message}; trying again"))
            }
            FromHolder::EngineFailed { message } => {
                self.stops = 1;
                let socket = packet::connect_to(&self.dirs.holder_socket());
                let _ = socket.map(|fd| packet::write(&fd, &ToHolder::Hurry));
                self.kill_all();
                self.clean_up();
                return Err(message);
            }
            FromHolder::Warning { message } => warn(&message),
            FromHolder::Failed { message } => return Err(message),
            FromHolder::Status(_) | FromHolder::UserNamespace | FromHolder::Stopped => {}
        }
        Ok(())
    }

    fn ready(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            say(&format!("k3c: ready on {}", self.dirs.socket().display()));
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        }
    }

    fn hear_signals(&mut self, control: &Control) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let signal = i32::try_from(info.ssi_signo).unwrap_or_default();
            if signal == libc::SIGHUP {
                self.reload(control);
            } else if signal == libc::SIGTERM || signal == libc::SIGINT {
                self.stops += 1;
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
                let order = if self.stops == 1 { ToHolder::Stop } else { ToHolder::Hurry };
                say(if self.stops == 1 { "k3c: stopping" } else { "k3c: stopping at once" });
                let _ = packet::write(&control.socket, &order);
            }
        }
    }

    /// The installed binary unpacks its own bundle, and the engine is started from there.
    fn reload(&self, control: &Control) {
        let installed = installed_binary();
        let unpacked = Command::new(&installed).arg(UNPACK_STAGE).output();
        match unpacked {
            Ok(output) if output.status.success() => {
                let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
                let binary = folder.join("bin").join("k3c");
                say(&format!("k3c: reloading the engine from {}", installed.display()));
                let _ = packet::write(&control.socket, &ToHolder::Reload { binary });
            }
            Ok(output) => warn(&format!("cannot reload: {}", String::from_utf8_lossy(&output.stderr).trim())),
            Err(e) => warn(&format!("cannot reload: {}: {e}", installed.display())),
        }
    }

    /// What is left of a holder that was killed: processes of its user namespace and cgroup.
    fn sweep_leftovers(&mut self) -> Result<(), String> {
        if let Some(socket) =
            packet::connect_to(&self.dirs.holder_socket()).ok().filter(|_| self.child.is_none())
        {
            drop(socket);
            return Ok(());
        }
        self.kill_all();
        for path in [self.dirs.socket(), self.dirs.holder_socket()] {
            let _ = fs::remove_file(path);
        }
        Ok(())
    }

    fn kill_all(&self) {
        let Some(status) =
            fs::read(self.state_file()).ok().and_then(|b| serde_json::from_slice::<HolderStatus>(&b).ok())
        else {
            return;
        };
        if process::boot_id().ok().as_ref() == Some(&status.process.boot_id) {
            let end = Instant::now() + Duration::from_secs(10);
            while Instant::now() < end {
                let mut left = match status.user_namespace {
                    Some(inode) => {
                        process::find(|pid| process::user_namespace(pid).is_ok_and(|own| own == inode))
                    }
                    None => Vec::new(),
                };
                if let Some(folder) = &status.cgroup {
                    let _ = fs::write(folder.join("cgroup.kill"), "1");
                    left.extend(process::in_cgroup(folder));
                }
                if left.is_empty() {
                    break;
                }
                for pid in left {
                    let _ = process::signal(pid, Signal::KILL);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        if let Some(folder) = &status.cgroup {
            cgroup::remove(folder);
        }
        let _ = fs::remove_file(self.state_file());
    }

    /// Nothing stays in the runtime directory; cgroups that we made go.
    fn clean_up(&self) {
        self.kill_all();
        if let Some(own) = cgroup::own_folder().filter(|own| own.ends_with("daemon"))
            && let Some(base) = own.parent()
        {
            // The last one out: back to where we came from, so that our own folder can go.
            cgroup::remove(&base.join("engine"));
            if cgroup::enter(base).is_ok() || base.parent().is_some_and(|up| cgroup::enter(up).is_ok()) {
                cgroup::remove(&own);
            }
            if crate::sys::user::is_root()
                && base.ends_with("k3c")
                && base.parent().is_some_and(|up| cgroup::enter(up).is_ok())
            {
                cgroup::remove(base);
            }
        }
        for entry in fs::read_dir(&self.dirs.runtime).into_iter().flatten().flatten() {
            let path = entry.path();
            if path == self.dirs.lock() {
                continue;
            }
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
        let _ = fs::remove_file(self.dirs.lock());
        let _ = fs::remove_dir(&self.dirs.runtime);
    }
}

/// The hidden stage that unpacks this binary's bundle and prints the folder.
pub const UNPACK_STAGE: &str = "__unpack";

/// The stage.
pub fn unpack_stage() -> i32 {
    let unpacked = Dirs::discover().map_err(text).and_then(|dirs| bundle::ensure(&dirs).map_err(text));
    match unpacked {
        Ok(bundle) => i32::from(writeln!(io::stdout(), "{}", bundle.dir.display()).is_err()),
        Err(message) => {
            say(&message);
            1
        }
    }
}

fn installed_binary() -> PathBuf {
    let own = std::env::current_exe().unwrap_or_else(|_| "k3c".into());
    // After an upgrade by rename the kernel says ` (deleted)`.
    PathBuf::from(own.to_string_lossy().trim_end_matches(" (deleted)"))
}

/// A descriptor of the holder; without one (an old kernel) the end of its socket is the end of it.
fn pinned(status: &HolderStatus) -> Option<OwnedFd> {
    identity::pin(&status.process).ok().flatten()
}

/// With a user manager the holder lives in a delegated scope of its own, so that the death or the restart of the
/// service's main process does not take the containers along.
fn scope(instance: &Instance) -> Option<Command> {
    let bus = instance.rootless && instance.dirs.runtime.parent()?.join("systemd/private").exists();
    if !bus || instance.cgroup.is_none() {
        return None;
    }
    let mut command = Command::new(find_program("systemd-run")?);
    command.args(["--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"]);
    Some(command)
}

/// The directory guards the socket: it has its mode before the socket is in it.
fn listen(path: &Path, group: Option<&str>, rootless: bool) -> Result<UnixListener, String> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let failed = |e: io::Error| format!("cannot listen on {}: {e}", path.display());
    let gid = group.map(|name| group_id(name).ok_or(format!("there is no group {name:?}"))).transpose()?;
    let (folder_mode, socket_mode) = if gid.is_some() { (0o750, 0o660) } else { (0o700, 0o600) };
    fs::set_permissions(folder, Permissions::from_mode(folder_mode)).map_err(failed)?;
    if UnixStream::connect(path).is_ok() {
        return Err(format!("somebody else listens on {}", path.display()));
    }
    let _ = fs::remove_file(path);
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, Permissions::from_mode(socket_mode)).map_err(failed)?;
    if let (Some(gid), false) = (gid, rootless) {
        for path in [folder, path] {
            std::os::unix::fs::chown(path, None, Some(gid)).map_err(failed)?;
        }
    }
    Ok(listener)
}

fn group_id(name: &str) -> Option<u32> {
    let line = |text: &str| -> Option<u32> {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            fields.nth(1)?.parse().ok()
        })
    };
    line(&fs::read_to_string("/etc/group").unwrap_or_default()).or_else(|| {
        let output = Command::new("getent").args(["group", name]).output().ok()?;
        line(&String::from_utf8_lossy(&output.stdout))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Result<Flags, String> {
        parse(&text.split_whitespace().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn flags_are_known_or_refused() {
        assert_eq!(flags("--config /a --group=b").unwrap().group.as_deref(), Some("b"));
        assert!(flags("reload").unwrap().reload);
        assert_eq!(flags("--colour").unwrap_err(), "unknown flag: --colour");
        assert_eq!(flags("--config").unwrap_err(), "flag needs an argument: --config");
        assert!(flags("now").is_err());
    }
}
