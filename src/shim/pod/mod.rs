//! The pod that a shim is: containerd's sandbox (`sandboxer = "shim"`). No container and no image stands for it.
//!
//! ```text
//! CRI ── RunPodSandbox: network namespace, CNI ──> CreateSandbox ──> files, shared memory
//!                                                  StartSandbox  ──> namespaces ── kept by a thread of the shim,
//!                                                                                  or by a process (`process`)
//!     ── CreateContainer: /proc/PID/ns/{net,ipc,uts,pid,user} of whoever keeps them
//!     ── StopPodSandbox ──────────────────────────> StopSandbox   ──> namespaces and memory go
//!     ── RemovePodSandbox ────────────────────────> ShutdownSandbox ─> files go, the shim ends
//! ```
//!
//! A thread can have namespaces of its own, and has a folder in /proc that is found by its number: that costs a pod
//! nothing but the thread. For process IDs that all containers share, and for a user namespace, there must be a process:
//! a small one (`k3c-reaper`) with an empty root, no capabilities and no descriptors, which dies with the shim. When it
//! dies alone, the kernel ends all in its namespace, and the pod is over.

mod files;
mod metrics;
mod process;
mod service;
mod settings;
mod stage;
mod wanted;

pub(super) use files::remove;
pub(super) use service::Sandbox;
pub use stage::{STAGE, run};

use super::reaper::{Exit, Reaper};
use crate::model::pod::folder;
use crate::proto::cri::PodSandboxConfig;
use crate::sys::keeper::{Keeper, New};
use metrics::sum;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::watch;
use wanted::{Network, Wanted};

/// A pod's stage of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Made,
    /// The process or thread whose namespaces are the pod's.
    Ready(i32),
    Over(Exit),
}

/// The one who keeps a pod's namespaces.
#[derive(Debug)]
enum Kept {
    Thread(Keeper),
    Process(i32),
}

/// A pod.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) id: String,
    folder: PathBuf,
    /// Folder of its cgroup, if it has one.
    cgroup: Option<PathBuf>,
    wanted: Wanted,
    created: SystemTime,
    stage: watch::Sender<Stage>,
    kept: Mutex<Option<Kept>>,
}

impl Pod {
    /// Makes the pod's files. A failure leaves none.
    fn make(shims: &Path, id: &str, config: &PodSandboxConfig, network: &str) -> Result<Self, String> {
        let gid_map = std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
        let wanted = Wanted::new(config, network, &gid_map)?;
        let folder = folder(shims, id);
        if let Err(error) = files::make(&folder, config, wanted.ipc, wanted.users.as_ref()) {
            let _ = files::remove(&folder);
            return Err(format!("cannot make the pod's files in {}: {error}", folder.display()));
        }
        let parent = config.linux.as_ref().map(|l| l.cgroup_parent.as_str()).unwrap_or_default();
        Ok(Self {
            id: id.to_owned(),
            folder,
            cgroup: super::oci::cgroup_folder(parent),
            wanted,
            created: SystemTime::now(),
            stage: watch::channel(Stage::Made).0,
            kept: Mutex::default(),
        })
    }

    fn stage(&self) -> Stage {
        *self.stage.borrow()
    }

    /// Makes the namespaces; answers by whose number they are found.
    async fn start(&self, reaper: &Reaper) -> Result<i32, String> {
        let kept = match self.wanted.needs_process() {
            true => Kept::Process(process::start(&self.wanted, reaper).await?),
            false => {
                let wanted = self.wanted.clone();
                let (network, alone) = match &self.wanted.network {
                    Network::At(path) => (Some(path.as_path()), false),
                    Network::Hosts => (None, false),
                    Network::Alone => (None, true),
                };
                let new = New { network: alone, ipc: self.wanted.ipc, uts: self.wanted.uts };
                Kept::Thread(Keeper::start(network, new, move || stage::inside(&wanted))?)
            }
        };
        let number = match &kept {
            Kept::Thread(keeper) => keeper.number(),
            Kept::Process(pid) => *pid,
        };
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).replace(kept);
        self.stage.send_replace(Stage::Ready(number));
        Ok(number)
    }

    /// Gives up namespaces and memory. A pod that is over stays as it ended.
    fn stop(&self, exit: Exit) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Kept::Process(pid)) = kept {
            let _ = super::process::raw_kill(pid, 9);
        }
        if let Err(error) = files::forget_memory(&self.folder) {
            super::log(&format!("cannot unmount the shared memory of {}: {error}", self.id));
        }
        self.stage.send_if_modified(|stage| {
            let over = matches!(stage, Stage::Over(_));
            if !over {
                *stage = Stage::Over(exit);
            }
            !over
        });
    }

    async fn ended(&self) -> Exit {
        let mut stage = self.stage.subscribe();
        loop {
            if let Stage::Over(exit) = *stage.borrow_and_update() {
                return exit;
            }
            // The sender is ours.
            let _ = stage.changed().await;
        }
    }

    /// Gives up all that a pod holds.
    pub(super) fn remove(&self) -> Result<(), String> {
        self.stop(Exit { status: 0, time: SystemTime::now() });
        files::remove(&self.folder)
            .map_err(|error| format!("cannot remove the pod's files in {}: {error}", self.folder.display()))
    }

    /// Adds the pod's files to a container's specification.
    pub(super) fn furnish(&self, spec: &mut Value) {
        files::furnish(spec, &self.folder);
    }
}
