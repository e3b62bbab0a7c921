//! A container's cgroup (v2): its folder and its limits, as files and what is written to them (kernel's cgroup-v2.rst).

use super::spec::{Memory, Resources};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";
/// The kernel's default period for processor time, in microseconds.
const PERIOD: u64 = 100_000;

/// The folder for a specification's `cgroupsPath`; `None` when it has none.
pub(super) fn folder(path: &str) -> Option<PathBuf> {
    (super::mounts::is_plain(path) && path != "/").then(|| Path::new(ROOT).join(path.trim_start_matches('/')))
}

/// Limits as files and their text. The error says what is not done here.
pub(in crate::shim) fn files(resources: &Resources) -> Result<Vec<(String, String)>, String> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut put = |file: &str, text: String| all.push((file.to_owned(), text));
    let cpu = &resources.cpu;
    match cpu.shares {
        None | Some(0) => {}
        Some(shares) => put("cpu.weight", weight(shares).to_string()),
    }
    let (quota, period) = (cpu.quota.unwrap_or(0), cpu.period.unwrap_or(0));
    if quota != 0 || period != 0 {
        let quota = if quota > 0 { quota.to_string() } else { "max".to_owned() };
        put("cpu.max", format!("{quota} {}", if period == 0 { PERIOD } else { period }));
    }
    memory(&resources.memory, &mut put)?;
    match resources.pids.limit {
        None => {}
        Some(0) => put("pids.max", "1".to_owned()),
        Some(limit) if limit > 0 => put("pids.max", limit.to_string()),
        Some(_) => put("pids.max", "max".to_owned()),
    }
    for (file, set) in [("cpuset.cpus", &cpu.cpus), ("cpuset.mems", &cpu.mems)] {
        if !set.is_empty() {
            put(file, set.clone());
        }
    }
    for (file, text) in &resources.unified {
        let plain = file.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'_' || b == b'-');
        // Processes and controllers are nobody's to set.
        if !plain || !file.contains('.') || file.starts_with('.') || file.starts_with("cgroup.") {
            return Err(format!("unified {file}"));
        }
        put(file, text.clone());
    }
    Ok(all)
}

fn memory(memory: &Memory, put: &mut impl FnMut(&str, String)) -> Result<(), String> {
    let text = |value: i64| if value == -1 { "max".to_owned() } else { value.to_string() };
    let (limit, swap) = (memory.limit.unwrap_or(0), memory.swap.unwrap_or(0));
    if [limit, swap, memory.reservation.unwrap_or(0)].iter().any(|value| *value < -1) {
        return Err("a negative limit".to_owned());
    }
    // Docker's is of both together, the kernel's of swap alone.
    match (limit, swap) {
        (-1, 0) | (_, -1) => put("memory.swap.max", "max".to_owned()),
        (_, 0) => {}
        (-1, swap) => put("memory.swap.max", swap.to_string()),
        (0, _) => return Err("unable to set swap limit without memory limit".to_owned()),
        (limit, swap) if swap < limit => return Err("memory+swap limit should be >= memory limit".to_owned()),
        (limit, swap) => put("memory.swap.max", (swap - limit).to_string()),
    }
    if limit != 0 {
        put("memory.max", text(limit));
    }
    match memory.reservation.unwrap_or(0) {
        0 => {}
        reservation => put("memory.low", text(reservation)),
    }
    Ok(())
}

/// Docker's shares (2 to 262144, usually 1024) on the scale of weights (1 to 10000, usually 100): a curve that meets both
/// ends and the usual values.
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            #[expect(clippy::cast_precision_loss, reason = "shares have 18 bits")]
            let l = (shares as f64).log2();
            let exponent = (l * l + 125.0 * l) / 612.0 - 7.0 / 34.0;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 1 and 10000"
            )]
            let weight = 10_f64.powf(exponent).ceil() as u64;
            weight
        }
    }
}

