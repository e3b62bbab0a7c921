//! containerd's description of a pod (`crictl inspectp`), with what the shim cannot know.

use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::path::Path;

/// The key of the description, whose value is JSON.
const INFO: &str = "info";

/// Adds to `info` what `metadata`, CRI's record of the pod, says; one that has it already stays. Of what nobody said
/// containerd makes `null`.
pub(super) fn complete(info: &mut HashMap<String, String>, metadata: Option<&Value>) {
    let known = info.get(INFO).and_then(|text| serde_json::from_str(text).ok());
    let mut all: Map<String, Value> = known.unwrap_or_default();
    let complete = all.get("config").is_some_and(|config| !config.is_null());
    let Some(metadata) = metadata.filter(|_| !complete) else { return };
    let network = metadata["NetNSPath"].as_str().unwrap_or_default();
    for (key, value) in [
        // A pod whose shim is gone.
        ("pid", json!(0)),
        ("processStatus", json!("deleted")),
        ("image", json!("")),
        ("snapshotKey", json!("")),
        ("snapshotter", json!("")),
        ("runtimeHandler", metadata["RuntimeHandler"].clone()),
        ("runtimeType", json!("")),
        ("runtimeOptions", Value::Null),
        ("config", metadata["Config"].clone()),
        ("runtimeSpec", Value::Null),
        ("cniResult", metadata["CNIResult"].clone()),
        ("sandboxMetadata", metadata.clone()),
    ] {
        let known = all.entry(key).or_insert(Value::Null);
        if known.is_null() {
            *known = value;
        }
    }
    all.insert("netNamespaceClosed".to_owned(), json!(!network.is_empty() && !Path::new(network).exists()));
    info.insert(INFO.to_owned(), Value::Object(all).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(text: Option<&str>) -> Value {
        let mut info: HashMap<String, String> =
            text.map(|text| (INFO.to_owned(), text.to_owned())).into_iter().collect();
        let metadata =
            json!({"Config": {"hostname": "h"}, "CNIResult": {"Interfaces": {}}, "NetNSPath": "/no/such"});
        complete(&mut info, Some(&metadata));
        serde_json::from_str(&info[INFO]).unwrap()
    }

    #[test]
    fn what_the_shim_says_stays() {
        let seen = completed(Some(
            r#"{"pid": 7, "processStatus": "running", "netNamespaceClosed": false, "config": null}"#,
        ));
        assert_eq!((&seen["pid"], &seen["processStatus"]), (&json!(7), &json!("running")));
        assert_eq!(seen["config"]["hostname"], "h");
        assert_eq!(seen["netNamespaceClosed"], true);
        assert!(seen["cniResult"]["Interfaces"].is_object());
        assert_eq!(completed(None)["processStatus"], "deleted");
        // A pod of an earlier version has a complete one.
        assert_eq!(completed(Some(r#"{"config": 1}"#)), json!({"config": 1}));
        let mut nothing = HashMap::new();
        complete(&mut nothing, None);
        assert!(nothing.is_empty());
    }
}
