//! A container that is removed under the clients at work with it, and images in which there is little to run.

use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::{Case, DAEMON, shared};
use anyhow::{Result, ensure};
use std::process::Stdio;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("vanishing::in_the_middle", DAEMON, in_the_middle),
        Case::new("vanishing::cannot_go", DAEMON, cannot_go),
        Case::new("vanishing::little_to_run", DAEMON, little_to_run),
    ]
}

fn in_the_middle() -> Result<()> {
    let env = shared::env()?;
    let script = "head -c 300000000 /dev/zero > /big; touch /made; while :; do echo tick; sleep 0.1; done";
    env.ok(&["run", "-d", "--name", "goner", DEMO, "sh", "-c", script])?;
    within(
        Duration::from_secs(20),
        "its file",
        || Ok(env.k3c(&["exec", "goner", "ls", "/made"])?.code == 0),
    )?;
    let until = (jiff::Timestamp::now().as_second() + 6).to_string();
    // Arguments, the exit codes that are right, a part of the output.
    let clients: [(&[&str], &[i32], &str); 9] = [
        (&["attach", "--no-stdin", "goner"], &[137], "tick"),
        (&["exec", "goner", "sleep", "100"], &[137], ""),
        (&["exec", "-t", "goner", "sleep", "100"], &[137], ""),
        (&["logs", "-f", "goner"], &[0], "tick"),
        (&["wait", "goner"], &[0], "137"),
        (&["stats", "--format", "{{.Name}}", "goner"], &[0], "goner"),
        (&["events", "--until", &until, "-f", "container=goner"], &[0], "destroy"),
        // The whole file was sent before, or `cp` says that it was not.
        (&["cp", "goner:/big", "-"], &[0, 1], ""),
        (&["stop", "-t", "30", "goner"], &[0, 1], ""),
    ];
    let mut started = Vec::new();
    for (args, ..) in clients {
        let mut command = env.k3c_command(args);
        started.push(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
    }
    let waiting: Vec<_> =
        started.into_iter().map(|child| std::thread::spawn(move || child.wait_with_output())).collect();
    std::thread::sleep(Duration::from_millis(1500));
    env.ok(&["rm", "-f", "goner"])?;
    within(Duration::from_secs(20), "everybody is done", || Ok(waiting.iter().all(|w| w.is_finished())))?;
    for (output, (args, codes, part)) in waiting.into_iter().map(|w| w.join().expect("client")).zip(clients) {
        let output = output?;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let code = output.status.code().unwrap_or(-1);
        let said = out.get(..200).unwrap_or(&out);
        ensure!(codes.contains(&code) && out.contains(part), "{args:?} ended with {code}: {said} {err}");
        ensure!(
            code != 1 || err.contains("goner") || err.contains("No such container"),
            "{args:?} says: {err}"
        );
    }
    for args in [
        &["attach", "goner"][..],
        &["exec", "goner", "true"],
        &["logs", "goner"],
        &["top", "goner"],
        &["cp", "goner:/big", "-"],
        &["stats", "--no-stream", "goner"],
    ] {
        env.k3c(args)?.fails(1, "No such container: goner")?;
    }
    Ok(())
}

/// A `--rm` container whose pod cannot be removed: every waiting client is told, and it is removed when it can be.
fn cannot_go() -> Result<()> {
    let mut env = TestEnv::started()?;
    // The folder of a pod's files, in which a file of an unmapped owner cannot be removed by the instance's root.
    let pods = env.run_dir().join("shim/pods");
    let mut clients = Vec::new();
    for (name, verb) in
        [("ran", &["run", "--rm", "--name", "ran"][..]), ("made", &["create", "--rm", "--name", "made"])]
    {
        let script = "until test -e /go; do sleep 0.1; done; exit 3";
        let mut command = env.k3c_command(&[verb, &[DEMO, "sh", "-c", script]].concat());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        if name == "made" {
            ensure!(child.wait()?.success());
            let mut start = env.k3c_command(&["start", "-a", name]);
            child = start.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        }
        clients.push((name, std::thread::spawn(move || child.wait_with_output())));
        within(Duration::from_secs(20), "it runs", || Ok(env.k3c(&["exec", name, "true"])?.code == 0))?;
    }
    let attached = env
        .k3c_command(&["attach", "--no-stdin", "ran"])
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    clients.push(("ran", std::thread::spawn(move || attached.wait_with_output())));
    let mut stuck = Vec::new();
    for pod in std::fs::read_dir(&pods)? {
        let folder = pod?.path().join("not-ours");
        std::fs::create_dir(&folder)?;
        std::fs::write(folder.join("file"), "")?;
        stuck.push(folder);
    }
    for name in ["ran", "made"] {
        env.ok(&["exec", name, "touch", "/go"])?;
    }
    // Nobody waits for what is torn down.
    for (name, client) in clients {
        within(Duration::from_secs(60), "the client ends", || Ok(client.is_finished()))?;
        let output = client.join().expect("client")?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.code() == Some(3) && said.is_empty(), "{name}: {:?} {said}", output.status);
    }
    let format = "{{.Names}} {{.State}}";
    let all = || env.ok(&["ps", "-a", "--format", format]);
    within(Duration::from_secs(60), "both are told of", || Ok(all()?.matches(" dead").count() == 2))?;
    let state = env.ok(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Dead}}", "ran"])?;
    ensure!(state == "dead 3 true", "{state}");
    ensure!(env.ok(&["inspect", "-f", "{{.State.Error}}", "ran"])?.contains("cannot remove pod"));
    env.k3c(&["start", "ran"])?.fails(1, "is marked for removal and cannot be started")?;
    env.k3c(&["rm", "made"])?.fails(1, "cannot remove pod")?;
    // A new engine goes on trying, too.
    env.kill_process("__engine")?;
    within(Duration::from_secs(20), "it is back", || Ok(env.k3c(&["ps", "-aq"])?.code == 0))?;
    ensure!(!env.ok(&["ps", "-aq"])?.is_empty(), "it cannot be gone yet");
    for folder in stuck {
        std::fs::remove_dir_all(folder)?;
    }
    within(Duration::from_secs(90), "all are gone", || Ok(env.ok(&["ps", "-aq"])?.is_empty()))?;
    env.stop()
}

