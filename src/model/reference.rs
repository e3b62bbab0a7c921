//! Image references: how Docker completes a short name, and how it shows a long one.

use std::fmt;

/// A complete reference: `registry/path[:tag][@digest]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// `docker.io`, `localhost:5000`.
    pub domain: String,
    /// `library/alpine`.
    pub path: String,
    /// Absent only when there is a digest.
    pub tag: Option<String>,
    /// `sha256:...`
    pub digest: Option<String>,
}

/// The domain of images that are inside k3c.
pub const NOWHERE: &str = "k3c.local";

/// Why the text is no reference.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidReference {
    /// Not of the form.
    #[error("invalid reference format")]
    Format,
    /// Upper case in the path.
    #[error("invalid reference format: repository name ({0}) must be lowercase")]
    Uppercase(String),
    /// Looks like an ID.
    #[error("invalid repository name ({0}), cannot specify 64-byte hexadecimal strings")]
    Identifier(String),
    /// Too long.
    #[error("repository name must not be more than 255 characters")]
    TooLong,
}

const DEFAULT_DOMAIN: &str = "docker.io";

impl Reference {
    /// Completes and checks what a user typed; without a tag and a digest the tag is `latest`.
    pub fn parse(text: &str) -> Result<Self, InvalidReference> {
        if is_hex(text, 64) {
            return Err(InvalidReference::Identifier(text.to_owned()));
        }
        let (named, digest) = match text.split_once('@') {
            Some((named, digest)) if is_digest(digest) => (named, Some(digest.to_owned())),
            Some(_) => return Err(InvalidReference::Format),
            None => (text, None),
        };
        let (domain, remainder) = split_domain(named);
        let (path, tag) = match remainder.split_once(':') {
            Some((path, tag)) if is_tag(tag) => (path.to_owned(), Some(tag.to_owned())),
            Some(_) => return Err(InvalidReference::Format),
            None => (remainder, None),
        };
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(InvalidReference::Uppercase(path));
        }
        if !is_domain(&domain) || !path.split('/').all(is_component) {
            return Err(InvalidReference::Format);
        }
        if domain.len() + 1 + path.len() > 255 {
            return Err(InvalidReference::TooLong);
        }
        let tag = if digest.is_some() { None } else { tag.or_else(|| Some("latest".to_owned())) };
        Ok(Self { domain, path, tag, digest })
    }

    /// True when a text says neither a tag nor a digest.
    pub fn is_name_only(text: &str) -> bool {
        !text.contains('@') && !text.rsplit('/').next().is_some_and(|last| last.contains(':'))
    }

    /// `registry/path`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// False for names in the domain of images that are inside k3c: no registry has it.
    pub fn has_registry(&self) -> bool {
        self.domain != NOWHERE
    }

    /// The repository as people see it: without `docker.io/` and, before a single component, `library/`.
    pub fn familiar_repository(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.repository();
        }
        match self.path.strip_prefix("library/") {
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people see it.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_repository(), self.suffix())
    }

    /// The tag and the digest, each with its sign.
    pub fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|t| format!(":{t}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|d| format!("@{d}")).unwrap_or_default();
        tag + &digest
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.repository(), self.suffix())
    }
}

/// The familiar form of a stored name, or the name itself when it is none.
pub fn familiar(name: &str) -> String {
    Reference::parse(name).map_or_else(|_| name.to_owned(), |r| r.familiar())
}

/// `sha256:` and 64 hex digits (other algorithms: `name:hex`).
pub fn is_digest(text: &str) -> bool {
    match text.split_once(':') {
        Some(("sha256", hex)) => is_hex(hex, 64),
        Some(("sha384", hex)) => is_hex(hex, 96),
        Some(("sha512", hex)) => is_hex(hex, 128),
        _ => false,
    }
}

fn split_domain(named: &str) -> (String, String) {
    let (domain, rest) = match named.split_once('/') {
        Some((first, rest))
            if first == "localhost"
                || first.contains(['.', ':'])
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (if first == "index.docker.io" { DEFAULT_DOMAIN } else { first }, rest)
        }
        _ => (DEFAULT_DOMAIN, named),
    };
    let path_only = rest.split(':').next().unwrap_or(rest);
    if domain == DEFAULT_DOMAIN && !path_only.contains('/') {
        (domain.to_owned(), format!("library/{rest}"))
    } else {
        (domain.to_owned(), rest.to_owned())
    }
}

fn is_hex(text: &str, len: usize) -> bool {
    text.len() == len && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    tag.len() <= 128
        && bytes.next().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    if port.is_some_and(|p| p.is_empty() || !p.bytes().all(|b| b.is_ascii_digit())) {
        return false;
    }
    if let Some(v6) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        return !v6.is_empty() && v6.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    }
    host.split('.').all(|label| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

/// `[a-z0-9]+` parts joined by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let bytes = component.as_bytes();
    let word = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    if !bytes.first().is_some_and(word) || !bytes.last().is_some_and(word) {
        return false;
    }
    bytes
        .split(word)
        .filter(|s| !s.is_empty())
        .all(|s| matches!(s, b"." | b"_" | b"__") || s.iter().all(|b| *b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_and_shortens() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (typed, full, short) in [
            ("alpine", "docker.io/library/alpine:latest", "alpine:latest"),
            ("localhost", "docker.io/library/localhost:latest", "localhost:latest"),
            ("example.com", "docker.io/library/example.com:latest", "example.com:latest"),
            ("a/b:1", "docker.io/a/b:1", "a/b:1"),
            ("localhost/x", "localhost/x:latest", "localhost/x:latest"),
            ("host:5000/x:v1", "host:5000/x:v1", "host:5000/x:v1"),
            ("index.docker.io/x", "docker.io/library/x:latest", "x:latest"),
            ("docker.io/library/a/b", "docker.io/library/a/b:latest", "library/a/b:latest"),
            ("Reg/x", "Reg/x:latest", "Reg/x:latest"),
            ("x__y/z-_", "", ""),
            (&format!("x:1@{digest}"), &format!("docker.io/library/x@{digest}"), &format!("x@{digest}")),
        ] {
            match Reference::parse(typed) {
                Ok(r) => {
                    assert_eq!((r.to_string().as_str(), r.familiar().as_str()), (full, short), "{typed}")
                }
                Err(e) => assert_eq!("", full, "{typed}: {e}"),
            }
        }
    }

    #[test]
    fn names_alone() {
        for (text, alone) in [
            ("alpine", true),
            ("host:5000/x", true),
            ("host:5000/x:1", false),
            ("x:1", false),
            ("x@sha256:1", false),
        ] {
            assert_eq!(Reference::is_name_only(text), alone, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (typed, text) in [
            ("Foo", "invalid reference format: repository name (library/Foo) must be lowercase"),
            ("", "invalid reference format"),
            ("a:b:c", "invalid reference format"),
            ("a//b", "invalid reference format"),
            ("a@sha256:12", "invalid reference format"),
        ] {
            assert_eq!(Reference::parse(typed).unwrap_err().to_string(), text, "{typed}");
        }
        let hex = "a".repeat(64);
        assert!(matches!(Reference::parse(&hex), Err(InvalidReference::Identifier(_))));
        assert_eq!(Reference::parse(&"a".repeat(300)), Err(InvalidReference::TooLong));
    }
}
