//! Containers: what is asked of them, and what became of them. A file for each noun.

mod detail;
mod exec;
mod figures;
mod files;
mod health;
mod logs;
mod mount;
mod network;
mod resolved;
mod resources;
mod restart;
mod sharing;
mod spec;
mod state;
mod summary;

pub use detail::{ContainerDetail, ContainerFiles, CriDetail, Endpoint, MountPoint};
pub use exec::ExecSpec;
pub use figures::{Processes, Stats};
pub use files::{CommitOptions, PathStat};
pub use health::{Health, HealthLog, Healthcheck, Probe};
pub use logs::{LogEntry, LogPosition, LogsOptions, Stream};
pub use mount::{Mount, MountKind};
pub use network::{BRIDGE, EndpointSpec, NetworkMode};
pub use resolved::Resolved;
pub use resources::{DeviceRate, Resources};
pub use restart::RestartPolicy;
pub use sharing::Sharing;
pub use spec::{ContainerSpec, DEFAULT_STOP_TIMEOUT, Device, Dns, Identity, LogConfig, Ulimit};
pub use state::{ContainerState, ExitStatus, Status, WaitCondition};
pub use summary::{ContainerSummary, ListFilter, Pruned};
