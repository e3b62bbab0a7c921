//! A pod's own files: host name, hosts, the resolver's configuration, and the memory that its containers share. They are
//! in the folder of the shims, because containerd removes from its own, when it starts, what no container of its store
//! accounts for.

use super::wanted::Users;
use crate::model::pod::{FILES, MEMORY, SHM};
use crate::proto::cri::{DnsConfig, PodSandboxConfig};
use crate::sys::mount::{self, Layer};
use serde_json::{Value, json};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::Path;

/// The shared memory's first size, as containerd has it: 64 MiB.
const MEMORY_OPTIONS: [&str; 5] = ["nosuid", "nodev", "noexec", "mode=1777", "size=65536k"];

/// Makes the files in `folder`, which must not be there yet. `memory`: the pod has IPC of its own. `users`: a user
/// namespace whose root shall own them.
pub(super) fn make(
    folder: &Path,
    config: &PodSandboxConfig,
    memory: bool,
    users: Option<&Users>,
) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o711).create(folder)?;
    let hostname = match config.hostname.as_str() {
        "" => nix::unistd::gethostname()?.to_string_lossy().into_owned(),
        asked => asked.to_owned(),
    };
    let resolver = match &config.dns_config {
        Some(dns) => resolver(dns).into_bytes(),
        None => std::fs::read("/etc/resolv.conf").or_else(none)?,
    };
    let hosts = std::fs::read("/etc/hosts").or_else(none)?;
    for ((name, _), text) in FILES.iter().zip([format!("{hostname}\n").into_bytes(), hosts, resolver]) {
        let path = folder.join(name);
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644))?;
        if let Some((user, group)) = users.and_then(Users::root) {
            chown(&path, Some(user), Some(group))?;
        }
    }
    if memory {
        let place = folder.join(MEMORY);
        std::fs::create_dir(&place)?;
        let options = MEMORY_OPTIONS.map(str::to_owned).to_vec();
        let layer = Layer { kind: "tmpfs".into(), source: "shm".into(), options };
        mount::mount_all(&[layer], &place)?;
    }
    Ok(())
}

/// A host without the file.
fn none(error: io::Error) -> io::Result<Vec<u8>> {
    if error.kind() == io::ErrorKind::NotFound { Ok(Vec::new()) } else { Err(error) }
}

/// The text of resolv.conf(5).
fn resolver(dns: &DnsConfig) -> String {
    let mut text = String::new();
    if !dns.searches.is_empty() {
        text += &format!("search {}\n", dns.searches.join(" "));
    }
    for server in &dns.servers {
        text += &format!("nameserver {server}\n");
    }
    if !dns.options.is_empty() {
        text += &format!("options {}\n", dns.options.join(" "));
    }
    text
}

/// Gives up the shared memory. It is no error when there is none.
pub(super) fn forget_memory(folder: &Path) -> io::Result<()> {
    mount::unmount(&folder.join(MEMORY))
}

/// Removes all of a pod's files. It is no error when there are none.
pub(in crate::shim) fn remove(folder: &Path) -> io::Result<()> {
    forget_memory(folder)?;
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Adds the pod's files to a container's specification, in the places that nobody else has asked for.
pub(super) fn furnish(spec: &mut Value, folder: &Path) {
    let read_only = spec["root"]["readonly"] == true;
    let memory = folder.join(MEMORY);
    let Some(mounts) = spec["mounts"].as_array_mut() else { return };
    for (name, target) in FILES {
        if mounts.iter().all(|m| m["destination"] != target) {
            mounts.push(json!({
                "destination": target, "type": "bind", "source": folder.join(name),
                "options": ["rbind", "rprivate", if read_only { "ro" } else { "rw" }],
            }));
        }
    }
    // The OCI default, unless CRI put another one there.
    for mount in mounts.iter_mut().filter(|m| m["destination"] == SHM && m["type"] == "tmpfs") {
        if memory.exists() {
            *mount = json!({
                "destination": SHM, "type": "bind", "source": memory, "options": ["rbind", "rprivate", "rw"],
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_else_mounts() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("pods/x");
        let dns = DnsConfig {
            servers: vec!["10.0.0.1".into(), "::1".into()],
            searches: vec!["a.b".into(), "c".into()],
            options: vec!["ndots:5".into()],
        };
        let config = PodSandboxConfig { hostname: "h".into(), dns_config: Some(dns), ..Default::default() };
        make(&folder, &config, false, None).unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(read("hostname"), "h\n");
        assert_eq!(
            read("resolv.conf"),
            "search a.b c\nnameserver 10.0.0.1\nnameserver ::1\noptions ndots:5\n"
        );
        std::fs::create_dir(folder.join(MEMORY)).unwrap();
        let shm = json!({"destination": SHM, "type": "tmpfs", "source": "shm"});
        let mut spec = json!({"root": {"readonly": true}, "mounts": [
            {"destination": "/proc", "type": "proc"}, shm,
            {"destination": "/etc/hosts", "type": "bind", "source": "/theirs"}]});
        furnish(&mut spec, &folder);
        let found: Vec<(&str, &str)> = spec["mounts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|m| (m["destination"].as_str().unwrap(), m["source"].as_str().unwrap_or_default()))
            .collect();
        let own = |name: &str| folder.join(name).display().to_string();
        let (memory, hostname, resolver) = (own(MEMORY), own("hostname"), own("resolv.conf"));
        assert_eq!(
            found,
            [
                ("/proc", ""),
                (SHM, memory.as_str()),
                ("/etc/hosts", "/theirs"),
                ("/etc/hostname", hostname.as_str()),
                ("/etc/resolv.conf", resolver.as_str()),
            ]
        );
        assert_eq!(spec["mounts"][3]["options"], json!(["rbind", "rprivate", "ro"]));
        remove(&folder).unwrap();
        assert!(!folder.exists());
        remove(&folder).unwrap();
        // The host's memory is a bind mount, which stays.
        let mut spec = json!({"mounts": [{"destination": SHM, "type": "bind", "source": SHM}]});
        furnish(&mut spec, &folder);
        assert_eq!(spec["mounts"][0]["source"], SHM);
    }
}
