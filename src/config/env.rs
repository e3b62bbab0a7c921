//! Every environment variable that k3c reads or sets.

/// Address of the API: a path of a unix socket, with or without `unix://`. Also the flag `--address`.
pub const ADDRESS: &str = "K3C_ADDRESS";
/// The daemon's configuration file. Also the flag `--config` of `k3c daemon`.
pub const CONFIG: &str = "K3C_CONFIG";
/// A folder with an unpacked bundle that is used instead of the embedded one (development).
pub const BUNDLE_DIR: &str = "K3C_BUNDLE_DIR";
/// Filter of the logs, in tracing's syntax, such as `debug` or `k3c::engine=trace`.
pub const LOG: &str = "K3C_LOG";
/// `never`: the command line does not start a daemon by itself.
pub const AUTOSTART: &str = "K3C_AUTOSTART";
/// Docker's: leaves the terminal as it is when a container has one (for who debugs terminals).
pub const NORAW: &str = "NORAW";
/// Stands in for `/proc/sys` when the preflight asks the kernel (tests of hosts that cannot be had).
pub const TEST_PROC_SYS: &str = "K3C_TEST_PROC_SYS";
/// A point of the CNI plugin's work at which it is killed (tests of what it leaves).
pub const TEST_CNI_DIES: &str = "K3C_TEST_CNI_DIES";

/// A file with the name of a point of the OCI stage's work, at which it stays to be killed (tests of what it leaves).
pub const TEST_OCI_STAYS: &str = "K3C_TEST_OCI_STAYS";

/// A file with the name of a point of the engine's work, at which it dies once (tests of what it leaves).
pub const TEST_ENGINE_DIES: &str = "K3C_TEST_ENGINE_DIES";

/// The user's folder for what does not outlive a session (XDG's).
pub const XDG_RUNTIME_DIR: &str = "XDG_RUNTIME_DIR";

/// The hidden stage of the engine, as the first argument.
pub const ENGINE_STAGE: &str = "__engine";

/// Set for the holder and its children: the inherited listening socket's descriptor.
pub const LISTEN_FD: &str = "K3C_LISTEN_FD";
/// Set for the holder and the engine: the descriptor of the socket to who started it.
pub const CONTROL_FD: &str = "K3C_CONTROL_FD";
/// Set for the holder and its children: the instance as JSON (`model::holder::Instance`).
pub const INSTANCE: &str = "K3C_INSTANCE";

/// Set for containerd, and so for the shims: their sockets and runc's states.
pub const SHIM_DIR: &str = "K3C_SHIM_DIR";
/// Who makes the daemon's containers ([`super::OciRuntime`]).
pub const OCI_RUNTIME: &str = "K3C_OCI_RUNTIME";
/// Set by containerd for shims of an older protocol.
pub const TTRPC_ADDRESS: &str = "TTRPC_ADDRESS";

/// RootlessKit's state directory, for tools that know it.
pub const ROOTLESSKIT_STATE_DIR: &str = "ROOTLESSKIT_STATE_DIR";
/// Ignored, with one warning.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// Ignored, with one warning.
pub const DOCKER_CONTEXT: &str = "DOCKER_CONTEXT";
/// Another file in the place of podman's `auth.json`: credentials are read there, too.
pub const REGISTRY_AUTH_FILE: &str = "REGISTRY_AUTH_FILE";
/// Docker's: the platform of images that are pulled or built, and of their containers, unless others are given.
pub const DOCKER_DEFAULT_PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";
/// Docker's directory of settings: credentials are read there.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// The time that a reproducible build gives to what it makes, in seconds since 1970; builds get it as an argument.
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// GitHub's: the address of the cache of a workflow's run, of the second version of its protocol, whether that is
/// spoken, and the token for both. Caches of `type=gha` get them.
pub const ACTIONS_CACHE_URL: &str = "ACTIONS_CACHE_URL";
/// See [`ACTIONS_CACHE_URL`].
pub const ACTIONS_RESULTS_URL: &str = "ACTIONS_RESULTS_URL";
/// See [`ACTIONS_CACHE_URL`].
pub const ACTIONS_CACHE_SERVICE_V2: &str = "ACTIONS_CACHE_SERVICE_V2";
/// See [`ACTIONS_CACHE_URL`].
pub const ACTIONS_RUNTIME_TOKEN: &str = "ACTIONS_RUNTIME_TOKEN";
/// Amazon's: keys that caches of `type=s3` get, unless others are given.
pub const AWS_ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
/// See [`AWS_ACCESS_KEY_ID`].
pub const AWS_SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
/// See [`AWS_ACCESS_KEY_ID`].
pub const AWS_SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
/// The user's home, for `~` in paths that no shell has looked at.
pub const HOME: &str = "HOME";
/// OpenSSH's: the socket of the user's agent, which builds may be given.
pub const SSH_AUTH_SOCK: &str = "SSH_AUTH_SOCK";
/// Address of the builder that builds, unless `--builder` is given; with options for TLS behind commas.
pub const BUILDER: &str = "K3C_BUILDER";
/// Docker's: the name of a builder. Ignored, with one warning.
pub const BUILDX_BUILDER: &str = "BUILDX_BUILDER";
/// BuildKit's: how progress is shown, if `--progress` is not given.
pub const BUILDKIT_PROGRESS: &str = "BUILDKIT_PROGRESS";
/// BuildKit's: colours of the progress on a terminal, such as `run=green:error=255,0,0`.
pub const BUILDKIT_COLORS: &str = "BUILDKIT_COLORS";
/// Everybody's: if it is there and not empty, nothing has a colour.
pub const NO_COLOR: &str = "NO_COLOR";
/// Everybody's: the kind of terminal. A `dumb` one is written to line by line.
pub const TERM: &str = "TERM";
/// Everybody's: the columns to use of a terminal that has as many, or does not say how many it has.
pub const COLUMNS: &str = "COLUMNS";
/// The same for lines.
pub const LINES: &str = "LINES";

/// Everybody's: the proxies between this machine and registries.
pub const PROXIES: [&str; 8] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];
