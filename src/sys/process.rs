//! Processes: their identity, their namespaces and cgroups, signals.

use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};
use std::os::unix::fs::MetadataExt;
use std::{fs, io};

/// Field 22 of `/proc/PID/stat`: clock ticks after boot (proc_pid_stat(5)).
///
/// # Errors
/// No such process.
pub fn start_time(pid: i32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field may hold anything, parentheses and spaces included.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().nth(19).and_then(|field| field.parse().ok()).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat: unexpected form"))
    })
}

/// Whether a process has ended and only its parent has not asked for its exit code yet, or there is none.
pub fn is_zombie(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| stat.rsplit_once(')').map(|(_, fields)| fields.trim_start().starts_with('Z')))
        .unwrap_or(true)
}

/// `/proc/sys/kernel/random/boot_id`
///
/// # Errors
/// No /proc.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Whether this process is in a user namespace that is not the first one of the machine.
pub fn in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The inode of a process's user namespace.
///
/// # Errors
/// No such process, or it is not ours to look at.
pub fn user_namespace(pid: i32) -> io::Result<u64> {
    Ok(fs::metadata(format!("/proc/{pid}/ns/user"))?.ino())
}

/// The IDs of all processes for which `wanted` is true; zombies are none.
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
    let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a process ID"));
    };
    match kill_process(pid, signal) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Pins the process that has this number now: the descriptor never comes to mean another one. It is readable once the
/// process has ended. `None` when there is no such process.
///
/// # Errors
/// pidfd_open(2).
pub fn pin(pid: i32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = (pid > 0).then(|| Pid::from_raw(pid)).flatten() else { return Ok(None) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// Sends a signal to a pinned process.
///
/// # Errors
/// pidfd_send_signal(2): also when the process has ended.
pub fn signal_pinned(process: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    Ok(pidfd_send_signal(process, signal)?)
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

    #[test]
    fn a_number_without_a_process_cannot_be_pinned() {
        assert!(pin(i32::try_from(std::process::id()).unwrap()).unwrap().is_some());
        for nobody in [i32::MAX, 0, -1] {
            assert!(pin(nobody).unwrap().is_none(), "{nobody}");
        }
    }
}
