//! `-v`: `name:/path`, `/host:/path:options`, `/path`.

use super::Host;
use crate::model::container::{Mount, MountKind};
use std::path::{Component, Path, PathBuf};

/// Why a volume is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    /// `-v ""`
    #[error("invalid empty volume spec")]
    Empty,
    /// `a::b`
    #[error("invalid spec: {0}: empty section between colons")]
    EmptySection(String),
    /// `a:b:c:d`
    #[error("invalid spec: {0}: too many colons")]
    TooManyColons(String),
    /// Anything else of a volume without a source.
    #[error("invalid volume spec {spec:?}: invalid volume specification: '{spec}': {why}")]
    Anonymous {
        /// As the user typed it.
        spec: String,
        /// Explanation, in Docker's words.
        why: String,
    },
    /// Anything else.
    #[error("invalid volume specification: '{spec}': {why}")]
    Invalid {
        /// As the user typed it.
        spec: String,
        /// Explanation, in Docker's words.
        why: String,
    },
    /// A volume's name.
    #[error(
        "create {0}: \"{0}\" includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" \
         are allowed. If you intended to pass a host directory, use absolute path"
    )]
    Name(String),
    /// `~` without a home.
    #[error("invalid volume specification: '{0}': the home directory is not known")]
    Home(String),
}

/// A mount, and whether SELinux labels were asked for (`z`, `Z`).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) mount: Mount,
    /// `z` or `Z` was given.
    pub(crate) relabel: bool,
}

/// Reads one `-v`.
pub(crate) fn parse(spec: &str, host: &Host) -> Result<Parsed, Error> {
    let parts = sections(spec)?;
    let (source, target, options) = match parts.as_slice() {
        [target] => (None, target, None),
        [source, target] => (Some(source), target, None),
        [source, target, options] => (Some(source), target, Some(options)),
        _ => return Err(Error::TooManyColons(spec.to_owned())),
    };
    let invalid = |why: String| match source {
        None => Error::Anonymous { spec: spec.to_owned(), why },
        Some(_) => Error::Invalid { spec: spec.to_owned(), why },
    };
    let kind = match source {
        None => MountKind::Volume { name: String::new(), no_copy: false },
        Some(source) if is_path(source) => {
            MountKind::Bind { source: absolute(source, spec, host)?, create: true }
        }
        Some(name) if is_name(name) => MountKind::Volume { name: name.clone(), no_copy: false },
        Some(name) => return Err(Error::Name(name.clone())),
    };
    let word = if matches!(kind, MountKind::Bind { .. }) { "bind" } else { "volume" };
    if !target.starts_with('/') {
        return Err(invalid(format!(
            "invalid mount config for type \"{word}\": invalid mount path: '{target}' mount path must be absolute"
        )));
    }
    let target = clean(target);
    if target == "/" {
        return Err(invalid(format!(
            "invalid mount config for type \"{word}\": invalid specification: destination can't be '/'"
        )));
    }
    let mut parsed = Parsed { mount: Mount::new(kind, target), relabel: false };
    if let Some(options) = options {
        apply(options, &mut parsed).map_err(invalid)?;
    }
    Ok(parsed)
}

/// Splits at colons; the one after a drive letter belongs to the path.
fn sections(spec: &str) -> Result<Vec<String>, Error> {
    if spec.is_empty() {
        return Err(Error::Empty);
    }
    let mut parts = vec![String::new()];
    for c in spec.chars() {
        let current = parts.last().map_or("", String::as_str);
        let drive = current.len() == 1 && current.starts_with(|c: char| c.is_ascii_alphabetic());
        if c != ':' || drive {
            if let Some(current) = parts.last_mut() {
                current.push(c);
            }
        } else if current.is_empty() {
            return Err(Error::EmptySection(spec.to_owned()));
        } else {
            parts.push(String::new());
        }
    }
    match parts.last().is_some_and(String::is_empty) {
        true => Err(Error::EmptySection(spec.to_owned())),
        false => Ok(parts),
    }
}

fn is_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~', '\\']) || source.get(1..2) == Some(":")
}

pub(super) fn is_name(name: &str) -> bool {
    name.len() > 1
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

pub(super) fn absolute(source: &str, spec: &str, host: &Host) -> Result<String, Error> {
    let path = match source.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            let home = host.home.as_ref().ok_or_else(|| Error::Home(spec.to_owned()))?;
            home.join(rest.trim_start_matches('/'))
        }
        Some(_) => return Err(Error::Name(source.to_owned())),
        None if source.starts_with('.') => host.working_dir.join(source),
        None => PathBuf::from(source),
    };
    Ok(normal(&path))
}

