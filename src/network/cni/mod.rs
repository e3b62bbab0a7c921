//! CNI (<https://www.cni.dev/docs/spec/>): the configuration that containerd and buildkitd read, and the plugin in it, a
//! stage of ours that speaks to the kernel and starts no other program.
//!
//! ```text
//! stage ─ request (environment, standard input)
//!   ├─ attach  ADD        bridge, firewall; lock + address ─> a pair of interfaces; addresses and routes in the pod
//!   ├─ detach  DEL, GC    an interface is marked, and removed behind the answer
//!   ├─ check   CHECK, STATUS
//!   └─ loopback           what buildkitd asks for beside a network
//!        └ links, firewall ─> super::netlink        answer, error: what is said
//! ```
//!
//! The plugin keeps no books: which addresses are taken it reads from the interfaces on the bridge.

mod address;
mod answer;
mod attach;
mod check;
mod config;
mod detach;
mod error;
mod firewall;
mod links;
mod lock;
mod loopback;
mod request;
mod stage;

pub use config::render;
pub use stage::run;

use crate::config::Instance;
use std::io;

/// The plugin's type in the configuration, and the name under which the stage is executed.
pub const NAME: &str = "k3c-cni";

/// The name under which buildkitd executes the plugin that brings a namespace's loopback device up; it is ours, too.
pub const LOOPBACK: &str = "loopback";

/// The bridge of all containers.
const BRIDGE: &str = "k3c0";

/// Removes from the host's network namespace what is there of root's containers' network: the bridge, and the table of
/// nf_tables. What is not there is no error.
///
/// # Errors
/// The kernel refuses.
pub fn remove_bridge() -> io::Result<()> {
    let mut links = links::Links::here()?;
    if let Some(bridge) = links.find(BRIDGE)? {
        links.remove(bridge.index)?;
    }
    firewall::remove()
}

/// Removes what older versions, whose plugins were the CNI project's, kept for them: a configuration and lists of addresses.
/// No containerd of theirs may run any more.
pub fn remove_older(instance: &Instance) {
    for folder in [instance.dirs.cni_before(), instance.dirs.cni_state().join(config::NETWORK)] {
        let _ = std::fs::remove_dir_all(folder);
    }
}
