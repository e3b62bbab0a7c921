//! The first packet of each side: whether two processes of k3c understand each other.

use crate::model::holder::{Greeting, OtherVersion};
use crate::sys::packet;
use rustix::fd::AsFd;
use std::io;
use std::time::Duration;

/// Why two processes do not come to talk.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// The socket.
    #[error("the other side does not answer")]
    Socket(#[source] io::Error),
    /// The other side has ended.
    #[error("the other side has ended")]
    Gone,
    /// The other side's first packet was something else, as before there were greetings.
    #[error("the other side is of a version of k3c that does not say which")]
    Nameless,
    /// The other side speaks another protocol.
    #[error(transparent)]
    Version(#[from] OtherVersion),
}

/// Says which version this program is of.
///
/// # Errors
/// The other side has ended.
pub fn give(socket: impl AsFd) -> Result<(), GreetingError> {
    packet::write(socket, &Greeting::own()).map_err(|e| match e.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => GreetingError::Gone,
        _ => GreetingError::Socket(e),
    })
}

/// Takes the other side's greeting, which must be its next packet, and compares.
///
/// # Errors
/// See [`GreetingError`].
pub fn take(socket: impl AsFd) -> Result<(), GreetingError> {
    match packet::read::<Greeting>(socket) {
        Ok(Some(greeting)) => Ok(greeting.check()?),
        Ok(None) => Err(GreetingError::Gone),
        Err(e) if packet::is_foreign(&e) => Err(GreetingError::Nameless),
        Err(e) => Err(GreetingError::Socket(e)),
    }
}

/// Greets and is greeted. `within` limits the wait for a peer that may be stopped.
///
/// # Errors
/// See [`GreetingError`].
pub fn exchange(socket: impl AsFd, within: Option<Duration>) -> Result<(), GreetingError> {
    let socket = socket.as_fd();
    give(socket)?;
    packet::set_patience(socket, within).map_err(GreetingError::Socket)?;
    let taken = take(socket);
    packet::set_patience(socket, None).map_err(GreetingError::Socket)?;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_sides_compare() {
        let (ours, theirs) = packet::pair().unwrap();
        give(&theirs).unwrap();
        exchange(&ours, None).unwrap();
        take(&theirs).unwrap();
    }

    #[test]
    fn a_peer_of_another_version_is_refused_in_words() {
        for (first, words) in [
            (
                json!({"protocol": 99, "version": "7.1"}),
                "k3c 7.1 (version 99 of the holder's protocol) and k3c ",
            ),
            // Before there were greetings.
            (json!({"status": {"protocol": 1}}), "of a version of k3c that does not say which"),
            (json!({"hello": {"protocol": 1, "running": [], "exited": []}}), "that does not say which"),
            (json!("attach"), "that does not say which"),
        ] {
            let (ours, theirs) = packet::pair().unwrap();
            packet::write(&theirs, &first).unwrap();
            let refused = exchange(&ours, None).unwrap_err().to_string();
            assert!(refused.contains(words), "{first}: {refused}");
            // And told who we are.
            assert_eq!(packet::read::<Greeting>(&theirs).unwrap(), Some(Greeting::own()));
        }
    }

    #[test]
    fn a_peer_that_is_stopped_or_gone_keeps_nobody_waiting() {
        let (ours, theirs) = packet::pair().unwrap();
        let stopped = exchange(&ours, Some(Duration::from_millis(1)));
        assert!(matches!(stopped, Err(GreetingError::Socket(_))), "{stopped:?}");
        drop(theirs);
        assert!(matches!(exchange(&ours, None), Err(GreetingError::Gone)));
    }
}
