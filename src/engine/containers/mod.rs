//! Containers: one file for each thing that is done with them.

mod attach;
mod attempt;
mod binfmt;
mod burial;
mod change;
mod check;
mod create;
mod endpoint;
mod exec;
mod exit;
mod figures;
mod files;
mod foreign;
mod health;
mod inspect;
mod limits;
mod list;
mod network;
mod remove;
mod run;
mod security;
mod spec;
mod start;
mod stop;
mod target;
mod update;
mod user;
mod wait;

pub use attach::Frames;
pub(super) use attempt::LOG;
pub(super) use burial::Burials;
pub(super) use exit::Ooms;
pub use files::Archive;
pub(super) use foreign::nanoseconds;
pub(super) use health::fresh as fresh_health;
pub use run::Run;
pub(super) use start::Starter;

/// How a wish for the host's own address ends.
const HOST_GATEWAY: &str = ":host-gateway";
