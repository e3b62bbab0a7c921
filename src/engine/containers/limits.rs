//! Limits: what the host's cgroups can apply goes to CRI, the rest becomes a warning.

use crate::model::container::Resources;
use crate::proto::cri::LinuxContainerResources;
use std::os::unix::fs::MetadataExt;

/// What became of the limits that were asked for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Limits {
    /// For CRI; `None` when nothing is limited.
    pub(super) resources: Option<LinuxContainerResources>,
    /// In Docker's words.
    pub(super) warnings: Vec<String>,
    /// Docker's names of what was dropped.
    pub(super) dropped: Vec<String>,
}

/// Docker's period for `--cpus`.
const PERIOD: i64 = 100_000;

/// Docker's words for what this kernel, or this user on it, cannot limit.
fn discarded(what: &str) -> String {
    format!("Your kernel does not support {what} or the cgroup is not mounted.")
}

pub(super) fn limits(asked: &Resources, controllers: &[String]) -> Limits {
    let has = |name: &str| controllers.iter().any(|c| c == name);
    let mut result = Limits::default();
    let mut cri = LinuxContainerResources::default();
    let mut wanted = |given: bool, controller: &str, name: &str, what: &str, end: &str| {
        let applies = given && has(controller);
        if given && !applies {
            result.dropped.push(name.to_owned());
            result.warnings.push(format!("{} {end}", discarded(what)));
        }
        applies
    };
    if wanted(asked.memory != 0, "memory", "Memory", "memory limit capabilities", "Limitation discarded.") {
        cri.memory_limit_in_bytes = asked.memory;
    }
    let swap = "Memory limited without swap.";
    if wanted(asked.memory_swap != 0, "memory", "MemorySwap", "swap limit capabilities", swap) {
        cri.memory_swap_limit_in_bytes = asked.memory_swap;
    }
    let what = "memory soft limit capabilities";
    if wanted(asked.memory_reservation != 0, "memory", "MemoryReservation", what, "Limitation discarded.") {
        cri.unified.insert("memory.low".to_owned(), asked.memory_reservation.to_string());
    }
    if wanted(asked.nano_cpus != 0, "cpu", "NanoCpus", "CPU cfs quota", "Limitation discarded.") {
        cri.cpu_period = PERIOD;
        cri.cpu_quota = (asked.nano_cpus / 1_000).saturating_mul(PERIOD) / 1_000_000;
    }
    if wanted(asked.cpu_period != 0, "cpu", "CpuPeriod", "CPU cfs period", "Period discarded.") {
        cri.cpu_period = asked.cpu_period;
    }
    if wanted(asked.cpu_quota != 0, "cpu", "CpuQuota", "CPU cfs quota", "Quota discarded.") {
        cri.cpu_quota = asked.cpu_quota;
    }
    if wanted(asked.cpu_shares != 0, "cpu", "CpuShares", "CPU shares", "Shares discarded.") {
        cri.cpu_shares = asked.cpu_shares;
    }
    if wanted(!asked.cpuset_cpus.is_empty(), "cpuset", "CpusetCpus", "cpuset", "Cpuset discarded.") {
        cri.cpuset_cpus = asked.cpuset_cpus.clone();
    }
    if wanted(!asked.cpuset_mems.is_empty(), "cpuset", "CpusetMems", "cpuset", "Cpuset discarded.") {
        cri.cpuset_mems = asked.cpuset_mems.clone();
    }
    let what = "PIDs limit capabilities";
    if wanted(asked.pids_limit > 0, "pids", "PidsLimit", what, "PIDs limit discarded.") {
        cri.unified.insert("pids.max".to_owned(), asked.pids_limit.to_string());
    }
    if wanted(asked.blkio_weight != 0, "io", "BlkioWeight", "Block I/O weight", "Weight discarded.") {
        cri.unified.insert("io.bfq.weight".to_owned(), asked.blkio_weight.to_string());
    }
    for rate in &asked.blkio_rates {
        let (name, what) = rate_name(&rate.kind);
        if !wanted(true, "io", name, what, &format!("{name} discarded.")) {
            continue;
        }
        let Some(number) = device_number(&rate.path) else { continue };
        let (file, value) = match rate.kind.as_str() {
            "weight" => ("io.bfq.weight", format!("{number} {}", rate.rate)),
            kind => ("io.max", format!("{number} {kind}={}", rate.rate)),
        };
        let lines = cri.unified.entry(file.to_owned()).or_default();
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(&value);
    }
    result.dropped.dedup();
    result.warnings.dedup();
    if cri != LinuxContainerResources::default() {
        result.resources = Some(cri);
    }
    result
}

/// Docker's name of a limit on a device, and what a kernel needs for it.
fn rate_name(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "weight" => ("BlkioWeightDevice", "Block I/O weight_device"),
        "rbps" => ("BlkioDeviceReadBps", "BPS Block I/O read limit"),
        "wbps" => ("BlkioDeviceWriteBps", "BPS Block I/O write limit"),
        "riops" => ("BlkioDeviceReadIOps", "IOPS Block read limit"),
        _ => ("BlkioDeviceWriteIOps", "IOPS Block write limit"),
    }
}

/// `major:minor` of a device file; checked when the container is created.
fn device_number(path: &str) -> Option<String> {
    let device = std::fs::metadata(path).ok()?.rdev();
    Some(format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn applied_or_warned_about() {
        let asked =
            Resources { memory: 64 << 20, nano_cpus: 1_500_000_000, pids_limit: 10, ..Default::default() };
        let all = limits(&asked, &["cpu".into(), "memory".into(), "pids".into()]);
        let cri = all.resources.unwrap();
        assert_eq!((cri.memory_limit_in_bytes, cri.cpu_period, cri.cpu_quota), (64 << 20, 100_000, 150_000));
        assert!(all.warnings.is_empty());
        let none = limits(&asked, &[]);
        assert_eq!(none.resources, None);
        assert_eq!(none.dropped, ["Memory", "NanoCpus", "PidsLimit"]);
        assert!(none.warnings[0].starts_with("Your kernel does not support memory limit"));
    }
}
