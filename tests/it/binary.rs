//! The binary itself: one static file of a bearable size, and what it says of itself.

use crate::Case;
use crate::env::binary;
use crate::host::Need;
use anyhow::{Context, Result, ensure};
use std::process::Command;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("binary::static_and_small", &[Need::Bundle, Need::Program("readelf")], static_and_small),
        Case::new("binary::every_command_has_help", &[], every_command_has_help),
        Case::new("binary::knows_its_commit", &[Need::Program("git")], knows_its_commit),
        Case::new("binary::unknown_flags_are_errors", &[], unknown_flags_are_errors),
        Case::new("binary::unit_file_is_valid", &[Need::Program("systemd-analyze")], unit_file_is_valid),
    ]
}

fn static_and_small() -> Result<()> {
    let binary = binary();
    let headers = Command::new("readelf").arg("-lW").arg(&binary).output()?;
    let text = String::from_utf8_lossy(&headers.stdout);
    ensure!(text.contains("LOAD"), "not an ELF file: {text}");
    ensure!(!text.contains("INTERP"), "dynamically linked: it wants an interpreter");
    let needed = Command::new("readelf").arg("-dW").arg(&binary).output()?;
    ensure!(!String::from_utf8_lossy(&needed.stdout).contains("(NEEDED)"), "it wants shared libraries");
    let size = std::fs::metadata(&binary)?.len();
    ensure!(size <= 64 << 20, "{size} bytes are more than 64 MiB");
    Ok(())
}

fn k3c(args: &[&str]) -> Result<(i32, String, String)> {
    let output = Command::new(binary()).args(args).env("K3C_AUTOSTART", "never").output().context("k3c")?;
    Ok((
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

/// The commit is one of the checkout that it was built in; a source archive has none.
fn knows_its_commit() -> Result<()> {
    let (_, text, _) = k3c(&["version", "--format", "{{.Client.GitCommit}}"])?;
    let root = env!("CARGO_MANIFEST_DIR");
    let has = |commit: &str| {
        let git = Command::new("git")
            .args(["-c", "safe.directory=*", "-C", root, "cat-file", "-e", commit])
            .output();
        git.is_ok_and(|output| output.status.success())
    };
    match has("HEAD") {
        true => ensure!(text.trim().len() == 12 && has(text.trim()), "{text} is no commit of this checkout"),
        false => ensure!(text.trim() == "unknown", "{text} is said outside of a checkout"),
    }
    let (_, line, _) = k3c(&["--version"])?;
    ensure!(line.trim().ends_with(&format!(", build {}", text.trim())), "{line}");
    Ok(())
}

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let list = help.split("Commands:\n").nth(1).unwrap_or_default();
    list.lines()
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.split_whitespace().next().map(|word| word.trim_end_matches('*').to_owned()))
        .collect()
}

fn every_command_has_help() -> Result<()> {
    let (code, top, _) = k3c(&["--help"])?;
    ensure!(code == 0 && top.starts_with("Usage:"), "{top}");
    let listed = commands(&top);
    for verb in [
        "run", "ps", "logs", "stop", "kill", "rm", "wait", "images", "load", "tag", "rmi", "inspect",
        "build", "version", "info", "daemon",
    ] {
        ensure!(listed.iter().any(|name| name == verb), "{verb} is not among {listed:?}");
    }
    for name in &listed {
        let (code, help, err) = k3c(&[name, "--help"])?;
        ensure!(code == 0 && help.contains("Usage:"), "{name}: {code} {help} {err}");
        for below in commands(&help) {
            let (code, help, err) = k3c(&[name, &below, "--help"])?;
            ensure!(code == 0 && help.contains("Usage:"), "{name} {below}: {code} {help} {err}");
        }
    }
    Ok(())
}

fn unknown_flags_are_errors() -> Result<()> {
    for verb in ["run", "ps", "build", "logs", "images"] {
        let (code, _, err) = k3c(&[verb, "--no-such-flag"])?;
        ensure!(code == 125 && err.contains("unknown flag: --no-such-flag"), "{verb}: {code} {err}");
    }
    Ok(())
}

fn unit_file_is_valid() -> Result<()> {
    let unit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/k3c.service");
    // The unit names the installed path; the copy that is verified names a program that is there.
    let dir = tempfile::tempdir()?;
    let text = std::fs::read_to_string(&unit).with_context(|| unit.display().to_string())?;
    let text: String = text
        .lines()
        .map(|line| {
            if line.starts_with("ExecStart=") {
                "ExecStart=/bin/true\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    let copy = dir.path().join("k3c.service");
    std::fs::write(&copy, text)?;
    let output = Command::new("systemd-analyze")
        .args(["verify", "--user", "--man=no"])
        .arg(&copy)
        .env("XDG_RUNTIME_DIR", dir.path())
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("k3c.service")).collect();
    ensure!(output.status.success() && ours.is_empty(), "{said}");
    Ok(())
}
