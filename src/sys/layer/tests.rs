//! Layers that are honest and layers that are not. As root or not: what only root may is left out for others.

use super::*;
use rustix::fs::{XattrFlags, lgetxattr, setxattr};
use std::fs::{self, Metadata};
use std::io::Cursor;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use tempfile::TempDir;

fn time(seconds: i64) -> Timespec {
    Timespec { tv_sec: seconds, tv_nsec: 5 }
}

fn entry(path: &str, kind: Kind) -> Entry {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let times = (time(0), time(1_000_000_000));
    Entry { path: path.into(), kind, mode: 0o755, uid, gid, times, attributes: Vec::new() }
}

fn folder(path: &str) -> (Entry, &'static str) {
    (entry(path, Kind::Folder), "")
}

fn file(path: &str, text: &'static str) -> (Entry, &'static str) {
    (entry(path, Kind::File { size: text.len() as u64, parts: None }), text)
}

fn link(path: &str, target: &str) -> (Entry, &'static str) {
    (entry(path, Kind::Symlink(target.into())), "")
}

fn hard(path: &str, first: &str) -> (Entry, &'static str) {
    (entry(path, Kind::HardLink(first.into())), "")
}

fn apply(ground: Ground, entries: &[(Entry, &'static str)]) -> io::Result<()> {
    let mut layer = Layer::open(ground)?;
    for (entry, text) in entries {
        layer.put(entry, &mut Cursor::new(text))?;
    }
    layer.finish()
}

fn plain(root: &TempDir, entries: &[(Entry, &'static str)]) -> io::Result<()> {
    let folder = root.path().to_owned();
    apply(Ground { folder, whiteouts: Whiteouts::Removal, devices: true }, entries)
}

/// An overlay's folders, with what the lower ones have.
struct Overlay {
    upper: TempDir,
    lower: Vec<TempDir>,
    through: bool,
}

impl Overlay {
    /// The lower folders come the lowest first.
    fn over(through: bool, layers: &[&[(Entry, &'static str)]]) -> Self {
        let mut lower = Vec::new();
        for entries in layers {
            let root = tempfile::tempdir().unwrap();
            plain(&root, entries).unwrap();
            lower.insert(0, root);
        }
        Self { upper: tempfile::tempdir().unwrap(), lower, through }
    }

    fn apply(&self, entries: &[(Entry, &'static str)]) -> io::Result<()> {
        let whiteouts = Whiteouts::Overlay {
            lower: self.lower.iter().map(|root| root.path().to_owned()).collect(),
            // A file system of the tests may have no attributes of users; root has its own.
            opaque: if rustix::process::geteuid().is_root() { TRUSTED_OPAQUE } else { USER_OPAQUE },
            through: self.through,
        };
        apply(Ground { folder: self.upper.path().to_owned(), whiteouts, devices: true }, entries)
    }

    fn meta(&self, path: &str) -> Option<Metadata> {
        fs::symlink_metadata(self.upper.path().join(path)).ok()
    }

    fn is_whiteout(&self, path: &str) -> bool {
        self.meta(path).is_some_and(|meta| meta.file_type().is_char_device() && meta.rdev() == 0)
    }

    fn is_opaque(&self, path: &str) -> bool {
        let mut value = [0; 8];
        [TRUSTED_OPAQUE, USER_OPAQUE]
            .iter()
            .any(|name| lgetxattr(self.upper.path().join(path), *name, &mut value) == Ok(1))
    }
}

#[test]
fn everything_comes_out_as_it_is_said() {
    let root = tempfile::tempdir().unwrap();
    let mut program = file("d/program", "text");
    program.0.mode = 0o6755;
    program.0.attributes =
        vec![(b"user.note".to_vec(), b"a\n\0b".to_vec()), (b"trusted.x".to_vec(), b"y".to_vec())];
    let mut again = hard("d/again", "/d/program");
    again.0.mode = 0o6755;
    let mut sparse = file("sparse", "ab");
    sparse.0.kind = Kind::File { size: 5000, parts: Some(vec![(0, 1), (4999, 1)]) };
    let mut closed = folder("d");
    closed.0.mode = 0o1770;
    let mut strange = file("when", "");
    strange.0.times = (time(20), time(-5));
    let fifo = (entry("d/fifo", Kind::Fifo), "");
    let entries = [
        closed,
        program,
        again,
        link("d/l", "../when"),
        sparse,
        strange,
        fifo,
        file("implied/x", "1"),
        file("./d/../d//dots", "."),
        folder("/"),
    ];
    plain(&root, &entries).unwrap();
    let at = |path: &str| root.path().join(path);
    let meta = |path: &str| fs::symlink_metadata(at(path)).unwrap();
    assert_eq!(meta("d/program").mode() & 0o7777, 0o6755);
    assert_eq!((meta("d/program").nlink(), meta("d/again").ino()), (2, meta("d/program").ino()));
    assert_eq!(fs::read_to_string(at("d/again")).unwrap(), "text");
    assert_eq!(
        (meta("d").mode() & 0o7777, meta("d").mtime(), meta("d").mtime_nsec()),
        (0o1770, 1_000_000_000, 5)
    );
    assert_eq!((meta("d/l").mtime(), fs::read_link(at("d/l")).unwrap()), (1_000_000_000, "../when".into()));
    assert_eq!((meta("when").atime(), meta("when").mtime()), (20, 0));
    let bytes = fs::read(at("sparse")).unwrap();
    assert_eq!((bytes.len(), bytes[0], bytes[1], bytes[4999]), (5000, b'a', 0, b'b'));
    assert!(meta("d/fifo").file_type().is_fifo());
    assert_eq!(meta("implied").mode() & 0o7777, 0o755);
    assert_eq!(fs::read_to_string(at("d/dots")).unwrap(), ".");
    let mut value = [0; 16];
    if let Ok(length) = lgetxattr(at("d/program"), "user.note", &mut value) {
        assert_eq!(&value[..length], b"a\n\0b");
    }
    assert!(lgetxattr(at("d/program"), "trusted.x", &mut value).is_err());
}

#[test]
fn nothing_comes_outside() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("kept"), "kept").unwrap();
    let out = outside.path().to_str().unwrap();
    let secret = format!("{out}/kept");
    let up = format!("../../../../../../../../../../..{out}");
    for entries in [
        vec![link("l", out), file("l/evil", "x")],
        vec![link("l", &up), file("l/evil", "x"), file("l/kept", "x")],
        vec![file(&format!("{up}/evil"), "x"), file(&format!("{out}/kept"), "x")],
        vec![link("l", out), file("l/.wh.kept", ""), file("l/.wh..wh..opq", "")],
        vec![link("l", out), folder("l"), file("l/evil", "x")],
        vec![link("l", &secret), file("l", "x")],
        vec![folder("a"), link("a/l", "../.."), link("a/m", "l/../.."), file("a/m/evil", "x")],
        vec![file(".wh...", ""), file("a/.wh...", "")],
        vec![file(".wh..", "")],
        vec![file("a/.wh.", "")],
        vec![hard("h", &secret)],
        vec![link("l", out), hard("h", "l/kept"), file("h", "x")],
        vec![link("l", &secret), hard("h", "l"), file("h", "x")],
        vec![link("a", "b"), link("b", "a"), file("a/x", "x")],
        vec![hard("h", "/"), hard("h", "..")],
        vec![file(&format!("{}x", "d/".repeat(3000)), "x")],
        vec![(entry("short", Kind::File { size: 9, parts: None }), "x")],
    ] {
        for through in [false, true] {
            let said =
                entries.iter().map(|(entry, _)| String::from_utf8_lossy(&entry.path)).collect::<Vec<_>>();
            let root = tempfile::tempdir().unwrap();
            let _ = plain(&root, &entries);
            let _ =
                Overlay::over(through, &[&[folder("a"), link("l", out), file("kept", "")]]).apply(&entries);
            let left: Vec<_> =
                fs::read_dir(outside.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["kept"], "{said:?}");
            assert_eq!(fs::read_to_string(&secret).unwrap(), "kept", "{said:?}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    for (entries, words) in [
        (vec![file(".wh...", "")], "not a name that a layer can take away"),
        (vec![hard("h", "nothing")], "no such file or directory"),
        (vec![file("f", ""), hard("f", "f")], "no such file or directory"),
        (vec![(entry("short", Kind::File { size: 9, parts: None }), "x")], "unexpected EOF"),
        (vec![file("f", ""), file("f/x", "")], "not a directory"),
        (vec![link("a", "b"), link("b", "a"), file("a/x", "x")], "too many levels of symbolic links"),
        (vec![file(&"x".repeat(300), "")], "file name too long"),
    ] {
        let error = plain(&tempfile::tempdir().unwrap(), &entries).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn later_entries_replace_earlier_ones() {
    let root = tempfile::tempdir().unwrap();
    let at = |path: &str| root.path().join(path);
    plain(&root, &[folder("d"), file("d/x", "1"), file("f", "1"), link("l", "d")]).unwrap();
    // The folder of a path is another one when it is used again.
    let entries = [
        file("d/y", "2"),
        file("d", "file"),
        folder("f"),
        file("f/z", "3"),
        file("l/w", "lost"),
        folder("l"),
        file("l/v", "4"),
    ];
    assert!(plain(&root, &entries).is_err(), "there is no folder d to follow the link l to");
    assert_eq!(fs::read_to_string(at("d")).unwrap(), "file");
    assert_eq!(fs::read_to_string(at("f/z")).unwrap(), "3");
    let entries = [
        folder("d"),
        file("d/a", "1"),
        file("d/.wh.a", ""),
        file("d/b", "1"),
        link("d", "f"),
        file("d/c", "5"),
    ];
    plain(&root, &entries).unwrap();
    assert_eq!(fs::read_to_string(at("f/c")).unwrap(), "5");
}

#[test]
fn whiteouts_in_a_plain_folder_remove() {
    let root = tempfile::tempdir().unwrap();
    plain(&root, &[file("a/old", ""), file("a/in/old", ""), file("b/old", ""), file("c", "")]).unwrap();
    let entries = [
        file("a/in/new", ""),
        file("a/new", ""),
        folder("a/in"),
        file("a/.wh..wh..opq", ""),
        file(".wh.b", ""),
        file(".wh.nothing", ""),
    ];
    plain(&root, &entries).unwrap();
    let there = |path: &str| root.path().join(path).exists();
    assert!(there("a/new") && there("a/in/new") && there("c"));
    assert!(!there("a/old") && !there("a/in/old") && !there("b"));
}

/// Nodes of whiteouts can be made by root, or in a user namespace.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn whiteouts_in_an_overlay_are_marks() {
    if !is_root() {
        return;
    }
    let below: &[(Entry, &str)] =
        &[file("a/x", ""), file("b/x", ""), file("c/x", ""), file("d/x", ""), file("e", "")];
    let overlay = Overlay::over(true, &[below, &[file("a/y", "")]]);
    let entries = [
        file("a/.wh.x", ""),
        file("a/.wh.nothing", ""),
        file(".wh.b", ""),
        file("c/new", ""),
        file("c/.wh..wh..opq", ""),
        // Taken away and made anew: of the old one nothing is seen.
        file(".wh.d", ""),
        folder("d"),
        file("d/new", ""),
        file("d/.wh.x", ""),
        // By a path alone, too.
        file(".wh.e", ""),
        file("e/implied", ""),
    ];
    overlay.apply(&entries).unwrap();
    assert!(overlay.is_whiteout("a/x") && overlay.is_whiteout("b"));
    assert!(overlay.meta("a/nothing").is_none(), "an overlay shows marks of what is in no lower folder");
    assert!(
        overlay.is_opaque("c") && overlay.is_opaque("d") && overlay.is_opaque("e") && !overlay.is_opaque("a")
    );
    assert!(overlay.meta("d/x").is_none());
    let overlay = Overlay::over(true, &[below]);
    overlay.apply(&[file("a/new", ""), file(".wh..wh..opq", ""), file("e", "mine")]).unwrap();
    assert!(overlay.is_opaque("a") && overlay.is_whiteout("b") && overlay.is_whiteout("d"));
    assert_eq!(fs::read_to_string(overlay.upper.path().join("e")).unwrap(), "mine");
}

#[test]
fn a_folder_over_a_file_of_this_layer_shows_nothing_below() {
    if !is_root() {
        return;
    }
    let overlay = Overlay::over(true, &[&[file("a/x", "")]]);
    overlay.apply(&[file("a", ""), folder("a"), file("a/y", "")]).unwrap();
    assert!(overlay.is_opaque("a"));
}

#[test]
fn implied_folders_are_like_those_below() {
    let mut secret = folder("a/secret");
    secret.0.mode = 0o700;
    let overlay = Overlay::over(true, &[&[folder("a"), secret.clone(), file("a/secret/x", "")]]);
    setxattr(overlay.lower[0].path().join("a/secret"), "user.note", b"1", XattrFlags::empty()).ok();
    overlay.apply(&[file("a/secret/y", "")]).unwrap();
    assert_eq!(overlay.meta("a/secret").unwrap().mode() & 0o7777, 0o700);
    let mut value = [0; 8];
    let of = |root: &TempDir, value: &mut [u8]| lgetxattr(root.path().join("a/secret"), "user.note", value);
    assert_eq!(of(&overlay.upper, &mut value), of(&overlay.lower[0], &mut [0; 8]));
}

#[test]
fn links_of_lower_folders() {
    let below: &[(Entry, &str)] = &[folder("usr/lib"), link("lib", "usr/lib"), file("usr/lib/old", "old")];
    // Who writes through an overlay follows them and makes further names; root's differ replaces and refuses.
    let through = Overlay::over(true, &[below]);
    through.apply(&[file("lib/new", ""), hard("further", "lib/old"), hard("link", "lib")]).unwrap();
    assert!(through.meta("usr/lib/new").is_some() && through.meta("lib").unwrap().is_symlink());
    assert_eq!(fs::read_to_string(through.upper.path().join("usr/lib/old")).unwrap(), "old");
    assert_eq!(through.meta("further").unwrap().nlink(), 2);
    let upper = Overlay::over(false, &[below]);
    upper.apply(&[file("lib/new", "")]).unwrap();
    assert!(upper.meta("lib").unwrap().is_dir() && upper.meta("usr").is_none());
    assert!(upper.apply(&[hard("further", "usr/lib/old")]).is_err());
    // Lower folders are never written to.
    assert!(fs::symlink_metadata(through.lower[0].path().join("usr/lib/new")).is_err());
}

#[test]
fn attributes_of_overlays_are_not_taken_from_layers() {
    let root = tempfile::tempdir().unwrap();
    let mut evil = file("x", "");
    evil.0.attributes = vec![(b"user.overlay.opaque".to_vec(), b"y".to_vec())];
    let whiteouts = Whiteouts::Overlay { lower: Vec::new(), opaque: USER_OPAQUE, through: true };
    apply(Ground { folder: root.path().to_owned(), whiteouts, devices: false }, &[evil]).unwrap();
    let mut value = [0; 8];
    assert!(lgetxattr(root.path().join("x"), USER_OPAQUE, &mut value).is_err());
}

#[test]
fn devices_are_left_out_where_none_can_be_made() {
    let root = tempfile::tempdir().unwrap();
    let null = (entry("null", Kind::Char(rustix::fs::makedev(1, 3))), "");
    let ground = |devices| Ground { folder: root.path().to_owned(), whiteouts: Whiteouts::Removal, devices };
    apply(ground(false), std::slice::from_ref(&null)).unwrap();
    assert!(!root.path().join("null").exists());
    if is_root() {
        apply(ground(true), &[null]).unwrap();
        let meta = fs::metadata(root.path().join("null")).unwrap();
        assert_eq!((meta.rdev(), meta.permissions().mode() & 0o777), (rustix::fs::makedev(1, 3), 0o755));
    }
}
