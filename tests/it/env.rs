//! One k3c instance of its own: user, directories, delegated cgroup, daemon. Several live side by side.

use crate::user::{SubordinateIds, User, command_line, run};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A script that enters what a daemon needs to start containers, a cgroup2 mount of its own with a delegated subtree,
/// and then becomes the user. `$1` uid, `$2` gid, `$3` cgroup, `$4` a script that breaks the host, the rest a command.
const ENTER: &str = r#"
U=$1 G=$2 C=$3 B=$4; shift 4
umount -R -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup
D=/sys/fs/cgroup/$C
mkdir -p $D 2>/dev/null || { mount -o remount,rw /sys/fs/cgroup && mkdir -p $D; } || exit 90
chown $U $D $D/cgroup.procs $D/cgroup.subtree_control $D/cgroup.threads
echo $$ > $D/cgroup.procs || exit 91
eval "$B"
[ $U = 0 ] && exec "$@"
exec setpriv --reuid $U --regid $G --init-groups "$@"
"#;

/// Directories of root's instance.
const ROOTS: [&str; 3] = ["/run/k3c", "/var/lib/k3c", "/var/log/k3c"];

/// The outcome of a command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) line: String,
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn new(line: String, output: &Output) -> Self {
        Self {
            line,
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The standard output of a command that must have succeeded, without the last line's end.
    pub(crate) fn ok(self) -> Result<String> {
        ensure!(self.code == 0, "{self}");
        Ok(self.stdout.trim_end().to_owned())
    }

    /// A command that must have ended with `code` and said `text` on standard error.
    pub(crate) fn fails(self, code: i32, text: &str) -> Result<()> {
        ensure!(self.code == code && self.stderr.contains(text), "expected {code} and {text:?}: {self}");
        Ok(())
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "`{}` ended with {}\nstdout: {}\nstderr: {}",
            self.line, self.code, self.stdout, self.stderr
        )
    }
}

/// The binary under test: what `K3C_TEST_BIN` names, else the one that cargo built.
pub(crate) fn binary() -> PathBuf {
    std::env::var_os("K3C_TEST_BIN").map_or_else(|| env!("CARGO_BIN_EXE_k3c").into(), PathBuf::from)
}

/// An instance. Dropping it ends the daemon by force, if it still runs.
pub(crate) struct TestEnv {
    pub(crate) user: User,
    /// `$XDG_RUNTIME_DIR`.
    pub(crate) runtime: PathBuf,
    /// `$HOME`.
    pub(crate) home: PathBuf,
    /// Variables that are added to, or replaced in, the environment of the daemon and of the commands.
    pub(crate) vars: Vec<(String, String)>,
    /// A script that runs as root in the daemon's mount namespace before the daemon (to break the host for it).
    pub(crate) prelude: String,
    cgroup: String,
    daemon: Option<Child>,
    binary: PathBuf,
}

impl TestEnv {
    /// An instance under a new ordinary user.
    pub(crate) fn new() -> Result<Self> {
        Self::of(User::make(&label(), SubordinateIds::Given)?)
    }

    /// Another instance of `user`, with directories of its own.
    pub(crate) fn of(user: User) -> Result<Self> {
        if user.uid == 0 {
            // root's directories are fixed, and removed at the end: those of somebody else must stay.
            for place in ROOTS {
                ensure!(
                    !Path::new(place).exists(),
                    "{place} is there already: root's k3c is in use on this host"
                );
            }
        }
        let label = label();
        let (runtime, home) = match user.uid {
            0 => (
                PathBuf::from(format!("/run/k3cit{label}")),
                PathBuf::from(format!("/var/tmp/k3cit{}{label}", std::process::id())),
            ),
            _ => (user.runtime().join(&label), user.home.join(&label)),
        };
        user.dir(&runtime, 0o700)?;
        user.dir(&home, 0o755)?;
        // A test's binary may be where the user cannot look.
        let binary = installed();
        Ok(Self {
            cgroup: format!("k3cit-{}/{label}", std::process::id()),
            user,
            runtime,
            home,
            vars: Vec::new(),
            prelude: String::new(),
            daemon: None,
            binary,
        })
    }

    /// A new instance with its daemon running.
    pub(crate) fn started() -> Result<Self> {
        let mut env = Self::new()?;
        env.start()?;
        Ok(env)
    }

