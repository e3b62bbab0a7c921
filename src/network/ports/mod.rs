//! Published ports: the process that accepts connections in the host's network namespace and carries them on into the
//! containers'. There is one for all ports, and no thread or process per port or connection.
//!
//! ```text
//! engine (client) ─┐
//! rootlessctl ─────┴─ api.sock ─> api ─> table ─ listen     sockets, bound in the host's namespace
//!                                          │
//!                                       workers             a few threads, each in the containers' namespace for good,
//!                                          ├ waiting        with an epoll of its own: TCP, until the container answers,
//!                                          ├ link ─ pipes   then copied or spliced
//!                                          ├ flows          UDP, a socket for each client, for a while
//!                                          └ source         whose address a container sees
//!                                                └ rules    what brings answers to such an address back to us
//! ```
//!
//! What is published is in the engine's records; this process keeps nothing. When it is killed, the engine publishes again.
//! When the engine is killed, this process and all connections go on, and the next engine withdraws what is no more.
//!
//! A container sees its client's own address: the socket towards the container is bound to it (`IP_TRANSPARENT`), and
//! packets back to it are brought here by a mark (`rules`). A client of the host's loopback, or one whose address is in the
//! containers' own network, is seen as the gateway.

mod api;
mod client;
mod flows;
mod link;
mod listen;
mod pipes;
mod rules;
mod source;
mod spec;
mod table;
mod waiting;
mod worker;

pub use client::{Client, Refusal};
pub use rules::remove as remove_rules;
pub use spec::{Spec, Status};

use crate::sys::{memory, netns};
use nix::sys::signal::SigSet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use table::Table;

/// The hidden stage's name; its arguments are the state directory, the containers' network namespace (`-`: the caller's),
/// and whose address containers see.
pub const STAGE: &str = "__ports";
/// The process's key among the children.
pub const NAME: &str = "ports";

/// The name of the API's socket in the state directory.
pub const SOCKET: &str = "api.sock";

/// What the process was started with.
#[derive(Clone, Debug)]
struct Setting {
    /// RootlessKit's state directory.
    state: PathBuf,
    /// The containers' network namespace; `None`: the process's own.
    netns: Option<PathBuf>,
    /// Containers see their clients' addresses.
    true_sources: bool,
}

/// The stage; it returns when it cannot serve.
pub fn stage(arguments: &[OsString]) -> i32 {
    crate::telemetry::start();
    let [state, netns, source] = arguments else {
        tracing::error!("{STAGE} takes a folder, a network namespace and whose address containers see");
        return 2;
    };
    let setting = Setting {
        state: state.into(),
        netns: (netns != "-").then(|| netns.into()),
        true_sources: source != "gateway",
    };
    match serve(setting) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("cannot serve the API for ports: {error}");
            1
        }
    }
}

fn serve(setting: Setting) -> io::Result<()> {
    // The holder blocks the signals that it reads itself; SIGTERM ends this process.
    SigSet::empty().thread_set_mask()?;
    // A connection is two descriptors.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let table = Table::new(&setting);
        tokio::spawn(memory::rest());
        api::serve(&setting, table).await
    })
}

/// Moves the calling thread to where the containers' bridge is.
fn go(netns: Option<&Path>) -> io::Result<()> {
    match netns {
        Some(path) => netns::enter(&File::open(path)?),
        None => Ok(()),
    }
}
