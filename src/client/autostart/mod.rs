//! The start of a daemon for a client that finds none, and the wait until it answers.
//!
//! Ways to start the daemon, in order: our unit of the service manager, a transient unit with delegation, a detached
//! process. The first that is there is taken; its words when it fails are shown as they are.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as imp;
#[cfg(not(target_os = "linux"))]
use other as imp;

use super::{Client, ClientError, transport};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Time for a first start, which unpacks the bundle.
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether a daemon may be started when none runs.
#[derive(Clone, Copy)]
pub enum Autostart<'a> {
    /// No: its absence is an error.
    Never,
    /// Yes; a person is told by this.
    Allowed(&'a (dyn Fn(&str) + Send + Sync)),
}

/// Why no daemon could be started.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "one variant is for these systems"))]
enum StartError {
    /// The unit is there, and the service manager says why it cannot be started.
    #[error("cannot start {unit}: {why}")]
    Unit { unit: &'static str, why: String },
    /// The path of the running program is not known.
    #[error("cannot find our own program: {0}")]
    Program(io::Error),
    /// The file for what the daemon writes.
    #[error("cannot write {}: {source}", path.display())]
    Log { path: PathBuf, source: io::Error },
    /// The program does not start.
    #[error("cannot start {}: {source}", path.display())]
    Spawn { path: PathBuf, source: io::Error },
    /// There is no daemon for this system.
    #[error("there is no k3c daemon for this system yet; set K3C_ADDRESS")]
    #[cfg(not(target_os = "linux"))]
    NoDaemon,
}

/// Starts a daemon where the address is the user's own, and comes back when it answers.
pub(super) async fn start(
    client: &Client,
    autostart: Autostart<'_>,
    why: io::Error,
) -> Result<(), ClientError> {
    let address = client.address();
    let absent = || {
        ClientError::disconnected(format!(
            "cannot connect to the k3c daemon at {address}: {why}. Is it running?"
        ))
    };
    // A socket that we may not use is somebody's daemon, not a missing one.
    let refused = why.kind() == io::ErrorKind::PermissionDenied;
    let (Autostart::Allowed(announce), Some(log), false) = (autostart, address.log(), refused) else {
        return Err(absent());
    };
    let started = imp::Daemon::start(log).await;
    let mut daemon = started.map_err(|error| ClientError::disconnected(error.to_string()))?;
    announce(&format!("k3c: starting the daemon ({})", daemon.how()));
    let begun = Instant::now();
    // A queued unit is not active for a moment before it starts.
    let mut times_ended = 0;
    loop {
        sleep(Duration::from_millis(50)).await;
        if transport::probe(address).await.is_ok() && client.version_once().await.is_ok() {
            return Ok(());
        }
        times_ended = if daemon.ended().await { times_ended + 1 } else { 0 };
        let ended = times_ended >= 5;
        if ended || begun.elapsed() >= PATIENCE {
            let what = if ended { "the daemon ended at once" } else { "the daemon does not answer" };
            let words = daemon.last_words().await;
            let words = if words.is_empty() { String::new() } else { format!(":\n{words}") };
            return Err(ClientError::disconnected(format!(
                "cannot start the k3c daemon ({}): {what}{words}",
                daemon.how()
            )));
        }
    }
}
