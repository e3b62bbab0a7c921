//! The question whose a specification is: the stage's, or runc's. In doubt it is runc's.

use super::devices::Rules;
use super::mounts::{Kind, Plan, is_plain};
use super::process;
use super::seccomp::{Filter, Kept};
use super::spec::{Capabilities, Process, Spec};
use crate::model::capability;
use crate::shim::adapt::Host;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

/// A specification that the stage does wholly.
#[derive(Debug)]
pub(in crate::shim) struct Accepted {
    /// Without the profile.
    pub(super) spec: Spec,
    /// The profile as a program.
    pub(super) filter: Option<Filter>,
}

/// Reads a specification that the stage does wholly. The error says why it is runc's.
pub(super) fn specification(spec: &Value, host: &Host, kept: &Kept) -> Result<Accepted, String> {
    let refuse = |what: &str| Err(what.to_owned());
    let mut spec: Spec = Spec::deserialize_from(spec)?;
    let profile = spec.linux.seccomp.take();
    let linux = &spec.linux;
    for (text, what) in
        [(&linux.mount_label, "a label for mounts"), (&linux.rootfs_propagation, "propagation of the root")]
    {
        if !text.is_empty() {
            return refuse(what);
        }
    }
    process(&spec.process)?;
    let kinds = namespaces(&spec)?;
    if spec.root.path.is_empty() || spec.root.path.contains('\0') {
        return refuse("no root");
    }
    let named = !spec.hostname.is_empty() || !spec.domainname.is_empty();
    if named && !kinds.contains(&"uts") {
        return refuse("a host name for the host");
    }
    let plans: Vec<Plan> = spec.mounts.iter().map(Plan::new).collect::<Result<_, _>>()?;
    if !plans.iter().any(|plan| plan.kind == Kind::Tmpfs && plan.target == "/dev") {
        return refuse("no /dev of its own");
    }
    if !plans.iter().any(|plan| plan.target == "/proc") {
        return refuse("no /proc");
    }
    for plan in &plans {
        let own = match plan.kind {
            Kind::Proc => "pid",
            Kind::Sysfs => "network",
            Kind::Mqueue => "ipc",
            Kind::Cgroup => "cgroup",
            Kind::Bind { .. } | Kind::Tmpfs | Kind::Devpts => continue,
        };
        // Only root can mount what the host's namespaces show.
        if host.rootless && !kinds.contains(&own) {
            return Err(format!("{} of the host's namespace", plan.target));
        }
    }
    for key in linux.sysctl.keys() {
        sysctl(key, &kinds)?;
    }
    for path in linux.masked_paths.iter().chain(&linux.readonly_paths) {
        if !is_plain(path) || path == "/" {
            return Err(format!("path {path}"));
        }
    }
    for device in &linux.devices {
        if !is_plain(&device.path) || !device.path.starts_with("/dev/") {
            return Err(format!("device {}", device.path));
        }
        if !host.rootless {
            super::root::node(device)?;
            continue;
        }
        // The host's own node is bound.
        let found = std::fs::symlink_metadata(&device.path).map_err(|e| format!("{}: {e}", device.path))?;
        let (major, minor) = (libc::major(found.rdev()), libc::minor(found.rdev()));
        let kind = match device.kind.as_str() {
            "c" | "u" => found.file_type().is_char_device(),
            "b" => found.file_type().is_block_device(),
            _ => false,
        };
        let same = i64::from(major) == device.major && i64::from(minor) == device.minor;
        if !kind || !same {
            return Err(format!("device {}", device.path));
        }
    }
    match (host.cgroups, linux.cgroups_path.as_str()) {
        (true, path) if is_plain(path) && path != "/" => {}
        // Root's rules for devices need a cgroup.
        (false, "") if host.rootless => {}
        (_, path) => return Err(format!("cgroup {path:?}")),
    }
    super::cgroup::files(&linux.resources)?;
    if !host.rootless {
        Rules::new(&linux.resources.devices, &linux.devices)?;
    }
    let filter = match profile {
        Some(profile) if !profile.listener_path.is_empty() || !profile.listener_metadata.is_empty() => {
            return refuse("seccomp: a listener");
        }
        Some(profile) => kept.compile(profile)?,
        None => None,
    };
    Ok(Accepted { spec, filter })
}

