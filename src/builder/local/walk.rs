//! The order of the protocol: depth first, the names of a directory by their bytes, a directory before what is in it.
//! (BuildKit refuses any other.)

use super::filter::{Filter, Inherited, Verdict};
use super::index::{Contents, Index};
use super::{LocalError, join, mode, platform};
use crate::proto::fsutil::types::Stat;
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// An open directory.
struct Level {
    path: String,
    name: String,
    /// Last first.
    names: Vec<OsString>,
    inherited: Inherited,
    /// Once it was sent.
    number: Option<u32>,
}

/// Calls `found` for every entry that the filter leaves. Blocks.
pub(super) fn walk(
    root: &Path,
    filter: &Filter,
    index: &Mutex<Index>,
    mut found: impl FnMut(Stat) -> Result<(), LocalError>,
) -> Result<(), LocalError> {
    let mut links = HashMap::new();
    let mut send = |parent, name: &str, path: &str, (full, data): &(PathBuf, Metadata)| {
        let (stat, contents) = stat(full, path, data, &mut links)?;
        let number = index.lock().unwrap_or_else(PoisonError::into_inner).add(parent, name, contents)?;
        found(stat).map(|()| number)
    };
    let mut levels = vec![Level {
        path: String::new(),
        name: String::new(),
        names: list(root, "")?,
        inherited: Inherited::default(),
        number: None,
    }];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            levels.pop();
            continue;
        };
        let shown = name.to_string_lossy();
        let path = if level.path.is_empty() { shown.into_owned() } else { format!("{}/{shown}", level.path) };
        let (verdict, inherited) = filter.judge(&path, &level.inherited);
        let name = match (verdict, name.into_string()) {
            (Verdict::Prune, _) | (Verdict::Skip, Err(_)) => continue,
            (_, Ok(name)) => name,
            // A name that the protocol does not have is an error only if the entry is wanted.
            (Verdict::Keep, Err(name)) => return Err(LocalError::Name(join(root, &level.path).join(name))),
        };
        let found = match lstat(root, &path) {
            // Gone since the directory was read.
            Err(error) if error.is_gone() => continue,
            other => other?,
        };
        let mut number = None;
        if verdict == Verdict::Keep {
            // The directories above it, which were skipped, are needed after all.
            let mut parent = None;
            for level in levels.iter_mut().skip(1) {
                if level.number.is_none() {
                    level.number = Some(send(parent, &level.name, &level.path, &lstat(root, &level.path)?)?);
                }
                parent = level.number;
            }
            number = match send(parent, &name, &path, &found) {
                Err(error) if error.is_gone() => continue,
                sent => Some(sent?),
            };
        }
        if found.1.is_dir() {
            let names = match list(root, &path) {
                Err(error) if error.is_gone() => continue,
                Err(LocalError::Io { source, .. })
                    if verdict == Verdict::Skip && source.kind() == std::io::ErrorKind::PermissionDenied =>
                {
                    continue;
                }
                other => other?,
            };
            levels.push(Level { path, name, names, inherited, number });
        }
    }
    Ok(())
}

/// An entry's path on this system, and what it is.
fn lstat(root: &Path, path: &str) -> Result<(PathBuf, Metadata), LocalError> {
    let full = join(root, path);
    match fs::symlink_metadata(&full) {
        Ok(data) => Ok((full, data)),
        Err(error) => Err(LocalError::io("lstat", &full)(error)),
    }
}

fn list(root: &Path, path: &str) -> Result<Vec<OsString>, LocalError> {
    let full = if path.is_empty() { root.to_owned() } else { join(root, path) };
    let mut names = Vec::new();
    for entry in fs::read_dir(&full).map_err(LocalError::io("open", &full))? {
        let entry = entry.map_err(LocalError::io("readdir", &full))?;
        names.push(entry.file_name());
    }
    names.sort_unstable_by(|a, b| b.as_encoded_bytes().cmp(a.as_encoded_bytes()));
    Ok(names)
}

/// Owners are root's, as Docker's clients say: who built must not decide what is built.
fn stat(
    full: &Path,
    path: &str,
    data: &Metadata,
    links: &mut HashMap<(u64, u64), String>,
) -> Result<(Stat, Contents), LocalError> {
    let detail = platform::detail(data);
    let mut stat = Stat {
        path: path.to_owned(),
        mode: detail.mode,
        size: if data.is_dir() { 0 } else { i64::try_from(data.len()).unwrap_or(i64::MAX) },
        mod_time: modified(data),
        devmajor: detail.device.0,
        devminor: detail.device.1,
        xattrs: platform::attributes(full).map_err(LocalError::io("listxattr", full))?,
        ..Stat::default()
    };
    if data.is_symlink() {
        let target = fs::read_link(full).map_err(LocalError::io("readlink", full))?;
        let target = target.into_os_string().into_string().map_err(|_| LocalError::Name(full.to_owned()))?;
        stat.linkname = if cfg!(windows) { target.replace('\\', "/") } else { target };
    } else if let Some(identity) = detail.identity {
        // Only names that were sent are remembered, so a link never leads to what was left out.
        match links.get(&identity) {
            Some(first) => {
                stat.linkname.clone_from(first);
                stat.size = 0;
            }
            None => drop(links.insert(identity, path.to_owned())),
        }
    }
    let contents = match mode::is_regular(detail.mode) {
        true if detail.unreadable => Contents::Empty,
        true => Contents::File(data.len()),
        false => Contents::None,
    };
    Ok((stat, contents))
}

