//! Every `unsafe`, every system call: thin, typed, with descriptors that own themselves.
#![expect(clippy::disallowed_methods, reason = "programs are started and threads are blocked from here")]

pub mod local;
pub mod messages;
pub mod patience;
pub mod terminal;
pub mod user;

#[cfg(target_os = "linux")]
pub mod ahead;
#[cfg(target_os = "linux")]
pub mod behind;
#[cfg(target_os = "linux")]
pub mod bpf;
#[cfg(target_os = "linux")]
pub mod disk;
#[cfg(target_os = "linux")]
pub mod inherit;
#[cfg(target_os = "linux")]
pub mod keeper;
#[cfg(target_os = "linux")]
pub mod layer;
#[cfg(target_os = "linux")]
pub mod link;
#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(target_os = "linux")]
pub mod mount;
#[cfg(target_os = "linux")]
pub mod netlink;
#[cfg(target_os = "linux")]
pub mod netns;
#[cfg(target_os = "linux")]
pub mod owners;
#[cfg(target_os = "linux")]
pub mod packet;
#[cfg(target_os = "linux")]
pub mod poll;
#[cfg(target_os = "linux")]
pub mod process;
#[cfg(target_os = "linux")]
pub mod rotated;
#[cfg(unix)]
pub mod session;
#[cfg(target_os = "linux")]
pub mod stage;
#[cfg(target_os = "linux")]
pub mod transparent;
#[cfg(target_os = "linux")]
pub mod tree;
