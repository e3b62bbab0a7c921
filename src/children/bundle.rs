//! The archive inside the binary, unpacked once below the data directory into a folder named by its hash and ours.
//!
//! A folder is complete when its `stamp` is there (written last, before the rename) and every file has the size and
//! time that the stamp says; anything else is unpacked anew.

use crate::config::{Dirs, env};
use rustix::fs::{StatVfsMountFlags, statvfs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Empty in a build without a bundle.
static EMBEDDED: &[u8] = include_bytes!(env!("K3C_BUNDLE_ARCHIVE"));
/// `zstd --long=27`
const WINDOW_LOG: u32 = 27;
/// Names of our own binary: itself, the shim (also under the name of containerd's own), the CNI plugin.
const OWN_NAMES: [&str; 4] = ["k3c", "containerd-shim-k3c-v1", "containerd-shim-runc-v2", "k3c-cni"];

/// An unpacked bundle: `bin/`, `images/`, `notices/`.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// Its folder.
    pub dir: PathBuf,
    /// What the user should know.
    pub warnings: Vec<String>,
    /// Program -> version.
    pub versions: BTreeMap<String, String>,
}

/// It cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Built without one.
    #[error(
        "this k3c was built without its bundle: run `make bundle build`, or set {} to an unpacked one",
        env::BUNDLE_DIR
    )]
    Absent,
    /// Something with a file.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// In words.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    files: Vec<Entry>,
    versions: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    sha256: String,
}

/// name -> (size, mtime in ns)
type Stamp = BTreeMap<String, (u64, i64)>;

fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    move |source| BundleError::Io { what, path: path.to_path_buf(), source }
}

impl Bundle {
    /// A program.
    pub fn bin(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }

    /// An image's archive.
    pub fn image(&self, name: &str) -> PathBuf {
        self.dir.join("images").join(format!("{name}.tar"))
    }

    /// Opens a folder that was made by [`ensure`].
    ///
    /// # Errors
    /// It is damaged.
    pub fn open(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join("manifest.json");
        let text = fs::read(&path).map_err(at("read", &path))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| at("read", &path)(e.into()))?;
        Ok(Self { dir: dir.to_path_buf(), warnings: Vec::new(), versions: manifest.versions })
    }

    /// Reads every file again; the names of those that are not what was unpacked.
    ///
    /// # Errors
    /// No manifest.
    pub fn verify(&self) -> Result<Vec<String>, BundleError> {
        let path = self.dir.join("manifest.json");
        let text = fs::read(&path).map_err(at("read", &path))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| at("read", &path)(e.into()))?;
        let differs =
            |entry: &Entry| hash_of(&self.dir.join(&entry.name)).ok().as_ref() != Some(&entry.sha256);
        Ok(manifest.files.iter().filter(|e| differs(e)).map(|e| e.name.clone()).collect())
    }
}

impl Bundle {
    /// To be asked when a program of the bundle did not start: which files are damaged although size and time are
    /// right. They are made anew by the next [`ensure`].
    pub fn condemn_if_damaged(&self) -> Vec<String> {
        let damaged = self.verify().unwrap_or_else(|_| vec!["manifest.json".to_owned()]);
        if !damaged.is_empty() {
            let _ = fs::remove_file(self.dir.join("stamp"));
        }
        damaged
    }
}

/// The bundle that this binary brings, unpacked and whole.
///
/// # Errors
/// Built without one; no space; no place that allows execution.
pub fn ensure(dirs: &Dirs) -> Result<Bundle, BundleError> {
    let mut warnings = Vec::new();
    let mut home = dirs.bundles();
    fs::create_dir_all(&home).map_err(at("make", &home))?;
    if statvfs(&home).is_ok_and(|s| s.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        home = dirs.bundles_fallback();
        fs::create_dir_all(&home).map_err(at("make", &home))?;
        warnings.push(format!(
            "{} is on a file system mounted noexec: the programs are unpacked into {} instead, at each login",
            dirs.data.display(),
            home.display()
        ));
    }
    let source = match std::env::var_os(env::BUNDLE_DIR) {
        Some(folder) => Source::Folder(folder.into()),
        None if EMBEDDED.is_empty() => return Err(BundleError::Absent),
        None => Source::Archive(EMBEDDED),
    };
    let own = PathBuf::from("/proc/self/exe");
    let mut bundle = unpack(&home, &source, &own)?;
    bundle.warnings = warnings;
    Ok(bundle)
}

enum Source {
    Folder(PathBuf),
    Archive(&'static [u8]),
}

fn unpack(home: &Path, source: &Source, own: &Path) -> Result<Bundle, BundleError> {
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
    Ok(hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect())
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

fn hash_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect());
        }
        hash.update(&buffer[..length]);
    }
}

/// Folders from which nothing runs, and what a killed unpacking left.
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
        let bundle = unpack(home.path(), &source, &own).unwrap();
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
