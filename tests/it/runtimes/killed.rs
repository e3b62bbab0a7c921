//! Kills of the stage.

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
