//! The address on which the daemon listens.

use super::ClientError;
use crate::config::{self, Dirs};
use crate::model::reason::Reason;
use std::fmt;
use std::path::{Path, PathBuf};

/// A unix socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    path: PathBuf,
    /// File for the output of a daemon that we start; `None`: the address was given, so there is nothing to start.
    own: Option<PathBuf>,
}

impl Address {
    /// The address of the flag, else of `K3C_ADDRESS`; `None`: neither is given.
    pub fn given(flag: Option<&str>) -> Option<Result<Self, ClientError>> {
        let environment = std::env::var(config::env::ADDRESS).ok();
        let text = flag.or(environment.as_deref()).filter(|text| !text.is_empty())?;
        Some(Self::parse(text))
    }

    /// The user's own socket.
    pub fn own(dirs: &Dirs) -> Self {
        Self { path: dirs.socket(), own: Some(dirs.daemon_log()) }
    }

    /// A given one: `unix:///path` or `/path`.
    pub fn parse(text: &str) -> Result<Self, ClientError> {
        let path = text.strip_prefix("unix://").unwrap_or(text);
        if !Path::new(path).is_absolute() {
            let why = format!("invalid address {text:?}: expected unix:///path or an absolute path");
            return Err(ClientError::new(Reason::InvalidArgument, why));
        }
        Ok(Self { path: path.into(), own: None })
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// File for the output of a daemon that we start detached; `None`: we may start none.
    pub(super) fn log(&self) -> Option<&Path> {
        self.own.as_deref()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unix://{}", self.path.display())
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn given_addresses() {
        for text in ["unix:///run/k3c/k3c.sock", "/run/k3c/k3c.sock"] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), "unix:///run/k3c/k3c.sock");
            assert_eq!(address.log(), None);
        }
        for text in ["tcp://1.2.3.4:5", "k3c.sock", "unix://x"] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.reason, Reason::InvalidArgument, "{text}");
        }
    }
}
