//! The source's rooms and arrows: what each room may import, compared with what it does import.

use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Each room, its level, and what it never imports although that is on a lower level.
const ROOMS: &[(&str, u8, &[&str])] = &[
    ("model", 0, &[]),
    ("proto", 0, &[]),
    ("sys", 0, &[]),
    ("api", 1, &[]),
    ("config", 1, &[]),
    ("credentials", 1, &[]),
    ("store", 1, &[]),
    ("supervise", 1, &[]),
    ("telemetry", 1, &[]),
    ("client", 2, &["store", "supervise"]),
    ("engine", 2, &["api"]),
    ("network", 2, &[]),
    ("children", 2, &[]),
    ("rootless", 2, &[]),
    ("holder", 2, &[]),
    ("shim", 2, &[]),
    ("builder", 3, &["engine", "network", "children", "rootless", "holder", "shim", "store", "supervise"]),
    ("server", 3, &["children", "rootless", "holder", "shim", "client"]),
    (
        "cli",
        4,
        &["engine", "server", "rootless", "network", "children", "holder", "shim", "store", "supervise"],
    ),
    ("daemon", 4, &["builder", "client"]),
    ("main", 5, &[]),
];

/// Same level, yet allowed: the settings that telemetry reads.
const SIDEWAYS: &[(&str, &str)] =
    &[("telemetry", "config"), ("credentials", "config"), ("store", "config"), ("supervise", "config")];

/// Whether `from` may import `to`, and why not.
fn verdict(from: &str, to: &str) -> Result<(), String> {
    if from == to {
        return Ok(());
    }
    let find = |name: &str| ROOMS.iter().find(|room| room.0 == name);
    let (Some(source), Some(target)) = (find(from), find(to)) else {
        return Err(format!("{from} -> {to}: not in the table of rooms"));
    };
    match () {
        () if source.2.contains(&to) => Err(format!("{from} never imports {to}")),
        () if SIDEWAYS.contains(&(from, to)) => Ok(()),
        () if source.1 <= target.1 => {
            Err(format!("{from} (level {}) imports {to} (level {}): arrows go down only", source.1, target.1))
        }
        () => Ok(()),
    }
}

/// The rooms that a source text names: `crate::room`, also inside `use crate::{a::x, b}`.
fn named(text: &str, krate: &str) -> BTreeSet<String> {
    let code: String =
        text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices(krate) {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + krate.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(heads(group)),
            None => found.extend(word(rest)),
        }
    }
    found
}

fn word(text: &str) -> Option<String> {
    let name: String = text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    // Macros and types at the top of the crate are nobody's room.
    (!name.is_empty() && name.chars().all(|c| c.is_lowercase() || c == '_')).then_some(name)
}

/// First segments of the outermost entries of a `{…}` group whose opening brace was read.
fn heads(group: &str) -> Vec<String> {
    let (mut depth, mut entry, mut out) = (0_i32, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => out.extend(word(std::mem::take(&mut entry).trim())),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                entry.push(c);
            }
        }
    }
    out.extend(word(entry.trim()));
    out
}

fn sources(dir: &Path, out: &mut Vec<std::path::PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            sources(&path, out)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    Ok(())
}

/// Every edge of the source is one that the table allows.
pub(crate) fn arrows_go_down() -> Result<()> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files)?;
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    let mut edges = 0;
    for file in files {
        let below = file.strip_prefix(&src)?;
        let first = below.iter().next().context("a path")?.to_string_lossy();
        let room = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
        if room == "lib" || (room == "proto" && below.starts_with("proto/generated")) {
            continue;
        }
        let krate = if room == "main" { "k3c::" } else { "crate::" };
        for target in named(&fs::read_to_string(&file)?, krate) {
            edges += usize::from(target != room);
            if let Err(why) = verdict(&room, &target) {
                wrong.insert(below.display().to_string(), why);
            }
        }
    }
    ensure!(edges > 0, "no edges were found: the reader is broken");
    ensure!(wrong.is_empty(), "imports against the table of rooms: {wrong:#?}");
    Ok(())
}

/// The test above can fail: it sees what is wrong when something is.
pub(crate) fn a_wrong_arrow_is_seen() -> Result<()> {
    let text = "use crate::{model::{ContainerId, x}, engine};\nfn f() { crate::server::run() } // crate::daemon::x\n";
    let found: Vec<String> = named(text, "crate::").into_iter().collect();
    ensure!(found == ["engine", "model", "server"], "{found:?}");
    for (from, to) in [
        ("model", "config"),
        ("engine", "api"),
        ("engine", "rootless"),
        ("store", "engine"),
        ("cli", "engine"),
        ("server", "children"),
        ("cli", "daemon"),
        ("builder", "engine"),
        ("engine", "utils"),
    ] {
        ensure!(verdict(from, to).is_err(), "{from} -> {to} passed");
    }
    for (from, to) in
        [("cli", "client"), ("engine", "store"), ("daemon", "engine"), ("main", "cli"), ("sys", "sys")]
    {
        ensure!(verdict(from, to).is_ok(), "{from} -> {to} was refused");
    }
    Ok(())
}
