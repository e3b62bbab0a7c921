//! Ordinary users for the tests: made once per run with their subordinate ids, and removed at its end.

use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Names of users made here begin with this, so that leftovers of a killed run are found by the next.
const PREFIX: &str = "k3cit";

/// An account under which k3c runs.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) home: PathBuf,
}

/// Users that were made and are to be removed.
static MADE: Mutex<Vec<User>> = Mutex::new(Vec::new());

impl User {
    /// root itself.
    pub(crate) fn root() -> Self {
        Self { name: "root".into(), uid: 0, gid: 0, home: "/root".into() }
    }

    /// A new ordinary user. Needs root.
    pub(crate) fn make(label: &str, ids: SubordinateIds) -> Result<Self> {
        let name = format!("{PREFIX}{}{label}", std::process::id());
        run(Command::new("useradd").args(["-m", "-s", "/bin/sh"]).arg(&name))?;
        let entry = passwd(&name)?.with_context(|| format!("{name} was made and is not in /etc/passwd"))?;
        MADE.lock().expect("users").push(entry.clone());
        // useradd gives ranges by itself where /etc/login.defs says so.
        let has = |file: &str| {
            fs::read_to_string(file).unwrap_or_default().lines().any(|l| l.starts_with(&format!("{name}:")))
        };
        match ids {
            SubordinateIds::Given if !has("/etc/subuid") => {
                let first = 200_000_000 + u64::from(entry.uid) * 65_536;
                let range = format!("{first}-{}", first + 65_535);
                run(Command::new("usermod")
                    .args(["--add-subuids", &range, "--add-subgids", &range])
                    .arg(&name))?;
            }
            SubordinateIds::None => without_ranges(&name)?,
            SubordinateIds::Given => {}
        }
        let runtime = entry.runtime();
        fs::create_dir_all("/run/user")?;
        fs::create_dir_all(&runtime)?;
        fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700))?;
        std::os::unix::fs::chown(&runtime, Some(entry.uid), Some(entry.gid))?;
        Ok(entry)
    }

    /// `/run/user/UID`.
    pub(crate) fn runtime(&self) -> PathBuf {
        PathBuf::from(format!("/run/user/{}", self.uid))
    }

    /// A command that runs as this user with this environment and nothing else; SIGHUP ends it, also where the tests run
    /// under nohup.
    pub(crate) fn command(&self, env: &[(String, String)], program: &Path) -> Command {
        let mut command =
            match self.uid {
                0 => {
                    let mut command = Command::new("env");
                    command.args(["--default-signal=HUP", "-i"]);
                    command
                }
                _ => {
                    let mut command = Command::new("setpriv");
                    command
                        .args(["--reuid", &self.uid.to_string(), "--regid", &self.gid.to_string()])
                        .args(["--init-groups", "env", "--default-signal=HUP", "-i"]);
                    command
                }
            };
        command.args(env.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(program).current_dir(&self.home);
        command
    }

    /// Makes a directory that belongs to this user.
    pub(crate) fn dir(&self, path: &Path, mode: u32) -> Result<()> {
        fs::create_dir_all(path).with_context(|| path.display().to_string())?;
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))?;
        Ok(())
    }

    /// Writes a file that belongs to this user, below directories that do too.
    pub(crate) fn write(&self, path: &Path, text: impl AsRef<[u8]>) -> Result<()> {
        if let Some(parent) = path.parent().filter(|p| !p.exists()) {
            self.dir(parent, 0o755)?;
        }
        fs::write(path, text).with_context(|| path.display().to_string())?;
        std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))?;
        Ok(())
    }

    /// Processes that run under this user's own id or one of its subordinate ids.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let ranges = ranges(&self.name);
        processes(|uid| uid == self.uid || ranges.iter().any(|r| r.contains(&u64::from(uid))))
    }
}

/// The ranges that a new user gets in /etc/subuid and /etc/subgid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubordinateIds {
    Given,
    None,
}

