//! A container's own cgroup (v2): its processes, freezing, ending, figures (kernel's cgroup-v2.rst).

use containerd_shim_protos::cgroups_v2::metrics::{
    CPUStat, IOEntry, IOStat, MemoryEvents, MemoryStat, Metrics, PidsStat,
};
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const ROOT: &str = "/sys/fs/cgroup";

/// `memory.events`, which is ready for priority reading whenever it has changed (kernel's cgroup-v2.rst).
#[derive(Debug)]
pub(super) struct OomWatch {
    file: AsyncFd<fs::File>,
    kills: u64,
}

impl OomWatch {
    /// Waits for the next kill, and answers how many there were so far. An error once the cgroup is gone.
    pub(super) async fn next(&mut self) -> io::Result<u64> {
        loop {
            // Reading it is what makes the kernel tell of the next change.
            let mut text = [0; 512];
            let length = self.file.get_ref().read_at(&mut text, 0)?;
            let kills = value(&String::from_utf8_lossy(&text[..length]), "oom_kill");
            if kills > self.kills {
                self.kills = kills;
                return Ok(kills);
            }
            self.file.ready(Interest::PRIORITY).await?.clear_ready();
        }
    }
}

/// A folder below the cgroup tree that is the container's alone.
#[derive(Clone, Debug)]
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// The cgroup of a container's first process; `None` when it is ours too, because the host has delegated none.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let own = name(Path::new("/proc/self/cgroup"))?;
        let its = name(Path::new(&format!("/proc/{pid}/cgroup")))?;
        let apart =
            its != own && its.len() > 1 && !its.contains("..") && !own.starts_with(&format!("{its}/"));
        apart.then(|| Self(Path::new(ROOT).join(its.trim_start_matches('/'))))
    }

    /// A cgroup by its folder.
    pub(super) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.0
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).unwrap_or_default()
    }

    /// IDs of all processes in it and below.
    pub(super) fn pids(&self) -> Vec<i32> {
        let mut folders = vec![self.0.clone()];
        let mut all = Vec::new();
        while let Some(folder) = folders.pop() {
            let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
            all.extend(text.lines().filter_map(|l| l.parse::<i32>().ok()));
            folders.extend(below(&folder));
        }
        all
    }

    /// Freezes or thaws, and waits until it is so.
    pub(super) async fn freeze(&self, frozen: bool) -> io::Result<()> {
        fs::write(self.0.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        let wanted = format!("frozen {}", u8::from(frozen));
        for _ in 0..500 {
            if self.read("cgroup.events").lines().any(|l| l == wanted) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the kernel did not freeze all of its processes"))
    }

    /// The number of its processes that the kernel killed for their memory.
    pub(super) fn oom_kills(&self) -> u64 {
        value(&self.read("memory.events"), "oom_kill")
    }

    /// A watch for kills of its processes by the kernel, for their memory.
    pub(super) fn watch_oom(&self) -> io::Result<OomWatch> {
        let file = fs::File::open(self.0.join("memory.events"))?;
        #[expect(
            deprecated,
            reason = "the sound way is an unsafe call; an owned descriptor in here cannot be closed early"
        )]
        let file = AsyncFd::with_interest(file, Interest::PRIORITY)?;
        Ok(OomWatch { file, kills: 0 })
    }

    /// Kills all of its processes and removes it.
    pub(super) async fn remove(&self) -> io::Result<()> {
        for round in 0..200_u64 {
            if !self.0.exists() {
                return Ok(());
            }
            if !self.pids().is_empty() && fs::write(self.0.join("cgroup.kill"), "1").is_err() {
                for pid in self.pids() {
                    let _ = nix::sys::signal::kill(
                        nix::unistd::Pid::from_raw(pid),
                        nix::sys::signal::Signal::SIGKILL,
                    );
                }
            }
            if remove_tree(&self.0).is_ok() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(round.min(20) + 1)).await;
        }
        remove_tree(&self.0)
    }

    /// Figures in containerd's form; those that no controller counts come from /proc.
    pub(super) fn metrics(&self) -> Metrics {
        let mut metrics = counted(&self.pids());
        let number = |file: &str| self.read(file).trim().parse::<u64>().ok();
        if let Some(current) = number("pids.current") {
            let limit = number("pids.max").unwrap_or(0);
            metrics.pids = Some(PidsStat { current, limit, ..Default::default() }).into();
        }
        let cpu = self.read("cpu.stat");
        metrics.cpu = Some(CPUStat {
            usage_usec: value(&cpu, "usage_usec"),
            user_usec: value(&cpu, "user_usec"),
            system_usec: value(&cpu, "system_usec"),
            nr_periods: value(&cpu, "nr_periods"),
            nr_throttled: value(&cpu, "nr_throttled"),
            throttled_usec: value(&cpu, "throttled_usec"),
            ..Default::default()
        })
        .into();
        if let Some(usage) = number("memory.current") {
            let memory = self.read("memory.stat");
            metrics.memory = Some(MemoryStat {
                anon: value(&memory, "anon"),
                file: value(&memory, "file"),
                inactive_file: value(&memory, "inactive_file"),
                active_file: value(&memory, "active_file"),
                inactive_anon: value(&memory, "inactive_anon"),
                active_anon: value(&memory, "active_anon"),
                pgfault: value(&memory, "pgfault"),
                pgmajfault: value(&memory, "pgmajfault"),
                usage,
                usage_limit: number("memory.max").unwrap_or(u64::MAX),
                swap_usage: number("memory.swap.current").unwrap_or(0),
                swap_limit: number("memory.swap.max").unwrap_or(u64::MAX),
                ..Default::default()
            })
            .into();
            let events = self.read("memory.events");
            metrics.memory_events = Some(MemoryEvents {
                low: value(&events, "low"),
                high: value(&events, "high"),
                max: value(&events, "max"),
                oom: value(&events, "oom"),
                oom_kill: value(&events, "oom_kill"),
                ..Default::default()
            })
            .into();
        }
        let usage = self.read("io.stat").lines().filter_map(io_entry).collect();
        metrics.io = Some(IOStat { usage, ..Default::default() }).into();
        metrics
    }
}

