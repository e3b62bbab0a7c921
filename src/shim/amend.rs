//! Amendment of a container's OCI specification by all that CRI has no words for (`model::amendment`).

use super::container::ContainerError;
use crate::model::amendment::{ANNOTATION, Amendment, INIT};
use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};
use std::path::Path;

/// Changes the specification as its annotation says, and answers the annotation. `init`: the program of `--init` on the
/// host.
pub(super) fn amend(spec: &mut Value, init: &Path) -> Result<Amendment, ContainerError> {
    let Some(text) = spec["annotations"][ANNOTATION].as_str() else { return Ok(Amendment::default()) };
    let amendment: Amendment =
        serde_json::from_str(text).map_err(|source| ContainerError::Amendment { source })?;
    apply(spec, &amendment, init);
    if amendment.shm_size > 0
        && let Some(source) = mounts(spec).and_then(|all| all.iter().find(|m| m["destination"] == SHM))
        && let Some(source) = source["source"].as_str()
    {
        resize(source, amendment.shm_size)?;
    }
    Ok(amendment)
}

const SHM: &str = "/dev/shm";

/// Resizes the pod's memory file system, which its containers share.
fn resize(source: &str, bytes: i64) -> Result<(), ContainerError> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(None::<&str>, source, None::<&str>, flags, Some(format!("size={bytes}").as_str()))
        .map_err(|error| ContainerError::File { what: "resize", path: source.into(), source: error.into() })
}

fn mounts(spec: &mut Value) -> Option<&mut Vec<Value>> {
    spec.get_mut("mounts").and_then(Value::as_array_mut)
}

fn apply(spec: &mut Value, amendment: &Amendment, init: &Path) {
    if !amendment.domainname.is_empty() {
        spec["domainname"] = json!(amendment.domainname);
    }
    if let Some(namespaces) = spec.pointer_mut("/linux/namespaces").and_then(Value::as_array_mut) {
        namespaces.retain(|n| {
            !(amendment.host_uts && n["type"] == "uts" || amendment.host_cgroupns && n["type"] == "cgroup")
        });
        for (kind, path) in &amendment.joins {
            namespaces.retain(|n| n["type"] != kind.as_str());
            namespaces.push(json!({ "type": kind, "path": path }));
        }
    }
    if amendment.host_uts
        && let Some(spec) = spec.as_object_mut()
    {
        spec.remove("hostname");
        spec.remove("domainname");
    }
    if let Some(mounts) = mounts(spec) {
        if amendment.no_shm {
            mounts.retain(|m| m["destination"] != SHM);
        }
        for mount in mounts.iter_mut() {
            let target = mount["destination"].as_str().unwrap_or_default();
            if target == SHM && !amendment.shm_source.is_empty() {
                mount["source"] = json!(amendment.shm_source);
            } else if amendment.non_recursive.iter().any(|t| t == target) {
                for option in mount["options"].as_array_mut().into_iter().flatten() {
                    match option.as_str() {
                        Some("rbind") => *option = json!("bind"),
                        Some("rro") => *option = json!("ro"),
                        _ => {}
                    }
                }
            }
        }
        for (target, options) in &amendment.tmpfs {
            mounts.retain(|m| m["destination"] != target.as_str());
            mounts.push(json!({
                "destination": target, "type": "tmpfs", "source": "tmpfs", "options": tmpfs(options),
            }));
        }
        if amendment.init {
            mounts.push(json!({
                "destination": INIT, "type": "bind", "source": init, "options": ["bind", "ro", "nosuid", "nodev"],
            }));
        }
        // Mounts on upper folders come first.
        mounts.sort_by_key(|m| {
            m["destination"].as_str().unwrap_or_default().split('/').filter(|p| !p.is_empty()).count()
        });
    }
    if let Some(process) = spec.get_mut("process").and_then(Value::as_object_mut) {
        if !amendment.ulimits.is_empty() {
            let limits = process.entry("rlimits").or_insert_with(|| json!([]));
            if let Some(limits) = limits.as_array_mut() {
                for limit in &amendment.ulimits {
                    let kind = format!("RLIMIT_{}", limit.name.to_uppercase());
                    let number = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
                    limits.retain(|l| l["type"] != kind.as_str());
                    limits.push(json!({
                        "type": kind, "soft": number(limit.soft), "hard": number(limit.hard),
                    }));
                }
            }
        }
        if let (Some((columns, rows)), Some(Value::Bool(true))) =
            (amendment.terminal_size, process.get("terminal"))
        {
            process.insert("consoleSize".to_owned(), json!({ "height": rows, "width": columns }));
        }
        if amendment.init
            && let Some(args) = process.get_mut("args").and_then(Value::as_array_mut)
        {
            args.splice(0..0, [json!(INIT), json!("--")]);
        }
    }
    if let Some(annotations) = spec.get_mut("annotations").and_then(Value::as_object_mut) {
        for (key, value) in &amendment.annotations {
            annotations.insert(key.clone(), json!(value));
        }
    }
}

