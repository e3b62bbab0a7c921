//! The two sides of a copy, and where it lands, by Docker's rules.

use std::path::Path;

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Local(String),
    Container { name: String, path: String },
}

/// Tells the sides apart by Docker's rule: absolute paths and those whose part before the colon begins with a dot are local.
pub(super) fn place(text: &str) -> Place {
    let local = || Place::Local(text.to_owned());
    if Path::new(text).is_absolute() {
        return local();
    }
    match text.split_once(':') {
        Some((name, path)) if !name.is_empty() && !name.starts_with('.') => {
            Place::Container { name: name.to_owned(), path: path.to_owned() }
        }
        _ => local(),
    }
}

/// The folder that something is unpacked into, and its name there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Landing {
    pub(super) folder: String,
    /// The new name; `.`: what is in the source goes into the folder itself.
    pub(super) name: String,
}

/// Kinds of targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Missing,
    Folder,
    File,
}

/// Finds the landing by Docker's rules. A source that ends with `/.` stands for what is in it.
pub(super) fn landing(source: &str, folder: bool, target: &str, what: Target) -> Result<Landing, String> {
    let contents = folder && (source.ends_with("/.") || source == ".");
    let own = last(source);
    match (what, folder) {
        (Target::Folder, _) => Ok(Landing {
            folder: target.to_owned(),
            name: if contents || own.is_empty() { ".".to_owned() } else { own },
        }),
        (Target::File, true) => Err(format!("cannot copy directory {source} to the file {target}")),
        (Target::File, false) if target.ends_with('/') => Err(format!("not a directory: {target}")),
        (Target::Missing, false) if target.ends_with('/') => Err(format!("no such directory: {target}")),
        (Target::File | Target::Missing, _) => {
            let trimmed = target.trim_end_matches('/').trim_end_matches("/.");
            let (above, name) = trimmed.rsplit_once('/').unwrap_or((".", trimmed));
            let above = if above.is_empty() { "/" } else { above };
            Ok(Landing { folder: above.to_owned(), name: name.to_owned() })
        }
    }
}

/// The last component of a path; the root has none.
fn last(path: &str) -> String {
    let path = path.trim_end_matches("/.").trim_end_matches('/');
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// The source with the name that `.` and `..` stand for.
pub(super) fn named(source: &str) -> String {
    let plain = source.trim_end_matches('/');
    match plain {
        _ if source.ends_with("/.") || source == "." => "./.".to_owned(),
        "" => "/".to_owned(),
        ".." => std::fs::canonicalize("..").map_or_else(|_| plain.to_owned(), |p| p.display().to_string()),
        plain if plain.ends_with("/..") => {
            std::fs::canonicalize(plain).map_or_else(|_| plain.to_owned(), |p| p.display().to_string())
        }
        plain => plain.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides() {
        let container = |name: &str, path: &str| Place::Container { name: name.into(), path: path.into() };
        assert_eq!(place("web:/etc"), container("web", "/etc"));
        assert_eq!(place("web:etc"), container("web", "etc"));
        for local in ["/tmp/a:b", "./a:b", "../a:b", "plain", "-", ":x"] {
            assert_eq!(place(local), Place::Local(local.into()));
        }
    }

    #[test]
    fn where_it_lands() {
        let lands = |source: &str, folder, target: &str, what| {
            landing(source, folder, target, what).map(|l| format!("{} in {}", l.name, l.folder))
        };
        let ok = |text: &str| Ok(text.to_owned());
        assert_eq!(lands("/a/f", false, "/t", Target::Folder), ok("f in /t"));
        assert_eq!(lands("/a/f", false, "/t/new", Target::Missing), ok("new in /t"));
        assert_eq!(lands("/a/f", false, "/t/old", Target::File), ok("old in /t"));
        assert_eq!(lands("/a/d", true, "/t", Target::Folder), ok("d in /t"));
        assert_eq!(lands("/a/d/.", true, "/t", Target::Folder), ok(". in /t"));
        assert_eq!(lands("/a/d", true, "/t/new", Target::Missing), ok("new in /t"));
        assert_eq!(lands("/a/d/.", true, "/t/new/", Target::Missing), ok("new in /t"));
        assert_eq!(lands("/", true, "/t", Target::Folder), ok(". in /t"));
        assert_eq!(lands("/f", false, "new", Target::Missing), ok("new in ."));
        assert_eq!(lands("/f", false, "/new", Target::Missing), ok("new in /"));
        assert!(lands("/a/f", false, "/t/new/", Target::Missing).unwrap_err().contains("no such directory"));
        assert!(lands("/a/d", true, "/t/old", Target::File).unwrap_err().contains("cannot copy directory"));
    }
}
