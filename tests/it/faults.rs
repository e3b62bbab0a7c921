//! Crashes, for real: a killed process comes back, containers go on, nothing is left.

use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::host::Need;
use crate::user::run;
use crate::{Case, DAEMON};
use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const BACK: Duration = Duration::from_secs(10);

/// Parts of the command lines of the instance's processes.
const ENGINE: &str = "__engine";
const HOLDER: &str = "__holder";
const CONTAINERD: &str = "/containerd --config";
const BUILDKITD: &str = "buildkitd";
const SLIRP: &str = "slirp4netns";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("faults::engine_killed", || child_killed(ENGINE)),
        case("faults::containerd_killed", || child_killed(CONTAINERD)),
        case("faults::slirp4netns_killed", || child_killed(SLIRP)),
        case("faults::buildkitd_killed", buildkitd_killed),
        case("faults::daemon_killed", daemon_killed),
        case("faults::holder_killed", holder_killed),
        case("faults::term_leaves_nothing", term_leaves_nothing),
        case("faults::second_term_hurries", second_term_hurries),
        case("faults::hup_replaces_the_engine", hup_replaces_the_engine),
        case("faults::restart_brings_back_what_should_run", restart_brings_back_what_should_run),
        Case::new(
            "faults::damaged_bundle_is_repaired",
            &[Need::Root, Need::Bundle],
            damaged_bundle_is_repaired,
        ),
    ]
}

/// Starts a container that counts, so that its going on can be seen; its process ID on the host.
fn counter(env: &TestEnv, name: &str, extra: &[&str]) -> Result<i32> {
    let mut args = vec!["run", "-d", "--name", name];
    args.extend(extra);
    args.extend([DEMO, "sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done"]);
    env.ok(&args)?;
    Ok(env.ok(&["inspect", "-f", "{{.State.Pid}}", name])?.parse()?)
}

/// The number that a container has counted to; a missing one before it is an error.
fn counted(env: &TestEnv, name: &str) -> Result<usize> {
    let text = env.ok(&["logs", name])?;
    let lines = text.lines().count();
    ensure!(text.lines().map(str::parse::<usize>).eq((1..=lines).map(Ok)), "lines are missing: {text}");
    Ok(lines)
}

fn goes_on(env: &TestEnv, name: &str) -> Result<()> {
    let before = counted(env, name)?;
    within(Duration::from_secs(5), "the container goes on", || Ok(counted(env, name)? > before + 3))
}

fn child_killed(part: &str) -> Result<()> {
    let mut env = TestEnv::started()?;
    let pid = counter(&env, "cc", &[])?;
    let old = env.kill_process(part)?;
    let since = Instant::now();
    within(BACK, "it is back", || Ok(env.process(part).is_ok_and(|new| new != old)))?;
    // `ps` is true meanwhile and afterwards.
    ensure!(env.ok(&["ps", "--format", "{{.Names}} {{.State}}"])? == "cc running");
    ensure!(since.elapsed() < BACK, "{:?}", since.elapsed());
    ensure!(env.ok(&["inspect", "-f", "{{.State.Pid}} {{.RestartCount}}", "cc"])? == format!("{pid} 0"));
    goes_on(&env, "cc")?;
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "new"])? == "new");
    if part == SLIRP {
        let text =
            env.ok(&["run", "--rm", DEMO, "sh", "-c", "ping -c 1 -W 5 10.0.2.2 >/dev/null && echo reached"])?;
        ensure!(text == "reached", "{text}");
    }
    // An end that no engine watched is seen: the container is killed together with the engine.
    if part == ENGINE {
        env.kill_process(ENGINE)?;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL)?;
        within(BACK, "ps is true", || Ok(env.ok(&["ps", "-q"])?.is_empty()))?;
        ensure!(env.ok(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "cc"])? == "exited 137");
    }
    env.stop()
}

fn buildkitd_killed() -> Result<()> {
    let mut env = TestEnv::started()?;
    ensure!(env.process(BUILDKITD).is_err(), "buildkitd runs without a build");
    let dir = env.home.join("ctx");
    env.user.dir(&dir, 0o755)?;
    env.user.write(&dir.join("Dockerfile"), format!("FROM {DEMO}\nRUN true\n"))?;
    env.ok(&["build", "-q", "ctx"])?;
    counter(&env, "cc", &[])?;
    env.kill_process(BUILDKITD)?;
    env.ok(&["build", "-q", "--no-cache", "ctx"])?;
    goes_on(&env, "cc")?;
    env.stop()
}

fn daemon_killed() -> Result<()> {
    let mut env = TestEnv::started()?;
    let pid = counter(&env, "cc", &[])?;
    let holder = env.process(HOLDER)?;
    env.signal(Signal::SIGKILL)?;
    env.wait(Duration::from_secs(5))?;
    goes_on(&env, "cc")?;
    env.start()?;
    ensure!(env.process(HOLDER)? == holder, "the holder was not taken over");
    ensure!(env.ok(&["inspect", "-f", "{{.State.Pid}}", "cc"])? == pid.to_string());
    goes_on(&env, "cc")?;
    env.stop()
}

