//! Limits: what the host's cgroups can apply goes to CRI, the rest becomes a warning.

use crate::model::container::Resources;
use crate::proto::cri::LinuxContainerResources;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Limits that were asked for, sorted into applied and dropped ones.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Limits {
    /// Limits for CRI; `None`: nothing is limited.
    pub(super) resources: Option<LinuxContainerResources>,
    /// Warnings about dropped limits, in Docker's words.
    pub(super) warnings: Vec<String>,
    /// Dropped limits, by Docker's names.
    pub(super) dropped: Vec<String>,
}

/// Docker's period for `--cpus`.
const PERIOD: i64 = 100_000;

/// Docker's words for a limit that this kernel, or this user on it, cannot apply.
fn discarded(what: &str) -> String {
    format!("Your kernel does not support {what} or the cgroup is not mounted.")
}

/// Completes limits as Docker does: with memory limited and nothing said of swap, there may be as much of it again.
pub(super) fn complete(mut asked: Resources) -> Resources {
    if asked.memory > 0 && asked.memory_swap == 0 {
        asked.memory_swap = asked.memory.saturating_mul(2);
    }
    asked
}

/// Memory that runc's first process needs, in bytes.
const MINIMUM_MEMORY: i64 = 6 << 20;

/// Refuses limits that are out of this machine's range, in Docker's words.
pub(super) fn in_range(asked: &Resources, controllers: &[String]) -> Result<(), String> {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if asked.nano_cpus > i64::try_from(cpus).unwrap_or(i64::MAX).saturating_mul(1_000_000_000) {
        return Err(format!(
            "range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        ));
    }
    let Resources { memory, memory_swap: swap, memory_reservation: reservation, .. } = *asked;
    let memory_error = match () {
        () if memory > 0 && memory < MINIMUM_MEMORY => "Minimum memory limit allowed is 6MB",
        () if memory <= 0 && swap > 0 => {
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        }
        () if swap > 0 && swap < memory => {
            "Minimum memoryswap limit should be larger than memory limit, see usage"
        }
        () if memory > 0 && reservation > memory => {
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        }
        () if reservation > 0 && reservation < MINIMUM_MEMORY => "Minimum memory reservation allowed is 6MB",
        () => "",
    };
    if !memory_error.is_empty() {
        return Err(memory_error.to_owned());
    }
    for (what, list, file) in [
        ("CPUs", &asked.cpuset_cpus, "cpuset.cpus.effective"),
        ("memory nodes", &asked.cpuset_mems, "cpuset.mems.effective"),
    ] {
        let kind = what.strip_suffix(" nodes").map_or("cpus", |_| "mems");
        let wanted = numbers(list).ok_or_else(|| format!("Invalid value {list} for cpuset {kind}"))?;
        if !controllers.iter().any(|c| c == "cpuset") {
            continue;
        }
        let have = std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).unwrap_or_default();
        let have = have.trim();
        if let Some(all) = numbers(have).filter(|all| !all.is_empty())
            && !wanted.is_subset(&all)
        {
            return Err(format!("Requested {what} are not available - requested {list}, available: {have}"));
        }
    }
    Ok(())
}

/// Numbers of a list in the format of `cpuset(7)`, such as `0-2,5`; `None`: it is no such list.
fn numbers(list: &str) -> Option<BTreeSet<u32>> {
    let mut all = BTreeSet::new();
    for part in list.split(',').filter(|_| !list.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?);
        if first > last || last > 8192 {
            return None;
        }
        all.extend(first..=last);
    }
    Some(all)
}

/// Name of the kernel's file for shares of a disk: it depends on the disks' schedulers. `None`: there is none.
fn weight_file() -> Option<&'static str> {
    // The root cgroup has no such file, so our own is looked at, which is below it.
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|l| l.strip_prefix("0::"))?;
    let own = Path::new("/sys/fs/cgroup").join(own.trim_start_matches('/'));
    ["io.bfq.weight", "io.weight"].into_iter().find(|file| own.join(file).exists())
}

