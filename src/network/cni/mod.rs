//! CNI (<https://www.cni.dev/docs/spec/>): the configuration that containerd and buildkitd read, and the plugin in it, a
//! stage of ours that speaks to the kernel and starts no other program.
//!
//! ```text
//! stage ─ request (environment, standard input)
//!   ├─ attach  ADD        bridge, firewall; lock + address ─> a pair of interfaces; addresses and routes in the pod
//!   ├─ detach  DEL, GC    an interface is marked, and removed behind the answer
//!   ├─ check   CHECK, STATUS
//!   └─ loopback           what buildkitd asks for beside a network
//! engine ─ live           the same for pods that run, and the bridges of networks that are no more
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
mod live;
mod lock;
mod loopback;
mod request;
mod stage;

pub use config::{render, subnet6};
pub use live::{Got, Live, hosts};
pub use stage::run;

use crate::config::Instance;
use std::io;

/// The plugin's type in the configuration, and the name under which the stage is executed.
pub const NAME: &str = "k3c-cni";

/// The name under which buildkitd executes the plugin that brings a namespace's loopback device up; it is ours, too.
pub const LOOPBACK: &str = "loopback";

/// How the names of all bridges of ours begin.
pub(super) const BRIDGES: &str = "k3c";

/// The bridge of the default network.
const BRIDGE: &str = "k3c0";

/// Removes from the host's network namespace what is there of root's containers' networks: the bridges, and the table of
/// nf_tables. What is not there is no error.
///
/// # Errors
/// The kernel refuses.
pub fn remove_bridges() -> io::Result<()> {
    let mut links = links::Links::here()?;
    for link in links.named(BRIDGES)? {
        if link.name == BRIDGE || firewall::is_ours(&link) {
            links.remove(link.index)?;
        }
    }
    firewall::remove()
}

/// Makes the rules of all bridges of the caller's namespace where somebody took them away.
///
/// # Errors
/// The kernel refuses.
pub(super) fn ensure_rules() -> io::Result<()> {
    firewall::ensure_all(&mut links::Links::here()?)
}

/// Removes what older versions, whose plugins were the CNI project's, kept for them: a configuration and lists of addresses.
/// No containerd of theirs may run any more.
pub fn remove_older(instance: &Instance) {
    for folder in [instance.dirs.cni_before(), instance.dirs.cni_state().join(config::NETWORK)] {
        let _ = std::fs::remove_dir_all(folder);
    }
}
