//! `k3c build`'s other half: a BuildKit client with a real session.
//!
//! ```text
//! Options, stdin ─ Inputs::prepare ─ build ─┬─ session    what BuildKit asks of us  ─ local (files)
//!                                           ├─ Solve      the digest, or why not    ─ excerpt
//!                                           └─ Status     what happens              ─ progress (Display)
//! ```
//!
//! The client speaks to any BuildKit behind a [`tonic::transport::Channel`], prints nothing and knows no command line:
//! a [`Display`] is given a place to write to.

mod built;
mod cache;
mod call;
mod error;
mod excerpt;
mod history;
mod inputs;
mod keys;
mod layout;
mod local;
mod options;
mod output;
mod private;
mod progress;
mod remote;
mod session;
mod solve;
mod stores;
mod temporary;
mod text;

pub use built::Built;
pub use cache::{CacheRecord, Pruning, filter, prune, usage};
pub use call::Answer;
pub use error::BuildError;
pub use history::{Past, Phase, forget, history, logs};
pub use inputs::Inputs;
pub use options::{Annotation, Cache, Network, Options};
pub use output::{Destination, Output, OutputKind};
pub use private::{Agent, Secret, Source};
pub use progress::{Colours, Display, Plain, Quiet, Raw, Size, Tty};
pub use remote::Remote;
pub use session::{STORE, Targets};
pub use solve::{ask, build};
