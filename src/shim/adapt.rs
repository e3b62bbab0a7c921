//! Removal of all that this host cannot apply from a container's OCI specification.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// Abilities of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    /// Controllers enabled for containers.
    pub(super) controllers: Vec<String>,
    /// Whether the cgroup tree can be written.
    pub(super) cgroups: bool,
    /// Whether there are only cgroups of version 1, or none.
    pub(super) old_cgroups: bool,
    /// Whether we are in a user namespace.
    pub(super) rootless: bool,
    /// Our effective capabilities, a bit each.
    pub(super) capabilities: u64,
    /// Our own `/proc/self/oom_score_adj`.
    pub(super) oom_score_adj: i64,
}

pub(super) fn probe() -> Host {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cgroups = Path::new("/sys/fs/cgroup/cgroup.procs").exists()
        && rustix::fs::access("/sys/fs/cgroup/cgroup.procs", rustix::fs::Access::WRITE_OK).is_ok()
        && rustix::fs::access("/sys/fs/cgroup", rustix::fs::Access::WRITE_OK).is_ok();
    Host {
        controllers: read("/sys/fs/cgroup/cgroup.subtree_control")
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        cgroups,
        old_cgroups: !read("/proc/self/mountinfo").contains(" - cgroup2 "),
        rootless: read("/proc/self/uid_map").split_whitespace().nth(2) != Some("4294967295"),
        capabilities: read("/proc/self/status")
            .lines()
            .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
            .unwrap_or(0),
        oom_score_adj: read("/proc/self/oom_score_adj").trim().parse().unwrap_or(0),
    }
}

/// Removes all that the host cannot apply.
pub(super) fn adapt(spec: &mut Value, host: &Host) {
    let has = |name: &str| host.cgroups && host.controllers.iter().any(|c| c == name);
    if let Some(resources) = spec.pointer_mut("/linux/resources").and_then(Value::as_object_mut) {
        for (key, controller) in
            [("memory", "memory"), ("pids", "pids"), ("blockIO", "io"), ("hugepageLimits", "hugetlb")]
        {
            if !has(controller) {
                resources.remove(key);
            }
        }
        // The keys are files, called after their controllers.
        if let Some(unified) = resources.get_mut("unified").and_then(Value::as_object_mut) {
            unified.retain(|key, _| key.split('.').next().is_some_and(has));
            if unified.is_empty() {
                resources.remove("unified");
            }
        }
        if let Some(cpu) = resources.get_mut("cpu").and_then(Value::as_object_mut) {
            cpu.retain(|key, _| if key == "cpus" || key == "mems" { has("cpuset") } else { has("cpu") });
            if cpu.is_empty() {
                resources.remove("cpu");
            }
        }
    }
    if !host.cgroups
        && let Some(linux) = spec.get_mut("linux").and_then(Value::as_object_mut)
    {
        linux.remove("cgroupsPath");
    }
    if let Some(process) = spec.get_mut("process") {
        raise_oom_score(process, host);
    }
    if host.rootless && host.old_cgroups {
        // The kernel mounts for a user only what is mounted already.
        if let Some(mounts) = spec.get_mut("mounts").and_then(Value::as_array_mut) {
            mounts.retain(|mount| mount["type"] != "cgroup");
        }
    }
    if host.rootless {
        inherit_instead(spec);
        bind_instead(spec);
        leave_owners(spec);
    }
}

/// CAP_SYS_RESOURCE, without which the score only rises (proc_pid_oom_score_adj(5)).
const SYS_RESOURCE: u64 = 1 << 24;

/// Raises a process's score to our own where it cannot be lower.
pub(super) fn raise_oom_score(process: &mut Value, host: &Host) {
    let may_lower = !host.rootless && host.capabilities & SYS_RESOURCE != 0;
    if let Some(process) = process.as_object_mut()
        && !may_lower
        && process.get("oomScoreAdj").and_then(Value::as_i64).is_some_and(|adj| adj < host.oom_score_adj)
    {
        process.insert("oomScoreAdj".into(), host.oom_score_adj.into());
    }
}

/// Leaves out the joining of a namespace that is ours already: we cannot join one that our user namespace does not own, and
/// need not.
fn inherit_instead(spec: &mut Value) {
    let Some(all) = spec.pointer_mut("/linux/namespaces").and_then(Value::as_array_mut) else { return };
    all.retain(|namespace| {
        let own = match namespace["type"].as_str().unwrap_or_default() {
            "network" => "net",
            "mount" => "mnt",
            kind => kind,
        };
        let path = namespace["path"].as_str().filter(|path| !path.is_empty());
        let same = path.and_then(|path| {
            Some(fs::read_link(path).ok()? == fs::read_link(format!("/proc/self/ns/{own}")).ok()?)
        });
        same != Some(true)
    });
}

