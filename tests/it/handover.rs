//! One process takes over from another: it must be the one that is meant, and speak the same version.

use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::user::command_line;
use crate::{Case, DAEMON};
use anyhow::{Context, Result, bail, ensure};
use k3c::model::holder::{DaemonToHolder, HolderToDaemon, PROTOCOL};
use k3c::supervise::greeting;
use k3c::sys::{packet, process};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

const ENGINE: &str = "__engine";
const HOLDER: &str = "__holder";
const CONTAINERD: &str = "/containerd --config";
/// Words about a peer that greets as [`stranger`] does.
const REFUSED: &str = "k3c 7.1 (version 99 of the holder's protocol)";
/// The limit of each wait; no answer takes as long.
const LONGEST: Duration = Duration::from_secs(60);

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("handover::reload_replaces_the_engine", reload_replaces_the_engine),
        case("handover::reload_signals_nobody_else", reload_signals_nobody_else),
        case("handover::a_daemon_of_another_version", a_daemon_of_another_version),
        case("handover::a_holder_of_another_version", a_holder_of_another_version),
        case("handover::an_engine_of_another_version", an_engine_of_another_version),
        case("handover::an_exit_is_told_to_the_next_engine", an_exit_is_told_to_the_next_engine),
        case("handover::a_foreign_namespace_is_left_alone", a_foreign_namespace_is_left_alone),
        case("handover::leftovers_are_found_without_cgroups", leftovers_are_found_without_cgroups),
    ]
}

/// A process of the user's that shows which signals it was sent: they stay pending.
struct Bystander(Child);

impl Bystander {
    fn start(env: &TestEnv) -> Result<Self> {
        Self::by(env, "env", &["--block-signal=HUP", "sleep", "1000"])
    }

    fn by(env: &TestEnv, program: &str, args: &[&str]) -> Result<Self> {
        let mut command = env.command(Path::new(program), args);
        let child = command.stdin(Stdio::null()).spawn().context("env")?;
        let comm = format!("/proc/{}/comm", child.id());
        let bystander = Self(child);
        within(Duration::from_secs(10), "the bystander sleeps", || {
            Ok(std::fs::read_to_string(&comm)?.trim() == "sleep")
        })?;
        Ok(bystander)
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Its identity as k3c writes it.
    fn identity(&self) -> Result<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let start = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(19));
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(format!(
            r#"{{"pid":{},"start_time":{},"boot_id":"{}"}}"#,
            self.pid(),
            start.context("start time")?,
            boot.trim()
        ))
    }

    /// Checks that it lives, and that nobody has sent it a signal.
    fn is_untouched(&self) -> Result<()> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let pending = |line: &str| line.starts_with("SigPnd:") || line.starts_with("ShdPnd:");
        for line in status.lines().filter(|line| pending(line)) {
            ensure!(line.ends_with("\t0000000000000000"), "a foreign process was sent a signal: {line}");
        }
        ensure!(!status.contains("State:\tZ"), "a foreign process was ended");
        Ok(())
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn reload_replaces_the_engine() -> Result<()> {
    let mut env = TestEnv::started()?;
    let engine = env.process(ENGINE)?;
    env.ok(&["daemon", "reload"])?;
    within(Duration::from_secs(10), "a new engine", || {
        Ok(env.process(ENGINE).is_ok_and(|new| new != engine))
    })?;
    env.answers(Duration::from_secs(20))?;
    env.stop()?;
    env.k3c(&["daemon", "reload"])?.fails(1, "no daemon runs")
}

/// A process that is not the daemon gets no signal, whatever the lock file says.
fn reload_signals_nobody_else() -> Result<()> {
    let mut env = TestEnv::new()?;
    let lock = env.run_dir().join("daemon.lock");
    let bystander = Bystander::start(&env)?;
    env.user.dir(&env.run_dir(), 0o700)?;
    let texts = [bystander.pid().to_string(), bystander.identity()?];
    for text in &texts {
        env.user.write(&lock, text)?;
        env.k3c(&["daemon", "reload"])?.fails(1, "no daemon runs: nobody holds the lock")?;
        bystander.is_untouched()?;
    }
    // A daemon holds the lock, and the process that had this number before it is not the one that has it now.
    env.start()?;
    let engine = env.process(ENGINE)?;
    let own = std::fs::read(&lock)?;
    let another = bystander.identity()?.replace("\"start_time\":", "\"start_time\":1");
    for text in [&texts[0], &another] {
        env.user.write(&lock, text)?;
        env.k3c(&["daemon", "reload"])?.fails(1, "does not say by which process")?;
        bystander.is_untouched()?;
    }
    env.user.write(&lock, own)?;
    ensure!(env.process(ENGINE)? == engine);
    env.stop()
}