/// Docker's 10..1000 on the scale of the file, as runc has it: `io.weight` is 1..10000.
fn weight(file: &str, docker: u64) -> u64 {
    if file == "io.weight" { 1 + docker.saturating_sub(10) * 9_999 / 990 } else { docker }
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
    // Without the controller the first warning says it all.
    let said = asked.memory > 0 && !has("memory");
    if wanted(asked.memory_swap != 0 && !said, "memory", "MemorySwap", "swap limit capabilities", swap) {
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
    let weights = weight_file();
    let weighs = if weights.is_some() { "io" } else { "" };
    let shares = u64::try_from(asked.blkio_weight).unwrap_or(0);
    if wanted(shares != 0, weighs, "BlkioWeight", "Block I/O weight", "Weight discarded.")
        && let Some(file) = weights
    {
        cri.unified.insert(file.to_owned(), weight(file, shares).to_string());
    }
    for rate in &asked.blkio_rates {
        let (name, what) = rate_name(&rate.kind);
        let controller = if rate.kind == "weight" { weighs } else { "io" };
        if !wanted(true, controller, name, what, &format!("{name} discarded.")) {
            continue;
        }
        let Some(number) = device_number(&rate.path) else { continue };
        let (file, value) = match rate.kind.as_str() {
            "weight" => {
                let Some(file) = weights else { continue };
                (file, format!("{number} {}", weight(file, u64::try_from(rate.rate).unwrap_or(0))))
            }
            kind => ("io.max", format!("{number} {kind}={}", rate.rate)),
        };
        let lines = cri.unified.entry(file.to_owned()).or_default();
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(&value);
    }
    if said && asked.memory_swap != 0 {
        result.dropped.push("MemorySwap".to_owned());
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
        let swap = limits(&complete(Resources { memory: 64 << 20, ..Default::default() }), &[]);
        assert_eq!(
            (swap.dropped.as_slice(), swap.warnings.len()),
            (["Memory", "MemorySwap"].map(str::to_owned).as_slice(), 1)
        );
    }

    #[test]
    fn ranges() {
        assert_eq!(numbers("0-2,5"), Some(BTreeSet::from([0, 1, 2, 5])));
        assert_eq!(numbers(""), Some(BTreeSet::new()));
        for wrong in ["a", "2-1", "1,", "-", "0-99999999"] {
            assert_eq!(numbers(wrong), None, "{wrong}");
        }
        let asked = Resources { nano_cpus: i64::MAX, ..Default::default() };
        assert!(in_range(&asked, &[]).unwrap_err().starts_with("range of CPUs is from 0.01 to "));
        let memory = |memory, memory_swap, memory_reservation| {
            let asked = Resources { memory, memory_swap, memory_reservation, ..Default::default() };
            in_range(&asked, &[]).unwrap_err()
        };
        assert_eq!(memory(1 << 20, 0, 0), "Minimum memory limit allowed is 6MB");
        assert!(memory(0, 1 << 30, 0).starts_with("You should always set the Memory limit"));
        assert!(memory(8 << 20, 7 << 20, 0).starts_with("Minimum memoryswap limit"));
        assert!(memory(8 << 20, 0, 9 << 20).contains("reservation limit"));
        let asked = Resources { memory: 8 << 20, memory_swap: -1, ..Default::default() };
        assert_eq!(in_range(&asked, &[]), Ok(()));
        let asked = Resources { cpuset_cpus: "x".into(), ..Default::default() };
        assert_eq!(in_range(&asked, &[]).unwrap_err(), "Invalid value x for cpuset cpus");
    }

    #[test]
    fn shares_of_a_disk() {
        assert_eq!(
            ["io.weight", "io.bfq.weight"].map(|f| [weight(f, 10), weight(f, 1000)]),
            [[1, 10_000], [10, 1000]]
        );
    }
}
