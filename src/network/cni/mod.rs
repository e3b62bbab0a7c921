//! CNI (<https://www.cni.dev/docs/spec/>): the configuration that containerd and buildkitd read, and the plugin in it, a
//! stage of ours around the Go bridge plugin.

mod config;
mod stage;

pub use config::render;
pub use stage::run;

use std::io;
use std::process::Command;

/// The plugin's type in the configuration, and the name under which the stage is executed.
pub const NAME: &str = "k3c-cni";

/// The bridge of all containers.
const BRIDGE: &str = "k3c0";

/// Removes the bridge from the host's network namespace. One that is not there is no error.
///
/// # Errors
/// `ip` cannot be started.
pub fn remove_bridge() -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a short program of the host, at the engine's end")]
    let removed = Command::new("ip").args(["link", "delete", BRIDGE]).output();
    removed.map(drop)
}
