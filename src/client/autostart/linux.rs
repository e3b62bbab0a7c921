//! A daemon of systemd where there is one, else a process in a session of its own.

use super::StartError;
use crate::config::env;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// The unit that the package installs.
const UNIT: &str = "k3c.service";

/// The unit that is made on the fly; it has one name, so that two clients at once start one daemon.
const TRANSIENT: &str = "k3c-autostart.service";

/// Time for a service manager to answer; one that takes longer counts as none.
const MANAGER_PATIENCE: Duration = Duration::from_secs(20);

/// Variables of ours that a transient unit gets, beside the proxies: the manager's own environment is another one.
const PASSED: [&str; 6] =
    ["PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"];

/// Number of lines that are shown of a daemon that ended.
const LAST_LINES: usize = 10;

/// A daemon that we have started.
pub(super) enum Daemon {
    /// A unit of systemd.
    Unit {
        /// The unit's name.
        name: &'static str,
        /// The user's own manager, or the system's for root.
        scope: Scope,
        /// Time of the start, in journalctl's form.
        since: String,
    },
    /// A process without a manager.
    Detached {
        /// The process.
        child: Child,
        /// The file that it writes to.
        log: PathBuf,
        /// Length of the file before, in bytes.
        offset: u64,
        /// Process and log, for people.
        how: String,
    },
}

/// A service manager: the user's own, or the system's.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    User,
    System,
}

impl Scope {
    fn of_us() -> Self {
        if nix::unistd::geteuid().is_root() { Self::System } else { Self::User }
    }

