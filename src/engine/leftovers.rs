//! Leftovers of an engine or a containerd that died in the middle of something.
//!
//! Files first, before anybody is served: folders of containers that were never recorded, or are no more. A volume's folder
//! is the user's: it is touched only when a mark in it says what was under way.

use super::containerd::request;
use super::images::{ENGINE, OF_PULLS};
use super::records::Book;
use super::{Engine, EngineConfig, Inner, NAMESPACE};
use crate::sys::mount;
use containerd_client::services::v1 as api;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Mark in a volume's folder: it is being made, or filled from an image.
pub(super) const NEW: &str = "new";
/// Mark in a volume's folder: it is being removed.
pub(super) const GONE: &str = "gone";
/// Prefix of the name of a folder that is no volume's yet, or no more.
pub(super) const PASSING: &str = ".";
/// CRI's folder of the pods' network namespaces, in the runtime directory (`netns_mounts_under_state_dir`).
const NAMESPACES: &str = "containerd/io.containerd.grpc.v1.cri/netns";
/// Label of a lease: the time when it ends by itself.
const EXPIRES: &str = "containerd.io/gc.expire";
/// Label of a lease: it is of one operation of BuildKit's, and ends with that process.
const TEMPORARY: &str = "buildkit/lease.temporary";

/// Removes the files of operations that were under way. The records are all that there is to know, as nothing runs yet.
pub(super) fn tidy_files(config: &EngineConfig, book: &Book) {
    for (name, path) in entries(&config.run).filter(|(name, _)| name.starts_with("root-")) {
        report(&name, mount::unmount(&path).and_then(|()| std::fs::remove_dir(&path)));
    }
    for folder in ["logs", "containers"] {
        for (name, path) in entries(&config.data.join(folder)) {
            if !book.records.keys().any(|id| id.as_str() == name) {
                report(&name, std::fs::remove_dir_all(path));
            }
        }
    }
    for (name, path) in entries(&config.data.join("volumes")) {
        let [new, gone] = [NEW, GONE].map(|mark| path.join(mark));
        let known = book.volumes.contains_key(&name);
        if name.starts_with(PASSING) || !known && (new.exists() || gone.exists()) {
            report(&name, std::fs::remove_dir_all(path));
            continue;
        }
        if new.exists() && book.users_of(&name).next().is_none() {
            // Half of what the image has.
            report(&name, empty(&path.join("_data")));
        }
        for mark in [new, gone] {
            let _ = std::fs::remove_file(mark);
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = (String, std::path::PathBuf)> {
    let all = std::fs::read_dir(folder).into_iter().flatten().flatten();
    all.map(|e| (e.file_name().to_string_lossy().into_owned(), e.path()))
}

fn empty(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

fn report(name: &str, done: std::io::Result<()>) {
    match done {
        Ok(()) => tracing::info!(name, "removed what an interrupted operation left"),
        Err(error) => tracing::warn!(%error, name, "cannot remove what an interrupted operation left"),
    }
}

impl Engine {
    /// Ends the leases that a buildkitd left which no longer runs. `records`: IDs of what is in its cache, when known.
    pub async fn drop_builders_leases(&self, records: Option<HashSet<String>>) {
        self.inner().drop_builders_leases(records.as_ref()).await;
    }
}

impl Inner {
    /// Ends the leases, and takes the names away, of operations that died with an engine or with a containerd: for a day
    /// they would hold content that nobody uses. containerd's socket is as old as its process. CRI's lease of a pod is
    /// the pod's name.
    pub(super) async fn drop_dead_leases(&self) {
        self.drop_dead_names().await;
        let Ok(born) = std::fs::metadata(&self.config.containerd_socket).and_then(|m| m.modified()) else {
            return;
        };
        let Ok(born) = Timestamp::try_from(born) else { return };
        let mut leases = api::leases_client::LeasesClient::new(self.containerd.channel());
        let Ok(all) = leases.list(request(api::ListRequest::default())).await else { return };
        self.drop_dead_namespaces(born).await;
        // Asked for after the leases: a pod's lease comes first.
        let Ok(pods) = self.cri.pods(None).await else { return };
        for lease in all.into_inner().leases {
            let of_pod = pods.iter().any(|pod| pod.id == lease.id);
            if !of_pod && is_dead(&lease, born, self.course.started) {
                tracing::info!(
                    lease = lease.id,
                    namespace = NAMESPACE,
                    "ending what an interrupted operation left"
                );
                let message = api::DeleteRequest { id: lease.id, sync: false };
                leases.delete(request(message)).await.ok();
            }
        }
    }

    /// Takes network namespaces away that a containerd before this one (`born`) made for a pod and died before it had noted
    /// that: nobody knows of them.
    async fn drop_dead_namespaces(&self, born: Timestamp) {
        // Looked at before the pods are asked for.
        let all = older(&self.config.run.join(NAMESPACES), born);
        if all.is_empty() {
            return;
        }
        let Ok(pods) = self.containerd.pods_metadata().await else { return };
        for path in without_pod(all, &pods) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            report(&name, mount::unmount(&path).and_then(|()| std::fs::remove_file(&path)));
        }
    }

    /// See [`Engine::drop_builders_leases`]. Each record of the cache has a lease, which stays when containerd or buildkitd
    /// dies between the lease and the record, on the way in or out.
    async fn drop_builders_leases(&self, records: Option<&HashSet<String>>) {
        let mut leases = api::leases_client::LeasesClient::new(self.containerd.channel());
        let Ok(all) = leases.list(request(api::ListRequest::default())).await else { return };
        for lease in all.into_inner().leases.into_iter().filter(|lease| is_builders(lease, records)) {
            tracing::info!(lease = lease.id, "ending what a build left");
            let message = api::DeleteRequest { id: lease.id, sync: false };
            leases.delete(request(message)).await.ok();
        }
    }
}

/// Files in a folder that are older than that. A namespace is as old as its mount.
fn older(folder: &Path, than: Timestamp) -> Vec<PathBuf> {
    let before = |path: &PathBuf| {
        let made = std::fs::metadata(path).map(|m| (m.ctime(), m.ctime_nsec()));
        made.is_ok_and(|made| made < (than.as_second(), i64::from(than.subsec_nanosecond())))
    };
    entries(folder).map(|(_, path)| path).filter(before).collect()
}

/// Those of the namespaces that no pod has.
fn without_pod(namespaces: Vec<PathBuf>, pods: &[Value]) -> Vec<PathBuf> {
    let has = |pod: &Value, path: &Path| {
        let known = Path::new(pod["NetNSPath"].as_str().unwrap_or_default());
        // However containerd names the folder.
        known.file_name() == path.file_name()
    };
    namespaces.into_iter().filter(|path| !pods.iter().any(|pod| has(pod, path))).collect()
}

/// True for a lease of one operation of BuildKit's, and for one of a record (`ID`, `ID-variants`; an ID is 25 letters
/// and digits) that is not among those of its cache. `None`: what is in the cache is not known.
fn is_builders(lease: &api::Lease, records: Option<&HashSet<String>>) -> bool {
    let id = lease.id.split_once('-').map_or(lease.id.as_str(), |(id, _)| id);
    let of_record = id.len() == 25 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    lease.labels.contains_key(TEMPORARY) || of_record && records.is_some_and(|records| !records.contains(id))
}

/// True for a lease of ours that is another engine's than this one (`started`) and no pull's, which the next pull of the
/// image goes on from; and for one of containerd's own (`NANOSECONDS-RANDOM`, and no label but its end) or of CRI's for
/// a pod (64 hexadecimal digits, no label) that is older than that process (`born`).
fn is_dead(lease: &api::Lease, born: Timestamp, started: Timestamp) -> bool {
    let created = lease.created_at.and_then(|t| Timestamp::new(t.seconds, t.nanos).ok());
    let Some(created) = created else { return false };
    let own = lease.id.starts_with("k3c-") && !lease.id.starts_with(OF_PULLS);
    let others = lease.labels.get(ENGINE).is_none_or(|engine| *engine != started.to_string());
    let theirs = lease.id.split_once('-').is_some_and(|(time, random)| {
        random.len() == 4 && !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit())
    }) && lease.labels.keys().eq([EXPIRES]);
    let pods =
        lease.id.len() == 64 && lease.id.bytes().all(|b| b.is_ascii_hexdigit()) && lease.labels.is_empty();
    own && others || (theirs || pods) && created < born
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::volume::Volume;
    use std::collections::BTreeMap;

    #[test]
    fn marks_decide_what_becomes_of_a_volume() {
        let dir = tempfile::tempdir().unwrap();
        let volumes = dir.path().join("volumes");
        let mut book = Book::default();
        // Name, known, its mark, what is left of its file, whether it is there.
        let cases = [
            ("plain", false, "", true, true),
            ("made", false, NEW, false, false),
            ("removed", false, GONE, false, false),
            ("filled", true, NEW, false, true),
            ("kept", true, GONE, true, true),
            (".gone.x", false, "", false, false),
        ];
        for (name, known, mark, ..) in cases {
            std::fs::create_dir_all(volumes.join(name).join("_data")).unwrap();
            std::fs::write(volumes.join(name).join("_data/file"), "").unwrap();
            if !mark.is_empty() {
                std::fs::write(volumes.join(name).join(mark), "").unwrap();
            }
            if known {
                let (labels, created) = (BTreeMap::new(), Timestamp::now());
                let volume = Volume { name: name.into(), created, labels, anonymous: false };
                book.volumes.insert(name.into(), volume.into());
            }
        }
        std::fs::create_dir_all(dir.path().join("logs/x/0")).unwrap();
        let config =
            EngineConfig { data: dir.path().into(), run: dir.path().into(), ..EngineConfig::default() };
        tidy_files(&config, &book);
        for (name, _, mark, file, there) in cases {
            assert_eq!(volumes.join(name).exists(), there, "{name}");
            assert_eq!(volumes.join(name).join("_data/file").exists(), file, "{name}");
            assert!(mark.is_empty() || !volumes.join(name).join(mark).exists(), "{name}");
        }
        assert!(!dir.path().join("logs/x").exists());
    }

    #[test]
    fn namespaces_without_a_pod() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["cni-a", "cni-b"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(
            older(dir.path(), Timestamp::now() - jiff::SignedDuration::from_secs(60)),
            [] as [PathBuf; 0]
        );
        let all = older(dir.path(), Timestamp::now() + jiff::SignedDuration::from_secs(60));
        assert_eq!(all.len(), 2);
        let pods = [
            serde_json::json!({ "NetNSPath": "/run/x/cni-a" }),
            serde_json::json!({ "NetNSPath": "" }),
            Value::Null,
        ];
        assert_eq!(without_pod(all, &pods), [dir.path().join("cni-b")]);
    }

    fn lease(id: &str, second: i64, labels: &[&str]) -> api::Lease {
        let labels = labels.iter().map(|label| label.split_once('=').unwrap_or((label, "")));
        api::Lease {
            id: id.into(),
            created_at: Some(prost_types::Timestamp { seconds: second, nanos: 0 }),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    #[test]
    fn leases_of_builds() {
        let records = HashSet::from(["619hq13wt0drln4thqxn9e80p".to_owned()]);
        for (id, labels, ends, unknown) in [
            ("j3p4xpg08rgu25kg9ux3or2bk", &["containerd.io/gc.flat"][..], true, false),
            ("j3p4xpg08rgu25kg9ux3or2bk-variants", &[], true, false),
            ("619hq13wt0drln4thqxn9e80p", &["containerd.io/gc.flat"], false, false),
            ("619hq13wt0drln4thqxn9e80p-variants", &[], false, false),
            ("619hq13wt0drln4thqxn9e80p-view", &[TEMPORARY], true, true),
            ("405364965-nI4O", &[EXPIRES, TEMPORARY], true, true),
            ("405364965-nI4O", &[EXPIRES], false, false),
            ("ref_j3p4xpg08rgu25kg9ux3or2bk", &[], false, false),
            ("k3c-commit-x", &[EXPIRES], false, false),
        ] {
            let lease = lease(id, 5, labels);
            assert_eq!(is_builders(&lease, Some(&records)), ends, "{id}");
            assert_eq!(is_builders(&lease, None), unknown, "{id}");
        }
    }

    #[test]
    fn leases_of_the_dead() {
        let at = |second: i64| Timestamp::new(second, 0).unwrap();
        for (id, second, labels, dead) in [
            ("405364965-nI4O", 5, &[EXPIRES][..], true),
            ("405364965-nI4O", 15, &[EXPIRES], false),
            ("405364965-nI4O", 5, &[EXPIRES, "buildkit/lease.temporary"], false),
            ("somebodys", 5, &[EXPIRES], false),
            ("k3c-commit-x", 15, &[EXPIRES], true),
            ("k3c-commit-x", 25, &["io.k3c.engine=1970-01-01T00:00:20Z"], false),
            // Of an engine that had died when containerd took it.
            ("k3c-commit-x", 25, &["io.k3c.engine=1970-01-01T00:00:03Z"], true),
            ("k3c-pull-x", 15, &[EXPIRES], false),
        ] {
            assert_eq!(is_dead(&lease(id, second, labels), at(10), at(20)), dead, "{id} {second}");
        }
    }
}
