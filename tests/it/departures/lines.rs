//! Ctrl-C on the command line, in the middle of a verb.

use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::shared;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::process::{Child, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A command that is interrupted once `begun` says that its verb is under way.
fn interrupt(env: &TestEnv, args: &[&str], begun: impl Fn() -> Result<bool>) -> Result<()> {
    let mut command = env.k3c_command(args);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let seen = within(PATIENCE, "the verb has begun", || {
        ensure!(child.try_wait()?.is_none(), "{args:?} is over before it was interrupted");
        begun()
    });
    leave(&mut child)?;
    seen
}

fn leave(child: &mut Child) -> Result<()> {
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    ensure!(!child.wait()?.success(), "an interrupted command says that all is well");
    Ok(())
}

/// `stop`: KILL comes. `commit`: the container is not frozen for ever.
pub(super) fn interrupted() -> Result<()> {
    let env = shared::env()?;
    let name = "interrupted";
    let script =
        "trap 'echo asked' TERM; head -c 60000000 /dev/urandom > /much; echo up; while :; do sleep 0.1; done";
    env.ok(&["run", "-d", "--name", name, DEMO, "sh", "-c", script])?;
    let says = |word: &str| Ok(env.ok(&["logs", name])?.lines().any(|line| line == word));
    within(PATIENCE, "it is there", || says("up"))?;
    let status = || env.ok(&["inspect", "-f", "{{.State.Status}}", name]);

    let pid = env.ok(&["inspect", "-f", "{{.State.Pid}}", name])?;
    interrupt(&env, &["commit", name, "interrupted:1"], || is_frozen(&env, &pid))?;
    within(PATIENCE, "it is thawed", || Ok(!is_frozen(&env, &pid)?))?;
    ensure!(env.ok(&["exec", name, "echo", "in"])? == "in" && status()? == "running");
    env.ok(&["pause", name])?;
    env.ok(&["unpause", name])?;
    env.ok(&["commit", name, "interrupted:1"])?;
    env.ok(&["rmi", "interrupted:1"])?;

    interrupt(&env, &["stop", "-t", "3", name], || says("asked"))?;
    within(PATIENCE, "it is killed", || Ok(status()? == "exited"))?;
    ensure!(env.ok(&["wait", name])? == "137");
    env.ok(&["rm", name]).map(drop)
}

/// The kernel holds the processes of this one's cgroup.
fn is_frozen(env: &TestEnv, pid: &str) -> Result<bool> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup"))?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup")?;
    let events = format!("/proc/{}/root/sys/fs/cgroup{group}/cgroup.events", env.daemon_pid()?);
    Ok(std::fs::read_to_string(events)?.lines().any(|line| line == "frozen 1"))
}
