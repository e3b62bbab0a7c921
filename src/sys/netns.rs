//! Joining network namespaces that are bound at a path.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

/// Moves the calling thread into an opened namespace.
///
/// # Errors
/// setns(2).
pub fn enter(namespace: &File) -> io::Result<()> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
}

/// Runs `what` in a thread of its own that has joined the namespace at `path`.
///
/// # Errors
/// open(2), setns(2).
pub fn inside<T: Send + 'static>(path: &Path, what: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let file = File::open(path)?;
    std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        Ok(what())
    })
    .join()
    .map_err(|_| io::Error::other("the thread in the network namespace panicked"))?
}
