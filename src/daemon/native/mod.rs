//! `k3c daemon`: takes the lock, starts the holder and writes its id maps, says when the API answers, then only waits
//! and forwards signals. It owns nothing that matters: a new daemon takes over a running holder.
//!
//! ```text
//! flags ─▶ preflight ─▶ lock ─▶ bundle ─┬─▶ take over a holder ─┬─▶ watch ─▶ clean up
//!                                       └─▶ sweep, start one ───┘    │
//!                                       ▲       the holder was killed │
//!                                       └─────────────────────────────┘
//! ```

mod error;
mod flags;
mod holder;
mod leftovers;
mod lock;
mod reload;
mod socket;
mod watch;

pub use reload::{UNPACK_STAGE, unpack_stage};

use crate::children::bundle::{self, Bundle};
use crate::config::{DaemonConfig, Dirs, Instance, OciRuntime, env as names};
use crate::model::reason::chain;
use crate::rootless::{cgroup, preflight};
use error::DaemonError;
use flags::Flags;
use lock::Lock;
use nix::sys::signalfd::SignalFd;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

/// Time for a holder that runs to greet. One that takes longer is stopped or stuck.
const PATIENCE: Duration = Duration::from_secs(10);

/// The foreground process. Messages go to standard error.
pub fn run(args: Vec<OsString>) -> ExitCode {
    let flags = match flags::parse(&args) {
        Ok(flags) => flags,
        Err(e) => {
            print(&format!("{e}\n\n{}", flags::USAGE));
            return ExitCode::from(125);
        }
    };
    if flags.help {
        let _ = writeln!(io::stdout(), "{}", flags::USAGE);
        return ExitCode::SUCCESS;
    }
    let outcome = if flags.reload { reload::reload() } else { serve(flags) };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            print(&format!("k3c: {}", chain(&e)));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line for the user, on standard error.
fn print(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn warn(text: &str) {
    print(&format!("WARNING: {text}"));
}

/// Settings, places and the outcome of the preflight: all that is known before anything is made on the host.
struct Host {
    root: bool,
    dirs: Dirs,
    config: DaemonConfig,
    found: preflight::Findings,
}

impl Host {
    /// Reads the settings and looks at what the host has.
    fn check(flags: Flags) -> Result<Self, DaemonError> {
        let root = crate::sys::user::is_root();
        let dirs = Dirs::discover()?;
        let explicit = flags.config.or_else(|| std::env::var_os(names::CONFIG).map(PathBuf::from));
        let mut config = DaemonConfig::load(explicit.as_deref(), &dirs.config_file())?;
        config.group = flags.group.or(config.group);
        config.host_loopback |= flags.host_loopback;
        config.publish_source = flags.publish_source.unwrap_or(config.publish_source);
        // The shims read it; a word that they would not know is told of here.
        OciRuntime::of_environment()?;
        if config.group.is_some() && !root {
            return Err(DaemonError::GroupOfUser);
        }
        let found = match root {
            true => preflight::root(&dirs),
            false => preflight::rootless(&preflight::Caller::current(), &dirs),
        };
        if !found.problems.is_empty() {
            return Err(DaemonError::Host(found.problems));
        }
        found.warnings.iter().for_each(|w| warn(w));
        Ok(Self { root, dirs, config, found })
    }

    fn instance(&self, bundle: PathBuf, cgroup: Option<PathBuf>) -> Instance {
        Instance {
            rootless: !self.root,
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            dirs: self.dirs.clone(),
            config: self.config.clone(),
            bundle,
            cgroup,
            slirp4netns: self.found.slirp4netns.clone(),
        }
    }
}

/// The daemon in the foreground.
struct Daemon {
    dirs: Dirs,
    signals: SignalFd,
    _lock: Lock,
    /// The user knows that the API answers.
    told: bool,
    /// Number of orders to stop so far; the second one hurries.
    stops: u32,
}

/// The bundle, unpacked by a child where it is not there yet: the archive and its decoder's window need not stay in the
/// memory of a process that goes on.
fn unpacked(dirs: &Dirs) -> Result<Bundle, DaemonError> {
    if !bundle::is_there(dirs)? {
        #[expect(clippy::disallowed_methods, reason = "a short stage whose end the daemon waits for")]
        let mut child = Command::new("/proc/self/exe");
        // Ctrl-C is the daemon's. What the child could not do is tried again here, for the error.
        let _ = child.arg(UNPACK_STAGE).process_group(0).stdin(Stdio::null()).output();
    }
    Ok(bundle::ensure(dirs)?)
}

fn serve(flags: Flags) -> Result<(), DaemonError> {
    let host = Host::check(flags)?;
    // Signals by descriptor from here on, before anything is made that would have to be cleaned up.
    let signals = watch::block_signals().map_err(DaemonError::step("block signals"))?;
    let lock = Lock::take(&host.dirs.lock())?;
    let bundle = unpacked(&host.dirs)?;
    bundle.warnings.iter().for_each(|w| warn(w));
    let mut daemon = Daemon { dirs: host.dirs.clone(), signals, _lock: lock, told: false, stops: 0 };
    loop {
        let running = daemon.take_over()?;
        if running.is_none() {
            leftovers::sweep(&daemon.dirs);
        }
        let cgroup = cgroup::base(host.root).and_then(|base| cgroup::prepare(&base).ok());
        let holder = match running {
            Some(holder) => holder,
            None => daemon
                .start_holder(&host.instance(bundle.dir.clone(), cgroup), &host.found)
                .inspect_err(|_| leftovers::clean_up(&daemon.dirs))?,
        };
        if daemon.watch(holder)? {
            leftovers::clean_up(&daemon.dirs);
            return Ok(());
        }
        warn("the holder was killed; everything is started anew");
        daemon.told = false;
    }
}