    /// Takes another binary, a copy of which is the instance's own; answers the one before.
    pub(crate) fn use_binary(&mut self, binary: &Path) -> Result<PathBuf> {
        let before = std::mem::replace(&mut self.binary, self.home.join("k3c"));
        self.replace_binary(binary)?;
        Ok(before)
    }

    /// Replaces the instance's own copy of the binary, as an installation does.
    pub(crate) fn replace_binary(&self, binary: &Path) -> Result<()> {
        let new = self.binary.with_extension("new");
        fs::copy(binary, &new).with_context(|| binary.display().to_string())?;
        Ok(fs::rename(new, &self.binary)?)
    }

    /// Sets a variable for every process that is started from now on.
    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.vars.retain(|(known, _)| known != name);
        self.vars.push((name.into(), value.into()));
    }

    fn environment(&self) -> Vec<(String, String)> {
        let home = self.home.display().to_string();
        let mut all: Vec<(String, String)> = [
            ("HOME", home.clone()),
            ("USER", self.user.name.clone()),
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("XDG_RUNTIME_DIR", self.runtime.display().to_string()),
            ("XDG_CACHE_HOME", format!("{home}/.cache")),
            ("LANG", "C.UTF-8".into()),
            ("K3C_AUTOSTART", "never".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Ok(level) = std::env::var("K3C_LOG") {
            all.push(("K3C_LOG".into(), level));
        }
        for (name, value) in &self.vars {
            all.retain(|(known, _)| known != name);
            all.push((name.clone(), value.clone()));
        }
        // An empty value stands for a variable that is not there.
        all.retain(|(_, value)| !value.is_empty());
        all
    }

    /// `k3c ARGS`, as the user, outside the daemon's namespaces.
    pub(crate) fn k3c(&self, args: &[&str]) -> Result<Ran> {
        self.program(&self.binary, args)
    }

    /// `k3c ARGS` that must succeed; its output.
    pub(crate) fn ok(&self, args: &[&str]) -> Result<String> {
        self.k3c(args)?.ok()
    }

    /// Another program, as the user.
    pub(crate) fn program(&self, program: &Path, args: &[&str]) -> Result<Ran> {
        self.program_within(300, program, args)
    }

    /// Another program, as the user, that is ended with all it started (124) after `seconds`: a hang is a failure with
    /// words, not the end of the whole run.
    pub(crate) fn program_within(&self, seconds: u32, program: &Path, args: &[&str]) -> Result<Ran> {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", &seconds.to_string()]);
        let user = self.command(program, args);
        command.arg(user.get_program()).args(user.get_args()).current_dir(&self.home);
        let line =
            format!("{} {}", program.file_name().unwrap_or_default().to_string_lossy(), args.join(" "));
        Ok(Ran::new(line, &command.stdin(Stdio::null()).output().context("setpriv")?))
    }

    /// A command of the user's, to be started by the caller.
    pub(crate) fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = self.user.command(&self.environment(), program);
        command.args(args).current_dir(&self.home);
        command
    }

    /// The command line of k3c, to be started by the caller.
    pub(crate) fn k3c_command(&self, args: &[&str]) -> Command {
        self.command(&self.binary, args)
    }

    /// The runtime directory of k3c.
    pub(crate) fn run_dir(&self) -> PathBuf {
        if self.user.uid == 0 { "/run/k3c".into() } else { self.runtime.join("k3c") }
    }

    /// The socket of k3c, in its runtime directory.
    pub(crate) fn socket(&self) -> PathBuf {
        self.run_dir().join("k3c.sock")
    }

    /// `$XDG_DATA_HOME/k3c`.
    pub(crate) fn data_dir(&self) -> PathBuf {
        if self.user.uid == 0 { "/var/lib/k3c".into() } else { self.home.join(".local/share/k3c") }
    }

    /// The daemon's standard output and standard error.
    pub(crate) fn daemon_output(&self) -> String {
        fs::read_to_string(self.home.join("daemon.out")).unwrap_or_default()
    }

    /// Warnings and errors in the logs of the engine and its children.
    pub(crate) fn complaints(&self) -> String {
        let mut text = String::new();
        for entry in fs::read_dir(self.home.join(".local/state/k3c")).into_iter().flatten().flatten() {
            let log = fs::read_to_string(entry.path()).unwrap_or_default();
            let said = |line: &&str| {
                ["WARN", "ERROR", "level=error", "interrupted"].iter().any(|w| line.contains(w))
            };
            for line in log.lines().filter(said) {
                text += &format!("{}: {line}\n", entry.file_name().to_string_lossy());
            }
        }
        text
    }

    /// Starts the daemon and does not wait for it.
    pub(crate) fn spawn(&mut self, args: &[&str]) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.home.join("daemon.out"))?;
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "slave", "sh", "-c", ENTER, "_"]);
        command.args([&self.user.uid.to_string(), &self.user.gid.to_string(), &self.cgroup, &self.prelude]);
        command.args(["env", "-i"]).args(self.environment().iter().map(|(n, v)| format!("{n}={v}")));
        command.arg(&self.binary).arg("daemon").args(args);
        command
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        self.daemon = Some(command.spawn().context("unshare")?);
        Ok(())
    }

    /// Starts the daemon and waits until it answers.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.spawn(&[])?;
        self.answers(Duration::from_secs(60))
    }

    /// Waits until the API answers; a daemon that ended before is an error with its words.
    pub(crate) fn answers(&mut self, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            let ran = self.k3c(&["version", "--format", "{{.Server.Version}}"])?;
            if ran.code == 0 {
                return Ok(());
            }
            if let Some(status) = self.ended()? {
                bail!("the daemon ended ({status}):\n{}", self.daemon_output());
            }
            ensure!(
                Instant::now() < end,
                "no answer after {limit:?}: {ran}\ndaemon:\n{}",
                self.daemon_output()
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// The daemon's exit code, if it has ended.
    fn ended(&mut self) -> Result<Option<std::process::ExitStatus>> {
        Ok(match &mut self.daemon {
            Some(child) => child.try_wait()?,
            None => None,
        })
    }

    /// Starts a daemon that is to end by itself; its exit code and its output.
    pub(crate) fn refused(&mut self, args: &[&str]) -> Result<(i32, String)> {
        self.spawn(args)?;
        let code = self.wait(Duration::from_secs(30))?;
        Ok((code, self.daemon_output()))
    }

    /// Waits until the daemon ends; its exit code.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<i32> {
        let end = Instant::now() + limit;
        while Instant::now() < end {
            if let Some(status) = self.ended()? {
                self.daemon = None;
                return Ok(status.code().unwrap_or(-1));
            }
            sleep(Duration::from_millis(20));
        }
        bail!("the daemon still runs after {limit:?}:\n{}", self.daemon_output())
    }

    /// The daemon's process ID (the spawned `unshare` became the daemon by exec).
    pub(crate) fn daemon_pid(&self) -> Result<i32> {
        let child = self.daemon.as_ref().context("no daemon was started")?;
        Ok(i32::try_from(child.id())?)
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.daemon_pid()?), signal).context("kill")
    }

    /// Every process of this instance, by its cgroup, which nothing rootless can leave.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let below = format!("/{}", self.cgroup);
        crate::user::processes(|_| true)
            .into_iter()
            .filter(|(pid, _)| {
                let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
                text.lines()
                    .filter_map(|line| line.strip_prefix("0::"))
                    .any(|path| path == below || path.starts_with(&format!("{below}/")))
            })
            .collect()
    }

    /// The instance's process whose command line has `part` in it; exactly one is expected.
    pub(crate) fn process(&self, part: &str) -> Result<i32> {
        let all = self.processes();
        let found: Vec<i32> =
            all.iter().filter(|(_, line)| line.contains(part)).map(|(pid, _)| *pid).collect();
        ensure!(found.len() == 1, "{} processes match {part:?} in {all:#?}", found.len());
        Ok(found[0])
    }

    /// Kills the process whose command line has `part` in it (SIGKILL); its process ID.
    pub(crate) fn kill_process(&self, part: &str) -> Result<i32> {
        let pid = self.process(part)?;
        kill(Pid::from_raw(pid), Signal::SIGKILL).with_context(|| command_line(pid))?;
        Ok(pid)
    }

    /// Kills all processes at once, and removes what does not outlive a boot.
    pub(crate) fn power_cut(&mut self) -> Result<()> {
        // All are stopped before one is killed, so that none tidies up after another.
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for (pid, _) in self.processes() {
                kill(Pid::from_raw(pid), signal).ok();
            }
        }
        let end = Instant::now() + Duration::from_secs(10);
        while !self.processes().is_empty() {
            ensure!(Instant::now() < end, "they do not die: {:?}", self.processes());
            sleep(Duration::from_millis(20));
        }
        self.wait(Duration::from_secs(10)).ok();
        fs::remove_dir_all(self.run_dir())?;
        remove_cgroups(&self.cgroup)
    }

    /// Ends the daemon with SIGTERM, and checks that nothing is left.
    pub(crate) fn stop(&mut self) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        let code = self.wait(Duration::from_secs(60))?;
        ensure!(code == 0, "the daemon ended with {code}:\n{}", self.daemon_output());
        self.assert_nothing_left()
    }

    /// Checks that no process, mount, socket, or cgroup of this instance is left.
    pub(crate) fn assert_nothing_left(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let left = self.left()?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(Instant::now() < end, "left behind:\n{left}daemon:\n{}", self.daemon_output());
            sleep(Duration::from_millis(100));
        }
    }

    /// The instance's cgroups, in one line.
    pub(crate) fn cgroups(&self) -> Result<String> {
        cgroups(&self.cgroup)
    }

    fn left(&self) -> Result<String> {
        let mut left = String::new();
        for (pid, line) in self.processes() {
            writeln!(left, "process {pid}: {line}")?;
        }
        let places = [self.run_dir(), self.home.clone(), self.data_dir()];
        for line in fs::read_to_string("/proc/self/mountinfo")?.lines() {
            let at = line.split(' ').nth(4).unwrap_or_default();
            if places.iter().any(|place| Path::new(at).starts_with(place)) {
                writeln!(left, "mount {at}")?;
            }
        }
        sockets(&self.run_dir(), &mut left)?;
        let since = fs::metadata(&self.home)?.created()?;
        let ours = |m: fs::Metadata| m.uid() == self.user.uid && m.created().is_ok_and(|at| at > since);
        for entry in fs::read_dir("/tmp")?.flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let of_children = ["buildkit", ".buildkit", "containerd"].iter().any(|p| name.starts_with(p));
            if of_children && entry.metadata().is_ok_and(ours) {
                writeln!(left, "file /tmp/{name}")?;
            }
        }
        let below = self.cgroups()?;
        if !below.is_empty() {
            writeln!(left, "cgroups {below}")?;
        }
        Ok(left)
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        if let Some(mut child) = self.daemon.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        for _ in 0..50 {
            let left = self.processes();
            if left.is_empty() {
                break;
            }
            for (pid, _) in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            sleep(Duration::from_millis(50));
        }
        if std::env::var_os("K3C_TEST_KEEP").is_none() {
            let mut places = vec![self.runtime.clone(), self.home.clone()];
            if self.user.uid == 0 {
                places.extend(ROOTS.map(PathBuf::from));
            }
            for place in places {
                let _ = fs::remove_dir_all(place);
            }
        }
        let _ = remove_cgroups(&self.cgroup);
    }
}

