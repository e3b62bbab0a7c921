//! Work that goes on when the process has answered and ended.
// UNSAFETY: fork(2).
#![expect(unsafe_code, reason = "a child that goes on with the program's own state is a fork")]

use nix::unistd::{ForkResult, fork};
use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout};
use std::fs::File;
use std::io;

/// Runs `what` in a child that has none of the standard streams, so that who waits for their end need not wait for it.
/// To be called by a process of one thread that is about to end.
///
/// # Errors
/// fork(2).
pub fn run(what: impl FnOnce()) -> io::Result<()> {
    // SAFETY: the caller has one thread, so that no lock is held by one that the child does not have.
    match unsafe { fork() }? {
        ForkResult::Parent { .. } => Ok(()),
        ForkResult::Child => {
            if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
                let _ = dup2_stdin(&null);
                let _ = dup2_stdout(&null);
                let _ = dup2_stderr(&null);
            }
            what();
            // SAFETY: ends the process at once, as a child that shares its parent's buffers must.
            unsafe { libc::_exit(0) }
        }
    }
}
