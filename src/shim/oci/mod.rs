//! Our own OCI runtime: a stage of this program that becomes a container's process. What it does not do wholly is runc's
//! (`accept`): a field or a word that it does not know is never ignored.
//!
//! ```text
//! shim ── memfd: Request ──> stage ── joins namespaces, makes the cgroup, clone3 ──> first process of the container
//!      <── PROCESS pid ───────┘ ends                                                    │ opens sources, pivots, mounts,
//!      <── TERMINAL fd, READY ─────────────────────────────────────────────────────────┤ masks; user, capabilities
//!      ── "go" (Task.Start) ───────────────────────────────────────────────────────────> filter, execve
//!      <── READY, then the socket's end: it is the program now ────────────────────────┘
//! ```
//!
//! One socket carries it all; whoever is at its end knows of the other's death at once. A shim that dies before the
//! container was started takes its process along. An exec is the same with `setns` of the container's namespaces, by a
//! pidfd, in the place of new ones and mounts.
//!
//! The order of the steps is the safety, see `SECURITY.md`: nothing is resolved by name on the host once the root was
//! exchanged, and nothing of the container is followed before. The stage has one thread, holds no descriptor over execve,
//! cannot be looked into from inside (not dumpable), and its program is executed through a read-only mount.
//!
//! Who starts the container need not be who made it: on the command line (`command`) the word to start comes through a socket
//! at which the process listens, its door.
//!
//! A container that cannot be made here is made by runc then: its words for what is wrong with a specification are those
//! that users know. For an exec the stage has the same words itself.

mod accept;
mod cgroup;
mod client;
pub mod command;
mod devices;
mod mounts;
mod process;
mod root;
mod seccomp;
mod spec;
mod stage;

pub(super) use client::{Ours, Stage, Waiting, cgroup_folder, update};

use seccomp::Filter;
use serde::{Deserialize, Serialize};
use spec::{Process, Spec};
use std::ffi::OsString;
use std::path::PathBuf;

/// The hidden stage, as the first argument.
pub const STAGE: &str = "__oci";

/// First bytes of the stage's messages.
mod message {
    /// The process ID of the new process, in digits.
    pub(super) const PROCESS: u8 = b'p';
    /// The controlling side of its terminal, as a descriptor.
    pub(super) const TERMINAL: u8 = b't';
    /// It waits for the word to go on.
    pub(super) const READY: u8 = b'r';
    /// It cannot be made, and why.
    pub(super) const FAILED: u8 = b'f';
    /// It has its namespaces, and waits for the word to go on to its files.
    pub(super) const BORN: u8 = b'b';
    /// The word to go on.
    pub(super) const GO: u8 = b'g';
    /// The word to wait for that at the door.
    pub(super) const WAIT: u8 = b'w';
    /// The longest message in bytes.
    pub(super) const LONGEST: usize = 4096;
}

/// What the stage is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// The container's ID.
    id: String,
    /// The container's specification; its root's path is absolute.
    spec: Spec,
    /// Its filter for system calls.
    filter: Option<Filter>,
    /// A process to add to the container, which runs.
    exec: Option<Process>,
    /// Whether we are in a user namespace, where devices are bound and have no rules.
    rootless: bool,
    /// For an added process: the container's cgroup, and the one of its first process.
    cgroups: Vec<PathBuf>,
    /// Whether it waits for a word once it has its namespaces.
    hooks: bool,
    /// A point at which the stage stays until it is killed, or its shim is gone; of tests, else empty.
    stays: String,
}

impl Request {
    /// The process that is asked for.
    fn process(&self) -> &Process {
        self.exec.as_ref().unwrap_or(&self.spec.process)
    }
}

/// Runs the stage; answers its exit code, also in the process that it makes.
pub fn run(args: &[OsString]) -> i32 {
    stage::run(args)
}
