//! Behaviour of the command line, in tables: a line for the shell, its exit code, and what is in its output. Lines of
//! one table run in order on the shared instance, and each table removes what it made.

mod ending;
mod files;
mod flags;
mod images;
mod lists;
mod running;
mod things;
mod words;

use crate::containers::{DEMO, within};
use crate::env::{TestEnv, installed};
use crate::host::Need;
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

/// All tables, by name; `compare` runs them against Docker, too.
pub(crate) const TABLES: &[(&str, &[Line])] = &[
    ("usage", words::USAGE),
    ("names", words::NAMES),
    ("many", words::MANY),
    ("settings", words::SETTINGS),
    ("ps", lists::PS),
    ("formats", lists::FORMATS),
    ("inspect", lists::INSPECT),
    ("fields", lists::FIELDS),
    ("events", lists::EVENTS),
    ("system", lists::SYSTEM),
    ("run", running::RUN),
    ("exit_codes", running::EXIT_CODES),
    ("places", running::PLACES),
    ("environment", running::ENVIRONMENT),
    ("terminals", running::TERMINALS),
    ("exec", running::EXEC),
    ("signals", ending::SIGNALS),
    ("states", ending::STATES),
    ("restarts", ending::RESTARTS),
    ("waiting", ending::WAITING),
    ("removal", ending::REMOVAL),
    ("logs", ending::LOGS),
    ("flags_of_run", flags::FLAGS_OF_RUN),
    ("namespaces_of_others", flags::NAMESPACES_OF_OTHERS),
    ("mounts", flags::MOUNTS),
    ("refused_flags", flags::REFUSED_FLAGS),
    ("create_and_start", things::CREATE_AND_START),
    ("files_in_and_out", files::FILES_IN_AND_OUT),
    ("nothing_escapes", files::NOTHING_ESCAPES),
    ("images_of_containers", files::IMAGES_OF_CONTAINERS),
    ("archives", images::ARCHIVES),
    ("lists_and_sizes", images::LISTS_AND_SIZES),
    ("history_and_import", images::HISTORY_AND_IMPORT),
    ("volumes", things::VOLUMES),
    ("pruning", things::PRUNING),
];

const NEEDS: &[Need] = &[Need::Daemon, Need::Program("script")];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("behaviour::tables", NEEDS, tables),
        Case::new("behaviour::figures", DAEMON, figures),
        Case::new("behaviour::health", DAEMON, health),
        Case::new("behaviour::rotated_logs", DAEMON, rotated_logs),
    ]
}