/// The greeting of a k3c that is not there yet.
fn stranger() -> Value {
    json!({ "protocol": 99, "version": "7.1", "colour": "red" })
}

fn holder_socket(env: &TestEnv) -> PathBuf {
    env.run_dir().join("holder.sock")
}

/// A connection to the holder, as a daemon makes it.
fn call_holder(env: &TestEnv) -> Result<OwnedFd> {
    let socket = packet::connect_to(&holder_socket(env))?;
    packet::set_patience(&socket, Some(LONGEST))?;
    Ok(socket)
}

/// Reads packets until one of them has `wanted` in it; the text of all.
fn hear(socket: &OwnedFd, wanted: &str) -> Result<String> {
    let mut heard = String::new();
    for _ in 0..100 {
        let packet =
            packet::read::<Value>(socket).with_context(|| format!("{wanted:?} never came: {heard}"))?;
        heard += &packet.map_or_else(|| "(end)\n".to_owned(), |packet| format!("{packet}\n"));
        if heard.contains(wanted) {
            return Ok(heard);
        }
    }
    bail!("{wanted:?} never came: {heard}")
}

/// A daemon of another version is told why the holder does nothing for it, and the daemon that runs stays.
fn a_daemon_of_another_version() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "-d", DEMO, "sleep", "1000"])?;
    let socket = call_holder(&env)?;
    packet::write(&socket, &stranger())?;
    // The holder may be gone from this connection already.
    let _ = packet::write(&socket, &json!("hurry"));
    let heard = hear(&socket, REFUSED)?;
    ensure!(heard.contains(&format!("\"protocol\":{PROTOCOL}")), "the holder did not greet: {heard}");
    ensure!(heard.contains("failed"), "{heard}");
    // A caller that does not greet at all, and a caller that leaves at once.
    let silent = call_holder(&env)?;
    packet::write(&silent, &DaemonToHolder::Hurry)?;
    hear(&silent, "that does not say which")?;
    drop(call_holder(&env)?);
    ensure!(env.ok(&["ps", "-q"])?.lines().count() == 1);
    let engine = env.process(ENGINE)?;
    env.ok(&["daemon", "reload"])?;
    within(LONGEST, "a new engine", || Ok(env.process(ENGINE).is_ok_and(|new| new != engine)))?;
    env.answers(LONGEST)?;
    env.stop()
}

/// Starts a holder of another version at the socket: it greets each caller, and answers nothing else.
fn strange_holder(env: &TestEnv) -> Result<()> {
    let path = holder_socket(env);
    let listener = packet::listen_at(&path)?;
    chown(&path, Some(env.user.uid), Some(env.user.gid))?;
    std::thread::spawn(move || {
        let mut callers = Vec::new();
        while let Ok(caller) = packet::accept_one(&listener) {
            let _ = packet::write(&caller, &stranger());
            callers.push(caller);
        }
    });
    Ok(())
}

/// A daemon neither takes over a holder of another version nor harms it, and puts no engine under it.
fn a_holder_of_another_version() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.dir(&env.run_dir(), 0o700)?;
    strange_holder(&env)?;
    let (code, said) = env.refused(&[])?;
    let words = format!("the holder that runs (process {}) cannot be taken over", std::process::id());
    ensure!(code == 1 && said.contains(&words) && said.contains(REFUSED), "{code} {said}");
    ensure!(holder_socket(&env).exists(), "the socket of a holder that runs was removed");
    std::fs::remove_file(holder_socket(&env))?;

    env.start()?;
    let engine = env.process(ENGINE)?;
    let aside = env.run_dir().join("aside.sock");
    std::fs::rename(holder_socket(&env), &aside)?;
    strange_holder(&env)?;
    env.k3c(&["daemon", "reload"])?.fails(1, REFUSED)?;
    std::fs::rename(&aside, holder_socket(&env))?;
    ensure!(env.process(ENGINE)? == engine, "the engine was replaced");
    env.stop()
}

