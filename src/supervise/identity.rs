//! The identity of processes: a number alone may be another process's by the time that it is read from a file.

use crate::model::holder::ProcessIdentity;
use crate::sys::process;
use rustix::fd::OwnedFd;
use std::io;

/// The identity of the process that has this number now.
///
/// # Errors
/// No such process.
pub fn of(pid: i32) -> io::Result<ProcessIdentity> {
    Ok(ProcessIdentity { pid, start_time: process::start_time(pid)?, boot_id: process::boot_id()? })
}

/// The caller's own identity.
///
/// # Errors
/// No /proc.
pub fn own() -> io::Result<ProcessIdentity> {
    of(i32::try_from(std::process::id()).map_err(io::Error::other)?)
}

/// Pins exactly this process ([`process::pin`]); `None` when it has ended, whoever has its number now.
///
/// # Errors
/// pidfd_open(2), no /proc.
pub fn pin(identity: &ProcessIdentity) -> io::Result<Option<OwnedFd>> {
    if process::boot_id()? != identity.boot_id {
        return Ok(None);
    }
    // Pinned first, compared then: what is compared cannot be replaced any more.
    let pinned = process::pin(identity.pid)?;
    Ok(pinned.filter(|_| process::start_time(identity.pid).is_ok_and(|time| time == identity.start_time)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_at_another_time_is_another_process() {
        let own = own().unwrap();
        assert!(pin(&own).unwrap().is_some());
        let later = ProcessIdentity { start_time: own.start_time + 1, ..own.clone() };
        let other_boot = ProcessIdentity { boot_id: "another".into(), ..own.clone() };
        let nobody = ProcessIdentity { pid: i32::MAX, ..own };
        for not_ours in [later, other_boot, nobody] {
            assert!(pin(&not_ours).unwrap().is_none(), "{not_ours:?}");
        }
    }
}
