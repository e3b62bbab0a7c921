//! Limits: what the host's cgroups can apply goes to CRI, the rest becomes a warning.

use crate::model::container::Resources;
use crate::proto::cri::LinuxContainerResources;

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

pub(super) fn limits(asked: &Resources, controllers: &[String]) -> Limits {
    let has = |name: &str| controllers.iter().any(|c| c == name);
    let mut result = Limits::default();
    let mut cri = LinuxContainerResources::default();
    let mut drop_limit = |name: &str, warning: &str| {
        result.dropped.push(name.to_owned());
        result.warnings.push(warning.to_owned());
    };
    if asked.memory != 0 {
        if has("memory") {
            cri.memory_limit_in_bytes = asked.memory;
        } else {
            drop_limit(
                "Memory",
                "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.",
            );
        }
    }
    if asked.memory_swap != 0 {
        if has("memory") {
            cri.memory_swap_limit_in_bytes = asked.memory_swap;
        } else {
            drop_limit(
                "MemorySwap",
                "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
            );
        }
    }
    if asked.nano_cpus != 0 {
        if has("cpu") {
            cri.cpu_period = PERIOD;
            cri.cpu_quota = (asked.nano_cpus / 1_000).saturating_mul(PERIOD) / 1_000_000;
        } else {
            drop_limit(
                "NanoCpus",
                "Your kernel does not support CPU cfs quota or the cgroup is not mounted. Limitation discarded.",
            );
        }
    }
    if asked.cpu_shares != 0 {
        if has("cpu") {
            cri.cpu_shares = asked.cpu_shares;
        } else {
            drop_limit(
                "CpuShares",
                "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
            );
        }
    }
    if !asked.cpuset_cpus.is_empty() {
        if has("cpuset") {
            cri.cpuset_cpus = asked.cpuset_cpus.clone();
        } else {
            drop_limit(
                "CpusetCpus",
                "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
            );
        }
    }
    if asked.pids_limit > 0 {
        if has("pids") {
            cri.unified.insert("pids.max".to_owned(), asked.pids_limit.to_string());
        } else {
            drop_limit(
                "PidsLimit",
                "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.",
            );
        }
    }
    if cri != LinuxContainerResources::default() {
        result.resources = Some(cri);
    }
    result
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
