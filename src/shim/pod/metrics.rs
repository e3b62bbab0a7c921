//! Figures of a pod: those of its cgroup, or of all of its containers together.

use containerd_shim_protos::cgroups_v2::metrics::{CPUStat, MemoryStat, Metrics, PidsStat};

/// Figures of several cgroups as one's.
pub(in crate::shim) fn sum(all: &[Metrics]) -> Metrics {
    let total = |of: fn(&Metrics) -> u64| all.iter().map(of).fold(0, u64::saturating_add);
    let mut metrics = Metrics::new();
    metrics.cpu = Some(CPUStat {
        usage_usec: total(|m| m.cpu.usage_usec),
        user_usec: total(|m| m.cpu.user_usec),
        system_usec: total(|m| m.cpu.system_usec),
        ..Default::default()
    })
    .into();
    metrics.memory = Some(MemoryStat {
        usage: total(|m| m.memory.usage),
        anon: total(|m| m.memory.anon),
        file: total(|m| m.memory.file),
        inactive_file: total(|m| m.memory.inactive_file),
        active_file: total(|m| m.memory.active_file),
        inactive_anon: total(|m| m.memory.inactive_anon),
        active_anon: total(|m| m.memory.active_anon),
        pgfault: total(|m| m.memory.pgfault),
        pgmajfault: total(|m| m.memory.pgmajfault),
        swap_usage: total(|m| m.memory.swap_usage),
        // No limit is the pod's.
        usage_limit: u64::MAX,
        swap_limit: u64::MAX,
        ..Default::default()
    })
    .into();
    metrics.pids = Some(PidsStat { current: total(|m| m.pids.current), ..Default::default() }).into();
    metrics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_added() {
        let one = |usage| {
            let mut metrics = Metrics::new();
            metrics.memory = Some(MemoryStat { usage, ..Default::default() }).into();
            metrics.pids = Some(PidsStat { current: 2, ..Default::default() }).into();
            metrics
        };
        let all = sum(&[one(5), one(7), Metrics::new()]);
        assert_eq!((all.memory.usage, all.pids.current, all.cpu.usage_usec), (12, 4, 0));
        assert_eq!(sum(&[]).memory.usage, 0);
    }
}
