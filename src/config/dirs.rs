//! Every path.

use super::ConfigError;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The directories of one instance: one user's, or root's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirs {
    /// Sockets and what does not outlive a boot: `$XDG_RUNTIME_DIR/k3c` or `/run/k3c`.
    pub runtime: PathBuf,
    /// Records, images, volumes: `$XDG_DATA_HOME/k3c` or `/var/lib/k3c`.
    pub data: PathBuf,
    /// Logs of the daemon and its children: `$XDG_STATE_HOME/k3c` or `/var/log/k3c`.
    pub state: PathBuf,
    /// Configuration: `$XDG_CONFIG_HOME/k3c` or `/etc/k3c`.
    pub config: PathBuf,
}

impl Dirs {
    /// The caller's: root's for root, else by XDG.
    ///
    /// # Errors
    /// No home, or no `XDG_RUNTIME_DIR` on Linux.
    pub fn discover() -> Result<Self, ConfigError> {
        if crate::sys::user::is_root() {
            return Ok(Self::of_root());
        }
        let base = directories::ProjectDirs::from("", "", "k3c").ok_or(ConfigError::NoHome)?;
        let runtime = match base.runtime_dir() {
            Some(dir) => dir.to_path_buf(),
            None if cfg!(target_os = "linux") => return Err(ConfigError::NoRuntimeDir),
            None => base.data_local_dir().join("run"),
        };
        Ok(Self {
            runtime,
            data: base.data_dir().to_path_buf(),
            state: base.state_dir().map_or_else(|| base.data_local_dir().join("log"), Path::to_path_buf),
            config: base.config_dir().to_path_buf(),
        })
    }

    /// Root's, as in the file system hierarchy standard.
    pub fn of_root() -> Self {
        Self {
            runtime: "/run/k3c".into(),
            data: "/var/lib/k3c".into(),
            state: "/var/log/k3c".into(),
            config: "/etc/k3c".into(),
        }
    }

    /// The one socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("k3c.sock")
    }

    /// Lock that is held while a daemon of this runtime directory lives; its text names the daemon.
    pub fn lock(&self) -> PathBuf {
        self.runtime.join("daemon.lock")
    }

    /// Lock that the holder holds while it uses the data directory (one home may be on two hosts).
    pub fn data_lock(&self) -> PathBuf {
        self.data.join("data.lock")
    }

    /// Through which a new daemon takes a running holder over.
    pub fn holder_socket(&self) -> PathBuf {
        self.runtime.join("holder.sock")
    }

    /// A RootlessKit state directory: `netns`, `child_pid`, `api.sock`.
    pub fn rootlesskit(&self) -> PathBuf {
        self.runtime.join("rootlesskit")
    }

    /// The detached network namespace, bound (inside the holder's mount namespace only).
    pub fn netns(&self) -> PathBuf {
        self.rootlesskit().join("netns")
    }

    /// containerd's state (sockets of shims, mounts).
    pub fn containerd_state(&self) -> PathBuf {
        self.runtime.join("containerd")
    }

    /// Sockets of shims, states of runc.
    pub fn shims(&self) -> PathBuf {
        self.runtime.join("shim")
    }

    /// containerd's API, inside.
    pub fn containerd_socket(&self) -> PathBuf {
        self.containerd_state().join("containerd.sock")
    }

    /// containerd's content, snapshots and metadata.
    pub fn containerd_root(&self) -> PathBuf {
        self.data.join("containerd")
    }

    /// containerd's content: blobs by their digests.
    pub fn containerd_content(&self) -> PathBuf {
        self.containerd_root().join("io.containerd.content.v1.content")
    }

    /// buildkitd's API, in a directory of mode 0700 that exists only inside.
    pub fn buildkit_socket(&self) -> PathBuf {
        self.private().join("buildkit").join("buildkitd.sock")
    }

    /// The differ's socket, in a directory of mode 0700 that exists only inside.
    pub fn differ_socket(&self) -> PathBuf {
        self.private().join("differ").join("differ.sock")
    }

    /// buildkitd's cache.
    pub fn buildkit_root(&self) -> PathBuf {
        self.data.join("buildkit")
    }

    /// A tmpfs inside the holder's mount namespace: the host's trees bound aside, private sockets.
    pub fn private(&self) -> PathBuf {
        self.runtime.join("private")
    }

    /// The host's tree of `name` (`run`, `var/lib`), as the host has it, inside.
    pub fn host_tree(&self, name: &str) -> PathBuf {
        self.private().join("host").join(name)
    }

    /// Rendered configurations.
    pub fn rendered(&self) -> PathBuf {
        self.runtime.join("etc")
    }

    /// The children's temporary files: sockets and mount points, gone with the daemon also when a child was killed.
    pub fn temporary(&self) -> PathBuf {
        self.runtime.join("tmp")
    }

    /// CNI configurations; containerd reads this folder.
    pub fn cni(&self) -> PathBuf {
        self.rendered().join("network")
    }

    /// The folder that containerd read before the plugin was our own. One that still runs goes on with it, and with the
    /// plugins beside it.
    pub fn cni_before(&self) -> PathBuf {
        self.rendered().join("cni")
    }

    /// The one file in it, which buildkitd reads too.
    pub fn cni_list(&self) -> PathBuf {
        self.cni().join("10-k3c.conflist")
    }

    /// What the CNI plugin keeps: its lock.
    pub fn cni_state(&self) -> PathBuf {
        self.runtime.join("cni")
    }

    /// Unpacked bundles.
    pub fn bundles(&self) -> PathBuf {
        self.data.join("bundle")
    }

    /// Folder for bundles when the data directory does not allow execution.
    pub fn bundles_fallback(&self) -> PathBuf {
        self.runtime.join("bundle")
    }

    /// The daemon's own log, when it was started in the background.
    pub fn daemon_log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }

    /// The names of containers, for the name server, and the socket at which it is told of news.
    pub fn names(&self) -> (PathBuf, PathBuf) {
        (self.runtime.join("names.json"), self.runtime.join("names.sock"))
    }

    /// A child's log.
    pub fn child_log(&self, name: &str) -> PathBuf {
        self.state.join(format!("{name}.log"))
    }

    /// The user's settings of registries (mirrors, certificates): a folder for each host, with a `hosts.toml` in
    /// containerd's form or certificates in Docker's. It need not exist.
    pub fn registries(&self) -> PathBuf {
        self.config.join("certs.d")
    }

    /// The daemon's configuration.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_places_are_the_systems() {
        let dirs = Dirs::of_root();
        assert_eq!(dirs.socket(), Path::new("/run/k3c/k3c.sock"));
        assert_eq!(dirs.netns(), Path::new("/run/k3c/rootlesskit/netns"));
        assert_eq!(dirs.bundles(), Path::new("/var/lib/k3c/bundle"));
    }
}
