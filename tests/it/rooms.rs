//! The source's rooms and arrows: what each room may import (`src/lib.rs` says it), compared with what it does import.

use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms that their neighbours on the same level may import: the settings.
const SETTINGS: &str = "config";

/// The one room of the machine's side that the user's side may import.
const SYSTEM_CALLS: &str = "sys";

/// The room that joins both sides.
const TOP: &str = "main";

/// A room, as `src/lib.rs` draws and lists it.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    level: u8,
    /// Is the room on the machine's side of the drawing?
    machine: bool,
    /// Rooms that it never imports although they are on a lower level.
    bans: BTreeSet<String>,
}

type Rooms = BTreeMap<String, Room>;

/// Reads the drawing and the table of rooms from the source of `lib.rs`. Both must name the same rooms.
fn read(text: &str) -> Result<Rooms> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("//!"));
    let lines: Vec<&str> = lines
        .skip_while(|line| line.trim() != "# Rooms")
        .skip(1)
        .take_while(|l| !l.starts_with(" # "))
        .collect();
    let mut rooms = drawing(&lines).context("the drawing of rooms")?;
    let mut listed = BTreeSet::new();
    for row in lines.iter().filter_map(|line| line.trim().strip_prefix('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        if cells[0] == "room" || cells[0].starts_with('-') {
            continue;
        }
        ensure!(cells.len() == 4, "a row of the table of rooms has three cells: {row}");
        let all: Vec<String> = rooms.keys().cloned().collect();
        for name in cells[0].split(',').map(bare) {
            let room = rooms.get_mut(name).with_context(|| format!("{name} is listed and not drawn"))?;
            ensure!(listed.insert(name.to_owned()), "{name} is listed twice");
            room.bans = bans(cells[2], name, &all)?;
        }
    }
    let drawn: BTreeSet<String> = rooms.keys().cloned().collect();
    ensure!(drawn == listed, "drawn: {drawn:?}, listed: {listed:?}");
    Ok(rooms)
}

/// ```text
///  1   a  b            c
///  0   d               e
///      └ one side      └ the other
/// ```
fn drawing(lines: &[&str]) -> Result<Rooms> {
    let border = |line: &&str| -> Option<usize> {
        let at: Vec<usize> = line.chars().enumerate().filter(|(_, c)| *c == '└').map(|(n, _)| n).collect();
        (at.len() == 2).then(|| at[1])
    };
    let border = lines.iter().find_map(border).context("no line names the two sides")?;
    let mut rooms = Rooms::new();
    for line in lines {
        let words =
            line.char_indices().filter(|(at, c)| *c != ' ' && (*at == 0 || line[..*at].ends_with(' ')));
        let words: Vec<(usize, &str)> =
            words.filter_map(|(at, _)| Some((at, line[at..].split(' ').next()?))).collect();
        let Some((&(_, level), names)) = words.split_first() else { continue };
        let Ok(level) = level.parse() else { continue };
        for (column, name) in names {
            let room = Room { level, machine: *column >= border, bans: BTreeSet::new() };
            ensure!(rooms.insert((*name).to_owned(), room).is_none(), "{name} is drawn twice");
        }
    }
    Ok(rooms)
}

/// The rooms in the last cell of a row. Its other entries (a crate, a habit) are several words long.
fn bans(cell: &str, name: &str, all: &[String]) -> Result<BTreeSet<String>> {
    if cell == "anything of ours" {
        return Ok(all.iter().filter(|room| *room != name).cloned().collect());
    }
    let (mut found, entries) = (BTreeSet::new(), cell.split([',', ';']).map(bare));
    for entry in entries.filter(|entry| !entry.is_empty() && !entry.contains(' ')) {
        ensure!(all.iter().any(|room| room == entry), "{name} never imports {entry:?}, which is no room");
        found.insert(entry.to_owned());
    }
    Ok(found)
}

/// A name without the marks of a link or of code.
fn bare(name: &str) -> &str {
    name.trim().trim_matches(['[', ']', '`'])
}

