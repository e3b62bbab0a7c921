//! The shim's side of the process that keeps a pod's namespaces.

use super::stage::STAGE;
use super::wanted::Wanted;
use crate::shim::process::raw_kill;
use crate::shim::reaper::Reaper;
use crate::sys::inherit::{keep_private, pass_on};
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::pipe::{PipeFlags, pipe_with};
use std::io::{self, Write};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// The program, beside us.
const PROGRAM: &str = "k3c-reaper";
/// The time for all that the stage does.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the process; answers its number when it is in its place.
pub(super) async fn start(wanted: &Wanted, reaper: &Reaper) -> Result<i32, String> {
    let text = |error: io::Error| format!("cannot start the keeper of the pod's namespaces: {error}");
    let request = memory(&serde_json::to_vec(wanted).map_err(|e| e.to_string())?).map_err(text)?;
    let program = std::env::current_exe().map_err(text)?.with_file_name(PROGRAM);
    // A copy that nobody can write: containers of the pod see it as /proc/1/exe.
    let program = std::fs::read(&program)
        .map_err(|e| format!("cannot read {}: {e}", program.display()))
        .and_then(|bytes| memory(&bytes).map_err(text))?;
    let (ours, theirs) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| text(e.into()))?;
    let number = pass_on(&program).map_err(text)?;
    #[expect(clippy::disallowed_methods, reason = "the shim is the parent of its pod's processes")]
    let mut command = Command::new("/proc/self/exe");
    command
        .args([STAGE.to_owned(), number.to_string()])
        .env_clear()
        .stdin(Stdio::from(request))
        .stdout(Stdio::from(theirs))
        .stderr(Stdio::null());
    let started = reaper.spawn(&mut command);
    keep_private(&program).map_err(text)?;
    drop(command);
    let ended = started.map_err(text)?;
    let mut said = String::new();
    let mut from = pipe::Receiver::from_owned_fd(ours).map_err(text)?;
    // It ends when the process has executed its program.
    let heard = tokio::time::timeout(PATIENCE, from.read_to_string(&mut said)).await;
    let _ = tokio::time::timeout(PATIENCE, ended).await;
    let pid = said.lines().find_map(|line| line.strip_prefix("pid ")?.parse::<i32>().ok());
    let why = match heard {
        Ok(Ok(_)) => said.lines().find_map(|line| line.strip_prefix("error ").map(str::to_owned)),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some("it took too long".to_owned()),
    };
    match (pid, why) {
        (Some(pid), None) => Ok(pid),
        (pid, why) => {
            if let Some(pid) = pid {
                let _ = raw_kill(pid, 9);
            }
            Err(why.unwrap_or_else(|| "the keeper of the pod's namespaces ended early".to_owned()))
        }
    }
}

/// A file in memory that stays as it is.
fn memory(text: &[u8]) -> io::Result<OwnedFd> {
    let fd = memfd_create("k3c-pod", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(text)?;
    io::Seek::rewind(&mut file)?;
    fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(file.into())
}
