//! An instance at rest: it gives memory back, and clients that only wait keep nobody from anything.

use crate::containers::{DEMO, within};
use crate::env::{TestEnv, binary};
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::process::Stdio;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("rest::memory_is_given_back", memory_is_given_back),
        case("rest::many_clients_that_only_wait", many_clients_that_only_wait),
    ]
}

/// Time in which memory is given back by processes that are left alone, on a host that is busy otherwise.
const LIMIT: Duration = Duration::from_secs(60);
/// The most that a process keeps of its program's file, in KiB: of a release build, and of a far larger one for debugging.
const KEPT: [u64; 2] = [4000, 45_000];
/// What the engine may keep beyond that: it has timers.
const MORE: u64 = 2000;

fn memory_is_given_back() -> Result<()> {
    let mut env = TestEnv::started()?;
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "worked"])? == "worked");
    let kept = KEPT[usize::from(binary().components().any(|part| part.as_os_str() == "debug"))];
    for (part, more) in
        [("k3c daemon", 0), ("__holder", 0), ("__engine", MORE), ("__differ", 0), ("__ports", 0)]
    {
        let pid = env.process(part)?;
        let of_file = || -> Result<u64> {
            let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("RssFile:")).context("RssFile")?;
            Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
        };
        let given = within(LIMIT, &format!("{part} gives memory back"), || Ok(of_file()? < kept + more));
        given.with_context(|| format!("it keeps {:?} KiB", of_file()))?;
    }
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "works"])? == "works");
    env.stop()
}

/// More clients than the engine has threads for short work.
fn many_clients_that_only_wait() -> Result<()> {
    let env = shared::env()?;
    env.ok(&["create", "--name", "patient", DEMO, "true"])?;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = env.k3c_command(&["cp", "-", "patient:/tmp"]);
        clients.push(client.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
    }
    let engine = env.process("__engine")?;
    let threads = || Ok(fs::read_dir(format!("/proc/{engine}/task"))?.count() > 40);
    within(LIMIT, "all clients are there", threads)?;
    let answer = env.ok(&["run", "--rm", DEMO, "echo", "goes on"]);
    for client in &mut clients {
        drop(client.stdin.take());
        client.wait()?;
    }
    ensure!(answer? == "goes on");
    env.ok(&["rm", "patient"]).map(drop)
}