/// Checks that `from` may import `to`; the error says why not.
fn verdict(rooms: &Rooms, from: &str, to: &str) -> Result<(), String> {
    if from == to {
        return Ok(());
    }
    let (Some(source), Some(target)) = (rooms.get(from), rooms.get(to)) else {
        return Err(format!("{from} -> {to}: not in the table of rooms"));
    };
    match () {
        () if source.bans.contains(to) => Err(format!("{from} never imports {to}")),
        () if !source.machine && target.machine && to != SYSTEM_CALLS && from != TOP => {
            Err(format!("{from} is on the user's side and imports {to} of the machine's"))
        }
        () if source.level == target.level && to == SETTINGS => Ok(()),
        () if source.level <= target.level => Err(format!(
            "{from} (level {}) imports {to} (level {}): arrows go down only",
            source.level, target.level
        )),
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
    // Macros and types at the top of the crate are no rooms.
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

fn sources(dir: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
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

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn table() -> Result<Rooms> {
    read(&fs::read_to_string(source_folder().join("lib.rs"))?)
}

/// The room that a source file is in; none for `lib.rs`, which lists them.
fn room_of(file: &Path) -> Result<Option<String>> {
    let first = file.iter().next().context("a path")?.to_string_lossy();
    let name = first.strip_suffix(".rs").unwrap_or(&first).to_owned();
    Ok((name != "lib").then_some(name))
}

/// Source files, relative to `src`.
fn files() -> Result<Vec<PathBuf>> {
    let src = source_folder();
    let mut all = Vec::new();
    sources(&src, &mut all)?;
    all.iter().map(|file| Ok(file.strip_prefix(&src)?.to_owned())).collect()
}

/// Every room of the source is drawn and listed in `src/lib.rs`, and the other way round.
pub(crate) fn drawn_listed_and_there() -> Result<()> {
    let listed: BTreeSet<String> = table()?.into_keys().collect();
    let there: BTreeSet<String> =
        files()?.iter().filter_map(|file| room_of(file).transpose()).collect::<Result<_>>()?;
    ensure!(there == listed, "in the source: {there:?}, in its table: {listed:?}");
    Ok(())
}

/// Every edge of the source is one that the table allows.
pub(crate) fn arrows_go_down() -> Result<()> {
    let rooms = table()?;
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    let mut edges = 0;
    for file in files()? {
        let Some(room) = room_of(&file)? else { continue };
        if file.starts_with("proto/generated") {
            continue;
        }
        let krate = if room == TOP { "k3c::" } else { "crate::" };
        for target in named(&fs::read_to_string(source_folder().join(&file))?, krate) {
            edges += usize::from(target != room);
            if let Err(why) = verdict(&rooms, &room, &target) {
                wrong.insert(file.display().to_string(), why);
            }
        }
    }
    ensure!(edges > 0, "no edges were found: the reader is broken");
    ensure!(wrong.is_empty(), "imports against the table of rooms: {wrong:#?}");
    Ok(())
}

/// The tests above can fail: they see what is wrong when something is.
pub(crate) fn a_wrong_arrow_is_seen() -> Result<()> {
    let text = "use crate::{model::{ContainerId, x}, engine};\nfn f() { crate::server::run() } // crate::daemon::x\n";
    let found: Vec<String> = named(text, "crate::").into_iter().collect();
    ensure!(found == ["engine", "model", "server"], "{found:?}");
    let rooms = table()?;
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
        ("client", "store"),
        ("server", "client"),
        ("daemon", "client"),
        ("config", "credentials"),
    ] {
        ensure!(verdict(&rooms, from, to).is_err(), "{from} -> {to} passed");
    }
    for (from, to) in [
        ("cli", "client"),
        ("engine", "store"),
        ("daemon", "engine"),
        ("main", "cli"),
        ("sys", "sys"),
        ("cli", "sys"),
        ("main", "shim"),
        ("telemetry", "config"),
    ] {
        ensure!(verdict(&rooms, from, to).is_ok(), "{from} -> {to} was refused");
    }
    Ok(())
}

/// The reader of the table sees what does not fit together.
pub(crate) fn a_wrong_table_is_seen() -> Result<()> {
    let text = |drawn: &str, rows: &[&str]| {
        let rows: String = rows.iter().map(|row| format!("//! {row}\n")).collect();
        format!(
            "//! # Rooms\n//!\n//!  1   upper{drawn}\n//!  0   lower      under\n//!      └ user     └ machine\n//!\n\
             //! | room | is | never imports |\n//! |---|---|---|\n{rows}\npub mod upper;\n"
        )
    };
    let good =
        ["| [`upper`] | x | lower; tokio on the way in |", "| `lower`, `under` | x | anything of ours |"];
    let rooms = read(&text("", &good))?;
    ensure!(rooms.keys().eq(["lower", "under", "upper"]), "{rooms:?}");
    ensure!(!rooms["lower"].machine && rooms["under"].machine && rooms["upper"].level == 1, "{rooms:?}");
    ensure!(rooms["upper"].bans.iter().eq(["lower"]), "{rooms:?}");
    for (drawn, rows, words) in [
        ("  more", &good[..], "drawn: "),
        ("  lower", &good, "drawing"),
        ("", &good[..1], "listed: "),
        ("", &[good[0], good[1], "| `more` | x | |"], "more is listed and not drawn"),
        ("", &[good[0], good[1], good[0]], "upper is listed twice"),
        ("", &["| `upper` | x | lowr |", good[1]], "\"lowr\", which is no room"),
    ] {
        let Err(error) = read(&text(drawn, rows)) else { bail!("{drawn} {rows:?} passed") };
        ensure!(format!("{error:#}").contains(words), "{words}: {error:#}");
    }
    Ok(())
}
