//! Says where two things are that the binary embeds: the bundle's archive (without one an empty file is), and the file
//! that has the commit of a git checkout.
//!
//! The commit is embedded by `main.rs`, from git's own file: so a commit makes cargo compile `main.rs` again and nothing
//! else, and this script runs again only when another branch is checked out.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let write = |name: &str, text: &str| {
        let path = out.join(name);
        fs::write(&path, text).expect("OUT_DIR is writable");
        path
    };
    let arch = match env::var("CARGO_CFG_TARGET_ARCH").as_deref() {
        Ok("aarch64") => "arm64",
        _ => "amd64",
    };
    let archive = root.join(format!("images/out/linux-{arch}/bundle.tar.zst"));
    println!("cargo::rerun-if-changed={}", archive.display());
    let archive = if archive.exists() { archive } else { write("empty", "") };
    println!("cargo::rustc-env=K3C_BUNDLE_ARCHIVE={}", archive.display());

    println!("cargo::rerun-if-env-changed=K3C_GIT_COMMIT");
    let commit = match (env::var("K3C_GIT_COMMIT"), head(&root)) {
        (Ok(given), _) => write("commit", &given),
        (_, None) => write("commit", "unknown"),
        (_, Some(head)) => {
            for path in head.watched {
                println!("cargo::rerun-if-changed={}", path.display());
            }
            match head.commit {
                Commit::In(file) => file,
                Commit::Is(commit) => write("commit", &commit),
            }
        }
    };
    println!("cargo::rustc-env=K3C_COMMIT_FILE={}", commit.display());
}

/// What is checked out.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    commit: Commit,
    /// Files and folders that change when `commit` is not true any more.
    watched: Vec<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
enum Commit {
    /// This file has it, and will have the next one.
    In(PathBuf),
    /// git has packed it away; the next one will be in a file of its own.
    Is(String),
}

/// Reads git's files as gitrepository-layout(5) describes them: a clone, a worktree, a detached head, packed references.
/// `None`: `root` is no checkout (its parents do not count: a source archive may be unpacked in somebody's repository).
fn head(root: &Path) -> Option<Head> {
    let git = root.join(".git");
    let git = match fs::read_to_string(&git) {
        Ok(link) => root.join(link.strip_prefix("gitdir:")?.trim()),
        Err(_) => git,
    };
    let file = git.join("HEAD");
    let text = fs::read_to_string(&file).ok()?;
    let Some(name) = text.strip_prefix("ref:").map(str::trim) else {
        return Some(Head { commit: Commit::In(file.clone()), watched: vec![file] });
    };
    let common = match fs::read_to_string(git.join("commondir")) {
        Ok(path) => git.join(path.trim()),
        Err(_) => git,
    };
    let own = common.join(name);
    let packed = common.join("packed-refs");
    if own.exists() {
        // git may pack it away later. Cargo takes a file that is not there for one that has always just changed.
        let packing = if packed.exists() { packed } else { own.parent()?.to_owned() };
        return Some(Head { commit: Commit::In(own), watched: vec![file, packing] });
    }
    let lines = fs::read_to_string(&packed).ok()?;
    let commit = lines.lines().find_map(|line| line.split_once(' ').filter(|(_, of)| *of == name))?.0;
    let folder = own.ancestors().skip(1).find(|folder| folder.exists())?.to_owned();
    Some(Head { commit: Commit::Is(commit.to_owned()), watched: vec![file, packed, folder] })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files below a folder, with their text.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    #[test]
    fn checkouts() {
        let clone = tree(&[(".git/HEAD", "ref: refs/heads/main\n"), (".git/refs/heads/main", "aa11\n")]);
        let git = clone.path().join(".git");
        let found = |packing: &str| {
            let watched = vec![git.join("HEAD"), git.join(packing)];
            Some(Head { commit: Commit::In(git.join("refs/heads/main")), watched })
        };
        assert_eq!(head(clone.path()), found("refs/heads"));
        fs::write(git.join("packed-refs"), "").unwrap();
        assert_eq!(head(clone.path()), found("packed-refs"));

        let detached = tree(&[(".git/HEAD", "aa11\n")]);
        let file = detached.path().join(".git/HEAD");
        assert_eq!(
            head(detached.path()),
            Some(Head { commit: Commit::In(file.clone()), watched: vec![file] })
        );

        let packed = tree(&[
            (".git/HEAD", "ref: refs/heads/x/y\n"),
            (".git/packed-refs", "# pack-refs with: peeled\nbb22 refs/heads/x\naa11 refs/heads/x/y\n"),
            (".git/refs/heads/z", "cc33\n"),
        ]);
        let git = packed.path().join(".git");
        let watched = vec![git.join("HEAD"), git.join("packed-refs"), git.join("refs/heads")];
        assert_eq!(head(packed.path()), Some(Head { commit: Commit::Is("aa11".into()), watched }));
    }

    #[test]
    fn worktrees() {
        let all = tree(&[
            ("main/.git/refs/heads/side", "aa11\n"),
            ("main/.git/worktrees/side/HEAD", "ref: refs/heads/side\n"),
            ("main/.git/worktrees/side/commondir", "../..\n"),
            ("side/.git", "gitdir: ../main/.git/worktrees/side\n"),
        ]);
        let Some(Head { commit: Commit::In(file), .. }) = head(&all.path().join("side")) else {
            panic!("{:?}", head(&all.path().join("side")))
        };
        assert_eq!(fs::read_to_string(file).unwrap(), "aa11\n");
    }

    #[test]
    fn no_checkouts() {
        for files in [
            &[("README.md", "")][..],
            &[(".git", "nonsense")],
            &[(".git/HEAD", "ref: refs/heads/main\n")],
            &[(".git/HEAD", "ref: refs/heads/main\n"), (".git/packed-refs", "aa11 refs/heads/other\n")],
        ] {
            assert_eq!(head(tree(files).path()), None, "{files:?}");
        }
    }
}
