//! Many at once, and much: no exit code is wrong, no byte is lost, nothing stays behind.

use crate::containers::DEMO;
use crate::env::installed;
use crate::{Case, DAEMON, shared};
use anyhow::{Result, ensure};
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("storms::a_thousand_execs", a_thousand_execs),
        case("storms::two_hundred_runs_by_twenty", two_hundred_runs_by_twenty),
        case("storms::five_hundred_runs", five_hundred_runs),
        case("storms::a_gigabyte", a_gigabyte),
    ]
}

/// Runs a script as the user; `$K3C` is the binary, `$DEMO` the image. Its standard output is what went wrong.
fn quiet(script: &str) -> Result<()> {
    let env = shared::env()?;
    let script = format!("export K3C={} DEMO={DEMO}; {script}", installed().display());
    let text = env.program(Path::new("/bin/bash"), &["-c", &script])?.ok()?;
    ensure!(text.is_empty(), "{}", text.lines().take(5).collect::<Vec<_>>().join("\n"));
    Ok(())
}

fn a_thousand_execs() -> Result<()> {
    quiet(
        "$K3C run -d --name stormy $DEMO sleep 1000 > /dev/null
        seq 1000 | xargs -P 10 -I{} sh -c 'out=$($K3C exec stormy sh -c \"echo {}; exit $(({} % 50))\" 2>&1); code=$?;
            [ $code = $(({} % 50)) ] && [ \"$out\" = {} ] || echo \"{}: $code $out\"'
        [ $($K3C top stormy | wc -l) = 2 ] || echo 'processes were left'
        $K3C rm -f stormy > /dev/null",
    )
}

fn two_hundred_runs_by_twenty() -> Result<()> {
    quiet(
        "seq 200 | xargs -P 20 -I{} sh -c 'out=$($K3C run --rm --name crowd-{} $DEMO echo {} 2>&1) && [ \"$out\" = {} ] ||
            echo \"{}: $out\"'
        $K3C ps -aq --filter name=crowd-",
    )
}

fn five_hundred_runs() -> Result<()> {
    quiet(
        "seq 500 | xargs -P 2 -I{} sh -c '$K3C run --rm --name row-{} $DEMO true || echo {}: $?'
        $K3C ps -aq --filter name=row-",
    )
}

fn a_gigabyte() -> Result<()> {
    quiet(
        "head -c 1000000000 /dev/urandom | tee >(sha256sum > in.sum) | $K3C run --rm -i $DEMO cat | sha256sum > out.sum
        for i in 1 2 3 4 5 6 7 8 9; do [ -s in.sum ] || sleep 0.2; done; cmp in.sum out.sum; rm in.sum out.sum",
    )
}