fn holder_killed() -> Result<()> {
    let mut env = TestEnv::started()?;
    counter(&env, "back", &["--restart", "always"])?;
    counter(&env, "gone", &[])?;
    let old = env.kill_process(HOLDER)?;
    within(Duration::from_secs(20), "a new holder", || Ok(env.process(HOLDER).is_ok_and(|new| new != old)))?;
    env.answers(Duration::from_secs(20))?;
    within(Duration::from_secs(20), "what should run is back", || {
        Ok(env.ok(&["ps", "--format", "{{.Names}}"])? == "back")
    })?;
    ensure!(env.ok(&["inspect", "-f", "{{.State.Status}}", "gone"])? == "exited");
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "new"])? == "new");
    env.stop()
}

fn term_leaves_nothing() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&[
        "run",
        "-d",
        "--name",
        "says",
        "-v",
        &format!("{}:/h", env.home.display()),
        DEMO,
        "sh",
        "-c",
        "trap 'echo bye > /h/bye; exit' TERM; while :; do sleep 0.1; done",
    ])?;
    counter(&env, "cc", &[])?;
    env.stop()?;
    ensure!(std::fs::read_to_string(env.home.join("bye"))? == "bye\n", "the container had no grace");
    // The daemon starts again from the data that is there.
    env.start()?;
    ensure!(env.ok(&["ps", "-aq"])?.lines().count() == 2);
    env.stop()
}

fn second_term_hurries() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&[
        "run",
        "-d",
        "--stop-timeout",
        "60",
        DEMO,
        "sh",
        "-c",
        "trap '' TERM; while :; do sleep 0.1; done",
    ])?;
    env.signal(Signal::SIGTERM)?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(!env.processes().is_empty(), "the container had no grace");
    let since = Instant::now();
    env.signal(Signal::SIGTERM)?;
    env.wait(Duration::from_secs(20))?;
    ensure!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    env.assert_nothing_left()
}

fn hup_replaces_the_engine() -> Result<()> {
    let mut env = TestEnv::started()?;
    counter(&env, "cc", &[])?;
    let (engine, containerd) = (env.process(ENGINE)?, env.process(CONTAINERD)?);
    env.signal(Signal::SIGHUP)?;
    within(BACK, "a new engine", || Ok(env.process(ENGINE).is_ok_and(|new| new != engine)))?;
    ensure!(env.process(CONTAINERD)? == containerd);
    goes_on(&env, "cc")?;
    env.stop()
}

fn restart_brings_back_what_should_run() -> Result<()> {
    let mut env = TestEnv::started()?;
    counter(&env, "always", &["--restart", "always"])?;
    counter(&env, "unless", &["--restart", "unless-stopped"])?;
    counter(&env, "never", &[])?;
    env.ok(&["stop", "-t", "0", "unless"])?;
    env.stop()?;
    env.start()?;
    within(Duration::from_secs(20), "it is back", || {
        Ok(env.ok(&["ps", "--format", "{{.Names}}"])? == "always")
    })?;
    // A policy is also followed when the process itself ends.
    let pid: i32 = env.ok(&["inspect", "-f", "{{.State.Pid}}", "always"])?.parse()?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL)?;
    within(Duration::from_secs(20), "it was restarted", || {
        let text =
            env.ok(&["inspect", "-f", "{{.State.Pid}} {{.State.Status}} {{.RestartCount}}", "always"])?;
        Ok(text.ends_with("running 1") && !text.starts_with(&format!("{pid} ")))
    })?;
    env.stop()
}

fn damaged_bundle_is_repaired() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.stop()?;
    let mut damaged = 0;
    for folder in std::fs::read_dir(env.data_dir().join("bundle"))?.flatten() {
        for name in ["bin/containerd", "containerd", "bin/runc", "runc"] {
            let path = folder.path().join(name);
            if path.is_file() {
                std::fs::write(&path, b"damaged")?;
                damaged += 1;
            }
        }
    }
    ensure!(damaged > 0, "no bundle was found below {}", env.data_dir().display());
    env.start()?;
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "repaired"])? == "repaired");
    env.stop()?;
    // Damage that size and time do not show is found when the program does not start.
    let containerd = PathBuf::from(
        run(Command::new("find").arg(env.data_dir().join("bundle")).args([
            "-name",
            "containerd",
            "-type",
            "f",
        ]))?
        .trim(),
    );
    let before = std::fs::metadata(&containerd)?;
    let file = std::fs::File::options().write(true).open(&containerd)?;
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 4096], 0)?;
    file.set_modified(before.modified()?)?;
    drop(file);
    let (code, text) = env.refused(&[])?;
    ensure!(code != 0 && text.contains("damaged in") && text.contains("bin/containerd"), "{code} {text}");
    env.assert_nothing_left()?;
    env.start()?;
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "again"])? == "again");
    env.stop()
}
