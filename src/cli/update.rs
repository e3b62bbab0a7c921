//! `update`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::options::{kinds, restart, value};
use super::parallel;
use crate::model::container::Resources;

/// Update configuration of one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Block IO (relative weight), between 10 and 1000, or 0 to disable
    #[arg(long, value_name = "uint16", value_parser = kinds::blkio_weight)]
    blkio_weight: Option<i64>,
    /// Limit the CPU CFS (Completely Fair Scheduler) period
    #[arg(long, value_name = "int", value_parser = value::integer)]
    cpu_period: Option<i64>,
    /// Limit the CPU CFS (Completely Fair Scheduler) quota
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
    /// Swap limit equal to memory plus swap: -1 to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = value::bytes_or_unlimited)]
    memory_swap: Option<i64>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", value_parser = value::integer)]
    pids_limit: Option<i64>,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string")]
    restart: Option<String>,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Prints each name.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let restart = args.restart.as_deref().map(restart::parse).transpose().map_err(CommandError::failed)?;
    let number = |value: Option<i64>| value.unwrap_or(0);
    let resources = Resources {
        memory: number(args.memory),
        memory_swap: number(args.memory_swap),
        nano_cpus: number(args.cpus),
        cpu_shares: number(args.cpu_shares),
        cpuset_cpus: args.cpuset_cpus,
        pids_limit: number(args.pids_limit).max(-1),
        memory_reservation: number(args.memory_reservation),
        cpu_period: number(args.cpu_period),
        cpu_quota: number(args.cpu_quota),
        cpuset_mems: args.cpuset_mems,
        blkio_weight: number(args.blkio_weight),
        blkio_rates: Vec::new(),
    };
    if resources == Resources::default() && restart.is_none() {
        return Err(CommandError::failed("you must provide one or more flags when using this command"));
    }
    let client = cx.client().await?;
    parallel::each(&cx.ui, &args.containers, |name| {
        let resources = resources.clone();
        async move {
            let warnings = client.update(&name, resources, restart).await?;
            warnings.iter().for_each(|w| cx.ui.warning(w));
            Ok(Some(name))
        }
    })
    .await
}
