//! BuildKit's cache and its memory of builds, through `k3c builder`.

use super::context;
use crate::containers::DEMO;
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("build::cache_and_history_of_builds", DAEMON, cache_and_history)]
}

fn cache_and_history() -> Result<()> {
    let env = shared::env()?;
    let file = format!(
        "FROM {DEMO} AS good\nARG WORD\nRUN --mount=type=cache,target=/c echo kept word $WORD > /c/f && cp /c/f /f\n\
         FROM good AS bad\nRUN echo the last words; false\n"
    );
    context(&env, "past", &[("Dockerfile", &file)])?;
    let good = "build -q --target good --build-arg WORD=remembered -t past:1 past";
    let id = env.ok(&good.split(' ').collect::<Vec<_>>())?;
    env.k3c(&["build", "-q", "past"])?.fails(1, "the last words")?;

    let rows = env.ok(&["builder", "history", "ls", "--format", "{{.Ref}} {{.Status}} {{.Name}}"])?;
    let row = |status: &str, name: &str| -> Result<&str> {
        let found = rows.lines().find(|row| row.contains(status) && row.contains(name));
        found.and_then(|row| row.split(' ').next()).with_context(|| format!("{status} {name} in {rows}"))
    };
    let (succeeded, failed) = (row("Completed", "past:1")?, row("Error", " past")?);
    let log = env.k3c(&["builder", "history", "logs", &failed[..20]])?;
    ensure!(log.code == 0 && log.stdout.is_empty() && log.stderr.contains("the last words"), "{log}");
    let text = env.ok(&["builder", "history", "inspect", succeeded])?;
    ensure!(text.contains("Completed") && text.contains("remembered") && text.contains(&id), "{text}");
    let format = "{{.Status}} {{index .Attributes \"target\"}} {{.Digest}} {{.Images}}";
    let text = env.ok(&["buildx", "history", "inspect", "-f", format, succeeded])?;
    ensure!(text == format!("Completed good {id} [docker.io/library/past:1]"), "{text}");
    ensure!(env.ok(&["builder", "history", "rm", failed])? == failed);
    env.k3c(&["builder", "history", "logs", failed])?.fails(1, "no build")?;
    env.k3c(&["builder", "history", "rm"])?.fails(1, "specify builds, or --all")?;
    env.k3c(&["builder", "history", "logs", "^9999"])?.fails(1, "no such build")?;

    let list = env.ok(&["builder", "du"])?;
    ensure!(list.starts_with("ID") && list.contains("LAST ACCESSED") && list.contains("\nTotal:"), "{list}");
    let mounts = ["--filter", "type=exec.cachemount"];
    let of = |more: &[&str]| env.ok(&[&["builder", "du"], &mounts[..], more].concat());
    let kinds = of(&["--format", "{{.Type}}"])?;
    ensure!(!kinds.is_empty() && kinds.lines().all(|kind| kind == "exec.cachemount"), "{kinds}");
    ensure!(of(&["--verbose"])?.contains("Usage count:"));
    env.k3c(&["builder", "du", "--filter", "colour=red"])?.fails(1, "invalid filter 'colour=red'")?;
    // Nothing goes while it may all be kept; then just what was asked for.
    let gone = env.ok(&[&["builder", "prune", "-f", "--reserved-space", "1000g"], &mounts[..]].concat())?;
    ensure!(gone == "Total reclaimed space: 0B" && !of(&["--format", "{{.ID}}"])?.is_empty(), "{gone}");
    let gone = env.ok(&[&["builder", "prune", "-f"], &mounts[..]].concat())?;
    ensure!(
        gone.contains("Deleted build cache objects:") && of(&["--format", "{{.ID}}"])?.is_empty(),
        "{gone}"
    );
    ensure!(env.ok(&["run", "--rm", "past:1", "cat", "/f"])? == "kept word remembered");
    Ok(())
}
