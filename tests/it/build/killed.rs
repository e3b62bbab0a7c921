//! Builds whose processes are killed, at each stage of a build: the store stays as it was, nothing goes on, and the next
//! build succeeds.

use super::context;
use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::proxy::{WITH_TOOLS, client};
use crate::{Case, report};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The limit of each wait: a build that ends by itself would take longer.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("build::killed_at_each_stage", WITH_TOOLS, killed)]
}

/// A build that stops at one stage for as long as anybody waits.
struct Stage {
    name: &'static str,
    args: Vec<String>,
    /// What it says when it is there.
    shown: String,
    /// The start of what comes on its standard input.
    input: Vec<u8>,
}

/// Who dies, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client(&'static [Signal]),
    Daemon(&'static str),
}

const CONTAINERD: Victim = Victim::Daemon("/containerd --config");

const VICTIMS: [Victim; 7] = [
    Victim::Client(&[Signal::SIGINT]),
    Victim::Client(&[Signal::SIGINT, Signal::SIGINT]),
    Victim::Client(&[Signal::SIGHUP]),
    Victim::Client(&[Signal::SIGKILL]),
    Victim::Daemon("buildkitd"),
    Victim::Daemon("__engine"),
    CONTAINERD,
];

fn stages(env: &TestEnv, silent: u16) -> Result<Vec<Stage>> {
    let registry = format!("localhost:{silent}");
    let file = |name: &str, text: &str| env.user.write(&env.home.join("killed").join(name), text);
    file("pull", &format!("FROM {registry}/none\n"))?;
    file("run", &format!("FROM {DEMO}\nRUN echo be''gun; sleep 3.1415\n"))?;
    file("export", &format!("FROM {DEMO}\nRUN head -c 80000000 /dev/urandom > /f\n"))?;
    let stage = |name, shown: &str, args: &[&str]| Stage {
        name,
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        shown: shown.to_owned(),
        input: Vec::new(),
    };
    let pushed = format!("{registry}/killed:1");
    let archive =
        Command::new("tar").arg("-C").arg(env.home.join("killed")).args(["-c", "."]).output()?.stdout;
    Ok(vec![
        Stage {
            input: archive[..archive.len() / 2].to_vec(),
            ..stage("the context is sent", "load remote build context", &["-"])
        },
        stage(
            "a base image is looked for",
            &format!("load metadata for {registry}"),
            &["-f", "killed/pull", "killed"],
        ),
        stage("a step runs", " begun", &["-f", "killed/run", "killed"]),
        stage("layers are written", "exporting layers", &["-t", "killed:2", "-f", "killed/export", "killed"]),
        stage("it is pushed", "pushing layers", &["-t", &pushed, "--push", "killed"]),
    ])
}

/// Begins a build; answers when it is at its stage.
fn begin(env: &TestEnv, stage: &Stage) -> Result<Child> {
    let args: Vec<&str> = ["build", "--progress", "plain", "--no-cache"]
        .into_iter()
        .chain(stage.args.iter().map(String::as_str))
        .collect();
    let said = env.home.join("said");
    let input = if stage.input.is_empty() { Stdio::null() } else { Stdio::piped() };
    let mut command = env.k3c_command(&args);
    let mut child = command.stdin(input).stdout(Stdio::null()).stderr(fs::File::create(&said)?).spawn()?;
    if let Some(stdin) = &mut child.stdin {
        stdin.write_all(&stage.input)?;
    }
    let there = within(PATIENCE, stage.name, || Ok(fs::read_to_string(&said)?.contains(&stage.shown)));
    if there.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    there.with_context(|| fs::read_to_string(&said).unwrap_or_default())?;
    Ok(child)
}

fn end(env: &TestEnv, child: &Child, victim: Victim) -> Result<()> {
    match victim {
        Victim::Client(signals) => {
            for signal in signals {
                // It may be gone after the first one.
                let _ = kill(Pid::from_raw(i32::try_from(child.id())?), *signal);
            }
            Ok(())
        }
        Victim::Daemon(part) => env.kill_process(part).map(drop),
    }
}

