//! opencontainers/runtime-tools' validation programs, run against our own runtime and against runc.

use super::bed::{Bed, OURS, RUNC};
use crate::host::tool;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

/// Programs that runc passes and ours does not, and why.
const REASONS: &[(&str, &str)] = &[
    (
        "config_updates_without_affect",
        "asks for a root that is shared with the host (rootfsPropagation), which is refused",
    ),
    ("linux_ns_itype", "asks for no mount namespace: the host's root would be exchanged; refused"),
    (
        "linux_ns_nopath",
        "asks for a user namespace, which is refused (the daemon makes such containers with runc)",
    ),
    ("linux_ns_path", "asks for another process's mount namespace, whose root would be exchanged; refused"),
    (
        "linux_uid_mappings",
        "asks for a user namespace, which is refused (the daemon makes such containers with runc)",
    ),
];

/// Programs that show nothing on a host of today, and why.
const NOT_APPLICABLE: &[(&str, &str)] = &[
    ("delete_only_create_resources", "reads cgroup v1"),
    ("delete_resources", "reads cgroup v1"),
    ("linux_cgroups_*", "read cgroup v1 (runc ignores what v2 does not have, ours refuses it)"),
    ("linux_mount_label", "needs SELinux"),
    ("linux_process_apparmor_profile", "needs AppArmor"),
    (
        "process_rlimits",
        "Go raises the limit of files in the program that looks at it; runc's init does not live with the limit of memory",
    ),
    ("process_capabilities_fail", "wants an unknown capability to be refused, which runc does not"),
    ("killsig", "its files may be looked for before the program has made them"),
];

/// Names that the filter of 2018 did not know yet, without which neither runtime gets as far as the program: they are
/// added to it. `--root` keeps the containers together.
const WRAPPER: &str = r#"#!/bin/sh
for a; do
    [ "$b" = --bundle ] && sed -i '0,/"names": \[/s//"names": ["openat2","statx","faccessat2","close_range","rseq",/' "$a/config.json"
    b=$a
done
exec BIN/NAME --root DIR/state-NAME "$@"
"#;

/// Runs all programs with one runtime. They leave containers behind, some by intent.
const ALL: &str = r#"
W=$PWD/wrapper-$NAME; sed "s|BIN|$BIN|g; s|NAME|$NAME|g; s|DIR|$PWD|g" wrapper > $W; chmod 755 $W
mkdir -p out-$NAME tmp
for p in programs/*; do
    n=${p##*/}
    RUNTIME=$W TMPDIR=$PWD/tmp timeout -k 5 60 $p > out-$NAME/$n 2> out-$NAME/$n.err
    echo $? > out-$NAME/$n.code
done
for c in $($BIN/$NAME --root state-$NAME list --quiet); do $BIN/$NAME --root state-$NAME delete --force $c; done
"#;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passes,
    Fails,
}

impl Outcome {
    fn word(self) -> &'static str {
        if self == Self::Passes { "passes" } else { "fails" }
    }
}

/// The reason for a program, or for all whose names begin so.
fn reason<'a>(of: &[(&str, &'a str)], program: &str) -> Option<&'a str> {
    let named = |name: &str| match name.strip_suffix('*') {
        Some(begin) => program.starts_with(begin),
        None => program == name,
    };
    of.iter().find(|(name, _)| named(name)).map(|(_, why)| *why)
}

pub(super) fn validation() -> Result<()> {
    let bed = Bed::new(true)?;
    let from = tool("validation");
    for file in ["runtimetest", "rootfs-amd64.tar.gz"] {
        fs::copy(from.join(file), bed.dir.join(file)).with_context(|| format!("{file}: make bundle"))?;
    }
    fs::create_dir(bed.dir.join("programs"))?;
    for program in fs::read_dir(from.join("programs"))?.flatten() {
        fs::hard_link(program.path(), bed.dir.join("programs").join(program.file_name())).or_else(|_| {
            fs::copy(program.path(), bed.dir.join("programs").join(program.file_name())).map(drop)
        })?;
    }
    fs::write(bed.dir.join("wrapper"), WRAPPER)?;
    let outcomes = |name: &str| -> Result<BTreeMap<String, Outcome>> {
        let text = format!("NAME={name}\n{ALL}");
        let ran = bed.script(500, &text, &[])?;
        ensure!(ran.code == 0, "{ran}");
        let mut all = BTreeMap::new();
        for entry in fs::read_dir(bed.dir.join(format!("out-{name}")))?.flatten() {
            let program = entry.file_name().to_string_lossy().into_owned();
            let read = |end: &str| fs::read_to_string(format!("{}{end}", entry.path().display()));
            if program.contains('.') {
                continue;
            }
            let failed = read(".code")?.trim() != "0"
                || read("")?.lines().any(|line| line.trim_start().starts_with("not ok"));
            all.insert(program, if failed { Outcome::Fails } else { Outcome::Passes });
        }
        Ok(all)
    };
    let (ours, runcs) = std::thread::scope(|scope| {
        let other = scope.spawn(|| outcomes(RUNC));
        (outcomes(OURS), other.join().expect("no panic"))
    });
    let (ours, runcs) = (ours?, runcs?);
    let (mut table, mut unlisted, mut needless) = (String::new(), Vec::new(), Vec::new());
    for (program, own) in &ours {
        let other = runcs.get(program).copied().context("both ran")?;
        let worse = *own == Outcome::Fails && other == Outcome::Passes;
        let why = reason(REASONS, program).or_else(|| reason(NOT_APPLICABLE, program));
        writeln!(table, "{program:<32} {:<7} {:<7} {}", own.word(), other.word(), why.unwrap_or_default())?;
        if worse && why.is_none() {
            unlisted.push(program.clone());
        }
        if !worse && reason(REASONS, program).is_some() {
            needless.push(program.clone());
        }
    }
    fs::write(tool("validation").join("table.txt"), format!("{:<32} {OURS} {RUNC}\n{table}", "program"))?;
    let passed = ours.values().filter(|outcome| **outcome == Outcome::Passes).count();
    let said = |name: &str, program: &str| {
        let path = bed.dir.join(format!("out-{name}/{program}"));
        let text = fs::read_to_string(&path).unwrap_or_default();
        let errors = fs::read_to_string(path.with_extension("err")).unwrap_or_default();
        let lines = text.lines().filter(|line| line.trim_start().starts_with("not ok"));
        format!("{program}: {}\n{errors}", lines.take(5).collect::<Vec<_>>().join("\n"))
    };
    let words: Vec<String> = unlisted.iter().map(|program| said(OURS, program)).collect();
    ensure!(unlisted.is_empty(), "fail here and pass with runc:\n{}\n{table}", words.join("\n"));
    ensure!(needless.is_empty(), "have a reason and need none: {needless:?}\n{table}");
    ensure!(passed >= 20, "only {passed} pass:\n{table}");
    bed.end()
}
