//! Unpacking: into a folder named by the hashes of the archive and of our own binary.
//!
//! A folder is whole when its `stamp` is there (written last, before the rename) and every file has the size and
//! time that the stamp says; anything else is unpacked anew.

use super::{Bundle, BundleError, Manifest, at};
use crate::model::id::hex;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// `zstd --long=27`
const WINDOW_LOG: u32 = 27;
/// Names of our own binary: itself, the shim (also under the name of containerd's own), the CNI plugins, the OCI runtime.
const OWN_NAMES: [&str; 6] =
    ["k3c", "containerd-shim-k3c-v1", "containerd-shim-runc-v2", "k3c-cni", "loopback", "k3c-oci"];

/// Name of a file -> its size in bytes, its time of change in nanoseconds.
type Stamp = BTreeMap<String, (u64, i64)>;

/// Source of a bundle to unpack.
pub(super) enum Source {
    Folder(PathBuf),
    Archive(&'static [u8]),
}

/// Unpacks the source into a folder of `home`, unless a whole one is there, and removes old ones. `own` is our own binary.
pub(super) fn unpack(home: &Path, source: &Source, own: &Path) -> Result<Bundle, BundleError> {
    let lock_path = home.join("lock");
    let lock = File::create(&lock_path).map_err(at("make", &lock_path))?;
    lock.lock().map_err(at("lock", &lock_path))?;
    let name = name_of(source, own).map_err(at("read", own))?;
    let dir = home.join(&name);
    if !whole(&dir) {
        let scratch = home.join(format!(".new-{}", std::process::id()));
        let _ = fs::remove_dir_all(&scratch);
        let made = fill(&scratch, source, own);
        if let Err(e) = made {
            let _ = fs::remove_dir_all(&scratch);
            return Err(e);
        }
        if dir.exists() {
            // Something may run from the damaged one: it is put aside, and goes with the old ones.
            let aside = home.join(format!(".old-{}", std::process::id()));
            fs::rename(&dir, &aside).map_err(at("put aside", &dir))?;
        }
        fs::rename(&scratch, &dir).map_err(at("put in place", &dir))?;
        let _ = File::open(home).and_then(|f| f.sync_all());
    }
    remove_old(home, &dir);
    Bundle::open(&dir)
}

/// True when [`unpack`] would find a whole folder.
pub(super) fn is_unpacked(home: &Path, source: &Source, own: &Path) -> io::Result<bool> {
    Ok(whole(&home.join(name_of(source, own)?)))
}

fn name_of(source: &Source, own: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    match source {
        // The archive is inside our own binary, so its build ID or bytes cover both.
        Source::Archive(bytes) => hash.update(bytes.len().to_le_bytes()),
        Source::Folder(folder) => {
            hash.update(folder.as_os_str().as_encoded_bytes());
            for entry in fs::read_dir(folder.join("bin"))?.flatten() {
                let meta = entry.metadata()?;
                hash.update(format!("{:?} {} {}", entry.file_name(), meta.len(), meta.mtime()));
            }
        }
    }
    let meta = fs::metadata(own)?;
    hash.update(format!("{} {} {}", meta.len(), meta.mtime(), meta.mtime_nsec()));
    Ok(hex(&hash.finalize()[..8]))
}

fn fill(dir: &Path, source: &Source, own: &Path) -> Result<(), BundleError> {
    fs::create_dir_all(dir.join("bin")).map_err(at("make", dir))?;
    match source {
        Source::Archive(bytes) => {
            let mut decoder = zstd::Decoder::new(*bytes).map_err(at("unpack into", dir))?;
            decoder.window_log_max(WINDOW_LOG).map_err(at("unpack into", dir))?;
            let mut archive = tar::Archive::new(decoder);
            archive.set_preserve_permissions(true);
            archive.unpack(dir).map_err(at("unpack into", dir))?;
        }
        Source::Folder(folder) => {
            for below in ["bin", "images"] {
                fs::create_dir_all(dir.join(below)).map_err(at("make", dir))?;
                let from = folder.join(below);
                for entry in fs::read_dir(&from).map_err(at("read", &from))?.flatten() {
                    let to = dir.join(below).join(entry.file_name());
                    fs::copy(entry.path(), &to).map_err(at("copy to", &to))?;
                }
            }
            let manifest = Manifest { files: Vec::new(), versions: BTreeMap::new() };
            let path = dir.join("manifest.json");
            fs::write(&path, serde_json::to_vec(&manifest).unwrap_or_default())
                .map_err(at("write", &path))?;
        }
    }
    let first = dir.join("bin").join(OWN_NAMES[0]);
    fs::copy(own, &first).map_err(at("copy ourselves to", &first))?;
    fs::set_permissions(&first, fs::Permissions::from_mode(0o755)).map_err(at("set the mode of", &first))?;
    for name in &OWN_NAMES[1..] {
        let path = dir.join("bin").join(name);
        // A bundle of before has a program of others' under one of the names.
        let _ = fs::remove_file(&path);
        fs::hard_link(&first, &path).map_err(at("link", &path))?;
    }
    for path in files(dir) {
        File::open(&path).and_then(|f| f.sync_data()).map_err(at("write out", &path))?;
    }
    let path = dir.join("stamp");
    let stamp = serde_json::to_vec(&stamp_of(dir)).unwrap_or_default();
    fs::write(&path, stamp).and_then(|()| File::open(&path)?.sync_all()).map_err(at("write", &path))
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            found.extend(files(&entry.path()));
        } else if entry.file_name() != "stamp" {
            found.push(entry.path());
        }
    }
    found
}

