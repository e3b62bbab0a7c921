//! The OCI runtime stage (`k3c-runtime`): called by the shim as if it were runc, it takes out of the container's
//! specification what this host cannot apply, and becomes runc.

use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name under which the stage is executed.
pub const NAME: &str = "k3c-runtime";
/// The same, for who asks for runc by its name.
const ALIAS: &str = "runc";
/// The real one, beside us.
const RUNC: &str = "k3c-runc";

/// What the host can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Controllers enabled for containers.
    pub controllers: Vec<String>,
    /// The cgroup tree can be written.
    pub cgroups: bool,
    /// In a user namespace.
    pub rootless: bool,
    /// CAP_SYS_RESOURCE, without which the score only rises (proc_pid_oom_score_adj(5)).
    pub may_lower_oom_score: bool,
    /// Our own `/proc/self/oom_score_adj`.
    pub oom_score_adj: i64,
}

/// The stage. Returns only if runc cannot be executed.
pub fn run(args: &[OsString]) -> i32 {
    let outcome: io::Result<()> = edit(args).and_then(|()| {
        let runc = std::env::current_exe()?.with_file_name(RUNC);
        // Without --root runc would make a folder in the user's runtime directory.
        Err(Command::new(runc).args(args).env_remove("XDG_RUNTIME_DIR").exec())
    });
    if let Err(e) = outcome {
        let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("k3c-runtime: {e}\n"));
    }
    1
}

fn edit(args: &[OsString]) -> io::Result<()> {
    let Some(bundle) = bundle_of(args) else { return Ok(()) };
    let path = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&path)?)?;
    adapt(&mut spec, &probe());
    fs::write(&path, serde_json::to_vec(&spec)?)
}

/// The bundle of `create` and `run`; nothing for other commands.
fn bundle_of(args: &[OsString]) -> Option<PathBuf> {
    let at = args.iter().position(|a| a == "create" || a == "run")?;
    let mut rest = args[at + 1..].iter();
    while let Some(arg) = rest.next() {
        if arg == "--bundle" || arg == "-b" {
            return rest.next().map(PathBuf::from);
        }
        if let Some(value) = arg.to_str().and_then(|a| a.strip_prefix("--bundle=")) {
            return Some(value.into());
        }
    }
    Some(".".into())
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
        rootless: read("/proc/self/uid_map").split_whitespace().nth(2) != Some("4294967295"),
        may_lower_oom_score: read("/proc/self/status")
            .lines()
            .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
            .is_some_and(|set| set & (1 << 24) != 0),
        oom_score_adj: read("/proc/self/oom_score_adj").trim().parse().unwrap_or(0),
    }
}

/// Takes out what cannot be applied.
pub fn adapt(spec: &mut Value, host: &Host) {
    let has = |name: &str| host.cgroups && host.controllers.iter().any(|c| c == name);
    if let Some(resources) = spec.pointer_mut("/linux/resources").and_then(Value::as_object_mut) {
        for (key, controller) in [
            ("memory", "memory"),
            ("pids", "pids"),
            ("blockIO", "io"),
            ("hugepageLimits", "hugetlb"),
            ("unified", "none"),
        ] {
            if !has(controller) {
                resources.remove(key);
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
    if host.rootless || !host.may_lower_oom_score {
        raise_oom_score(spec, host);
    }
    if host.rootless {
        bind_instead(spec);
    }
}

fn raise_oom_score(spec: &mut Value, host: &Host) {
    if let Some(process) = spec.get_mut("process").and_then(Value::as_object_mut)
        && process.get("oomScoreAdj").and_then(Value::as_i64).is_some_and(|adj| adj < host.oom_score_adj)
    {
        process.insert("oomScoreAdj".into(), host.oom_score_adj.into());
    }
}

fn bind_instead(spec: &mut Value) {
    let namespaces: Vec<String> = spec
        .pointer("/linux/namespaces")
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(|n| n["type"].as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    let own = |kind: &str| namespaces.iter().any(|n| n == kind);
    let Some(mounts) = spec.get_mut("mounts").and_then(Value::as_array_mut) else { return };
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

/// Whether this process was executed as the stage.
pub fn is_named(program: &OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == NAME || name == ALIAS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_the_bundle() {
        let args = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert_eq!(bundle_of(&args("--root /r create --bundle /b --pid-file p id")), Some("/b".into()));
        assert_eq!(bundle_of(&args("run --bundle=/b id")), Some("/b".into()));
        assert_eq!(bundle_of(&args("kill id 9")), None);
    }

    #[test]
    fn limits_without_controllers_go_and_devices_stay() {
        let mut spec = json!({"linux": {"cgroupsPath": "/x", "resources": {
            "devices": [{"allow": false}], "memory": {"limit": 1}, "pids": {"limit": 1},
            "cpu": {"shares": 2, "cpus": "0"}}}});
        let host = Host { controllers: vec!["cpu".into()], cgroups: true, ..Host::default() };
        adapt(&mut spec, &host);
        assert_eq!(
            spec["linux"],
            json!({"cgroupsPath": "/x", "resources": {"devices": [{"allow": false}], "cpu": {"shares": 2}}})
        );
        adapt(&mut spec, &Host::default());
        assert_eq!(spec["linux"], json!({"resources": {"devices": [{"allow": false}]}}));
    }

    #[test]
    fn what_belongs_to_the_hosts_namespaces_is_bound() {
        let mut spec = json!({"process": {"oomScoreAdj": -998}, "linux": {"namespaces": [{"type": "pid"}]}, "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "ro"]}]});
        adapt(&mut spec, &Host { rootless: true, ..Host::default() });
        assert_eq!(spec["mounts"][0]["type"], "proc");
        assert_eq!(spec["mounts"][1]["type"], "bind");
        assert_eq!(spec["mounts"][1]["options"], json!(["rbind", "nosuid", "noexec", "nodev", "ro"]));
        assert_eq!(spec["process"]["oomScoreAdj"], 0);
    }
}