/// `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0`
fn io_entry(line: &str) -> Option<IOEntry> {
    let (device, rest) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let value = |key: &str| {
        rest.split(' ').find_map(|w| w.strip_prefix(key)?.strip_prefix('=')?.parse().ok()).unwrap_or(0)
    };
    Some(IOEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        rbytes: value("rbytes"),
        wbytes: value("wbytes"),
        rios: value("rios"),
        wios: value("wios"),
        ..Default::default()
    })
}

/// Figures of processes, as /proc has them (proc_pid_stat(5)), without what ended processes used.
pub(super) fn counted(pids: &[i32]) -> Metrics {
    let ticks = rustix::param::clock_ticks_per_second().max(1);
    let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
    let (mut used, mut pages, mut threads) = (0, 0, 0);
    for pid in pids {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // Counted from the field after the name, which is the third.
        let Some((_, rest)) = stat.rsplit_once(')') else { continue };
        let fields: Vec<u64> = rest.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
        let field = |n: usize| fields.get(n).copied().unwrap_or(0);
        used += field(11) + field(12);
        threads += field(17);
        pages += field(21);
    }
    let mut metrics = Metrics::new();
    metrics.cpu = Some(CPUStat { usage_usec: used * 1_000_000 / ticks, ..Default::default() }).into();
    metrics.memory = Some(MemoryStat { usage: pages * page, ..Default::default() }).into();
    metrics.pids = Some(PidsStat { current: threads, ..Default::default() }).into();
    metrics
}

fn value(text: &str, key: &str) -> u64 {
    text.lines().find_map(|l| l.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok()).unwrap_or(0)
}

fn name(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok()?.lines().find_map(|l| Some(l.strip_prefix("0::")?.to_owned()))
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for child in below(folder) {
        remove_tree(&child)?;
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_controllers() {
        let own = i32::try_from(std::process::id()).unwrap();
        let metrics = counted(&[own, 4_000_000]);
        assert!(metrics.memory.usage > 1 << 20 && metrics.pids.current >= 1);
    }

    #[test]
    fn figures() {
        assert_eq!(value("oom 1\noom_kill 2\n", "oom_kill"), 2);
        let entry = io_entry("8:16 rbytes=10 wbytes=20 rios=3 wios=4 dbytes=0 dios=0").unwrap();
        assert_eq!((entry.major, entry.minor, entry.wbytes, entry.wios), (8, 16, 20, 4));
    }
}
