//! Logs and events that go on when the engine is replaced, and systemd's journal.

use crate::containers::{DEMO, within};
use crate::env::{Ran, TestEnv};
use crate::host::Need;
use crate::{Case, DAEMON};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const WITH_JOURNAL: &[Need] = &[Need::Daemon, Need::Program("journalctl")];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("logs::go_on_over_engines", DAEMON, go_on_over_engines),
        Case::new("logs::journald", WITH_JOURNAL, journald),
    ]
}

/// A client that follows sees each line and each event once, whatever happens to the engine.
fn go_on_over_engines() -> Result<()> {
    let mut env = TestEnv::started()?;
    let script = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.1; done; exit 3";
    let follow = |args: &[&str], output: Stdio| -> Result<_> {
        Ok(env.k3c_command(args).stdin(Stdio::null()).stdout(output).stderr(Stdio::piped()).spawn()?)
    };
    let told = env.home.join("told");
    let flags = ["events", "--format", "{{.Action}}", "--filter", "event=die"];
    let events = follow(&flags, File::create(&told)?.into())?;
    env.ok(&["run", "-d", "--name", "counts", DEMO, "sh", "-c", script])?;
    let followed = env.home.join("followed");
    let logs = follow(&["logs", "-f", "counts"], File::create(&followed)?.into())?;
    let lines = || Ok::<_, anyhow::Error>(std::fs::read_to_string(&followed)?.lines().count());
    let (mut killed, mut wanted) = (0, 10);
    for _ in 0..3 {
        within(Duration::from_secs(10), "an engine gives the client more lines", || {
            Ok(env.process("__engine").is_ok_and(|new| new != killed) && lines()? >= wanted)
        })?;
        killed = env.kill_process("__engine")?;
        wanted = (lines()? + 10).min(60);
    }
    env.answers(Duration::from_secs(10))?;
    env.signal(nix::sys::signal::Signal::SIGHUP)?;
    let output = logs.wait_with_output()?;
    let (text, errors) = (std::fs::read_to_string(&followed)?, String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success() && errors.is_empty(), "{:?} {errors}", output.status);
    ensure!(text.lines().map(str::parse).eq((1..=60_u32).map(Ok)), "{text}");
    ensure!(env.ok(&["wait", "counts"])? == "3");
    env.ok(&["run", "--rm", DEMO, "true"])?;
    // An event comes behind the answer to the call that it tells of.
    let text = || Ok::<_, anyhow::Error>(std::fs::read_to_string(&told)?);
    within(Duration::from_secs(10), "both ends are told", || Ok(text()?.lines().count() >= 2))?;
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(events.id())?),
        nix::sys::signal::Signal::SIGINT,
    )?;
    events.wait_with_output()?;
    ensure!(text()? == "die\ndie\n", "{:?}", text());
    env.stop()
}

/// A script that starts the real journal in the instance's mount namespace, with its files in memory.
const JOURNALD: &str = "for d in /run/systemd /run/log /var/log; do mkdir -p $d; mount -t tmpfs none $d; done
    mkdir -p /run/systemd/journal; [ -s /etc/machine-id ] || {
        echo 0123456789abcdef0123456789abcdef > /run/systemd/id; touch /etc/machine-id 2>/dev/null
        mount --bind /run/systemd/id /etc/machine-id; }
    start_journal";
const START: &str = "start_journal() { /lib/systemd/systemd-journald > /dev/null 2>&1 < /dev/null &
    i=0; while [ ! -S /run/systemd/journal/socket ] && [ $i -lt 100 ]; do sleep 0.1; i=$((i+1)); done; }";

/// Runs a script in the daemon's mount namespace, as root.
fn inside(env: &TestEnv, script: &str) -> Result<Ran> {
    let pid = env.daemon_pid()?.to_string();
    let mut command = Command::new("nsenter");
    command.args(["-t", &pid, "-m", "sh", "-c", script]).current_dir("/");
    Ok(Ran::new(script.to_owned(), &command.stdin(Stdio::null()).output()?))
}