/// Reads a process that the stage adds. The error says why it cannot.
pub(super) fn added(value: &Value) -> Result<Process, String> {
    let made: Process = serde::Deserialize::deserialize(value).map_err(|e| e.to_string())?;
    process(&made)?;
    Ok(made)
}

impl Spec {
    fn deserialize_from(value: &Value) -> Result<Self, String> {
        serde::Deserialize::deserialize(value).map_err(|e| e.to_string())
    }
}

fn process(made: &Process) -> Result<(), String> {
    let refuse = |what: &str| Err(what.to_owned());
    if !made.apparmor_profile.is_empty() || !made.selinux_label.is_empty() {
        return refuse("a label for its process");
    }
    if made.args.is_empty() || made.args[0].is_empty() || !made.cwd.starts_with('/') {
        return refuse("no program or no folder for it");
    }
    let texts = made.args.iter().chain(&made.env).chain([&made.cwd]);
    if texts.into_iter().any(|text| text.contains('\0')) {
        return refuse("a zero byte");
    }
    if made.env.iter().any(|entry| entry.find('=').is_none_or(|at| at == 0)) {
        return refuse("a variable without name");
    }
    let Some(sets) = &made.capabilities else { return refuse("no capabilities") };
    let Capabilities { bounding, effective, inheritable, permitted, ambient } = sets;
    for name in [bounding, effective, inheritable, permitted, ambient].into_iter().flatten() {
        if !name.strip_prefix("CAP_").is_some_and(|name| capability::NAMES.contains(&name)) {
            return Err(format!("capability {name}"));
        }
    }
    let mut seen: Vec<&str> = Vec::new();
    for limit in &made.rlimits {
        if process::resource(&limit.kind).is_none() || seen.contains(&limit.kind.as_str()) {
            return Err(format!("limit {}", limit.kind));
        }
        seen.push(&limit.kind);
    }
    Ok(())
}

/// The kinds of namespaces that the container has: new ones and joined ones.
fn namespaces(spec: &Spec) -> Result<Vec<&str>, String> {
    let mut paths: BTreeMap<&str, &str> = BTreeMap::new();
    for namespace in &spec.linux.namespaces {
        let (kind, path) = (namespace.kind.as_str(), namespace.path.as_str());
        let possible = match kind {
            "mount" | "cgroup" => path.is_empty(),
            "network" | "pid" | "ipc" | "uts" => path.is_empty() || path.starts_with('/'),
            _ => false,
        };
        if !possible || paths.insert(kind, path).is_some() {
            return Err(format!("namespace {kind} {path}"));
        }
    }
    if !paths.contains_key("mount") {
        return Err("no mount namespace".to_owned());
    }
    Ok(paths.into_keys().collect())
}

