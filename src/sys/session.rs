//! A child in a session of its own.
#![expect(unsafe_code, reason = "the standard library has no safe way to call setsid in a child")]

use std::os::unix::process::CommandExt;
use std::process::Command;

/// Lets the child leave our session and so our terminal.
pub fn own(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec the closure calls setsid alone, which is async-signal-safe, and takes no memory:
    // an error is made of a number.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid().map(drop).map_err(|errno| std::io::Error::from_raw_os_error(errno as i32))
        })
    }
}