/// Options of a tmpfs: Docker's defaults, unless `options` say otherwise.
fn tmpfs(options: &[String]) -> Vec<String> {
    let mut all: Vec<String> = options.to_vec();
    for (default, other) in [("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec")] {
        if !options.iter().any(|o| o == default || o == other) {
            all.push(default.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::Ulimit;

    #[test]
    fn changes() {
        let mut spec = json!({
            "hostname": "h",
            "process": {"args": ["sh"], "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1}]},
            "annotations": {},
            "mounts": [
                {"destination": "/data/deep", "type": "bind", "source": "/x", "options": ["rbind", "ro"]},
                {"destination": "/dev/shm", "type": "bind", "source": "/pod/shm", "options": ["rbind"]},
            ],
            "linux": {"namespaces": [{"type": "pid"}, {"type": "uts", "path": "/p"}, {"type": "cgroup"}]},
        });
        let amendment = Amendment {
            host_uts: true,
            joins: [("pid".to_owned(), "/proc/7/ns/pid".to_owned())].into(),
            tmpfs: vec![("/data".to_owned(), vec!["size=1m".to_owned(), "exec".to_owned()])],
            non_recursive: vec!["/data/deep".to_owned()],
            ulimits: vec![Ulimit { name: "nofile".into(), soft: 5, hard: -1 }],
            init: true,
            ..Amendment::default()
        };
        apply(&mut spec, &amendment, Path::new("/bundle/k3c-init"));
        assert_eq!(spec["hostname"], Value::Null);
        assert_eq!(
            spec["linux"]["namespaces"],
            json!([{"type": "cgroup"}, {"type": "pid", "path": "/proc/7/ns/pid"}])
        );
        let mounts = spec["mounts"].as_array().unwrap();
        let targets: Vec<&str> = mounts.iter().map(|m| m["destination"].as_str().unwrap()).collect();
        assert_eq!(targets, ["/data", "/data/deep", "/dev/shm", INIT]);
        assert_eq!(mounts[0]["options"], json!(["size=1m", "exec", "nosuid", "nodev"]));
        assert_eq!(mounts[1]["options"], json!(["bind", "ro"]));
        assert_eq!(spec["process"]["args"], json!([INIT, "--", "sh"]));
        assert_eq!(
            spec["process"]["rlimits"],
            json!([{"type": "RLIMIT_NOFILE", "soft": 5, "hard": u64::MAX}])
        );
    }

    #[test]
    fn nothing_asked_nothing_changed() {
        let mut spec = json!({"process": {"args": ["sh"]}});
        let before = spec.clone();
        amend(&mut spec, Path::new("/init")).unwrap();
        assert_eq!(spec, before);
        let mut spec = json!({"annotations": {(ANNOTATION): "{\"foo\": 1}"}});
        assert!(amend(&mut spec, Path::new("/init")).is_err());
    }
}
