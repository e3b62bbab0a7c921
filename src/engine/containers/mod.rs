//! Containers: one file for each thing that is done with them.

mod attempt;
mod create;
mod exit;
mod foreign;
mod inspect;
mod limits;
mod list;
mod remove;
mod spec;
mod start;
mod stop;
mod wait;

pub(super) use attempt::LOG;
pub(super) use exit::wants_restart;
pub(super) use foreign::nanoseconds;
pub(super) use start::Starter;
