//! (room: see the table in `lib.rs`)

#[cfg(unix)]
pub mod session;