/// A path without `.` and `..`, which are taken out of the text as Go's `filepath.Abs` does.
fn normal(path: &Path) -> String {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out.to_string_lossy().into_owned()
}

/// Go's `path.Clean` of an absolute path.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn apply(options: &str, parsed: &mut Parsed) -> Result<(), String> {
    let bind = matches!(parsed.mount.kind, MountKind::Bind { .. });
    let invalid = || format!("invalid mode: {options}");
    let mut access = None;
    for option in options.split(',') {
        match option {
            "ro" | "rw" if access.is_none() => access = Some(option),
            "z" | "Z" if !parsed.relabel => parsed.relabel = true,
            "private" | "rprivate" | "shared" | "rshared" | "slave" | "rslave"
                if bind && parsed.mount.propagation.is_empty() =>
            {
                option.clone_into(&mut parsed.mount.propagation);
            }
            // Consistency matters only to file sharing with a virtual machine.
            "consistent" | "cached" | "delegated" if bind => {}
            "nocopy" => match &mut parsed.mount.kind {
                MountKind::Volume { no_copy, .. } => *no_copy = true,
                _ => return Err(invalid()),
            },
            _ => return Err(invalid()),
        }
    }
    parsed.mount.read_only = access == Some("ro");
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn host() -> Host {
        Host { working_dir: "/home/me/project".into(), home: Some("/home/me".into()), ..Host::default() }
    }

    fn bind(source: &str, target: &str) -> Mount {
        Mount::new(MountKind::Bind { source: source.into(), create: true }, target)
    }

    fn volume(name: &str, target: &str) -> Mount {
        Mount::new(MountKind::Volume { name: name.into(), no_copy: false }, target)
    }

    #[test]
    fn forms() {
        let cases = [
            ("/data", volume("", "/data"), false),
            ("cache:/data/", volume("cache", "/data"), false),
            ("cache:/data:ro", Mount { read_only: true, ..volume("cache", "/data") }, false),
            ("/a:/b", bind("/a", "/b"), false),
            ("./x:/b", bind("/home/me/project/x", "/b"), false),
            ("../x:/b/../c", bind("/home/me/x", "/c"), false),
            (".:/b", bind("/home/me/project", "/b"), false),
            ("~:/b", bind("/home/me", "/b"), false),
            ("~/x:/b", bind("/home/me/x", "/b"), false),
            ("/a:/b:ro,Z", Mount { read_only: true, ..bind("/a", "/b") }, true),
            ("/a:/b:z,rshared", Mount { propagation: "rshared".into(), ..bind("/a", "/b") }, true),
            ("/a:/b:rw,cached", bind("/a", "/b"), false),
        ];
        for (spec, mount, relabel) in cases {
            assert_eq!(parse(spec, &host()), Ok(Parsed { mount, relabel }), "{spec}");
        }
    }

    #[test]
    fn refused() {
        let cases = [
            ("", "invalid empty volume spec"),
            ("/a::/b", "invalid spec: /a::/b: empty section between colons"),
            ("/a:", "invalid spec: /a:: empty section between colons"),
            ("/a:/b:ro:x", "invalid spec: /a:/b:ro:x: too many colons"),
            ("/a:/b:bogus", "invalid volume specification: '/a:/b:bogus': invalid mode: bogus"),
            ("/a:/b:ro,rw", "invalid volume specification: '/a:/b:ro,rw': invalid mode: ro,rw"),
            ("vol:/b:shared", "invalid volume specification: 'vol:/b:shared': invalid mode: shared"),
            ("/a:/b:nocopy", "invalid mode: nocopy"),
            ("/a:b", "invalid mount path: 'b' mount path must be absolute"),
            ("/a:/", "destination can't be '/'"),
            (
                "Name",
                "invalid volume spec \"Name\": invalid volume specification: 'Name': invalid mount config for type \
                 \"volume\": invalid mount path: 'Name' mount path must be absolute",
            ),
            ("/", "invalid volume spec \"/\": invalid volume specification: '/': invalid mount config"),
            ("v!:/b", "create v!: \"v!\" includes invalid characters for a local volume name"),
            ("~you/x:/b", "includes invalid characters"),
        ];
        for (spec, part) in cases {
            let error = parse(spec, &host()).unwrap_err().to_string();
            assert!(error.contains(part), "{spec}: {error}");
        }
    }

    #[test]
    fn drive_letters() {
        assert_eq!(sections(r"C:\x:/y:ro").unwrap(), [r"C:\x", "/y", "ro"]);
    }
}
