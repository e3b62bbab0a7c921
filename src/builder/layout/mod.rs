//! Images and caches in a folder, in the OCI's layout: `index.json` names them, `blobs/sha256` has everything.
//!
//! What is in a folder of somebody else's may be anything: names of blobs are digests and nothing more, a blob is a file
//! and no link to one, and is what its name says, or it is not given away.

mod blobs;
mod index;
mod reference;

pub(super) use blobs::{Ingest, Refusal};
pub(super) use reference::LayoutReference;

use serde_json::Value;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A SHA-256 digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Digest(String);

impl Digest {
    /// `sha256:` and 64 hexadecimal digits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:")?;
        let is_hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        (hex.len() == 64 && hex.chars().all(is_hex)).then(|| Self(hex.to_owned()))
    }

    fn hex(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

/// A folder in the OCI's layout.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    /// It can be written to.
    writable: bool,
    /// Blobs that are known to be what their names say.
    known: std::sync::Mutex<std::collections::HashSet<Digest>>,
}

impl Layout {
    /// One that is there.
    pub(super) fn open(root: &Path) -> Self {
        Self::of(root, false)
    }

    /// One that is made, or gets more.
    pub(super) fn create(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root.join("blobs/sha256"))?;
        Ok(Self::of(root, true))
    }

    fn of(root: &Path, writable: bool) -> Self {
        Self { root: root.to_owned(), writable, known: std::sync::Mutex::default() }
    }

    /// The folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The digest of what has this tag or name; without one of `latest`, or of the only one that there is.
    pub(super) fn find(&self, tag: Option<&str>) -> Result<Digest, String> {
        let manifests = index::read(&self.root)?;
        let manifests = index::manifests(&manifests);
        let found = index::named(&manifests, tag.unwrap_or("latest"));
        let found = found.or(match (tag, manifests.as_slice()) {
            (None, [only]) => Some(*only),
            _ => None,
        });
        let Some(found) = found else {
            let names = index::names(&manifests);
            let has = if names.is_empty() { "no names".to_owned() } else { names.join(", ") };
            return Err(format!("there is no {:?} in it, it has {has}", tag.unwrap_or("latest")));
        };
        let digest = found["digest"].as_str().unwrap_or_default();
        let digest = Digest::parse(digest);
        self.there(digest.ok_or("a digest in index.json is none of sha256".to_owned())?)
    }

    /// A digest whose blob is there, and is what its name says.
    fn there(&self, digest: Digest) -> Result<Digest, String> {
        match self.blob(&digest) {
            Ok(_) => Ok(digest),
            Err(Refusal::Missing) => Err(format!("{digest} is not in it")),
            Err(Refusal::Bad(why)) => Err(why),
        }
    }

    /// Gives a manifest its names.
    pub(super) fn name(&self, descriptor: &Value, names: &[index::Name]) -> io::Result<()> {
        index::put(&self.root, descriptor, names)
    }
}

pub(super) use index::Name;
