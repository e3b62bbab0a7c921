//! Needs of a test on the host: one that is not met skips the test with a reason, or fails it under `K3C_TEST_REQUIRE`.

use nix::unistd::geteuid;
use std::path::{Path, PathBuf};

/// A thing that the host must have for a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// root's rights, to make users and mounts.
    Root,
    /// A daemon in the binary under test, with its bundle.
    Bundle,
    /// `ctr` and `buildctl` of the pinned modules.
    Tools,
    /// `cnitool` of the pinned modules.
    Cnitool,
    /// The validation programs for OCI runtimes.
    Validation,
    /// RootlessKit and its client, of the pinned module.
    Rootlesskit,
    /// `debootstrap`, and a Debian mirror or a cached root.
    Debian,
    /// Programs on PATH.
    Program(&'static str),
    /// All that an instance under a new ordinary user wants.
    Daemon,
}

/// Needs that [`Need::Daemon`] stands for.
const OF_A_DAEMON: [Need; 5] = [
    Need::Root,
    Need::Bundle,
    Need::Program("slirp4netns"),
    Need::Program("newuidmap"),
    Need::Program("setpriv"),
];

impl Need {
    /// The reason why it is not met; none if it is.
    pub(crate) fn unmet(self) -> Option<String> {
        match self {
            Self::Root => (!geteuid().is_root()).then(|| "needs root: it makes users and mounts".into()),
            Self::Bundle => {
                let have = std::env::var_os("K3C_TEST_BIN").is_some()
                    || std::env::var_os("K3C_BUNDLE_DIR").is_some();
                (!have).then(|| "needs a binary with its bundle inside: K3C_TEST_BIN (`make test`)".into())
            }
            Self::Tools => (!tool("ctr").exists())
                .then(|| "needs ctr and buildctl in images/out/tools (`make bundle`)".into()),
            Self::Cnitool => (!tool("cnitool").exists())
                .then(|| "needs cnitool in images/out/tools (`make bundle`)".into()),
            Self::Validation => (!tool("validation/inputs").exists())
                .then(|| "needs the programs in images/out/tools/validation (`make bundle`)".into()),
            Self::Rootlesskit => (!tool("rootlesskit/inputs").exists())
                .then(|| "needs the programs in images/out/tools/rootlesskit (`make bundle`)".into()),
            Self::Debian => Self::Program("debootstrap").unmet(),
            Self::Daemon => {
                let unmet: Vec<String> = OF_A_DAEMON.into_iter().filter_map(Self::unmet).collect();
                (!unmet.is_empty()).then(|| unmet.join("; "))
            }
            Self::Program(name) => (!on_path(name)).then(|| format!("needs {name}")),
        }
    }
}

/// Does a need that is not met fail the test?
pub(crate) fn required() -> bool {
    std::env::var_os("K3C_TEST_REQUIRE").is_some_and(|value| !value.is_empty() && value != "0")
}

fn on_path(name: &str) -> bool {
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .any(|dir| Path::new(dir).join(name).exists())
}

/// A real client, built from the pinned modules.
pub(crate) fn tool(name: &str) -> PathBuf {
    std::env::var_os("K3C_TEST_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("images/out/tools"), PathBuf::from)
        .join(name)
}

/// Opens to every user the devices that are everyone's on a desktop and root's alone on some test hosts.
pub(crate) fn open_devices() {
    use std::os::unix::fs::PermissionsExt;
    for device in ["/dev/net/tun", "/dev/fuse"] {
        let _ = std::fs::set_permissions(device, std::fs::Permissions::from_mode(0o666));
    }
}