    fn command(self, program: &str) -> Command {
        #[expect(clippy::disallowed_methods, reason = "systemd's own clients")]
        let mut command = Command::new(program);
        if self == Self::User {
            command.arg("--user");
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

impl Daemon {
    /// Starts one in the first way that there is.
    pub(super) async fn start(log: &Path) -> Result<Self, StartError> {
        let scope = Scope::of_us();
        let since = format!("@{}", jiff::Timestamp::now().as_second());
        if answers(scope.command("systemctl").args(["cat", UNIT])).await {
            // A unit that is there but cannot be started is the user's wish: nothing else is tried.
            let started = run(scope.command("systemctl").args(["start", "--no-block", UNIT])).await;
            started.map_err(|why| StartError::Unit { unit: UNIT, why })?;
            return Ok(Self::Unit { name: UNIT, scope, since });
        }
        let own = std::env::current_exe().map_err(StartError::Program)?;
        if answers(scope.command("systemctl").args(["show", "--property=Version"])).await
            && transient(scope, &own).await
        {
            return Ok(Self::Unit { name: TRANSIENT, scope, since });
        }
        detached(&own, log)
    }

    /// The way in which it was started, for people.
    pub(super) fn how(&self) -> &str {
        match self {
            Self::Unit { name, .. } => name,
            Self::Detached { how, .. } => how,
        }
    }

    /// Whether it has ended.
    pub(super) async fn ended(&mut self) -> bool {
        match self {
            Self::Unit { name, scope, .. } => {
                let mut command = scope.command("systemctl");
                let state = run(command.args(["show", "--property=ActiveState", "--value", name])).await;
                // A transient unit that has ended is forgotten, and so inactive.
                matches!(state.as_deref().map(str::trim), Ok("failed" | "inactive"))
            }
            Self::Detached { child, .. } => !matches!(child.try_wait(), Ok(None)),
        }
    }

    /// The last lines that it wrote.
    pub(super) async fn last_words(&self) -> String {
        let text = match self {
            Self::Unit { name, scope, since } => {
                let mut command = scope.command("journalctl");
                command.args(["--unit", name, "--since", since, "--output=cat", "--no-pager", "--quiet"]);
                run(&mut command).await.unwrap_or_default()
            }
            Self::Detached { log, offset, .. } => tail(log, *offset),
        };
        last_lines(&text)
    }
}

/// Whether a command succeeds. Silence, absence and refusal are all "no".
async fn answers(command: &mut Command) -> bool {
    run(command).await.is_ok()
}

/// The standard output of a command that succeeds, the standard error of one that fails.
async fn run(command: &mut Command) -> Result<String, String> {
    let output = match timeout(MANAGER_PATIENCE, command.output()).await {
        Ok(output) => output.map_err(|error| error.to_string())?,
        Err(_) => return Err("no answer".to_owned()),
    };
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

/// Asks for a unit of its own with a delegated subtree. Of two clients the second finds the name taken: as good.
async fn transient(scope: Scope, own: &Path) -> bool {
    let _ = run(scope.command("systemctl").args(["reset-failed", TRANSIENT])).await;
    let mut command = scope.command("systemd-run");
    command.args([
        "--quiet",
        "--collect",
        "--no-block",
        "--property=Delegate=yes",
        "--property=KillMode=mixed",
    ]);
    command.arg(format!("--unit={TRANSIENT}")).arg("--description=k3c, started when it was first needed");
    for name in PASSED.into_iter().chain(env::PROXIES) {
        if let Some(value) = std::env::var_os(name) {
            let mut setting = std::ffi::OsString::from(format!("--setenv={name}="));
            setting.push(value);
            command.arg(setting);
        }
    }
    match run(command.arg("--").arg(own).arg("daemon")).await {
        Ok(_) => true,
        Err(why) => why.contains("already") || why.contains("exists"),
    }
}

/// A process in a session of its own, so that our terminal's end is not its end.
fn detached(own: &Path, log: &Path) -> Result<Daemon, StartError> {
    let failed = |source| StartError::Log { path: log.to_owned(), source };
    if let Some(directory) = log.parent() {
        fs::create_dir_all(directory).map_err(failed)?;
    }
    let file = OpenOptions::new().create(true).append(true).open(log).map_err(failed)?;
    let offset = file.metadata().map_err(failed)?.len();
    #[expect(clippy::disallowed_methods, reason = "the daemon goes on without its starter")]
    let mut command = std::process::Command::new(own);
    command.arg("daemon").current_dir("/").stdin(Stdio::null());
    command.stdout(file.try_clone().map_err(failed)?).stderr(file);
    crate::sys::session::own(&mut command);
    let child = command.spawn().map_err(|source| StartError::Spawn { path: own.to_owned(), source })?;
    let how = format!("process {}, log {}", child.id(), log.display());
    Ok(Daemon::Detached { child, log: log.to_owned(), offset, how })
}

/// The text of a log from `offset` on, at most the last 64 KiB.
fn tail(log: &Path, offset: u64) -> String {
    let mut text = Vec::new();
    if let Ok(mut file) = fs::File::open(log) {
        let end = file.metadata().map_or(0, |metadata| metadata.len());
        let from = offset.max(end.saturating_sub(64 << 10));
        if file.seek(SeekFrom::Start(from)).is_ok() {
            let _ = file.read_to_end(&mut text);
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_without_empty_ones() {
        let text: String = (0..20).map(|n| format!("line {n}\n\n")).collect();
        let shown = last_lines(&text);
        assert_eq!(shown.lines().count(), LAST_LINES);
        assert!(shown.starts_with("line 10\n") && shown.ends_with("line 19"));
        assert_eq!(last_lines(""), "");
    }

    #[tokio::test]
    async fn a_detached_daemon_that_ends_is_noticed_with_its_words() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("state/daemon.log");
        fs::create_dir_all(log.parent().unwrap()).unwrap();
        fs::write(&log, "of yesterday\n").unwrap();
        let program = folder.path().join("fake");
        fs::write(&program, "#!/bin/sh\necho \"$1: no subuids\" >&2\nexit 1\n").unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let mut daemon = detached(&program, &log).unwrap();
        while !daemon.ended().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(daemon.last_words().await, "daemon: no subuids");
    }
}
