//! Plain nouns: parse, validate, display. No IO, no async, nothing of ours imported.

pub mod amendment;
pub mod archive;
pub mod attach;
pub mod capability;
pub mod container;
pub mod crilog;
pub mod event;
pub mod exec;
pub mod failure;
pub mod filter;
pub mod holder;
pub mod id;
pub mod image;
pub mod journal;
pub mod login;
pub mod logopts;
pub mod name;
pub mod platform;
pub mod pod;
pub mod port;
pub mod reason;
pub mod reference;
pub mod signal;
pub mod system;
pub mod volume;
