//! The terminal that we sit at: its size, and raw mode.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::{Raw, size};
#[cfg(windows)]
pub use windows::{Raw, size};
