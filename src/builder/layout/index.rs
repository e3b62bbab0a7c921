//! `index.json`: names, and what they name. It is replaced as a whole, and locked as BuildKit's own clients do.

use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

const INDEX: &str = "index.json";
const LOCK: &str = "index.json.lock";
const LAYOUT: &str = "oci-layout";
/// Bytes of an index that are believed.
const LARGEST: u64 = 16 << 20;

/// A tag, or containerd's whole name of an image.
const TAG: &str = "org.opencontainers.image.ref.name";
const NAME: &str = "io.containerd.image.name";

/// A name for a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::builder) enum Name {
    /// A word.
    Tag(String),
    /// A whole reference.
    Image(String),
}

impl Name {
    /// What annotations say: the tag, and the whole name if there is one.
    fn annotations(&self) -> (&str, Option<&str>) {
        match self {
            Self::Tag(tag) => (tag, None),
            Self::Image(name) => {
                let behind = name.rsplit('/').next().unwrap_or(name);
                let tag = behind.rsplit_once(':').map_or(name.as_str(), |(_, tag)| tag);
                (tag, Some(name))
            }
        }
    }
}

/// The index; an empty one is as good as a missing one.
pub(super) fn read(root: &Path) -> Result<Value, String> {
    let path = root.join(INDEX);
    let mut text = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut text))
        .map_err(|error| format!("{}: {}", path.display(), crate::model::reason::cause(&error)))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > LARGEST {
        return Err(format!("{} is larger than {LARGEST} bytes", path.display()));
    }
    let index: Value =
        serde_json::from_slice(&text).map_err(|error| format!("{} is no index: {error}", path.display()))?;
    match index["manifests"].is_array() {
        true => Ok(index),
        false => Err(format!("{} is no index: it has no manifests", path.display())),
    }
}

pub(super) fn manifests(index: &Value) -> Vec<&Value> {
    index["manifests"].as_array().into_iter().flatten().collect()
}

fn annotation<'a>(manifest: &'a Value, name: &str) -> Option<&'a str> {
    manifest["annotations"][name].as_str()
}

/// The manifest of a name, else of a tag.
pub(super) fn named<'a>(manifests: &[&'a Value], name: &str) -> Option<&'a Value> {
    let by = |key: &str| manifests.iter().find(|manifest| annotation(manifest, key) == Some(name)).copied();
    by(NAME).or_else(|| by(TAG))
}

/// All names and tags.
pub(super) fn names(manifests: &[&Value]) -> Vec<String> {
    let name = |manifest: &&Value| {
        annotation(manifest, NAME).or_else(|| annotation(manifest, TAG)).map(str::to_owned)
    };
    manifests.iter().filter_map(name).collect()
}

/// Adds a manifest under these names, which no other one has any more.
pub(super) fn put(root: &Path, descriptor: &Value, names: &[Name]) -> io::Result<()> {
    let path = root.join(LOCK);
    let lock = File::create(&path)?;
    lock.lock()?;
    let done = locked(root, descriptor, names);
    fs::remove_file(path).ok();
    done
}

fn locked(root: &Path, descriptor: &Value, names: &[Name]) -> io::Result<()> {
    let mut index = match fs::symlink_metadata(root.join(INDEX)) {
        Ok(data) if data.len() > 0 => read(root).map_err(io::Error::other)?,
        _ => {
            json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [] })
        }
    };
    if let Some(all) = index["manifests"].as_array_mut() {
        for name in names {
            let (tag, image) = name.annotations();
            all.retain(|known| annotation(known, TAG) != Some(tag) || annotation(known, NAME) != image);
            let mut named = descriptor.clone();
            named["annotations"][TAG] = json!(tag);
            if let Some(image) = image {
                named["annotations"][NAME] = json!(image);
            }
            all.push(named);
        }
    }
    replace(root, LAYOUT, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    replace(root, INDEX, index.to_string().as_bytes())
}

/// A file is there as a whole, or as it was.
fn replace(root: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let mut file = super::blobs::temporary(root)?;
    file.write_all(text)?;
    file.persist(root.join(name)).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_move() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let descriptor = |digest: &str| json!({ "digest": digest, "size": 1 });
        let image = Name::Image("localhost:5000/a/b:1".to_owned());
        put(root, &descriptor("x"), &[Name::Tag("latest".to_owned()), image.clone()]).unwrap();
        put(root, &descriptor("y"), &[Name::Tag("latest".to_owned())]).unwrap();
        let index = read(root).unwrap();
        let all = manifests(&index);
        let digest = |name: &str| named(&all, name).map(|found| found["digest"].as_str().unwrap());
        assert_eq!((digest("latest"), digest("localhost:5000/a/b:1")), (Some("y"), Some("x")));
        assert_eq!((digest("1"), digest("none"), all.len()), (Some("x"), None, 2));
        assert_eq!(names(&all), ["localhost:5000/a/b:1", "latest"]);
        assert_eq!(Name::Image("h:1/a".to_owned()).annotations(), ("h:1/a", Some("h:1/a")));
        let mut left: Vec<_> = fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [INDEX, LAYOUT]);
    }

    #[test]
    fn what_is_no_index() {
        let dir = tempfile::tempdir().unwrap();
        assert!(read(dir.path()).unwrap_err().contains("index.json: no such file"));
        for (text, why) in
            [("", "is no index"), ("{}", "no manifests"), ("{\"manifests\":3}", "no manifests")]
        {
            fs::write(dir.path().join(INDEX), text).unwrap();
            assert!(read(dir.path()).unwrap_err().contains(why), "{text}");
        }
        // What is there and cannot be understood is not replaced.
        put(dir.path(), &json!({}), &[]).unwrap_err();
    }
}