fn label() -> String {
    format!("e{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn sockets(dir: &Path, left: &mut String) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries.flatten() {
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sockets(&entry.path(), left)?;
        } else if kind.is_socket() || kind.is_fifo() {
            writeln!(left, "socket {}", entry.path().display())?;
        }
    }
    Ok(())
}

/// Cgroups below `cgroup`, seen through a mount of the test's own.
fn cgroups(cgroup: &str) -> Result<String> {
    let script = r#"umount -R -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup
        cd "/sys/fs/cgroup/$1" 2>/dev/null && find . -mindepth 1 -type d | tr '\n' ' '; true"#;
    Ok(run(Command::new("unshare").args(["-m", "sh", "-c", script, "_", cgroup]))?.trim().to_owned())
}

/// Removes a cgroup with those below it, once they are empty.
pub(crate) fn remove_cgroups(cgroup: &str) -> Result<()> {
    let script = r#"umount -R -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup
        [ ! -d "/sys/fs/cgroup/$1" ] || find "/sys/fs/cgroup/$1" -depth -type d -exec rmdir {} +"#;
    run(Command::new("unshare").args(["-m", "sh", "-c", script, "_", cgroup])).map(drop)
}

/// The copy of the binary that every user can run.
pub(crate) fn installed() -> PathBuf {
    Path::new("/var/tmp").join(format!("k3cit-{}", std::process::id())).join("k3c")
}

/// Copies the binary to where every user can run it, for the whole run.
pub(crate) fn install_binary() -> Result<PathBuf> {
    let dir = PathBuf::from(format!("/var/tmp/k3cit-{}", std::process::id()));
    fs::create_dir_all(&dir)?;
    fs::copy(binary(), dir.join("k3c")).with_context(|| binary().display().to_string())?;
    Ok(dir)
}