fn stamp_of(dir: &Path) -> Stamp {
    files(dir)
        .into_iter()
        .filter_map(|path| {
            let meta = fs::metadata(&path).ok()?;
            let name = path.strip_prefix(dir).ok()?.to_string_lossy().into_owned();
            Some((
                name,
                (meta.len(), meta.mtime().saturating_mul(1_000_000_000).saturating_add(meta.mtime_nsec())),
            ))
        })
        .collect()
}

fn whole(dir: &Path) -> bool {
    let stamp: Option<Stamp> = fs::read(dir.join("stamp")).ok().and_then(|b| serde_json::from_slice(&b).ok());
    stamp.is_some_and(|stamp| stamp == stamp_of(dir))
}

/// Removes folders from which nothing runs, and what a killed unpacking left.
fn remove_old(home: &Path, current: &Path) {
    let running: Vec<PathBuf> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path().join("exe")).ok())
        .collect();
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let path = entry.path();
        if path != current && path.is_dir() && !running.iter().any(|exe| exe.starts_with(&path)) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive() -> &'static [u8] {
        let mut tar = tar::Builder::new(Vec::new());
        let mut add = |name: &str, data: &[u8]| {
            let mut header = tar::Header::new_ustar();
            header.set_size(u64::try_from(data.len()).unwrap());
            header.set_mode(0o755);
            tar.append_data(&mut header, name, data).unwrap();
        };
        let sum = Sha256::digest(b"program").iter().map(|b| format!("{b:02x}")).collect::<String>();
        let manifest = format!(
            r#"{{"files":[{{"name":"bin/tool","sha256":"{sum}","size":7,"mode":493}}],"versions":{{"tool":"v1"}}}}"#
        );
        add("manifest.json", manifest.as_bytes());
        add("bin/tool", b"program");
        let bytes = tar.into_inner().unwrap();
        Box::leak(zstd::encode_all(&bytes[..], 1).unwrap().into_boxed_slice())
    }

    #[test]
    fn damage_is_repaired_and_old_folders_go() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("own");
        fs::write(&own, "us").unwrap();
        let source = Source::Archive(archive());
        assert!(!is_unpacked(home.path(), &source, &own).unwrap());
        let bundle = unpack(home.path(), &source, &own).unwrap();
        assert!(is_unpacked(home.path(), &source, &own).unwrap());
        assert_eq!(bundle.versions["tool"], "v1");
        assert_eq!(fs::read_to_string(bundle.bin("k3c-cni")).unwrap(), "us");
        assert!(bundle.verify().unwrap().is_empty());

        // Whole: nothing is unpacked again.
        let before = fs::metadata(bundle.bin("tool")).unwrap().ino();
        assert_eq!(unpack(home.path(), &source, &own).unwrap().dir, bundle.dir);
        assert_eq!(fs::metadata(bundle.bin("tool")).unwrap().ino(), before);

        // Truncated, half-written, missing: as new.
        fs::write(bundle.bin("tool"), "prog").unwrap();
        assert_eq!(bundle.verify().unwrap(), ["bin/tool"]);
        assert_eq!(bundle.condemn_if_damaged(), ["bin/tool"]);
        assert!(!whole(&bundle.dir));
        unpack(home.path(), &source, &own).unwrap();
        assert_eq!(fs::read_to_string(bundle.bin("tool")).unwrap(), "program");
        fs::remove_file(bundle.dir.join("stamp")).unwrap();
        fs::remove_file(bundle.bin("tool")).unwrap();
        unpack(home.path(), &source, &own).unwrap();
        assert!(bundle.bin("tool").exists());

        // Another binary of ours: another folder, and the old one goes.
        fs::write(&own, "us, later").unwrap();
        let next = unpack(home.path(), &source, &own).unwrap();
        assert_ne!(next.dir, bundle.dir);
        assert!(!bundle.dir.exists());
    }

    #[test]
    fn a_broken_archive_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let own = home.path().join("own");
        fs::write(&own, "us").unwrap();
        assert!(unpack(home.path(), &Source::Archive(b"not zstd"), &own).is_err());
        assert!(fs::read_dir(home.path()).unwrap().flatten().all(|e| !e.path().is_dir()));
    }
}
