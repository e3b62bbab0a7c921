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
