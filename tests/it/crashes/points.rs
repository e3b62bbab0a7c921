//! Kill -9 at each named point of the engine's verbs and of the CNI plugin: the next engine finishes or undoes what was begun,
//! the verb can be repeated, nothing is left.

use super::{BACK, CONTAINERD, HOLDER, disagreement, held_for_nobody};
use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::proxy::cri_pods;
use crate::user::run;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::process::Command;

/// What is done before a verb, the verb, and its points.
const VERBS: &[(&[&str], &[&str], &[&str])] = &[
    (
        &[],
        &["create", "--name", "cut", "-v", "/data", DEMO, "sleep", "1000"],
        &["create.volumes", "create.pod", "create.container", "create.recorded"],
    ),
    (
        &["create", "--name", "cut", "-v", "/data", DEMO, "sleep", "1000"],
        &["start", "cut"],
        &["start.published", "start.started", "start.recorded"],
    ),
    (RUN, &["exec", "cut", "true"], &["exec.made", "exec.recorded", "exec.started"]),
    (RUN, &["stop", "-t", "1", "cut"], &["stop.recorded", "stop.signalled", "stop.ended"]),
    (
        RUN,
        &["rm", "-f", "-v", "cut"],
        &["remove.recorded", "remove.ended", "remove.buried", "remove.without-pod", "remove.without-files"],
    ),
];

const RUN: &[&str] = &["run", "-d", "--name", "cut", "-v", "/data", DEMO, "sleep", "1000"];

/// The state of `cut`; empty when there is none.
fn state(env: &TestEnv) -> Result<String> {
    env.ok(&["ps", "-a", "--filter", "name=cut", "--format", "{{.State}}"])
}

/// What is as it shall be after a verb that was cut off, once the next engine is there.
fn settled(env: &TestEnv, verb: &str, point: &str) -> Result<bool> {
    let state = state(env)?;
    Ok(match (verb, point) {
        ("create", "create.recorded") => state == "created",
        ("create", _) | ("rm", _) => state.is_empty(),
        ("start", "start.published") => state == "created" || state == "running",
        ("start" | "exec", _) => state == "running",
        _ => state == "exited",
    })
}

/// The verb once more.
fn again(env: &TestEnv, verb: &[&str]) -> Result<()> {
    match verb[0] {
        "create" => {
            env.k3c(&["rm", "-v", "cut"])?;
            env.ok(verb)?;
        }
        "start" => {
            env.ok(verb)?;
            ensure!(env.ok(&["exec", "cut", "echo", "in"])? == "in");
        }
        "exec" => ensure!(env.ok(&["exec", "cut", "echo", "in"])? == "in"),
        "stop" => {
            env.ok(verb)?;
            env.ok(&["start", "cut"])?;
        }
        _ => {
            env.ok(RUN)?;
        }
    }
    env.ok(&["rm", "-f", "-v", "cut"]).map(drop)
}

/// Mounts of pods' network namespaces.
fn namespaces(env: &TestEnv) -> Result<Vec<String>> {
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", env.process(HOLDER)?))?;
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(4));
    Ok(places
        .filter(|place| place.contains("/cri/netns/") || place.contains(".cri/netns/"))
        .map(str::to_owned)
        .collect())
}

/// Runs a script where the holder's mounts are seen.
fn inside(env: &TestEnv, script: &str) -> Result<String> {
    let holder = env.process(HOLDER)?.to_string();
    run(Command::new("nsenter").args(["-t", &holder, "-m", "sh", "-c", script]))
}

/// Interfaces on the containers' bridge.
fn interfaces(env: &TestEnv) -> Result<String> {
    let namespace = env.run_dir().join("rootlesskit/netns");
    inside(env, &format!("nsenter --net={} ip -o link show type veth", namespace.display()))
}

/// Nothing is left of any container.
fn nothing(env: &TestEnv) -> Result<()> {
    let mut last = String::new();
    within(BACK, "nothing is left", || {
        last = disagreement(env)?;
        last += &held_for_nobody(env)?;
        last += &interfaces(env)?;
        last += &namespaces(env)?.join(" ");
        last += &cri_pods(env)?.iter().map(|(pod, _)| format!("pod {pod}\n")).collect::<String>();
        let processes = env.processes();
        let left = processes.iter().filter(|(_, line)| {
            ["sleep 1000", "k3c-reaper", "containerd-shim"].iter().any(|word| line.contains(word))
        });
        last += &left.map(|(pid, line)| format!("{pid} {line}\n")).collect::<String>();
        Ok(last.is_empty())
    })
    .with_context(|| format!("{last}{}", env.complaints()))
}

pub(super) fn engine_at_each_point() -> Result<()> {
    let mut env = TestEnv::new()?;
    let hook = env.home.join("dies");
    env.set("K3C_TEST_ENGINE_DIES", hook.display().to_string());
    env.start()?;
    env.ok(&["images"])?;
    for (before, verb, points) in VERBS {
        for point in *points {
            if !before.is_empty() {
                env.ok(before)?;
            }
            env.user.write(&hook, point)?;
            let ran = env.k3c(verb)?;
            within(BACK, "the engine dies", || Ok(!hook.exists()))
                .with_context(|| format!("at {point}: {ran}"))?;
            within(BACK, "it is as it shall be", || settled(&env, verb[0], point))
                .with_context(|| format!("after {point}: {:?}: {ran}{}", state(&env), env.complaints()))?;
            again(&env, verb).with_context(|| format!("after {point}: {ran}"))?;
            let mut last = String::new();
            within(BACK, "records and CRI agree", || {
                last = disagreement(&env)?;
                Ok(last.is_empty())
            })
            .with_context(|| format!("after {point}: {last}"))?;
        }
    }
    nothing(&env)?;
    env.stop()
}

pub(super) fn plugin_at_each_point() -> Result<()> {
    for point in ["bridge", "chosen", "made", "inside"] {
        let mut env = TestEnv::new()?;
        env.set("K3C_TEST_CNI_DIES", point);
        env.start()?;
        let ran = env.k3c(RUN)?;
        ensure!(ran.code == 125 && ran.stderr.contains("network"), "at {point}: {ran}");
        ensure!(state(&env)?.is_empty(), "at {point}: {ran}");
        nothing(&env).with_context(|| format!("after {point}: {ran}"))?;
        env.stop()?;
    }
    Ok(())
}

/// A namespace that containerd made, and was killed before it could note it.
pub(super) fn namespace_without_pod() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(RUN)?;
    let known = namespaces(&env)?;
    ensure!(known.len() == 1, "{known:?}");
    let other = format!("{}/cni-left", known[0].rsplit_once('/').context("a path")?.0);
    inside(&env, &format!("touch {other} && unshare --net={other} true"))?;
    ensure!(namespaces(&env)?.len() == 2, "it was not made");
    env.kill_process(CONTAINERD)?;
    within(BACK, "only the pod's is left", || Ok(namespaces(&env)? == known))?;
    inside(&env, &format!("test ! -e {other}"))?;
    ensure!(env.ok(&["exec", "cut", "echo", "in"])? == "in");
    env.ok(&["rm", "-f", "-v", "cut"])?;
    nothing(&env)?;
    env.stop()
}
