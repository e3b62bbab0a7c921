//! One process takes over from another: it must be the one that is meant, and speak the same version.

use crate::containers::within;
use crate::env::TestEnv;
use crate::{Case, DAEMON};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const ENGINE: &str = "__engine";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("handover::reload_replaces_the_engine", reload_replaces_the_engine),
        case("handover::reload_signals_nobody_else", reload_signals_nobody_else),
    ]
}

/// A process of the user's that shows which signals it was sent: they stay pending.
struct Bystander(Child);

impl Bystander {
    fn start(env: &TestEnv) -> Result<Self> {
        let mut command = env.command(Path::new("env"), &["--block-signal=HUP", "sleep", "1000"]);
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

    /// It lives, and nobody has sent it anything.
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

/// Whatever is in the lock: a process that is not its daemon gets no signal.
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