/// Nanoseconds since 1970; before it they are negative.
fn modified(data: &Metadata) -> i64 {
    let Ok(time) = data.modified() else { return 0 };
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    }
}

#[cfg(test)]
mod tests {
    use super::super::filter::Request;
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for file in files {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        dir
    }

    fn walked(root: &Path, request: &Request) -> (Vec<Stat>, Index) {
        let filter = Filter::new(root, request).unwrap();
        let index = Mutex::default();
        let mut all = Vec::new();
        walk(root, &filter, &index, |stat| {
            all.push(stat);
            Ok(())
        })
        .unwrap();
        (all, index.into_inner().unwrap())
    }

    fn paths(root: &Path, request: &Request) -> Vec<String> {
        walked(root, request).0.into_iter().map(|stat| stat.path).collect()
    }

    #[test]
    fn depth_first_by_component() {
        let dir = tree(&["a/b", "a-b", "a.c/x", "a/b.d", "Z", "b/c/d"]);
        let (all, index) = walked(dir.path(), &Request::default());
        let names: Vec<&str> = all.iter().map(|stat| stat.path.as_str()).collect();
        assert_eq!(names, ["Z", "a", "a/b", "a/b.d", "a-b", "a.c", "a.c/x", "b", "b/c", "b/c/d"]);
        for (number, stat) in (0..).zip(&all) {
            match stat.mode & mode::DIR {
                0 => assert_eq!(index.file(number).unwrap().0, stat.path),
                _ => assert!(index.file(number).is_err()),
            }
        }
    }

    #[test]
    fn filters_leave_the_way_to_what_they_keep() {
        let dir = tree(&["doc/a.md", "src/lib/x.rs", "src/lib/y.txt", "src/main.rs", "top"]);
        let all = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let request = Request { exclude: all(&["**", "!**/*.rs"]), ..Request::default() };
        assert_eq!(paths(dir.path(), &request), ["src", "src/lib", "src/lib/x.rs", "src/main.rs"]);
        let request = Request { exclude: all(&["src", "!src/lib/y.txt"]), ..Request::default() };
        assert_eq!(
            paths(dir.path(), &request),
            ["doc", "doc/a.md", "src", "src/lib", "src/lib/y.txt", "top"]
        );
        let request = Request { follow: all(&["src/lib", "none"]), ..Request::default() };
        assert_eq!(paths(dir.path(), &request), ["src", "src/lib", "src/lib/x.rs", "src/lib/y.txt"]);
        let request = Request { include: all(&["*"]), exclude: all(&["src"]), ..Request::default() };
        assert_eq!(paths(dir.path(), &request), ["doc", "doc/a.md", "top"]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn names_that_the_protocol_cannot_carry() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tree(&["Dockerfile", "sub/x"]);
        fs::write(dir.path().join("sub").join(std::ffi::OsStr::from_bytes(b"\xff")), "").unwrap();
        let request = Request { follow: vec!["Dockerfile".to_owned()], ..Request::default() };
        assert_eq!(paths(dir.path(), &request), ["Dockerfile"]);
        let filter = Filter::new(dir.path(), &Request::default()).unwrap();
        let error = walk(dir.path(), &filter, &Mutex::default(), |_| Ok(())).unwrap_err();
        assert!(error.to_string().ends_with("sub/\\xFF\": file name is not valid UTF-8"), "{error}");
    }

    #[test]
    #[cfg(unix)]
    fn links_modes_owners() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let dir = tree(&["a/first", "skipped/other"]);
        let root = dir.path();
        fs::set_permissions(root.join("a/first"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::hard_link(root.join("a/first"), root.join("b")).unwrap();
        fs::hard_link(root.join("skipped/other"), root.join("t")).unwrap();
        symlink("a/first", root.join("s")).unwrap();
        let request = Request { exclude: vec!["skipped".to_owned()], ..Request::default() };
        let (all, _) = walked(root, &request);
        let of = |path: &str| all.iter().find(|stat| stat.path == path).unwrap();
        assert_eq!(of("a/first").mode, mode::SETUID | 0o750);
        assert_eq!((of("a/first").linkname.as_str(), of("a/first").size), ("", 7));
        assert_eq!((of("b").linkname.as_str(), of("b").size), ("a/first", 0));
        assert_eq!((of("t").linkname.as_str(), of("t").size), ("", 13));
        assert_eq!((of("s").linkname.as_str(), of("s").mode & mode::SYMLINK), ("a/first", mode::SYMLINK));
        assert!(all.iter().all(|stat| stat.uid == 0 && stat.gid == 0));
    }
}