/// Entries that the journal has of a container, the oldest first.
fn journal(env: &TestEnv, name: &str) -> Result<Vec<Value>> {
    let text = inside(env, &format!("journalctl --no-pager -q --all -o json CONTAINER_NAME={name}"))?.ok()?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn journald() -> Result<()> {
    ensure!(Path::new("/lib/systemd/systemd-journald").exists(), "systemd has no journal here");
    let mut env = TestEnv::new()?;
    env.prelude = format!("{START}\n{JOURNALD}");
    env.start()?;
    let script = "echo out; echo; echo err >&2; head -c 20000 /dev/zero | tr '\\0' x; echo; printf last";
    let ran = env.k3c(&[
        "run",
        "--name",
        "says",
        "--log-driver",
        "journald",
        "--log-opt",
        "tag={{.Name}}/{{.ID}}",
        "--log-opt",
        "labels=a",
        "-l",
        "a=1",
        DEMO,
        "sh",
        "-c",
        script,
    ])?;
    ensure!(ran.code == 0 && ran.stdout.len() == 20010 && ran.stderr == "err\n", "{ran}");
    let id = env.ok(&["inspect", "-f", "{{.Id}}", "says"])?;
    let shown = |entry: &Value| {
        let message = entry["MESSAGE"].as_str().unwrap_or_default();
        let short = if message.len() > 9 { message.len().to_string() } else { message.to_owned() };
        let partial = if entry["CONTAINER_PARTIAL_MESSAGE"] == "true" { "+" } else { "" };
        format!("{short}{partial}:{}", entry["PRIORITY"].as_str().unwrap_or_default())
    };
    let of = |name: &str| -> Result<Vec<String>> {
        let mut all: Vec<String> = journal(&env, name)?.iter().map(shown).collect();
        // The two streams come by two ways, in any order.
        all.sort_by_key(|text| text.ends_with(":3"));
        Ok(all)
    };
    within(Duration::from_secs(10), "the journal has all", || Ok(of("says")?.len() >= 5))?;
    ensure!(of("says")? == ["out:6", "16384+:6", "3616:6", "last:6", "err:3"], "{:?}", of("says")?);
    let first = journal(&env, "says")?.into_iter().next().context("an entry")?;
    for (key, value) in [
        ("CONTAINER_ID", &id[..12]),
        ("CONTAINER_ID_FULL", &id),
        ("SYSLOG_IDENTIFIER", &format!("says/{}", &id[..12])),
        ("IMAGE_NAME", DEMO),
        ("A", "1"),
    ] {
        ensure!(first[key] == value, "{key} is not {value}: {first}");
    }
    // A log in the journal is read like any other, and `inspect` names the driver.
    ensure!(env.k3c(&["logs", "says"])?.stdout.starts_with("out\n\nxxx"));
    ensure!(env.ok(&["inspect", "-f", "{{.HostConfig.LogConfig.Type}}", "says"])? == "journald");
    env.k3c(&["run", "--log-driver", "journald", "--log-opt", "tag={{.What}}", DEMO, "true"])?
        .fails(125, "invalid value for log opt tag: \".What\"")?;
    env.k3c(&["run", "--log-driver", "journald", "--log-opt", "max-size=1m", DEMO, "true"])?
        .fails(125, "unknown log opt 'max-size' for journald log driver")?;

    // Lines that are written while the journal is away wait for it.
    let script = "for i in $(seq 30); do echo $i; sleep 0.1; done";
    env.ok(&["run", "-d", "--name", "waits", "--log-driver", "journald", DEMO, "sh", "-c", script])?;
    env.kill_process("systemd-journald")?;
    inside(&env, "rm /run/systemd/journal/socket")?.ok()?;
    env.k3c(&["run", "--log-driver", "journald", DEMO, "true"])?
        .fails(125, "journald is not enabled on this host: /run/systemd/journal/socket is not there")?;
    std::thread::sleep(Duration::from_secs(1));
    inside(&env, &format!("{START}\nstart_journal"))?.ok()?;
    ensure!(env.ok(&["wait", "waits"])? == "0");
    let wanted: Vec<String> = (1..=30).map(|n| format!("{n}:6")).collect();
    within(Duration::from_secs(10), "the journal has all", || Ok(of("waits")? == wanted))?;
    // Both journals were started in the daemon's mount namespace; no other journal is ours to end.
    for (pid, line) in crate::user::processes(|_| true) {
        if line.starts_with("/lib/systemd/systemd-journald") {
            let root = std::fs::read_link(format!("/proc/{pid}/ns/mnt"))?;
            if root == std::fs::read_link(format!("/proc/{}/ns/mnt", env.daemon_pid()?))? {
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL)?;
            }
        }
    }
    env.stop()
}
