//! The bundle: the programs and images inside the binary, unpacked once into a folder below the data directory.

mod unpack;

use crate::config::{Dirs, env};
use crate::model::id::hex;
use rustix::fs::{StatVfsMountFlags, statvfs};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use unpack::{Source, is_unpacked, unpack};

/// The archive; empty in a build without a bundle.
static EMBEDDED: &[u8] = include_bytes!(env!("K3C_BUNDLE_ARCHIVE"));

/// Our own binary.
const OWN: &str = "/proc/self/exe";

/// An unpacked bundle: `bin/`, `images/`, `notices/`.
#[derive(Clone, Debug, Default)]
pub struct Bundle {
    /// The folder.
    pub dir: PathBuf,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// Program -> version.
    pub versions: BTreeMap<String, String>,
}

/// Failure of the bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The binary was built without a bundle.
    #[error(
        "this k3c was built without its bundle: run `make bundle build`, or set {} to an unpacked one",
        env::BUNDLE_DIR
    )]
    Absent,
    /// A file cannot be made, read or written.
    #[error("cannot {what} {}", path.display())]
    Io {
        /// The step that failed, in words.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
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

fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BundleError {
    move |source| BundleError::Io { what, path: path.to_path_buf(), source }
}

impl Bundle {
    /// The path of a program.
    pub fn bin(&self, name: &str) -> PathBuf {
        self.dir.join("bin").join(name)
    }

    /// The path of an image's archive.
    pub fn image(&self, name: &str) -> PathBuf {
        self.dir.join("images").join(format!("{name}.tar"))
    }

    /// Opens a folder that was made by [`ensure`].
    ///
    /// # Errors
    /// The manifest is missing or damaged.
    pub fn open(dir: &Path) -> Result<Self, BundleError> {
        let path = dir.join("manifest.json");
        let text = fs::read(&path).map_err(at("read", &path))?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|e| at("read", &path)(e.into()))?;
        Ok(Self { dir: dir.to_path_buf(), warnings: Vec::new(), versions: manifest.versions })
    }

    /// The names of files that are not what was unpacked; every file is read again.
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

    /// The files that are damaged although size and time are right, for a program of the bundle that did not start. The
    /// next [`ensure`] makes all files anew.
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
    let (home, source, warnings) = place(dirs)?;
    let mut bundle = unpack(&home, &source, Path::new(OWN))?;
    bundle.warnings = warnings;
    Ok(bundle)
}

/// True when [`ensure`] has nothing to unpack.
///
/// # Errors
/// As [`ensure`].
pub fn is_there(dirs: &Dirs) -> Result<bool, BundleError> {
    let (home, source, _) = place(dirs)?;
    is_unpacked(&home, &source, Path::new(OWN)).map_err(at("read", Path::new(OWN)))
}

/// The folder of bundles, what is unpacked there, and what is unusual about it.
fn place(dirs: &Dirs) -> Result<(PathBuf, Source, Vec<String>), BundleError> {
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
    Ok((home, source, warnings))
}

fn hash_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(hex(&hash.finalize()));
        }
        hash.update(&buffer[..length]);
    }
}