/// A line for the shell, its exit code, and what its output (standard output, then standard error) has. `!` before a
/// part: has not; `=`: is, but for blank ends. Pipes and files make a standard input, `script` makes a terminal.
pub(crate) type Line = (&'static str, i32, &'static [&'static str]);

/// Tables that list and prune all that is there: one after the other, on an instance where nobody else is.
fn tables() -> Result<()> {
    let mut env = TestEnv::started()?;
    let mut failed = String::new();
    for (name, lines) in TABLES {
        if let Err(error) = table_in(&env, lines) {
            write!(failed, "\n{name}: {error}")?;
        }
    }
    ensure!(failed.is_empty(), "{failed}");
    env.stop()
}

fn table(lines: &[Line]) -> Result<()> {
    table_in(&*shared::env()?, lines)
}

fn table_in(env: &TestEnv, lines: &[Line]) -> Result<()> {
    let mut failed = String::new();
    for (line, code, parts) in lines {
        let (got, text) = shell_in(env, line)?;
        if got != *code || lacks(&text, parts).is_some() {
            write!(failed, "\n$ {line}\n{text}\nexit {got}, expected {code} and {parts:?}\n")?;
        }
    }
    ensure!(failed.is_empty(), "{failed}");
    Ok(())
}

/// The first part that is not as it should be.
pub(crate) fn lacks(text: &str, parts: &[&'static str]) -> Option<&'static str> {
    parts.iter().copied().find(|part| match (part.strip_prefix('!'), part.strip_prefix('=')) {
        (Some(part), _) => text.contains(part),
        (None, Some(whole)) => text.trim() != whole,
        (None, None) => !text.contains(part),
    })
}

/// Runs a line as the user: `k3c` is the binary, also for programs that start it, `$DEMO` the image.
fn shell_in(env: &TestEnv, line: &str) -> Result<(i32, String)> {
    let folder = installed().parent().context("a folder")?.display().to_string();
    let script = format!("PATH={folder}:$PATH; DEMO={DEMO}; export PATH DEMO; {line}");
    let ran = env.program_within(90, Path::new("/bin/sh"), &["-c", &script])?;
    Ok((ran.code, format!("{}{}", ran.stdout, ran.stderr)))
}

fn shell(line: &str) -> Result<(i32, String)> {
    shell_in(&*shared::env()?, line)
}

fn figures() -> Result<()> {
    table(&[
        ("k3c run -d --name busy $DEMO sh -c 'while :; do :; done'", 0, &[]),
        ("k3c top busy", 0, &["UID", "PPID", "sh -c while"]),
        ("k3c top busy -o pid,comm", 0, &["PID", "COMMAND", "sh"]),
        ("k3c top busy --no-such", 1, &["ps:"]),
        ("k3c stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.PIDs}}' busy", 0, &["busy ", "% 1"]),
        ("k3c stats --no-stream --format '{{.MemUsage}}' busy", 0, &["!0B /", "!--"]),
        ("k3c stats --no-stream nobody", 1, &["No such container: nobody"]),
        ("k3c kill busy && k3c wait busy", 0, &["137"]),
        ("k3c stats --no-stream busy", 0, &["busy      --        -- / --"]),
        ("k3c top busy", 1, &["is not running"]),
        ("k3c rm busy", 0, &[]),
    ])?;
    let (_, text) = shell(
        "k3c run -d --name hot $DEMO sh -c 'while :; do :; done' > /dev/null; \
         k3c stats --no-stream --format '{{.CPUPerc}}' hot; k3c rm -f hot > /dev/null",
    )?;
    let percent: f64 = text.trim().trim_end_matches('%').parse().with_context(|| text.clone())?;
    ensure!((5.0..150.0).contains(&percent), "a busy loop uses one CPU: {text}");
    Ok(())
}

fn health() -> Result<()> {
    table(&[(
        "k3c run -d --name well --health-cmd 'test -e /ok' --health-interval 300ms --health-retries 2 $DEMO sleep 100",
        0,
        &[],
    )])?;
    let status = |wanted: &'static str| {
        within(Duration::from_secs(20), wanted, || {
            Ok(shell("k3c inspect -f '{{.State.Health.Status}}' well")?.1.trim() == wanted)
        })
    };
    status("unhealthy")?;
    table(&[
        ("k3c ps --filter health=unhealthy", 0, &["(unhealthy)", "well"]),
        ("k3c exec well touch /ok", 0, &[]),
    ])?;
    status("healthy")?;
    table(&[
        ("k3c inspect -f '{{json .State.Health}}' well", 0, &["\"FailingStreak\":0", "\"ExitCode\":0"]),
        ("k3c ps --format '{{.Status}} {{.HealthStatus}}'", 0, &["(healthy) healthy"]),
        (
            "k3c events --since 1m --until 0s --filter container=well",
            0,
            &["health_status: unhealthy", "health_status: healthy"],
        ),
        ("k3c rm -f well", 0, &[]),
        ("k3c run --rm $DEMO true; k3c ps -a --format '{{.HealthStatus}}' | grep -q healthy", 1, &[]),
    ])
}

/// A client that follows over many rotations gets every line once, in order.
fn rotated_logs() -> Result<()> {
    let script = "i=0; while [ $i -lt 60000 ]; do echo line-$i; i=$((i+1)); [ $((i%6000)) = 0 ] && sleep 1; done; true";
    let (code, text) = shell(&format!(
        "k3c run -d --name chatty --log-opt max-size=100k --log-opt max-file=50 $DEMO sh -c '{script}' >/dev/null; \
         k3c logs -f chatty > followed; k3c logs chatty > all; seq 0 59999 | sed s/^/line-/ > wanted; \
         cmp wanted followed && cmp wanted all && k3c logs --tail 3 chatty && k3c inspect -f '{{{{.LogPath}}}}' chatty"
    ))?;
    ensure!(code == 0 && text.starts_with("line-59997\nline-59998\nline-59999\n"), "{code}: {text}");
    let log = text.lines().last().context("a path")?.to_owned();
    let folder = Path::new(&log).parent().context("a folder")?;
    let files = std::fs::read_dir(folder)?.count();
    ensure!(files > 3, "was rotated only {files} times");
    table(&[
        ("k3c rm chatty && rm followed all wanted", 0, &[]),
        ("k3c run --name mute --log-driver none $DEMO echo said", 0, &["said"]),
        ("k3c logs mute", 1, &["configured logging driver does not support reading"]),
        ("k3c rm mute", 0, &[]),
    ])
}