/// Leases and snapshots that somebody still writes to, without those of containers.
fn held(env: &TestEnv) -> Result<String> {
    let snapshots = client(env, "ctr", &["snapshots", "ls"])?.ok()?;
    let active: Vec<&str> = snapshots.lines().filter(|line| line.trim_end().ends_with("Active")).collect();
    let leases = client(env, "ctr", &["leases", "ls", "-q"])?.ok()?;
    Ok(format!("{}\n{leases}", active.join("\n")))
}

fn killed() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.write(&env.home.join(".config/k3c/config.toml"), "buildkit-idle-seconds = 20\n")?;
    env.start()?;
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let file = format!("FROM {DEMO}\nCOPY word /f\nRUN echo more >> /f\nCMD [\"cat\", \"/f\"]\n");
    context(&env, "killed", &[("Dockerfile", &file), ("word", "built\n")])?;
    let before = env.ok(&["images", "-a", "--no-trunc"])?;
    let pushed = format!("localhost:{}/killed:1", silent.local_addr()?.port());
    for stage in stages(&env, silent.local_addr()?.port())? {
        for victim in VICTIMS {
            let what = format!("{victim:?} when {}", stage.name);
            let since = Instant::now();
            let mut child = begin(&env, &stage).with_context(|| what.clone())?;
            let ended = end(&env, &child, victim);
            // A build that does not need containerd just then goes on when that is back.
            let mut went_on = false;
            if victim == CONTAINERD {
                let over = within(Duration::from_secs(10), &what, || Ok(child.try_wait()?.is_some()));
                went_on = over.is_err();
                if went_on {
                    end(&env, &child, VICTIMS[0])?;
                }
            }
            let over = within(PATIENCE, &what, || Ok(child.try_wait()?.is_some()));
            if over.is_err() {
                let _ = child.kill();
            }
            let status = child.wait()?;
            let said = fs::read_to_string(env.home.join("said"))?;
            ended.and(over).with_context(|| said.clone())?;
            went_on |= victim == CONTAINERD && status.success();
            ensure!(went_on || !status.success(), "{what}: it succeeded: {said}");
            if matches!(victim, Victim::Daemon(_)) && !went_on {
                let is_told = said.contains("ERROR: failed to build: ");
                ensure!(status.code() == Some(1) && is_told, "{what}: {status} {said}");
            }
            // Nothing goes on, and the same daemon builds the next one.
            let runs = || env.processes().iter().any(|(_, line)| line.contains("sleep 3.1415"));
            within(Duration::from_secs(20), "the step is ended", || Ok(!runs()))?;
            env.ok(&["build", "-q", "-t", "killed:1", "killed"]).with_context(|| what.clone())?;
            ensure!(env.ok(&["run", "--rm", "killed:1"])? == "built\nmore", "{what}");
            env.ok(&["rmi", "killed:1"])?;
            // An image that was exported before its build was killed is whole.
            for name in ["killed:2", &pushed] {
                if env.ok(&["images", "-q", name]).is_ok_and(|id| !id.is_empty()) {
                    env.ok(&["run", "--rm", name, "true"])?;
                    env.ok(&["rmi", name])?;
                    report(&format!("{what}: {name} was there already"));
                }
            }
            let now = env.ok(&["images", "-a", "--no-trunc"])?;
            ensure!(now == before, "{what}: there are other images: {now}");
            report(&format!("{what}: {:?}", since.elapsed()));
        }
    }
    drop(silent);
    // With the cache gone nothing is held for builds that are over; as of a record whose lease containerd did not live to
    // end, when buildkitd has nothing to do.
    let lease = format!("0{}", "killed".repeat(4));
    let flat = ["leases", "create", "--id", &lease, "containerd.io/gc.flat=x"];
    client(&env, "ctr", &flat)?.ok()?;
    env.ok(&["builder", "prune", "-a", "-f"])?;
    let mut left = String::new();
    let free = within(PATIENCE, "nothing is held", || {
        left = held(&env)?;
        Ok(left.trim().is_empty())
    });
    free.with_context(|| left)?;
    env.stop()
}
