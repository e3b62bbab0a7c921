//! Processes: who they are, what they belong to, how they end.

use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::MetadataExt;
use std::{fs, io};

/// Field 22 of `/proc/PID/stat`: clock ticks after boot (proc_pid_stat(5)).
///
/// # Errors
/// No such process.
pub fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field may hold anything, parentheses and spaces included.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(19).and_then(|field| field.parse().ok()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat: unexpected form"))
    })
}

/// A zombie has ended but for its parent's knowledge.
pub fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(')').map(|(_, rest)| rest.trim_start().starts_with('Z')))
        .unwrap_or(true)
}

/// `/proc/sys/kernel/random/boot_id`
///
/// # Errors
/// No /proc.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The inode of a process's user namespace.
///
/// # Errors
/// No such process, or it is not ours to look at.
pub fn user_namespace(pid: i32) -> io::Result<u64> {
    Ok(fs::metadata(format!("/proc/{pid}/ns/user"))?.ino())
}

/// All processes for which `wanted` is true.
pub fn find(wanted: impl Fn(i32) -> bool) -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| wanted(*pid) && !is_zombie(*pid))
        .collect()
}

/// All process IDs in the cgroup `folder` and below.
pub fn in_cgroup(folder: &std::path::Path) -> Vec<i32> {
    let mut found: Vec<i32> = fs::read_to_string(folder.join("cgroup.procs"))
        .map(|text| text.lines().filter_map(|line| line.parse().ok()).collect())
        .unwrap_or_default();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(in_cgroup(&entry.path()));
        }
    }
    found
}

/// kill(2); a process that is gone is no error.
///
/// # Errors
/// Not ours to signal.
pub fn signal(pid: i32, signal: Signal) -> io::Result<()> {
    let Some(pid) = Pid::from_raw(pid) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a process ID"));
    };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Sends a signal by its number, also one without a name (real-time signals).
///
/// # Errors
/// kill(2).
#[expect(unsafe_code, reason = "kill(2) takes any number, the typed calls only names")]
pub fn kill_raw(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill(2) takes two integers and touches no memory of ours.
    match unsafe { libc::kill(pid, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_itself() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(start_time(me).unwrap() > 0);
        assert!(!is_zombie(me));
        assert_eq!(find(|pid| pid == me), vec![me]);
        assert!(user_namespace(me).unwrap() > 0);
    }
}
