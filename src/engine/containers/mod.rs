//! Containers: one file for each thing that is done with them.

mod attach;
mod attempt;
mod change;
mod create;
mod exec;
mod exit;
mod foreign;
mod inspect;
mod limits;
mod list;
mod remove;
mod spec;
mod start;
mod stop;
mod user;
mod wait;

pub use attach::Frames;
pub(super) use attempt::LOG;
pub(super) use exec::Exec;
pub(super) use exit::wants_restart;
pub(super) use foreign::nanoseconds;
pub(super) use start::Starter;
