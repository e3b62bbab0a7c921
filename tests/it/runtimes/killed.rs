//! Kills of the stage.

use super::bed::{Bed, bundle, plain_spec};
use super::states;
use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::time::Duration;

/// Kill -9 of the stage, and of its shim, at each point of a start and of an exec: the verb can be repeated, and nothing is
/// left.
pub(super) fn at_each_point() -> Result<()> {
    let mut env = TestEnv::new()?;
    let hook = env.home.join("stays");
    env.set("K3C_TEST_OCI_STAYS", hook.display().to_string());
    env.start()?;
    let kill = |pid: i32| {
        let pid = nix::unistd::Pid::from_raw(pid);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    };
    // Runs a command until its stage is at the point, and kills that or the shim.
    let broken = |args: &[&str], point: &str, shim: bool| -> Result<i32> {
        env.user.write(&hook, point)?;
        let mut child = env.k3c_command(args).stdout(std::process::Stdio::null()).spawn()?;
        let mut stage = None;
        let found = within(Duration::from_secs(20), "the stage is at its point", || {
            let stages = env.processes().into_iter().filter(|(_, line)| line.contains("__oci")).map(|p| p.0);
            stage = stages.into_iter().find(|pid| {
                fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == point)
            });
            Ok(stage.is_some())
        });
        fs::remove_file(&hook)?;
        found.with_context(|| format!("{args:?} at {point}"))?;
        if shim {
            let all = env.processes().into_iter().filter(|(_, line)| line.contains("containerd-shim"));
            all.for_each(|(pid, _)| kill(pid));
        } else {
            kill(stage.context("no stage")?);
        }
        Ok(child.wait()?.code().unwrap_or(-1))
    };
    let run = ["run", "-d", "--name", "broken", DEMO, "sleep", "1000"];
    for point in ["begun", "cgroup", "cloned", "born", "pivoted", "filled", "ready", "go"] {
        for shim in [false, true] {
            let code = broken(&run, point, shim)?;
            let _ = env.k3c(&["rm", "-f", "broken"])?;
            env.ok(&run).with_context(|| format!("again after {point}, {shim}, which ended with {code}"))?;
            ensure!(env.ok(&["exec", "broken", "echo", "well"])? == "well");
            env.ok(&["rm", "-f", "broken"])?;
        }
    }
    env.ok(&run)?;
    for point in ["begun", "joined", "cloned", "born", "ready", "go"] {
        let code = broken(&["exec", "broken", "true"], point, false)?;
        ensure!(code != 0, "an exec that was killed at {point} succeeded");
        ensure!(env.ok(&["exec", "broken", "echo", "well"])? == "well");
        let code = broken(&["exec", "broken", "true"], point, true)?;
        ensure!(code != 0, "an exec whose shim was killed at {point} succeeded");
        let _ = env.k3c(&["rm", "-f", "broken"])?;
        env.ok(&run)?;
    }
    env.ok(&["rm", "-f", "broken"])?;
    within(Duration::from_secs(60), "nothing is left of them", || {
        let left = env
            .processes()
            .iter()
            .any(|(_, line)| ["sleep 1000", "k3c-reaper", "__oci"].iter().any(|word| line.contains(word)));
        Ok(!left && fs::read_dir(states(&env)).map_or(0, Iterator::count) == 0)
    })?;
    env.stop()
}

/// Kill -9 of a command, and of its stage, at each point: what is left is told of and can be deleted, and the name is free
/// afterwards. `C` is the container's cgroup.
const COMMANDS: &str = r#"
B=$PWD/life S=$PWD/stays; export K3C_TEST_OCI_STAYS=$S; O=$(sed -n 's/^0:://p' /proc/self/cgroup); C=/sys/fs/cgroup${O%/*}/k
fail() { echo "FAILED at $verb $point $who: $*"; cat out; exit 1; }
below() { for c in $(cat /proc/$1/task/*/children 2>/dev/null); do echo $c; below $c; done; }
named() { [ "$(cat /proc/$1/comm 2>/dev/null)" = $point ]; }
stage() { for n in $(seq 400); do for F in $(below $P); do named $F && return; done; sleep 0.02; done; fail it is never there; }
status() { $R state k 2>/dev/null | sed -n 's/.*"status": "\(.*\)".*/\1/p'; }
becomes() { for n in $(seq 200); do [ "$(status)" = $1 ] && return; sleep 0.02; done; fail "it is $(status), not $1"; }
alone() { for n in $(seq 200); do N=0; while read -r p; do N=$((N+1)); done < $1/cgroup.procs; [ $N = 1 ] && return; sleep 0.02; done; fail "$N processes in $1"; }
nothing() { [ ! -e $C ] || fail its cgroup is left; [ ! -e state-$NAME/k ] || fail its folder is left; alone /sys/fs/cgroup$O; }
killed() { stage; rm $S; if [ $who = stage ]; then kill -9 $F; else kill -9 $P; fi; wait $P; c=$?; [ $c != 0 ] || fail it succeeded; }
for verb in create run; do for point in begun cgroup cloned born pivoted filled ready; do for who in stage command; do
    printf $point > $S
    $R $verb --bundle $B k > out 2>&1 < /dev/null & P=$!
    killed
    if [ $who = command ]; then
        becomes stopped
        $R list --quiet | grep -qx k || fail it is not listed
        $R create --bundle $B k > out 2>&1 < /dev/null && fail it was made over
        grep -q 'container with given ID already exists' out || fail what is there is not said
        $R start k > out 2>&1 && fail the dead was started
        $R delete $([ $verb = run ] && echo --force) k > out 2>&1 || fail it is not deleted
    fi
    nothing
    { $R create --bundle $B k && $R start k && $R exec k true && $R delete --force k; } > out 2>&1 < /dev/null || fail it cannot be made again
    nothing
done; done; done
$R run --detach --bundle $B k > out 2>&1 < /dev/null || fail it does not run
verb=exec; for point in begun joined cloned born ready go; do for who in stage command; do
    # Who has the word to go on becomes its program, whoever dies.
    [ $point$who != gocommand ] || continue
    printf $point > $S
    $R exec k sleep 1000 > out 2>&1 < /dev/null & P=$!
    killed
    alone $C; alone /sys/fs/cgroup$O
    $R exec k true > out 2>&1 || fail there is no exec any more
done; done
$R delete --force k; nothing
verb=start point=go; for who in stage command; do
    printf go > $S; $R create --bundle $B k > out 2>&1 < /dev/null || fail it is not made; rm $S
    F=$($R state k | sed -n 's/.*"pid": \([0-9]*\),.*/\1/p')
    $R start k > out 2>&1 & P=$!
    for n in $(seq 200); do named $F && break; sleep 0.02; done; named $F || fail it is never there
    if [ $who = stage ]; then kill -9 $F; else kill -9 $P; fi
    wait $P && fail it succeeded
    [ $who = stage ] && becomes stopped || becomes running
    $R delete --force k || fail it is not deleted
    nothing
done
echo well
"#;

pub(super) fn commands_at_each_point() -> Result<()> {
    for root in [true, false] {
        let bed = Bed::new(root)?;
        bundle(&bed, "life", &plain_spec(&["sleep", "1000"]))?;
        bed.own()?;
        let text = format!("NAME=k3c-oci R=\"$BIN/k3c-oci --root $PWD/state-k3c-oci\"\n{COMMANDS}");
        let ran = bed.script(200, &text, &[])?;
        ensure!(ran.code == 0 && ran.stdout == "well\n", "root {root}: {ran}");
        bed.end()?;
    }
    Ok(())
}
