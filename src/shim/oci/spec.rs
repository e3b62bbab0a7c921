//! The part of the OCI runtime specification that the stage does, read strictly: a field that is not here, a value that is
//! not understood, and the specification is runc's (`accept`). `null` and empty values are nobody's wish, as in Go.

use serde::de::{Deserialize, Deserializer};
use serde::{Deserialize as Read, Serialize};
use std::collections::BTreeMap;

/// `null` is the default.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(from: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// A struct whose fields may be absent or `null`, and which has no others.
macro_rules! strict {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Read)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        pub(in crate::shim) struct $name {
            $($(#[$field_meta])* #[serde(default, deserialize_with = "nullable")] pub(super) $field: $kind,)*
        }
    };
}

strict!(
    /// `config.json`
    Spec {
        oci_version: String,
        process: Process,
        root: Root,
        hostname: String,
        domainname: String,
        mounts: Vec<Mount>,
        annotations: BTreeMap<String, String>,
        linux: Linux,
        /// Accepted only when empty.
        hooks: Empty,
    }
);

strict!(
    /// An object without fields.
    Empty {}
);

strict!(Process {
    terminal: bool,
    console_size: Option<ConsoleSize>,
    user: User,
    args: Vec<String>,
    env: Vec<String>,
    cwd: String,
    capabilities: Option<Capabilities>,
    rlimits: Vec<Rlimit>,
    no_new_privileges: bool,
    oom_score_adj: Option<i32>,
    /// Accepted only when empty.
    apparmor_profile: String,
    /// Accepted only when empty.
    selinux_label: String,
});

strict!(ConsoleSize { height: u16, width: u16 });

strict!(User { uid: u32, gid: u32, umask: Option<u32>, additional_gids: Vec<u32>, });

strict!(Capabilities {
    bounding: Vec<String>,
    effective: Vec<String>,
    inheritable: Vec<String>,
    permitted: Vec<String>,
    ambient: Vec<String>,
});

strict!(Rlimit {
    #[serde(rename = "type")]
    kind: String,
    soft: u64,
    hard: u64,
});

strict!(Root { path: String, readonly: bool });

strict!(Mount {
    destination: String,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    options: Vec<String>,
});

strict!(Linux {
    namespaces: Vec<Namespace>,
    cgroups_path: String,
    sysctl: BTreeMap<String, String>,
    resources: Resources,
    seccomp: Option<Seccomp>,
    masked_paths: Vec<String>,
    readonly_paths: Vec<String>,
    devices: Vec<Device>,
    /// Accepted only when empty.
    mount_label: String,
    /// Accepted only when empty.
    rootfs_propagation: String,
});

strict!(Namespace {
    #[serde(rename = "type")]
    kind: String,
    path: String,
});

strict!(Device {
    path: String,
    #[serde(rename = "type")]
    kind: String,
    major: i64,
    minor: i64,
    file_mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
});

strict!(Resources {
    /// Rules for devices (`devices`), which nobody can apply in a user namespace; what is not bound there cannot be opened.
    devices: Vec<DeviceRule>,
    memory: Memory,
    cpu: Cpu,
    pids: Pids,
    unified: BTreeMap<String, String>,
});

strict!(DeviceRule {
    allow: bool,
    #[serde(rename = "type")]
    kind: String,
    major: Option<i64>,
    minor: Option<i64>,
    access: String,
});

strict!(Memory { limit: Option<i64>, reservation: Option<i64>, swap: Option<i64>, });

strict!(Cpu {
    shares: Option<u64>,
    quota: Option<i64>,
    period: Option<u64>,
    cpus: String,
    mems: String,
});

strict!(Pids { limit: Option<i64>, });

strict!(Seccomp {
    default_action: String,
    default_errno_ret: Option<u32>,
    architectures: Option<Vec<String>>,
    flags: Option<Vec<String>>,
    syscalls: Vec<SeccompCall>,
    /// Accepted only when empty.
    listener_path: String,
    /// Accepted only when empty.
    listener_metadata: String,
});

strict!(SeccompCall {
    names: Vec<String>,
    action: String,
    errno_ret: Option<u32>,
    args: Option<Vec<SeccompArg>>,
});

strict!(SeccompArg { index: u32, value: u64, value_two: Option<u64>, op: String, });
