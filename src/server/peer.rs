//! The gate: users that may connect.
//!
//! The directory's mode is the guard. In a user namespace the peer's ID is looked at, too: uid 0 is the user, and
//! everybody else is `nobody` or an ID of the user's containers. As root the socket's owner, group and mode have
//! decided before a connection comes here.

use tokio::net::UnixStream;

/// The rule for this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Only root may connect, which in a user namespace is the user.
    OnlyRoot,
    /// Everybody may connect who could open the socket.
    ByMode,
}

impl Gate {
    /// The rule by the namespace that we are in; the stricter one if that cannot be told.
    pub(super) fn of_this_process() -> Self {
        std::fs::read_to_string("/proc/self/uid_map").map_or(Self::OnlyRoot, |map| Self::of(&map))
    }

    /// The rule for a process with this map: the initial namespace maps every ID to itself.
    fn of(uid_map: &str) -> Self {
        let whole = ["0", "0", "4294967295"];
        if uid_map.split_whitespace().eq(whole) { Self::ByMode } else { Self::OnlyRoot }
    }

    /// Refuses a connection that may not be, in words.
    pub(super) fn admit(self, stream: &UnixStream) -> Result<(), String> {
        let peer = stream.peer_cred().map_err(|error| format!("cannot tell who connects: {error}"))?;
        self.admit_uid(peer.uid())
    }

    fn admit_uid(self, uid: u32) -> Result<(), String> {
        match self {
            Self::ByMode => Ok(()),
            Self::OnlyRoot if uid == 0 => Ok(()),
            Self::OnlyRoot => Err(format!("uid {uid} is not the owner of this daemon")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_user_namespace_only_its_root() {
        let initial = Gate::of("         0          0 4294967295\n");
        assert_eq!(initial, Gate::ByMode);
        assert!(initial.admit_uid(1000).is_ok());
        let rootless = Gate::of("0 1000 1\n1 100000 65536\n");
        assert_eq!(rootless, Gate::OnlyRoot);
        assert!(rootless.admit_uid(0).is_ok());
        assert!(rootless.admit_uid(65534).is_err());
        assert!(rootless.admit_uid(1).is_err());
    }
}
