//! Composition: the two places where the rooms of the machine's side are joined up.
//!
//! [`native`] is `k3c daemon` itself, outside of the namespaces; [`engine`] is the stage that the holder starts inside.

mod engine;
mod native;

pub use engine::stage as engine_stage;
pub use native::{UNPACK_STAGE, run, unpack_stage};
