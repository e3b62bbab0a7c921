//! Limits.

use serde::{Deserialize, Serialize};

/// Limits. Zero means unlimited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Resources {
    /// Bytes.
    pub memory: i64,
    /// Memory + swap in bytes; -1 is unlimited swap.
    pub memory_swap: i64,
    /// 1e9 is one CPU.
    pub nano_cpus: i64,
    /// Relative weight, 2 to 262144.
    pub cpu_shares: i64,
    /// A list such as `0-2,4`.
    pub cpuset_cpus: String,
    /// Number of processes.
    pub pids_limit: i64,
    /// Bytes that are left to it when memory is short.
    pub memory_reservation: i64,
    /// Microseconds.
    pub cpu_period: i64,
    /// Microseconds in each period.
    pub cpu_quota: i64,
    /// A list such as `0-1`.
    pub cpuset_mems: String,
    /// 10 to 1000.
    pub blkio_weight: i64,
    /// Limits on single devices.
    pub blkio_rates: Vec<DeviceRate>,
}

/// A limit on one block device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRate {
    /// Device of the host.
    pub path: String,
    /// `rbps`, `wbps`, `riops`, `wiops` or `weight`.
    pub kind: String,
    /// Per second, or a weight.
    pub rate: i64,
}
