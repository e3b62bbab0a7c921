//! containerd's shim, `io.containerd.k3c.v1`: one process per pod that is the pod (`pod`), makes its containers, itself
//! (`oci`) or with runc, is the parent of their processes, and owns their streams.
//!
//! ```text
//! containerd ── start ──> forks the shim, which listens, and says where ─┐
//!            ── sandbox and task API (ttrpc) ─────────────────────> shim ┤── stage, or runc create, exec
//! engine     ── attach (model::attach), one socket per pod ───────> shim ┘   pipes, ptys ── hub ── FIFOs, clients
//!            ── delete ──> tidies up behind a shim whose connection has ended, whyever
//! ```
//!
//! A shim lives on when containerd or the engine do not: containerd finds it again by its address, a session of an attached
//! client goes on where it was. `amend` adds the wishes to a specification that CRI has no words for, `adapt` removes all
//! that this host cannot apply, and `exec` makes further processes from the result. A shim is also `io.containerd.runc.v2`
//! for clients that ask for that by name: buildkitd and `ctr`.
//!
//! The shim is built on the protocol crate below `containerd-shim`, not on that crate: bootstrap and reaping are ours (one
//! reaper for everything), and a hundred crates of it (D-Bus among them) are not wanted in every pod's process.
//! One thread does everything; file systems are unmounted, and a pod's namespaces kept, beside it.

mod adapt;
mod amend;
mod attach;
mod bootstrap;
mod cgroup;
mod console;
mod container;
mod crilog;
mod delete;
mod exec;
mod hub;
mod journal;
pub mod oci;
mod ours;
pub mod pod;
mod process;
mod publisher;
mod reaper;
mod runc;
mod service;
mod stdio;
mod userns;

pub use bootstrap::{NAMES, is_named, run};

use hub::Hub;
use publisher::Publisher;
use reaper::Reaper;
use runc::Runc;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// State that all parts of a shim share.
struct Shared {
    /// The folder of sockets, of pods' files and of runc's states.
    dir: PathBuf,
    /// The socket at which containerd calls.
    socket: PathBuf,
    /// The pod that this shim is; `None` for a container without one, and for a pod of an earlier version.
    pod: Mutex<Option<Arc<pod::Pod>>>,
    runc: Runc,
    /// Our own runtime, unless it cannot or shall not be used.
    stage: Option<oci::Stage>,
    reaper: Reaper,
    publisher: Publisher,
    /// Hubs by container and exec, made for the process or its client, whichever comes first.
    hubs: Mutex<HashMap<(String, String), Arc<Hub>>>,
    sessions: attach::Sessions,
    shutdown: CancellationToken,
}

impl Shared {
    fn pod(&self) -> Option<Arc<pod::Pod>> {
        self.pod.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hub(&self, container: &str, exec: &str) -> Arc<Hub> {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.entry((container.to_owned(), exec.to_owned())).or_insert_with(|| Arc::new(Hub::new())).clone()
    }

    /// Forgets a process that was deleted: a container may come again under its ID. Its clients still have the hub.
    fn deleted(&self, container: &str, exec: &str) {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.remove(&(container.to_owned(), exec.to_owned()));
    }

    /// Drops the hubs that neither a process nor a client holds any more.
    fn forget_unused_hubs(&self) {
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        hubs.retain(|_, hub| Arc::strong_count(hub) > 1);
    }

    fn has_sessions(&self) -> bool {
        !self.sessions.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

/// Writes into containerd's log.
fn log(text: &str) {
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("k3c-shim: {text}\n"));
}
