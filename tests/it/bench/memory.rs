//! Memory: of an instance at rest, of a pod, and what grows with the number of containers that have come and gone.

use super::Shell;
use crate::containers::DEMO;
use crate::env::TestEnv;
use crate::report;
use anyhow::{Result, ensure};
use std::fs;
use std::time::Duration;

/// Time after which an instance is at rest: its processes give memory back after five seconds without work, and threads
/// end after ten.
pub(super) const REST: Duration = Duration::from_secs(16);
/// Lifecycles before the first and the second look.
const FEW: usize = 50;
const MANY: usize = 1000;

/// A value of `/proc/PID/FILE`, in the file's own unit.
pub(super) fn value(pid: i32, file: &str, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with(key));
    lines.filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).sum()
}

/// Program and role of a process, by its command line.
fn name(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let name = words.first().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let role = words.get(1).filter(|word| !word.starts_with('-') && !word.contains('/')).unwrap_or(&"");
    format!("{name} {role}")
}

/// Memory of every process of the instance, with no container and no build running.
pub(super) fn idle(env: &TestEnv) -> Result<()> {
    std::thread::sleep(REST);
    report("idle                           RSS        PSS    private  threads");
    let mut sums = [0; 3];
    for (pid, line) in env.processes() {
        let [rss, pss, private] = ["Rss:", "Pss:", "Private_"].map(|key| value(pid, "smaps_rollup", key));
        let threads = value(pid, "status", "Threads:");
        let name = name(&line);
        report(&format!("  {name:24} {rss:7} KiB {pss:7} KiB {private:6} KiB {threads:4}"));
        sums.iter_mut().zip([rss, pss, private]).for_each(|(sum, value)| *sum += value);
    }
    let [rss, pss, private] = sums;
    report(&format!("  {:24} {rss:7} KiB {pss:7} KiB {private:6} KiB", "together"));
    Ok(())
}

/// Memory that a pod takes for itself: its shim, and the process that keeps its namespaces when there is one.
pub(super) fn per_pod(env: &TestEnv) -> Result<()> {
    let mut pods = 0;
    let mut sum = 0;
    for (pid, line) in env.processes() {
        let name = name(&line);
        let shim = name.starts_with("containerd-shim");
        if shim || name.starts_with("k3c-reaper") {
            pods += u64::from(shim);
            sum += value(pid, "smaps_rollup", "Private_");
        }
    }
    ensure!(pods > 0, "no pods");
    report(&format!("private memory per pod  {} KiB (of {pods})", sum / pods));
    Ok(())
}

/// What is at rest after a few and after many lifecycles.
pub(super) fn lifecycles(env: &TestEnv, shell: &mut Shell, k3c: &str) -> Result<()> {
    let mut done = 0;
    for number in [FEW, MANY] {
        let time = shell.time(&format!(
            "for i in $(seq {}); do {k3c} run --rm {DEMO} true || exit; done",
            number - done
        ))?;
        done = number;
        report(&format!("after {number} lifecycles, the last of them in {:.0} s:", time.as_secs_f64()));
        idle(env)?;
    }
    Ok(())
}
