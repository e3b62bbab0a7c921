//! A builder on a machine that is reached by the user's `ssh`: `buildctl dial-stdio` there is the connection.

use super::address::Host;
use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

/// Bytes of complaints that are kept.
const KEPT: usize = 4096;
/// The longest wait for last words.
const PATIENCE: Duration = Duration::from_secs(2);

/// Ends the program when dropped.
pub(super) struct Connection {
    from: ChildStdout,
    to: ChildStdin,
    _child: Child,
}

/// What `ssh` and the program behind it complain of.
#[derive(Clone, Default)]
pub(super) struct Complaints(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    text: Vec<u8>,
    over: Option<tokio::sync::oneshot::Receiver<()>>,
}

/// Starts `ssh`. Passwords and unknown hosts are its business: it asks at the terminal.
pub(super) fn connect(host: &Host, complaints: &Complaints) -> io::Result<Connection> {
    #[expect(clippy::disallowed_methods, reason = "the user's own ssh, with the user's settings and keys")]
    let mut command = Command::new("ssh");
    command.args(arguments(host)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other("there is no `ssh` here: install OpenSSH's client"),
        _ => error,
    })?;
    let (Some(from), Some(to), Some(errors)) = (child.stdout.take(), child.stdin.take(), child.stderr.take())
    else {
        return Err(io::Error::other("ssh has no streams"));
    };
    complaints.listen(errors);
    Ok(Connection { from, to, _child: child })
}

fn arguments(host: &Host) -> Vec<String> {
    let mut all = Vec::new();
    let mut add = |words: &[&str]| all.extend(words.iter().map(|word| (*word).to_owned()));
    if let Some(user) = &host.user {
        add(&["-l", user]);
    }
    if let Some(port) = host.port {
        add(&["-p", &port.to_string()]);
    }
    add(&["--", &host.name, "buildctl"]);
    if let Some(socket) = &host.socket {
        add(&["--addr", &quoted(&format!("unix://{socket}"))]);
    }
    add(&["dial-stdio"]);
    all
}

/// One word for the shell over there.
fn quoted(word: &str) -> String {
    match word.chars().all(|c| c.is_ascii_alphanumeric() || "/:._-+=@%,".contains(c)) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

impl Complaints {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(&self, mut errors: ChildStderr) {
        let (end, over) = tokio::sync::oneshot::channel();
        *self.state() = State { text: Vec::new(), over: Some(over) };
        let all = self.clone();
        tokio::spawn(async move {
            let mut piece = [0; 1024];
            while let Ok(length @ 1..) = errors.read(&mut piece).await {
                let text = &mut all.state().text;
                text.extend_from_slice(&piece[..length]);
                let surplus = text.len().saturating_sub(KEPT);
                text.drain(..surplus);
            }
            end.send(()).ok();
        });
    }

    /// The last words of a program that ends; `None`: it said nothing.
    pub(super) async fn last(&self) -> Option<String> {
        let over = self.state().over.take();
        if let Some(over) = over {
            timeout(PATIENCE, over).await.ok();
        }
        let text = String::from_utf8_lossy(&self.state().text).trim().replace("\r\n", "\n");
        (!text.is_empty()).then(|| text.lines().map(str::trim_end).collect::<Vec<_>>().join("; "))
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_read(cx, to)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.to).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.to).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command() {
        let host = Host { name: "-h".into(), ..Host::default() };
        assert_eq!(arguments(&host), ["--", "-h", "buildctl", "dial-stdio"]);
        let host =
            Host { user: Some("u".into()), port: Some(2), socket: Some("/run/it's $here".into()), ..host };
        let expected = ["-l", "u", "-p", "2", "--", "-h", "buildctl", "--addr"];
        let all = arguments(&host);
        assert_eq!(all[..8], expected);
        assert_eq!(all[8..], [r"'unix:///run/it'\''s $here'", "dial-stdio"]);
    }
}
