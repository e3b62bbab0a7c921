//! `followpaths`: the paths that a Dockerfile copies, and wherever symbolic links in them lead within the context.

use super::{LocalError, glob, join};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The given paths and the targets of links on the way; `None` when that is everything.
pub(super) fn follow(root: &Path, paths: &[String]) -> Result<Option<Vec<String>>, LocalError> {
    let mut resolver = Resolver { root, found: BTreeSet::new() };
    for path in paths {
        resolver.add(path)?;
    }
    Ok((!resolver.found.contains(".")).then(|| resolver.found.into_iter().collect()))
}

struct Resolver<'a> {
    root: &'a Path,
    found: BTreeSet<String>,
}

impl Resolver<'_> {
    fn add(&mut self, path: &str) -> Result<(), LocalError> {
        // At most one link is followed for each path that is new, so this ends.
        let path = inside(path);
        let mut current = String::new();
        let mut rest = path.as_str();
        loop {
            let (part, after) = rest.split_once('/').unwrap_or((rest, ""));
            let base = std::mem::take(&mut current);
            current = if base.is_empty() { part.to_owned() } else { format!("{base}/{part}") };
            rest = after;
            let targets = self.targets(&base, part)?;
            if targets.is_empty() && !rest.is_empty() {
                continue;
            }
            if self.found.insert(current.clone()) {
                for target in targets {
                    self.add(&format!("{target}/{rest}"))?;
                }
            }
            return Ok(());
        }
    }

    /// Targets of the links named `name` (which may have wildcards) in `dir`.
    fn targets(&self, dir: &str, name: &str) -> Result<Vec<String>, LocalError> {
        if !glob::has_wildcards(name) {
            return Ok(self.target(dir, name).into_iter().collect());
        }
        let path = join(self.root, dir);
        let entries = match fs::read_dir(&path).map_err(LocalError::io("readdir", &path)) {
            Ok(entries) => entries,
            Err(error) if error.is_missing() => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut all = Vec::new();
        for entry in entries {
            let entry = entry.map_err(LocalError::io("readdir", &path))?;
            let Ok(found) = entry.file_name().into_string() else { continue };
            if glob::matches(name, &found).unwrap_or(false) {
                all.extend(self.target(dir, &found));
            }
        }
        Ok(all)
    }

    fn target(&self, dir: &str, name: &str) -> Option<String> {
        let target = fs::read_link(join(&join(self.root, dir), name)).ok()?;
        let target = target.into_os_string().into_string().ok()?;
        let target = if glob::ESCAPES { target } else { target.replace('\\', "/") };
        Some(match target.starts_with('/') {
            true => target,
            false => format!("{dir}/{target}"),
        })
    }
}

/// Cleaned, and never outside: `..` at the top is the top.
fn inside(path: &str) -> String {
    match glob::clean(&format!("/{path}")).as_str() {
        "/" => ".".to_owned(),
        path => path[1..].to_owned(),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_are_followed_inside() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir_all(root.join("real/deep")).unwrap();
        fs::write(root.join("real/deep/file"), "x").unwrap();
        symlink("real", root.join("alias")).unwrap();
        symlink("/real/deep", root.join("absolute")).unwrap();
        symlink("../../../out", root.join("real/escape")).unwrap();
        symlink("loop-b", root.join("loop-a")).unwrap();
        symlink("loop-a", root.join("loop-b")).unwrap();
        symlink(".", root.join("here")).unwrap();
        let cases: &[(&[&str], Option<&[&str]>)] = &[
            (&["real/deep/file"], Some(&["real/deep/file"])),
            (&["/alias/deep/file"], Some(&["alias", "real/deep/file"])),
            (&["absolute/file"], Some(&["absolute", "real/deep/file"])),
            (&["real/escape"], Some(&["out", "real/escape"])),
            (&["loop-a"], Some(&["loop-a", "loop-b"])),
            (&["a*"], Some(&["a*", "real", "real/deep"])),
            (&["missing/x"], Some(&["missing/x"])),
            (&["."], None),
            (&["here"], None),
        ];
        for (paths, expected) in cases {
            let paths: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
            let expected = expected.map(|all| all.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>());
            assert_eq!(follow(root, &paths).unwrap(), expected, "{paths:?}");
        }
    }
}
