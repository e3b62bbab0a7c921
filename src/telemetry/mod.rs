//! Logs of the daemon and the engine: lines on standard error, filtered by `K3C_LOG`.

use crate::config::env;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// To be called once a process.
pub fn start() {
    let filter = EnvFilter::try_from_env(env::LOG).unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
}
