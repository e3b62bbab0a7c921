//! runc below us: `create` and `exec` need it, nearly all else the kernel does for us.

use super::reaper::Reaper;
use rustix::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use thiserror::Error;

/// The program, beside us.
const PROGRAM: &str = "runc";
/// The init of `--init`, beside us.
const INIT: &str = "k3c-init";

/// The path of the program.
pub(super) fn program() -> std::io::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(PROGRAM))
}

/// The way to call runc.
#[derive(Clone, Debug)]
pub(super) struct Runc {
    program: PathBuf,
    /// The folder of runc's states, one per container.
    pub(super) root: PathBuf,
    reaper: Reaper,
}

/// Descriptors 0 to 2 of a container's process; `None` is /dev/null.
#[derive(Debug, Default)]
pub(super) struct Stdio3 {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

/// A call of runc that went wrong.
#[derive(Debug, Error)]
pub(super) enum RuncError {
    #[error("cannot execute {0}")]
    Execute(PathBuf, #[source] std::io::Error),
    #[error("OCI runtime {command} failed: {message}")]
    Failed { command: &'static str, message: String },
}

impl Runc {
    pub(super) fn new(root: PathBuf, reaper: Reaper) -> std::io::Result<Self> {
        Ok(Self { program: program()?, root, reaper })
    }

    /// The init that containers may have.
    pub(super) fn init(&self) -> PathBuf {
        self.program.with_file_name(INIT)
    }

    /// Calls runc and waits. `log` is a file for its messages, made by it.
    pub(super) async fn call(
        &self,
        command: &'static str,
        log: &Path,
        args: &[&std::ffi::OsStr],
        stdio: Stdio3,
    ) -> Result<(), RuncError> {
        let _ = std::fs::remove_file(log);
        let or_null = |fd: Option<OwnedFd>| fd.map_or_else(Stdio::null, Stdio::from);
        #[expect(clippy::disallowed_methods, reason = "the shim is the parent of its containers' processes")]
        let mut program = Command::new(&self.program);
        program
            .arg("--root")
            .arg(&self.root)
            .arg("--log")
            .arg(log)
            .args(["--log-format", "json", command])
            .args(args)
            // runc makes a folder there, although it has --root.
            .env_remove("XDG_RUNTIME_DIR")
            .stdin(or_null(stdio.stdin))
            .stdout(or_null(stdio.stdout))
            .stderr(or_null(stdio.stderr));
        let exit = self
            .reaper
            .spawn(&mut program)
            .map_err(|error| RuncError::Execute(self.program.clone(), error))?;
        // The container has its ends now; ours are closed.
        drop(program);
        match exit.await.map(|e| e.status) {
            Ok(0) => Ok(()),
            other => Err(RuncError::Failed {
                command,
                message: last_error(&std::fs::read_to_string(log).unwrap_or_default())
                    .unwrap_or_else(|| format!("runc ended with {}", other.unwrap_or(255))),
            }),
        }
    }
}

/// The last message of level error.
fn last_error(log: &str) -> Option<String> {
    log.lines().rev().find_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        matches!(entry["level"].as_str(), Some("error" | "fatal"))
            .then(|| entry["msg"].as_str().map(str::to_owned))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_error_counts() {
        let log = "{\"level\":\"error\",\"msg\":\"a\"}\n{\"level\":\"error\",\"msg\":\"b\"}\n{\"level\":\"info\",\"msg\":\"c\"}\n";
        assert_eq!(last_error(log).as_deref(), Some("b"));
        assert_eq!(last_error("no json"), None);
    }
}
