//! Containers with a user namespace of their own: their files' owners, and a way to their root filesystem.

use crate::sys::mount::{self, Layer};
use crate::sys::owners;
use serde_json::{Value, json};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folder of such containers' roots: their user may not pass on the way to the bundles (`/run/user/UID` is 0700).
const REACHABLE: &str = "/run/k3c-roots";

fn reachable(id: &str) -> PathBuf {
    Path::new(REACHABLE).join(id)
}

fn has_own(spec: &Value) -> bool {
    let all = spec.pointer("/linux/namespaces").and_then(Value::as_array);
    all.is_some_and(|all| all.iter().any(|n| n["type"] == "user"))
}

/// Says in the specification where the root filesystem will be; true when that is not in the bundle.
pub(super) fn lead_to_root(spec: &mut Value, id: &str) -> bool {
    let own = has_own(spec);
    if own {
        spec["root"]["path"] = json!(reachable(id));
    }
    own
}

/// Gives the mounted root's files the owners that `layers` ask for, and mounts it where its user can reach it.
pub(super) fn prepare(layers: &[Layer], root: &Path, id: &str) -> io::Result<()> {
    if let Some((users, groups)) = layers.last().and_then(Layer::maps) {
        owners::shift(root, &users, &groups)?;
    }
    let there = reachable(id);
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&there)?;
    mount::mount_all(&[Layer::bind(root, false)], &there)
}

/// Undoes `prepare`, as far as it went.
pub(super) fn clean(id: &str) -> io::Result<()> {
    let there = reachable(id);
    if there.exists() {
        mount::unmount(&there)?;
        std::fs::remove_dir(&there)?;
        // The folder stays while there are others.
        let _ = std::fs::remove_dir(REACHABLE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_with_a_namespace_of_their_own() {
        let mut spec = json!({"root": {"path": "rootfs"}, "linux": {"namespaces": [{"type": "pid"}]}});
        assert!(!lead_to_root(&mut spec, "x"));
        assert_eq!(spec["root"]["path"], "rootfs");
        spec["linux"]["namespaces"] = json!([{"type": "user", "path": "/p"}]);
        assert!(lead_to_root(&mut spec, "x"));
        assert_eq!(spec["root"]["path"], "/run/k3c-roots/x");
    }
}
