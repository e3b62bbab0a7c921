//! Addresses of images in layouts.

use super::{Digest, Layout};
use std::path::{Path, PathBuf};

/// `PATH[:tag][@digest]`
#[derive(Debug, PartialEq, Eq)]
pub(in crate::builder) struct LayoutReference {
    pub(in crate::builder) path: PathBuf,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl LayoutReference {
    /// A folder of that very name is nearer than one with a tag.
    pub(in crate::builder) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("it has no path".to_owned());
        }
        if Path::new(text).is_dir() {
            return Ok(Self { path: text.into(), tag: None, digest: None });
        }
        let (rest, digest) = match text.rsplit_once('@') {
            Some((rest, digest)) => {
                let digest =
                    Digest::parse(digest).ok_or_else(|| format!("{digest:?} is no digest of sha256"))?;
                (rest, Some(digest))
            }
            None => (text, None),
        };
        let (path, tag) = match rest.rsplit_once(':') {
            Some((path, tag)) if !tag.contains(['/', '\\']) && !path.is_empty() => (path, Some(tag)),
            _ => (rest, None),
        };
        match tag {
            Some("") => Err("the tag is empty".to_owned()),
            tag => Ok(Self { path: path.into(), tag: tag.map(str::to_owned), digest }),
        }
    }

    /// The image's digest: the one that is given, or that of the tag.
    pub(in crate::builder) fn resolve(&self, layout: &Layout) -> Result<Digest, String> {
        match &self.digest {
            Some(digest) => layout.there(digest.clone()),
            None => layout.find(self.tag.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let hex = "a".repeat(64);
        let of = |path: &str, tag: Option<&str>, digest: bool| LayoutReference {
            path: path.into(),
            tag: tag.map(str::to_owned),
            digest: digest.then(|| Digest(hex.clone())),
        };
        for (text, expected) in [
            ("dir".to_owned(), of("dir", None, false)),
            ("/a/dir:1.0".to_owned(), of("/a/dir", Some("1.0"), false)),
            (format!("dir@sha256:{hex}"), of("dir", None, true)),
            (format!("dir:t@sha256:{hex}"), of("dir", Some("t"), true)),
            ("a:b/dir".to_owned(), of("a:b/dir", None, false)),
        ] {
            assert_eq!(LayoutReference::parse(&text), Ok(expected), "{text}");
        }
        for (text, why) in [("", "no path"), ("d:", "empty"), ("d@sha256:12", "is no digest")] {
            assert!(LayoutReference::parse(text).unwrap_err().contains(why), "{text}");
        }
        let dir = tempfile::tempdir().unwrap();
        let odd = dir.path().join("a:b");
        std::fs::create_dir(&odd).unwrap();
        let odd = odd.to_str().unwrap();
        assert_eq!(LayoutReference::parse(odd), Ok(of(odd, None, false)));
    }
}
