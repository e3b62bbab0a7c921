//! Settings of a pod's own network that let everybody listen on any port, and ping: no capability is needed, as in Docker.

use serde_json::{Value, json};
use std::path::Path;

/// The first port that needs no capability (the kernel's ip-sysctl.rst).
const PORTS: &str = "net.ipv4.ip_unprivileged_port_start";
/// The groups that may ping: the first and the last.
const PING: &str = "net.ipv4.ping_group_range";
/// The last group of all.
const LAST_GROUP: u64 = 2_147_483_647;

/// CRI's mark of the container that holds a pod's namespaces.
const TYPE: &str = "io.kubernetes.cri.container-type";

/// Adds the settings to the specification of a pod that has a network namespace, unless they are there already.
pub(super) fn open(spec: &mut Value) {
    let gid_map = std::fs::read_to_string("/proc/self/gid_map").unwrap_or_default();
    let known = |key: &str| Path::new("/proc/sys").join(key.replace('.', "/")).exists();
    open_with(spec, &gid_map, &known);
}

fn open_with(spec: &mut Value, gid_map: &str, known: &dyn Fn(&str) -> bool) {
    if spec["annotations"][TYPE] != "sandbox" || !has_own(spec, "network") {
        return;
    }
    let last = match has_own(spec, "user") {
        true => last_of_mappings(&spec["linux"]["gidMappings"]),
        false => last_of_map(gid_map),
    };
    let mut settings = vec![(PORTS, "0".to_owned())];
    // The kernel takes only groups that are mapped (user_namespaces(7)).
    settings.extend(last.map(|last| (PING, format!("0 {}", last.min(LAST_GROUP)))));
    let Some(linux) = spec["linux"].as_object_mut() else { return };
    let all = linux.entry("sysctl").or_insert_with(|| json!({}));
    if all.is_null() {
        *all = json!({});
    }
    let Some(all) = all.as_object_mut() else { return };
    for (key, value) in settings {
        if known(key) && !all.contains_key(key) {
            all.insert(key.to_owned(), json!(value));
        }
    }
}

fn has_own(spec: &Value, kind: &str) -> bool {
    let all = spec.pointer("/linux/namespaces").and_then(Value::as_array);
    all.is_some_and(|all| all.iter().any(|n| n["type"] == kind))
}

/// The last ID in the text of a `gid_map`; `None` when 0 is not mapped.
fn last_of_map(text: &str) -> Option<u64> {
    let ranges = text.lines().filter_map(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u64>);
        let (first, _, count) = (fields.next()?.ok()?, fields.next()?, fields.next()?.ok()?);
        Some((first, count))
    });
    last(ranges)
}

/// The last ID in an OCI specification's mappings; `None` when 0 is not mapped.
fn last_of_mappings(mappings: &Value) -> Option<u64> {
    let all = mappings.as_array().into_iter().flatten();
    last(all.filter_map(|m| Some((m["containerID"].as_u64()?, m["size"].as_u64()?))))
}

/// The last ID of ranges (the first ID and how many); `None` when 0 is in none.
fn last(ranges: impl Iterator<Item = (u64, u64)>) -> Option<u64> {
    let all: Vec<(u64, u64)> = ranges.filter(|(_, count)| *count > 0).collect();
    all.iter().any(|(first, _)| *first == 0).then_some(())?;
    all.iter().map(|(first, count)| first.saturating_add(*count) - 1).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOTLESS: &str = "         0       1000          1\n         1     200000      65536\n";
    const WHOLE: &str = "         0          0 4294967295\n";

    fn opened(mut spec: Value, map: &str) -> Value {
        open_with(&mut spec, map, &|_| true);
        spec["linux"]["sysctl"].take()
    }

    fn pod(more: Value) -> Value {
        let mut spec = json!({
            "annotations": {(TYPE): "sandbox"}, "linux": {"namespaces": [{"type": "network", "path": "/n"}]},
        });
        for (key, value) in more.as_object().unwrap() {
            spec["linux"][key] = value.clone();
        }
        spec
    }

    #[test]
    fn ports_and_ping() {
        assert_eq!(opened(pod(json!({})), WHOLE), json!({(PORTS): "0", (PING): "0 2147483647"}));
        assert_eq!(opened(pod(json!({})), ROOTLESS), json!({(PORTS): "0", (PING): "0 65536"}));
        let own = pod(json!({
            "namespaces": [{"type": "user"}, {"type": "network"}],
            "gidMappings": [{"containerID": 0, "hostID": 9, "size": 100}],
        }));
        assert_eq!(opened(own, WHOLE), json!({(PORTS): "0", (PING): "0 99"}));
        // Settings that were asked for stay.
        let asked = pod(json!({"sysctl": {(PORTS): "80", (PING): "1 0", "net.core.somaxconn": "5"}}));
        assert_eq!(opened(asked.clone(), WHOLE), asked["linux"]["sysctl"]);
        // No groups are mapped from 0 on: there is no range to name.
        assert_eq!(opened(pod(json!({"sysctl": null})), "5 5 5\n"), json!({(PORTS): "0"}));
    }

    #[test]
    fn only_pods_with_a_network_of_their_own() {
        assert_eq!(opened(pod(json!({"namespaces": [{"type": "ipc"}]})), WHOLE), Value::Null);
        let mut container = pod(json!({}));
        container["annotations"][TYPE] = json!("container");
        assert_eq!(opened(container, WHOLE), Value::Null);
        let mut old = pod(json!({}));
        open_with(&mut old, WHOLE, &|_| false);
        assert_eq!(old["linux"]["sysctl"], json!({}));
    }
}