/// Settings that belong to a namespace of the container's.
fn sysctl(key: &str, kinds: &[&str]) -> Result<(), String> {
    const IPC: [&str; 8] =
        ["msgmax", "msgmnb", "msgmni", "sem", "shmall", "shmmax", "shmmni", "shm_rmid_forced"];
    let plain = key.split('.').all(|part| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    });
    let ipc =
        key.starts_with("fs.mqueue.") || key.strip_prefix("kernel.").is_some_and(|name| IPC.contains(&name));
    let own = key.starts_with("net.") && kinds.contains(&"network") || ipc && kinds.contains(&"ipc");
    if plain && own { Ok(()) } else { Err(format!("sysctl {key}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain() -> Value {
        json!({
            "ociVersion": "1.3.0",
            "process": {
                "user": {"uid": 1, "gid": 1, "umask": 18, "additionalGids": [2]}, "args": ["sh"], "cwd": "/",
                "env": ["A=1"], "noNewPrivileges": true, "oomScoreAdj": 5, "apparmorProfile": "",
                "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}], "consoleSize": {"height": 1, "width": 2},
                "capabilities": {"bounding": ["CAP_KILL"], "effective": null},
            },
            "root": {"path": "rootfs", "readonly": true},
            "hostname": "h",
            "mounts": [
                {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid"]},
                {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
                {"destination": "/data", "type": "bind", "source": "/d", "options": ["rbind", "rprivate"]},
            ],
            "annotations": {"a": "b"},
            "hooks": null,
            "linux": {
                "cgroupsPath": "/k8s.io/x", "sysctl": {"net.core.somaxconn": "1", "kernel.sem": "1 1 1 1"},
                "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc", "path": "/proc/1/ns/ipc"},
                    {"type": "uts"}, {"type": "network", "path": "/run/n"}, {"type": "cgroup"}],
                "maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"],
                "devices": [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438}],
                "resources": {"devices": [{"allow": false, "access": "rwm"}], "cpu": {"shares": 2},
                    "memory": {"limit": 5}, "pids": {"limit": 5}},
                "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "architectures": [],
                    "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [
                        {"index": 0, "op": "SCMP_CMP_EQ", "value": 1, "valueTwo": 0}]}]},
            },
        })
    }

    fn specification(spec: &Value, host: &Host) -> Result<Accepted, String> {
        super::specification(spec, host, &Kept::default())
    }

    #[test]
    fn a_program_is_made_once_and_arrives_as_it_was_made() {
        let kept = Kept::default();
        let first = super::specification(&plain(), &host(), &kept).unwrap().filter.unwrap();
        let second = super::specification(&plain(), &host(), &kept).unwrap().filter.unwrap();
        assert_eq!(first, second);
        let mut other = plain();
        other["linux"]["seccomp"]["syscalls"][0]["names"] = json!(["write"]);
        let other = super::specification(&other, &host(), &kept).unwrap().filter.unwrap();
        assert_ne!(first, other);
        let sent = serde_json::to_string(&first).unwrap();
        assert_eq!(serde_json::from_str::<Filter>(&sent).unwrap(), first);
    }

    fn host() -> Host {
        Host { rootless: true, cgroups: true, ..Host::default() }
    }

    /// All places where an object is.
    fn objects(value: &Value, at: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(map) => {
                found.push(at.to_owned());
                for (key, value) in map {
                    objects(value, &format!("{at}/{key}"), found);
                }
            }
            Value::Array(all) => {
                for (index, value) in all.iter().enumerate() {
                    objects(value, &format!("{at}/{index}"), found);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn an_unknown_field_anywhere_is_runcs() {
        specification(&plain(), &host()).unwrap();
        let mut places = Vec::new();
        objects(&plain(), "", &mut places);
        let free = ["/annotations", "/linux/sysctl"];
        let places: Vec<_> = places.into_iter().filter(|place| !free.contains(&place.as_str())).collect();
        assert!(places.len() > 25, "{places:?}");
        for place in places {
            let mut spec = plain();
            spec.pointer_mut(&place).unwrap()["unheardOf"] = json!("");
            assert!(specification(&spec, &host()).is_err(), "{place}");
        }
    }

    #[test]
    fn what_the_stage_does_not_do_is_runcs() {
        for (place, value) in [
            ("/hooks", json!({"prestart": [{"path": "/x"}]})),
            ("/process/apparmorProfile", json!("p")),
            ("/process/selinuxLabel", json!("l")),
            ("/process/args", json!([])),
            ("/process/cwd", json!("tmp")),
            ("/process/env", json!(["A"])),
            ("/process/env", json!(["A=1\u{0}"])),
            ("/process/capabilities", json!(null)),
            ("/process/capabilities/bounding", json!(["CAP_NEW"])),
            ("/process/rlimits/0/type", json!("RLIMIT_NEW")),
            ("/process/scheduler", json!({"policy": "SCHED_FIFO"})),
            ("/process/ioPriority", json!({})),
            ("/process/execCPUAffinity", json!({})),
            ("/linux/mountLabel", json!("l")),
            ("/linux/rootfsPropagation", json!("rshared")),
            ("/linux/uidMappings", json!([])),
            ("/linux/intelRdt", json!({})),
            ("/linux/personality", json!({})),
            ("/linux/timeOffsets", json!({})),
            ("/linux/cgroupsPath", json!("a/b")),
            ("/linux/cgroupsPath", json!("/a/../b")),
            ("/linux/cgroupsPath", json!("")),
            ("/linux/namespaces/0/type", json!("user")),
            ("/linux/namespaces/0/type", json!("time")),
            ("/linux/namespaces/0/type", json!("uts")),
            ("/linux/namespaces/1/path", json!("/proc/1/ns/mnt")),
            ("/linux/namespaces", json!([{"type": "pid"}])),
            ("/linux/sysctl", json!({"kernel.panic": "1"})),
            ("/linux/sysctl", json!({"net.ipv4/../../kernel/panic": "1"})),
            ("/linux/sysctl", json!({"vm.swappiness": "1"})),
            ("/linux/maskedPaths", json!(["/proc/../etc"])),
            ("/linux/devices/0/minor", json!(4)),
            ("/linux/devices/0/path", json!("/no/such")),
            ("/linux/resources/hugepageLimits", json!([])),
            ("/linux/resources/blockIO", json!({"weight": 5})),
            ("/linux/resources/unified", json!({"../x": "1"})),
            ("/linux/seccomp/syscalls/0/action", json!("SCMP_ACT_NOTIFY")),
            ("/linux/seccomp/listenerPath", json!("/x")),
            ("/linux/seccomp/flags", json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"])),
            ("/linux/seccomp/architectures", json!(["SCMP_ARCH_S390"])),
            ("/mounts/2/uidMappings", json!([])),
            ("/mounts/2/options", json!(["rbind", "rslave"])),
            ("/mounts/1/destination", json!("/tmp")),
            ("/mounts/0/destination", json!("/tmp")),
        ] {
            let mut spec = plain();
            let (parent, key) = place.rsplit_once('/').unwrap();
            let parent = spec.pointer_mut(parent).unwrap();
            match key.parse::<usize>() {
                Ok(index) => parent[index] = value.clone(),
                Err(_) => parent[key] = value.clone(),
            }
            assert!(specification(&spec, &host()).is_err(), "{place} {value}");
        }
        assert!(specification(&plain(), &Host { cgroups: false, ..host() }).is_err());
        let mut spec = plain();
        spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "uts");
        assert!(specification(&spec, &host()).is_err());
    }

    #[test]
    fn roots_containers() {
        let root = Host { rootless: false, cgroups: true, ..Host::default() };
        specification(&plain(), &root).unwrap();
        assert!(specification(&plain(), &Host { cgroups: false, ..root.clone() }).is_err());
        let mut spec = plain();
        spec["linux"]["cgroupsPath"] = json!("");
        assert!(specification(&spec, &Host { cgroups: false, ..root.clone() }).is_err());
        for (place, value, done) in [
            // Nodes are made, whatever the host has there.
            ("/linux/devices/0/path", json!("/dev/no/such"), true),
            ("/linux/devices/0/path", json!("/etc/x"), false),
            ("/linux/devices/0/path", json!("/dev/../x"), false),
            ("/linux/devices/0/type", json!("b"), true),
            ("/linux/devices/0/type", json!("p"), false),
            ("/linux/devices/0/major", json!(-1), false),
            ("/linux/devices/0/fileMode", json!(0o4666), false),
            ("/linux/resources/devices/0/access", json!("x"), false),
            ("/linux/resources/devices/0/type", json!("p"), false),
            ("/process/apparmorProfile", json!("p"), false),
        ] {
            let mut spec = plain();
            let (parent, key) = place.rsplit_once('/').unwrap();
            spec.pointer_mut(parent).unwrap()[key] = value.clone();
            assert_eq!(specification(&spec, &root).is_ok(), done, "{place} {value}");
        }
        let mut spec = plain();
        spec["linux"]["namespaces"].as_array_mut().unwrap().retain(|n| n["type"] != "pid");
        specification(&spec, &root).unwrap();
        assert!(specification(&spec, &host()).is_err());
    }
}