fn little_to_run() -> Result<()> {
    let env = shared::env()?;
    let dir = env.home.join("bare");
    env.user.dir(&dir, 0o755)?;
    env.user.write(&dir.join("Dockerfile"), "FROM scratch\nCOPY data /data\n")?;
    env.user.write(&dir.join("data"), "no program\n")?;
    env.ok(&["build", "-q", "-t", "bare:1", "bare"])?;
    let runs: [(&[&str], i32, &str); 8] = [
        (&["bare:1"], 125, "no command specified"),
        (&["bare:1", "sh"], 127, "executable file not found in $PATH"),
        (&["bare:1", "/data"], 126, "permission denied"),
        (&["--entrypoint", "/data", "bare:1"], 126, "permission denied"),
        (&[DEMO, "/bin"], 126, "is a directory"),
        (&[DEMO, "/etc/passwd/x"], 127, "not a directory"),
        (&[DEMO, "no-such"], 127, "executable file not found in $PATH"),
        (&["-w", "/etc/passwd", DEMO, "true"], 127, "not a directory"),
    ];
    for (args, code, text) in runs {
        env.k3c(&[&["run", "--rm"], args].concat())?.fails(code, text)?;
    }
    env.ok(&["run", "-d", "--name", "little", DEMO, "sleep", "1000"])?;
    let execs: [(&[&str], i32, &str); 4] = [
        (&["little", "/bin"], 126, "is a directory"),
        (&["little", "/etc/passwd"], 126, "permission denied"),
        (&["little", "no-such"], 127, "executable file not found in $PATH"),
        (&["-w", "/no/such", "little", "pwd"], 126, "no such file or directory"),
    ];
    for (args, code, text) in execs {
        env.k3c(&[&["exec"], args].concat())?.fails(code, text)?;
    }
    env.ok(&["rm", "-f", "little"])?;
    ensure!(env.ok(&["run", "--rm", "--userns", "host", DEMO, "echo", "mine"])? == "mine");
    env.k3c(&["run", "--rm", "--userns", "auto", DEMO, "true"])?.fails(125, "invalid USER mode: auto")?;
    env.ok(&["rmi", "bare:1"]).map(drop)
}