/// Leaves the owners of containerd's files for a pod (hosts, hostname, resolv.conf) unmapped. Everybody may read them, and
/// the kernel maps owners only on file systems that our user namespace mounted.
fn leave_owners(spec: &mut Value) {
    for mount in spec.get_mut("mounts").and_then(Value::as_array_mut).into_iter().flatten() {
        let made = |source: &str| source.contains("/io.containerd.grpc.v1.cri/sandboxes/");
        if mount["source"].as_str().is_some_and(made)
            && let Some(mount) = mount.as_object_mut()
        {
            mount.remove("uidMappings");
            mount.remove("gidMappings");
        }
    }
}

/// Binds the host's own /sys, /proc or /dev/mqueue where the pod shares the host's namespace.
fn bind_instead(spec: &mut Value) {
    let namespaces: Vec<String> = spec
        .pointer("/linux/namespaces")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(|n| n["type"].as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let own = |kind: &str| namespaces.iter().any(|n| n == kind);
    let Some(mounts) = spec.get_mut("mounts").and_then(Value::as_array_mut) else { return };
    // The host may have mounted no mqueue.
    mounts.retain(|m| m["type"] != "mqueue" || own("ipc") || Path::new("/dev/mqueue").exists());
    for mount in mounts {
        let kind = mount["type"].as_str().unwrap_or_default();
        // The kernel mounts these only for a namespace that our user namespace owns.
        let source = match kind {
            "sysfs" if !own("network") => "/sys",
            "proc" if !own("pid") => "/proc",
            "mqueue" if !own("ipc") => "/dev/mqueue",
            _ => continue,
        };
        let read_only = mount["options"].as_array().is_some_and(|all| all.iter().any(|o| o == "ro"));
        let mut options = vec!["rbind", "nosuid", "noexec", "nodev"];
        if read_only {
            options.push("ro");
        }
        mount["source"] = source.into();
        mount["type"] = "bind".into();
        mount["options"] = options.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn limits_without_controllers_go_and_devices_stay() {
        let mut spec = json!({"linux": {"cgroupsPath": "/x", "resources": {
            "devices": [{"allow": false}], "memory": {"limit": 1}, "pids": {"limit": 1},
            "cpu": {"shares": 2, "cpus": "0"}, "unified": {"pids.max": "5", "cpu.idle": "1"}}}});
        let host = Host { controllers: vec!["cpu".into()], cgroups: true, ..Host::default() };
        adapt(&mut spec, &host);
        assert_eq!(
            spec["linux"],
            json!({"cgroupsPath": "/x", "resources": {
                "devices": [{"allow": false}], "cpu": {"shares": 2}, "unified": {"cpu.idle": "1"}}})
        );
        adapt(&mut spec, &Host::default());
        assert_eq!(spec["linux"], json!({"resources": {"devices": [{"allow": false}]}}));
    }

    #[test]
    fn users_see_no_cgroups_of_version_1() {
        for old_cgroups in [true, false] {
            let mut spec = json!({"mounts": [{"type": "cgroup"}, {"type": "tmpfs"}], "linux": {}});
            adapt(&mut spec, &Host { rootless: true, old_cgroups, ..Host::default() });
            assert_eq!(spec["mounts"][0]["type"] == "tmpfs", old_cgroups);
        }
    }

    #[test]
    fn our_own_namespaces_are_inherited() {
        let mut spec = json!({"linux": {"namespaces": [
            {"type": "pid", "path": "/proc/self/ns/pid"}, {"type": "ipc", "path": "/proc/self/ns/uts"},
            {"type": "mount"}, {"type": "network", "path": "/no/such"}]}});
        adapt(&mut spec, &Host { rootless: true, ..Host::default() });
        let kinds: Vec<&str> = spec["linux"]["namespaces"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n["type"].as_str().unwrap())
            .collect();
        assert_eq!(kinds, ["ipc", "mount", "network"]);
    }

    #[test]
    fn what_belongs_to_the_hosts_namespaces_is_bound() {
        let mut spec = json!({"process": {"oomScoreAdj": -998}, "linux": {"namespaces": [{"type": "pid"}]}, "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]},
            {"destination": "/etc/hosts", "source": "/x/io.containerd.grpc.v1.cri/sandboxes/1/hosts", "uidMappings": []},
            {"destination": "/data", "source": "/home/data", "uidMappings": []}]});
        adapt(&mut spec, &Host { rootless: true, ..Host::default() });
        assert_eq!(spec["mounts"][0]["type"], "proc");
        assert_eq!(spec["mounts"][1]["type"], "bind");
        assert_eq!(spec["mounts"][1]["options"], json!(["rbind", "nosuid", "noexec", "nodev", "ro"]));
        assert_eq!(spec["process"]["oomScoreAdj"], 0);
        assert!(
            spec["mounts"][2].get("uidMappings").is_none() && spec["mounts"][3].get("uidMappings").is_some()
        );
    }
}
