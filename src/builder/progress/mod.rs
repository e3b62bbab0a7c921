//! Displays of a build: one line after the other, a table that is redrawn, lines of JSON, or only what failed.

mod colours;
mod plain;
mod quiet;
mod raw;
mod table;
mod trace;
mod tty;
mod warnings;

pub use colours::Colours;
pub use plain::Plain;
pub use quiet::Quiet;
pub use raw::Raw;
pub use table::Size;
pub use tty::Tty;

use crate::proto::moby::buildkit::v1::StatusResponse;

/// Told what happens, in order. That nobody can read it any more stops no build, so nothing here fails.
pub trait Display: Send {
    /// Something happened.
    fn update(&mut self, status: StatusResponse);
    /// Time has passed.
    fn tick(&mut self);
    /// Nothing more will happen. Says what failed, if something did.
    fn finish(&mut self, failed: bool);
}
