//! Any child as a state machine, on the engine's side. The process itself belongs to a [`Spawner`].
//!
//! ```text
//!            spawn or adopt          probe says yes
//!  (start) ───────────────▶ Starting ──────────────▶ Ready
//!                              ▲  │ exit, or not ready    │ exit
//!                              │  ▼ in time               ▼
//!                              └─ Waiting (back-off) ◀────┘
//!  stop: signal, grace, kill ─▶ Stopped
//! ```

pub mod greeting;
mod holder;
pub mod identity;
mod policy;
mod service;

pub use holder::{ConnectError, Holder, Order};
pub use policy::Backoff;
pub use service::{NotReady, Probe, Service, Spec, State};

use crate::model::holder::{Exit, SpawnRequest};
use futures::future::BoxFuture;
use tokio::sync::mpsc;

/// Starts processes, is their parent, and reports how they end. On Linux this is the [`Holder`], which outlives the
/// engine; on other systems there is none.
pub trait Spawner: Send + Sync + 'static {
    /// Whether a child of this name runs.
    fn runs(&self, name: &str) -> bool;

    /// Starts a child; its process ID. There is one child of a name at a time.
    fn spawn(&self, request: SpawnRequest) -> BoxFuture<'_, Result<i32, SpawnError>>;

    /// The exits of the child of this name: one that nobody has dealt with yet, then all later ones. The last listener
    /// of a name gets them.
    fn exits(&self, name: &str) -> mpsc::UnboundedReceiver<Exit>;

    /// Sends a signal, by number. A child that does not run gets none.
    fn signal(&self, name: &str, signal: i32);

    /// The last exit of this child was dealt with, and need not be told again.
    fn forget(&self, name: &str);
}

/// A child could not be started; why, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SpawnError(pub String);
