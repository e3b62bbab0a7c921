//! The name server of containers: a process that answers at the gateway of each network what the containers there are
//! called, and passes all other questions on to the host's name servers.
//!
//! ```text
//! engine (client) ─ names.json, and a knock at names.sock ─> directory
//! container ─> gateway:53, UDP and TCP ─> answer ─ lookup    who is called what, for whom
//!                                            └─ upstream     everybody else, from the host's namespace
//! ```
//!
//! The file outlives all: a name server that was killed reads it again, and it answers while there is no engine.

mod answer;
mod client;
mod lookup;
mod serve;
mod upstream;

pub use client::Client;
pub use serve::stage;

/// The hidden stage's name; its arguments are the file of the directory, the socket at which the engine knocks, and the
/// containers' network namespace (`-`: the caller's).
pub const STAGE: &str = "__names";
/// The process's key among the children.
pub const NAME: &str = "names";
