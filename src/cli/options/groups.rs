//! Groups of flags that several verbs have.

use super::{kinds, value};
use crate::model::container::Resources;

/// What `prune` verbs ask before they do anything.
#[derive(Debug, clap::Args)]
pub(crate) struct Pruning {
    /// Provide filter values (e.g. "until=<timestamp>")
    #[arg(long, value_name = "filter", value_parser = value::filter)]
    pub(crate) filter: Vec<(String, String)>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    pub(crate) force: bool,
}

/// How a container is ended.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Ending {
    /// Signal to send to the container
    #[arg(short, long, value_name = "string")]
    pub(crate) signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, alias = "time", value_name = "int", value_parser = value::integer)]
    pub(crate) timeout: Option<i64>,
}

/// Limits that can be given at the start and changed later.
#[derive(Debug, clap::Args)]
pub(crate) struct Limits {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable
    #[arg(long, value_name = "uint16", value_parser = kinds::blkio_weight)]
    blkio_weight: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int", value_parser = value::integer)]
    cpu_period: Option<i64>,
    /// Limit CPU CFS (Completely Fair Scheduler) quota
    #[arg(long, value_name = "int", value_parser = value::integer)]
    cpu_quota: Option<i64>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", value_parser = value::integer)]
    cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = value::nano_cpus)]
    cpus: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    cpuset_cpus: String,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    cpuset_mems: String,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = value::bytes)]
    memory: Option<i64>,
    /// Memory soft limit
    #[arg(long, value_name = "bytes", value_parser = value::bytes)]
    memory_reservation: Option<i64>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = value::bytes_or_unlimited)]
    memory_swap: Option<i64>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", value_parser = value::integer)]
    pids_limit: Option<i64>,
}

impl Limits {
    /// The limits as they were given; 0 where none was.
    pub(crate) fn resources(&self) -> Resources {
        let number = |value: Option<i64>| value.unwrap_or(0);
        Resources {
            memory: number(self.memory),
            memory_swap: number(self.memory_swap),
            nano_cpus: number(self.cpus),
            cpu_shares: number(self.cpu_shares),
            cpuset_cpus: self.cpuset_cpus.clone(),
            pids_limit: number(self.pids_limit).max(-1),
            memory_reservation: number(self.memory_reservation),
            cpu_period: number(self.cpu_period),
            cpu_quota: number(self.cpu_quota),
            cpuset_mems: self.cpuset_mems.clone(),
            blkio_weight: number(self.blkio_weight),
            blkio_rates: Vec::new(),
        }
    }
}