/// An engine of another version does not replace the one before it, which goes on, and so do the containers.
fn an_engine_of_another_version() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "-d", DEMO, "sleep", "1000"])?;
    let engine = env.home.join("engine");
    let script =
        format!("#!/bin/bash\nprintf '%s' '{}' >&\"$K3C_CONTROL_FD\"\nexec sleep 1000\n", stranger());
    env.user.write(&engine, script)?;
    std::fs::set_permissions(&engine, std::fs::Permissions::from_mode(0o755))?;
    // The test takes the daemon's place, for only the daemon may ask the holder for a reload.
    env.signal(Signal::SIGKILL)?;
    env.wait(LONGEST)?;
    let socket = call_holder(&env)?;
    greeting::exchange(&socket, Some(LONGEST))?;
    packet::set_patience(&socket, Some(LONGEST))?;
    let status = packet::read::<HolderToDaemon>(&socket)?;
    ensure!(matches!(&status, Some(HolderToDaemon::Status(status)) if status.engine_ready), "{status:?}");
    packet::write(&socket, &DaemonToHolder::Reload { binary: engine })?;
    let heard = hear(&socket, "engine_ready")?;
    ensure!(heard.contains(REFUSED) && heard.contains("the one before it goes on"), "{heard}");
    drop(socket);
    env.start()?;
    ensure!(env.ok(&["ps", "-q"])?.lines().count() == 1);
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "works"])? == "works");
    env.stop()
}

/// A child that ends while its engine is stopped, and that engine is killed: the next engine is told of the end.
fn an_exit_is_told_to_the_next_engine() -> Result<()> {
    let mut env = TestEnv::started()?;
    let engine = Pid::from_raw(env.process(ENGINE)?);
    kill(engine, Signal::SIGSTOP)?;
    let containerd = env.kill_process(CONTAINERD)?;
    within(LONGEST, "the holder knows of containerd's end", || {
        Ok(!Path::new(&format!("/proc/{containerd}")).exists())
    })?;
    kill(engine, Signal::SIGKILL)?;
    within(LONGEST, "a new containerd", || Ok(env.process(CONTAINERD).is_ok_and(|new| new != containerd)))?;
    env.answers(LONGEST)?;
    let log = std::fs::read_to_string(env.home.join(".local/state/k3c/engine.log"))?;
    let told = |line: &str| line.contains("ended while no engine watched it") && line.contains("signal 9");
    ensure!(log.lines().any(told), "nobody was told how containerd ended: {log}");
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "works"])? == "works");
    env.stop()
}

/// A namespace of somebody else is left alone, even if it has the number in the holder's file: the kernel gives the
/// number of one that is gone to the next one that anybody makes.
fn a_foreign_namespace_is_left_alone() -> Result<()> {
    let mut env = TestEnv::new()?;
    let bystander = Bystander::by(&env, "unshare", &["--user", "--map-root-user", "sleep", "1000"])?;
    let namespace = std::fs::metadata(format!("/proc/{}/ns/user", bystander.pid()))?.ino();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let status = json!({
        "protocol": PROTOCOL,
        "process": { "pid": 1, "start_time": 7, "boot_id": boot.trim() },
        "user_namespace": namespace,
        "cgroup": null,
        "engine_ready": true,
    });
    env.user.dir(&env.run_dir(), 0o700)?;
    env.user.write(&env.run_dir().join("holder.json"), status.to_string())?;
    env.start()?;
    bystander.is_untouched()?;
    env.stop()?;
    bystander.is_untouched()
}

fn leftovers_are_found_without_cgroups() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.prelude = "mount -o remount,bind,ro /sys/fs/cgroup; chown 0 $D $D/cgroup.* 2>/dev/null".into();
    env.start()?;
    env.ok(&["run", "-d", "--name", "left", DEMO, "sleep", "1000"])?;
    let container: i32 = env.ok(&["inspect", "-f", "{{.State.Pid}}", "left"])?.parse()?;
    for pid in [env.daemon_pid()?, env.process(HOLDER)?] {
        kill(Pid::from_raw(pid), Signal::SIGKILL)?;
    }
    env.wait(LONGEST)?;
    env.start()?;
    ensure!(process::is_zombie(container), "a container outlived its holder: {}", command_line(container));
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "works"])? == "works");
    env.stop()
}
