//! Keys in files, for `RUN --mount=type=ssh`: OpenSSH's own agent holds them while something is built. It knows every
//! kind of key, and asks for passphrases at the terminal.
//!
//! ```text
//! k3c ── stdin ─► ssh-agent SHELL   the shell ends the agent when we close its input, or are gone
//!                     └─ agent ── socket in a folder of ours ◄── ssh-add KEY..., then the session
//! ```

use super::BuildError;
use super::private::{Agent, Forwarded};
use std::path::PathBuf;

/// Agents with keys of their own; they end when this is dropped.
#[derive(Default)]
pub(super) struct Keepers(Vec<imp::Keeper>);

impl Keepers {
    /// Sockets for all agents: theirs, or those of new ones for keys in files.
    pub(super) async fn sockets(&mut self, agents: &[Agent]) -> Result<Vec<Forwarded>, BuildError> {
        let mut all = Vec::new();
        for agent in agents {
            let failed = |why: String| BuildError::Agent { id: agent.id.clone(), why };
            let socket = match keys(&agent.paths).map_err(failed)? {
                Kind::Socket(socket) => socket,
                Kind::Keys => {
                    let (keeper, socket) = imp::start(&agent.paths).await.map_err(failed)?;
                    self.0.push(keeper);
                    socket
                }
            };
            all.push(Forwarded { id: agent.id.clone(), socket });
        }
        Ok(all)
    }
}

enum Kind {
    Socket(PathBuf),
    Keys,
}

/// One socket, or files.
fn keys(paths: &[PathBuf]) -> Result<Kind, String> {
    let mut sockets = Vec::new();
    for path in paths {
        match std::fs::metadata(path) {
            Err(error) => return Err(format!("{}: {error}", path.display())),
            Ok(data) if data.is_dir() => {
                return Err(format!("{} is a folder, and neither a socket nor a key", path.display()));
            }
            Ok(data) if data.is_file() => {}
            Ok(_) => sockets.push(path),
        }
    }
    match sockets.as_slice() {
        [] => Ok(Kind::Keys),
        [only] if paths.len() == 1 => Ok(Kind::Socket((*only).clone())),
        _ => Err("it is one socket, or files with keys".to_owned()),
    }
}

#[cfg(unix)]
mod imp {
    use std::path::{Path, PathBuf};
    use std::process::Stdio;
    use std::time::Duration;
    use tempfile::TempDir;
    use tokio::process::{Child, Command};
    use tokio::time::{Instant, sleep};

    /// The longest wait for a new agent.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// Ends the agent at the end of the input.
    const SHELL: &str = "cat > /dev/null; kill $SSH_AGENT_PID";

    /// An agent; its input is the end of it.
    pub(super) struct Keeper {
        _child: Child,
        _folder: TempDir,
    }

    pub(super) async fn start(keys: &[PathBuf]) -> Result<(Keeper, PathBuf), String> {
        let folder = tempfile::Builder::new().prefix("k3c-build-").tempdir().map_err(|e| e.to_string())?;
        let socket = folder.path().join("agent");
        let mut agent = program("ssh-agent");
        agent.arg("-a").arg(&socket).args(["sh", "-c", SHELL]).process_group(0);
        agent.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = agent.spawn().map_err(|error| missing("ssh-agent", &error))?;
        let end = Instant::now() + PATIENCE;
        while !socket.exists() {
            match child.try_wait() {
                Ok(None) if Instant::now() < end => sleep(Duration::from_millis(10)).await,
                _ => return Err("ssh-agent does not start".to_owned()),
            }
        }
        let keeper = Keeper { _child: child, _folder: folder };
        for key in keys {
            add(key, &socket).await?;
        }
        Ok((keeper, socket))
    }

    async fn add(key: &Path, socket: &Path) -> Result<(), String> {
        let mut add = program("ssh-add");
        add.arg("-q").arg("--").arg(key).env("SSH_AUTH_SOCK", socket);
        add.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let ended = add.kill_on_drop(true).output().await.map_err(|error| missing("ssh-add", &error))?;
        if ended.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&ended.stderr);
        let lines: Vec<&str> = said.lines().map(|line| line.trim_matches([' ', '@'])).collect();
        let said = lines.into_iter().filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ");
        let hint = match said.is_empty() || said.contains("passphrase") {
            true => " (a key with a passphrase is given to an agent by ssh-add, and the agent to the build)",
            false => "",
        };
        Err(format!("{} is not a key that can be used: {said}{hint}", key.display()))
    }

    #[expect(clippy::disallowed_methods, reason = "the user's own OpenSSH, while something is built")]
    fn program(name: &str) -> Command {
        Command::new(name)
    }

    fn missing(name: &str, error: &std::io::Error) -> String {
        format!("keys in files need OpenSSH's {name}: {error}")
    }
}

#[cfg(windows)]
mod imp {
    use std::path::PathBuf;

    pub(super) struct Keeper;

    pub(super) async fn start(_: &[PathBuf]) -> Result<(Keeper, PathBuf), String> {
        let why = "keys in files are not supported on Windows: ssh-add gives them to the agent of the system";
        std::future::ready(Err(why.to_owned())).await
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_neither_socket_nor_key() {
        let dir = tempfile::tempdir().unwrap();
        let [socket, other, key] = ["socket", "other", "key"].map(|name| dir.path().join(name));
        let _sockets = [&socket, &other].map(|path| std::os::unix::net::UnixListener::bind(path).unwrap());
        std::fs::write(&key, "no key").unwrap();
        let of = async |paths: &[&PathBuf]| {
            let agent =
                Agent { id: "a".to_owned(), paths: paths.iter().map(|path| (*path).clone()).collect() };
            let found = Keepers::default().sockets(&[agent]).await;
            found.map(|all| all[0].socket.clone()).map_err(|error| error.to_string())
        };
        assert_eq!(of(&[&socket]).await, Ok(socket.clone()));
        for (paths, why) in [
            (vec![&socket, &other], "one socket, or files"),
            (vec![&socket, &key], "one socket, or files"),
            (vec![&dir.path().join("none")], "ssh a: "),
            (vec![&dir.path().to_owned()], "is a folder"),
        ] {
            assert!(of(&paths).await.unwrap_err().contains(why), "{paths:?}");
        }
    }
}