fn ranges(name: &str) -> Vec<std::ops::Range<u64>> {
    let text = fs::read_to_string("/etc/subuid").unwrap_or_default();
    text.lines()
        .filter_map(|line| {
            let mut parts = line.split(':');
            let (who, first, count) = (parts.next()?, parts.next()?, parts.next()?);
            let first: u64 = first.parse().ok()?;
            (who == name).then_some(first..first + count.parse::<u64>().ok()?)
        })
        .collect()
}

fn without_ranges(name: &str) -> Result<()> {
    for (file, del) in [("/etc/subuid", "--del-subuids"), ("/etc/subgid", "--del-subgids")] {
        let text = fs::read_to_string(file).unwrap_or_default();
        for line in text.lines().filter(|line| line.starts_with(&format!("{name}:"))) {
            let mut parts = line.split(':').skip(1).filter_map(|n| n.parse::<u64>().ok());
            if let (Some(first), Some(count)) = (parts.next(), parts.next()) {
                run(Command::new("usermod")
                    .arg(del)
                    .arg(format!("{first}-{}", first + count - 1))
                    .arg(name))?;
            }
        }
    }
    Ok(())
}

fn passwd(name: &str) -> Result<Option<User>> {
    let text = fs::read_to_string("/etc/passwd")?;
    let Some(line) = text.lines().find(|line| line.starts_with(&format!("{name}:"))) else { return Ok(None) };
    let fields: Vec<&str> = line.split(':').collect();
    ensure!(fields.len() == 7, "{line}");
    Ok(Some(User {
        name: name.into(),
        uid: fields[2].parse()?,
        gid: fields[3].parse()?,
        home: fields[5].into(),
    }))
}

/// Every process whose real user id passes, with its command line.
pub(crate) fn processes(wanted: impl Fn(u32) -> bool) -> Vec<(i32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let uid = entry.metadata().ok()?.uid();
            let state = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let zombie = state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'));
            (wanted(uid) && !zombie).then(|| (pid, command_line(pid)))
        })
        .collect()
}

/// A process's command line, for messages.
pub(crate) fn command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ").trim().to_owned()
}

/// Runs a command of the host that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!(
            "{command:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Removes every user that was made, with what they own. Complains of processes that are still there, and ends them.
pub(crate) fn remove_all() -> Result<()> {
    let mut left = Vec::new();
    for user in MADE.lock().expect("users").drain(..) {
        for (pid, line) in user.processes() {
            left.push(format!("{}: {pid} {line}", user.name));
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        remove(&user)?;
    }
    ensure!(left.is_empty(), "processes were left: {left:#?}");
    Ok(())
}

fn remove(user: &User) -> Result<()> {
    let _ = fs::remove_dir_all(user.runtime());
    let _ = fs::remove_dir_all(&user.home);
    let mut last = None;
    for _ in 0..20 {
        match run(Command::new("userdel").arg(&user.name)) {
            Ok(_) => return Ok(()),
            Err(error) => last = Some(error),
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    Err(last.context("userdel")?)
}

/// Removes users of earlier runs that were killed before they could tidy up.
pub(crate) fn remove_stale() -> Result<()> {
    let text = fs::read_to_string("/etc/passwd")?;
    for name in text.lines().filter_map(|line| line.split(':').next()).filter(|name| name.starts_with(PREFIX))
    {
        let pid: String = name[PREFIX.len()..].chars().take_while(char::is_ascii_digit).collect();
        if !Path::new(&format!("/proc/{pid}")).exists()
            && let Some(user) = passwd(name)?
        {
            for (pid, _) in user.processes() {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
            remove(&user)?;
        }
    }
    for entry in fs::read_dir("/var/tmp")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(pid) = name.strip_prefix(&format!("{PREFIX}-")) else { continue };
        if !Path::new("/proc").join(pid).exists() {
            crate::env::remove_cgroups(&name)?;
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}
