//! Differences of two trees.

use super::Tree;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A path that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path from the root, with a leading slash.
    pub path: PathBuf,
    /// `A`dded, `C`hanged or `D`eleted.
    pub kind: char,
}

impl Tree {
    /// Paths that this tree has and `before` has not, or has otherwise, in their order.
    pub fn changes(&self, before: &Self) -> io::Result<Vec<Change>> {
        let mut all = Vec::new();
        self.compare(before, Path::new("/"), &mut all)?;
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    fn compare(&self, before: &Self, here: &Path, all: &mut Vec<Change>) -> io::Result<()> {
        let (old, new) = (before.entries()?, self.entries()?);
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            all.push(Change { path: here.join(name), kind: 'D' });
        }
        for (name, meta) in &new {
            let path = here.join(name);
            let Some(was) = old.get(name) else {
                all.push(Change { path: path.clone(), kind: 'A' });
                if meta.is_dir() {
                    self.enter(name)?.added(&path, all)?;
                }
                continue;
            };
            let inside = all.len();
            if meta.is_dir() && was.is_dir() {
                self.enter(name)?.compare(&before.enter(name)?, &path, all)?;
            } else if meta.is_dir() {
                self.enter(name)?.added(&path, all)?;
            }
            if !alike(was, meta) || all.len() > inside {
                all.push(Change { path, kind: 'C' });
            }
        }
        Ok(())
    }

    fn added(&self, here: &Path, all: &mut Vec<Change>) -> io::Result<()> {
        for (name, meta) in self.entries()? {
            let path = here.join(&name);
            all.push(Change { path: path.clone(), kind: 'A' });
            if meta.is_dir() {
                self.enter(&name)?.added(&path, all)?;
            }
        }
        Ok(())
    }
}

/// Whether two files have the same properties. Times of a folder say nothing: they change with what is in it.
fn alike(a: &Metadata, b: &Metadata) -> bool {
    let who = |m: &Metadata| (m.mode(), m.uid(), m.gid(), m.rdev());
    who(a) == who(b)
        && (a.is_dir() || (a.len(), a.mtime(), a.mtime_nsec()) == (b.len(), b.mtime(), b.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_changed() {
        let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for root in [&old, &new] {
            fs::create_dir_all(root.path().join("same/deep")).unwrap();
            fs::create_dir_all(root.path().join("touched")).unwrap();
        }
        fs::write(old.path().join("gone"), "").unwrap();
        fs::create_dir_all(new.path().join("fresh/in")).unwrap();
        fs::write(new.path().join("touched/file"), "").unwrap();
        let changes = Tree::open(new.path()).unwrap().changes(&Tree::open(old.path()).unwrap()).unwrap();
        let text: Vec<String> = changes.iter().map(|c| format!("{} {}", c.kind, c.path.display())).collect();
        assert_eq!(text, ["A /fresh", "A /fresh/in", "D /gone", "C /touched", "A /touched/file"]);
    }
}