/// Writes limits into a cgroup.
pub(super) fn apply(folder: &Path, files: &[(String, String)]) -> io::Result<()> {
    for (file, text) in files {
        let path = folder.join(file);
        let written = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
        match written {
            // A kernel without swap has none to limit.
            Err(e)
                if e.kind() == io::ErrorKind::NotFound
                    && file == "memory.swap.max"
                    && (text == "max" || text == "0") => {}
            Err(error) => {
                let text = format!("cannot write {text:?} to {}: {error}", path.display());
                return Err(io::Error::new(error.kind(), text));
            }
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Makes a container's cgroup with its limits, and opens it. The folders above get every controller that there is.
pub(super) fn create(folder: &Path, files: &[(String, String)]) -> io::Result<OwnedFd> {
    let mut at = PathBuf::from(ROOT);
    let controllers = fs::read_to_string(at.join("cgroup.controllers"))?;
    let below = folder.strip_prefix(ROOT).map_err(io::Error::other)?;
    for part in below.iter() {
        for controller in controllers.split_whitespace() {
            // Those that cannot be had here are missed when a limit is written.
            let _ = fs::write(at.join("cgroup.subtree_control"), format!("+{controller}"));
        }
        at.push(part);
        if at == folder {
            // One that was left, with limits or rules of another container's, goes; one that is in use stays, and is told of.
            let _ = fs::remove_dir(&at);
            fs::create_dir(&at)?;
            break;
        }
        match fs::create_dir(&at) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    if fs::read_to_string(at.join("cgroup.type")).is_ok_and(|kind| kind.trim() != "domain") {
        return Err(io::Error::other("its cgroup is no domain"));
    }
    apply(&at, files)?;
    Ok(rustix::fs::open(&at, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn written(resources: Value) -> Result<String, String> {
        let resources: Resources = serde_json::from_value(resources).map_err(|e| e.to_string())?;
        let all = files(&resources)?;
        Ok(all.iter().map(|(file, text)| format!("{file}={text}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn limits_as_files() {
        for (resources, files) in [
            (json!({}), ""),
            (json!({"cpu": {"shares": 2}}), "cpu.weight=1"),
            (json!({"cpu": {"shares": 1024}}), "cpu.weight=100"),
            (json!({"cpu": {"shares": 262_144}}), "cpu.weight=10000"),
            (json!({"cpu": {"shares": 0, "quota": 50000, "period": 0}}), "cpu.max=50000 100000"),
            (json!({"cpu": {"quota": -1, "period": 5000}}), "cpu.max=max 5000"),
            (json!({"cpu": {"cpus": "0-1", "mems": "0"}}), "cpuset.cpus=0-1 cpuset.mems=0"),
            (json!({"memory": {"limit": 100, "swap": 150}}), "memory.swap.max=50 memory.max=100"),
            (json!({"memory": {"limit": 100, "swap": 100}}), "memory.swap.max=0 memory.max=100"),
            (json!({"memory": {"limit": 100, "swap": -1}}), "memory.swap.max=max memory.max=100"),
            (json!({"memory": {"limit": -1}}), "memory.swap.max=max memory.max=max"),
            (json!({"memory": {"reservation": 5}}), "memory.low=5"),
            (json!({"pids": {"limit": 0}}), "pids.max=1"),
            (json!({"pids": {"limit": -1}}), "pids.max=max"),
            (json!({"unified": {"memory.high": "5"}}), "memory.high=5"),
        ] {
            assert_eq!(written(resources.clone()).as_deref(), Ok(files), "{resources}");
        }
        for resources in [
            json!({"unified": {"cgroup.procs": "1"}}),
            json!({"unified": {"../memory.max": "1"}}),
            json!({"memory": {"swap": 5}}),
            json!({"memory": {"limit": 5, "swap": 4}}),
            json!({"memory": {"limit": -2}}),
            json!({"memory": {"swappiness": 4}}),
            json!({"cpu": {"realtimeRuntime": 4}}),
            json!({"rdma": {}}),
        ] {
            assert!(written(resources.clone()).is_err(), "{resources}");
        }
    }
}
