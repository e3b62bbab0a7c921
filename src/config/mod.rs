//! Where things are, and what the environment says.

pub mod env;

use std::path::PathBuf;

/// The directories of this user's instance.
#[derive(Clone, Debug)]
pub struct Dirs {
    /// Sockets; gone at logout.
    pub runtime: PathBuf,
    /// Images, containers, volumes.
    pub data: PathBuf,
    /// Logs of the daemon.
    pub state: PathBuf,
    /// Settings.
    pub config: PathBuf,
}

/// There is no place for our files.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Neither the environment nor the user database names a home.
    #[error("cannot find the home directory: set HOME")]
    NoHome,
}

impl Dirs {
    /// Root's, or the user's by the XDG rules.
    pub fn discover() -> Result<Self, ConfigError> {
        #[cfg(unix)]
        if nix::unistd::geteuid().is_root() {
            return Ok(Self {
                runtime: "/run/k3c".into(),
                data: "/var/lib/k3c".into(),
                state: "/var/log/k3c".into(),
                config: "/etc/k3c".into(),
            });
        }
        let base = directories::BaseDirs::new().ok_or(ConfigError::NoHome)?;
        let runtime = base.runtime_dir().map(std::path::Path::to_path_buf);
        let runtime = runtime.unwrap_or_else(std::env::temp_dir).join("k3c");
        let state = base.state_dir().unwrap_or_else(|| base.data_local_dir()).join("k3c");
        Ok(Self { runtime, data: base.data_dir().join("k3c"), state, config: base.config_dir().join("k3c") })
    }

    /// The one socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("k3c.sock")
    }

    /// What a daemon without a service manager says.
    pub fn daemon_log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }
}
