//! Running containers from the image inside the binary, on the shared daemon.

use crate::env::TestEnv;
use crate::host::Need;
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// The demonstration image.
pub(crate) const DEMO: &str = "k3c.local/demo";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("containers::output_and_exit_code", output_and_exit_code),
        case("containers::environment_user_and_directory", environment_user_and_directory),
        case("containers::volumes_and_read_only", volumes_and_read_only),
        case("containers::entrypoint_hostname_and_labels", entrypoint_hostname_and_labels),
        case("containers::capabilities", capabilities),
        case("containers::seccomp_is_on", seccomp_is_on),
        case("containers::detached_life", detached_life),
        case("containers::logs_follow_and_tail", logs_follow_and_tail),
        case("containers::stop_kill_and_wait", stop_kill_and_wait),
        case("containers::names_are_unique", names_are_unique),
        case("containers::errors_are_dockers", errors_are_dockers),
        case("containers::limits_are_applied_or_warned_about", limits_are_applied_or_warned_about),
        case("containers::images_tag_and_rmi", images_tag_and_rmi),
        case("containers::network_is_its_own", network_is_its_own),
        case("containers::autostart", autostart),
        Case::new("containers::roots_daemon", DAEMON, roots_daemon),
        Case::new("containers::two_daemons", &[Need::Root, Need::Bundle], two_daemons),
    ]
}

/// Waits until `check` is true; not within `limit` is an error that names `what`.
pub(crate) fn within(limit: Duration, what: &str, mut check: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit;
    while !check()? {
        ensure!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn output_and_exit_code() -> Result<()> {
    let env = shared::env()?;
    let ran = env.k3c(&["run", "--rm", DEMO, "sh", "-c", "echo out; echo err >&2; exit 7"])?;
    ensure!(ran.code == 7 && ran.stdout == "out\n" && ran.stderr == "err\n", "{ran}");
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "-n", "no end"])? == "no end");
    // PID 1 of a pid namespace cannot kill itself (pid_namespaces(7)); its child can.
    let ran = env.k3c(&["run", "--rm", DEMO, "sh", "-c", "sh -c 'kill -9 $$'; exit $?"])?;
    ensure!(ran.code == 137, "{ran}");
    // Many lines arrive in order, and none is lost.
    let text = env.ok(&["run", "--rm", DEMO, "seq", "1", "20000"])?;
    ensure!(text.lines().map(str::parse).eq((1..=20_000_u32).map(Ok)), "{} lines", text.lines().count());
    env.k3c(&["run", "--rm", DEMO, "no-such-program"])?.fails(127, "no-such-program")?;
    env.k3c(&["run", "--rm", DEMO, "/etc/passwd"])?.fails(126, "")?;
    Ok(())
}

fn environment_user_and_directory() -> Result<()> {
    let env = shared::env()?;
    let script = "echo $A-$B; pwd; id -u; id -g";
    let text = env.ok(&[
        "run",
        "--rm",
        "-e",
        "A=1",
        "--env",
        "B=two words",
        "-w",
        "/tmp",
        "-u",
        "1234:99",
        DEMO,
        "sh",
        "-c",
        script,
    ])?;
    ensure!(text == "1-two words\n/tmp\n1234\n99", "{text}");
    env.user.write(&env.home.join("vars"), "# a comment\nC=3\n")?;
    ensure!(env.ok(&["run", "--rm", "--env-file", "vars", DEMO, "sh", "-c", "echo $C"])? == "3");
    Ok(())
}

fn volumes_and_read_only() -> Result<()> {
    let env = shared::env()?;
    let dir = env.home.join("shared dir");
    env.user.dir(&dir, 0o755)?;
    env.user.write(&dir.join("in"), "from the host\n")?;
    let volume = format!("{}:/data", dir.display());
    ensure!(
        env.ok(&["run", "--rm", "-v", &volume, DEMO, "sh", "-c", "cat /data/in; echo back > /data/out"])?
            == "from the host"
    );
    ensure!(std::fs::read_to_string(dir.join("out"))? == "back\n");
    let ran = env.k3c(&["run", "--rm", "-v", &format!("{volume}:ro"), DEMO, "touch", "/data/x"])?;
    ensure!(ran.code == 1 && ran.stderr.contains("Read-only file system"), "{ran}");
    let ran = env.k3c(&["run", "--rm", "--read-only", DEMO, "touch", "/x"])?;
    ensure!(ran.code == 1 && ran.stderr.contains("Read-only file system"), "{ran}");
    // A named volume outlives its container.
    env.ok(&["run", "--rm", "-v", "keepsake:/v", DEMO, "sh", "-c", "echo kept > /v/f"])?;
    ensure!(env.ok(&["run", "--rm", "-v", "keepsake:/v", DEMO, "cat", "/v/f"])? == "kept");
    Ok(())
}

fn entrypoint_hostname_and_labels() -> Result<()> {
    let env = shared::env()?;
    ensure!(env.ok(&["run", "--rm", "--entrypoint", "echo", DEMO, "a", "b"])? == "a b");
    ensure!(env.ok(&["run", "--rm", "--hostname", "called-this", DEMO, "hostname"])? == "called-this");
    env.ok(&["run", "-d", "--name", "labelled", "-l", "x=1", DEMO, "sleep", "60"])?;
    let format = "{{.Config.Labels.x}} {{.State.Status}} {{.Name}}";
    ensure!(env.ok(&["inspect", "-f", format, "labelled"])? == "1 running /labelled");
    ensure!(env.ok(&["ps", "--filter", "label=x=1", "--format", "{{.Names}}"])? == "labelled");
    env.ok(&["rm", "-f", "labelled"]).map(drop)
}

fn capabilities() -> Result<()> {
    let env = shared::env()?;
    let effective = |args: &[&str]| -> Result<u64> {
        let mut all = vec!["run", "--rm"];
        all.extend(args);
        all.extend([DEMO, "sh", "-c", "grep CapEff /proc/self/status"]);
        let text = env.ok(&all)?;
        u64::from_str_radix(text.split_whitespace().nth(1).context("CapEff")?, 16).context("hex")
    };
    // chown, dac_override, fsetid, fowner, mknod, net_raw, setgid, setuid, setfcap, setpcap, net_bind_service, sys_chroot, kill, audit_write
    ensure!(effective(&[])? == 0xa804_25fb, "Docker's default set: {:x}", effective(&[])?);
    ensure!(effective(&["--cap-drop", "ALL"])? == 0);
    ensure!(effective(&["--cap-drop", "ALL", "--cap-add", "CHOWN"])? == 1);
    ensure!(effective(&["--cap-add", "SYS_TIME"])? == 0xa804_25fb | 1 << 25);
    ensure!(effective(&["--privileged"])? > 0xa804_25fb);
    Ok(())
}

fn seccomp_is_on() -> Result<()> {
    let env = shared::env()?;
    let mode = |extra: &[&str]| {
        let mut all = vec!["run", "--rm"];
        all.extend(extra);
        all.extend([DEMO, "sh", "-c", "sed -n 's/^Seccomp:[^0-9]*//p' /proc/self/status"]);
        env.ok(&all)
    };
    ensure!(mode(&[])? == "2");
    ensure!(mode(&["--privileged"])? == "0");
    Ok(())
}

fn detached_life() -> Result<()> {
    let env = shared::env()?;
    let id = env.ok(&["run", "-d", "--name", "life", DEMO, "sh", "-c", "echo begun; exec sleep 300"])?;
    ensure!(id.len() == 64 && id.chars().all(|c| c.is_ascii_hexdigit()), "{id}");
    let row = env.ok(&[
        "ps",
        "--no-trunc",
        "--filter",
        "name=life",
        "--format",
        "{{.ID}} {{.Image}} {{.Names}} {{.State}}",
    ])?;
    ensure!(row == format!("{id} {DEMO} life running"), "{row}");
    ensure!(
        env.ok(&["ps", "--filter", "name=life"])?.lines().nth(1).is_some_and(|line| line.contains("Up "))
    );
    ensure!(env.ok(&["logs", &id[..12]])? == "begun");
    env.k3c(&["rm", "life"])?.fails(1, "cannot remove container")?;
    ensure!(env.ok(&["rm", "-f", "life"])? == "life");
    env.k3c(&["inspect", "life"])?.fails(1, "no such object: life")?;
    env.k3c(&["logs", "life"])?.fails(1, "No such container: life")
}

fn logs_follow_and_tail() -> Result<()> {
    let env = shared::env()?;
    env.ok(&[
        "run",
        "-d",
        "--name",
        "talks",
        DEMO,
        "sh",
        "-c",
        "for i in 1 2 3 4 5; do echo line $i; sleep 0.2; done; echo bad >&2",
    ])?;
    let followed = env.k3c(&["logs", "-f", "talks"])?;
    ensure!(
        followed.stdout == "line 1\nline 2\nline 3\nline 4\nline 5\n" && followed.stderr == "bad\n",
        "{followed}"
    );
    ensure!(env.ok(&["logs", "--tail", "2", "talks"])? == "line 5");
    let stamped = env.ok(&["logs", "-t", "--tail", "2", "talks"])?;
    let stamp = stamped.split(' ').next().unwrap_or_default();
    ensure!(stamp.contains('T') && stamp.ends_with('Z'), "{stamped}");
    ensure!(env.ok(&["logs", "--until", "2020-01-01T00:00:00Z", "talks"])?.is_empty());
    ensure!(env.ok(&["logs", "--since", "2020-01-01T00:00:00Z", "talks"])?.lines().count() == 5);
    ensure!(env.ok(&["wait", "talks"])? == "0");
    env.ok(&["rm", "talks"]).map(drop)
}

fn stop_kill_and_wait() -> Result<()> {
    let env = shared::env()?;
    let graceful = "trap 'echo bye; exit 3' TERM; while :; do sleep 0.1; done";
    env.ok(&["run", "-d", "--name", "graceful", DEMO, "sh", "-c", graceful])?;
    ensure!(env.ok(&["stop", "graceful"])? == "graceful");
    ensure!(env.ok(&["inspect", "-f", "{{.State.ExitCode}} {{.State.Status}}", "graceful"])? == "3 exited");
    ensure!(env.ok(&["logs", "graceful"])? == "bye");

    env.ok(&["run", "-d", "--name", "deaf", DEMO, "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])?;
    env.ok(&["stop", "-t", "1", "deaf"])?;
    ensure!(env.ok(&["wait", "deaf"])? == "137");

    env.ok(&["run", "-d", "--name", "waited", DEMO, "sleep", "300"])?;
    let waiting = env.k3c_command(&["wait", "waited"]).stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    ensure!(env.ok(&["kill", "waited"])? == "waited");
    let output = waiting.wait_with_output()?;
    ensure!(String::from_utf8_lossy(&output.stdout) == "137\n", "{output:?}");
    env.k3c(&["kill", "waited"])?.fails(1, "is not running")?;
    env.ok(&["rm", "graceful", "deaf", "waited"]).map(drop)
}

fn names_are_unique() -> Result<()> {
    let env = shared::env()?;
    env.ok(&["run", "-d", "--name", "taken", DEMO, "sleep", "60"])?;
    env.k3c(&["run", "-d", "--name", "taken", DEMO, "true"])?
        .fails(125, "Conflict. The container name \"/taken\" is already in use")?;
    env.ok(&["rm", "-f", "taken"])?;
    env.ok(&["run", "--rm", "--name", "taken", DEMO, "true"]).map(drop)
}

fn errors_are_dockers() -> Result<()> {
    let env = shared::env()?;
    env.k3c(&["run", "--no-such-flag", DEMO])?.fails(125, "unknown flag: --no-such-flag")?;
    env.k3c(&["run", "--pull", "never", "no/such:image"])?.fails(125, "no/such:image")?;
    env.k3c(&["stop", "nobody"])?.fails(1, "Error response from daemon: No such container: nobody")?;
    env.k3c(&["rmi", "no-such-image"])?.fails(1, "No such image: no-such-image")?;
    env.k3c(&["run"])?.fails(1, "requires at least 1 argument")
}

fn limits_are_applied_or_warned_about() -> Result<()> {
    let env = shared::env()?;
    let ran = env.k3c(&[
        "run",
        "--rm",
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        DEMO,
        "cat",
        "/sys/fs/cgroup/memory.max",
    ])?;
    let applied = ran.code == 0 && ran.stdout == "67108864\n";
    let warned = ran.stderr.contains("memory") && ran.stderr.to_lowercase().contains("warning");
    ensure!(applied || warned, "neither applied nor warned about: {ran}");
    Ok(())
}

fn images_tag_and_rmi() -> Result<()> {
    let env = shared::env()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    let list = env.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"])?;
    ensure!(list.lines().any(|line| line == "k3c.local/demo:latest"), "{list}");
    ensure!(!list.contains("pause"), "a pod needs no image: {list}");
    env.ok(&["tag", DEMO, "mine:1"])?;
    ensure!(env.ok(&["run", "--rm", "mine:1", "echo", "tagged"])? == "tagged");
    ensure!(env.ok(&["rmi", "mine:1"])?.contains("Untagged: mine:1"));
    ensure!(!env.ok(&["images"])?.contains("mine"));
    env.k3c(&["rmi", "k3c.local/pause:1"])?.fails(1, "No such image: k3c.local/pause:1")
}

fn network_is_its_own() -> Result<()> {
    let env = shared::env()?;
    let text = env.ok(&[
        "run",
        "--rm",
        DEMO,
        "sh",
        "-c",
        "ip -4 addr show eth0 | sed -n 's/.*inet \\([^/]*\\).*/\\1/p'; cat /etc/resolv.conf",
    ])?;
    ensure!(text.starts_with("10.88."), "{text}");
    ensure!(text.contains("nameserver"), "{text}");
    // The host's loopback is out of reach.
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port().to_string();
    let ran = env.k3c(&["run", "--rm", DEMO, "nc", "-w", "2", "10.0.2.2", &port])?;
    ensure!(ran.code != 0, "the host's loopback answered: {ran}");
    Ok(())
}

fn autostart() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.k3c(&["ps"])?.fails(1, "")?;
    env.set("K3C_AUTOSTART", "");
    let ran = env.k3c(&["version"])?;
    ensure!(
        ran.code == 0,
        "{ran}\n{}",
        std::fs::read_to_string(env.home.join(".local/state/k3c/daemon.log")).unwrap_or_default()
    );
    ensure!(ran.stderr.lines().count() == 1, "said once on standard error: {ran}");
    ensure!(env.k3c(&["version"])?.stderr.is_empty());
    for (pid, line) in env.user.processes() {
        if line.contains("k3c daemon") {
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
        }
    }
    within(Duration::from_secs(60), "all processes of the user are gone", || {
        Ok(env.user.processes().is_empty())
    })
}

fn roots_daemon() -> Result<()> {
    let mut env = TestEnv::of(crate::user::User::root())?;
    env.start()?;
    ensure!(env.ok(&["run", "--rm", DEMO, "sh", "-c", "echo as root"])? == "as root");
    ensure!(env.ok(&["run", "--rm", DEMO, "cat", "/proc/self/uid_map"])?.split_whitespace().eq([
        "0",
        "0",
        "4294967295"
    ]));
    env.ok(&["run", "-d", "--name", "rr", DEMO, "sleep", "300"])?;
    ensure!(env.ok(&["ps", "-q"])?.lines().count() == 1);
    let context = env.home.join("ctx");
    env.user.dir(&context, 0o755)?;
    env.user.write(&context.join("Dockerfile"), format!("FROM {DEMO}\nRUN id -u > /who\nCMD cat /who\n"))?;
    env.ok(&["build", "-q", "-t", "roots", "ctx"])?;
    ensure!(env.ok(&["run", "--rm", "roots"])? == "0");
    env.stop()?;
    // --group lets the members of a group in, and nobody else.
    env.spawn(&["--group", "games"])?;
    env.answers(Duration::from_secs(30))?;
    let version = |group: &str| -> Result<(bool, String)> {
        let output = std::process::Command::new("setpriv")
            .args(["--reuid", "nobody", "--regid", group, "--clear-groups", "env", "-i"])
            .args(["HOME=/nonexistent", "K3C_AUTOSTART=never", "K3C_ADDRESS=unix:///run/k3c/k3c.sock"])
            .arg(crate::env::installed())
            .arg("version")
            .output()?;
        Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
    };
    let (admitted, text) = version("games")?;
    ensure!(admitted, "the group is not let in: {text}");
    let (admitted, text) = version("nogroup")?;
    ensure!(!admitted && text.contains("ermission denied"), "{admitted} {text}");
    env.stop()
}

fn two_daemons() -> Result<()> {
    let mut first = TestEnv::started()?;
    let mut second = TestEnv::started()?;
    // Two daemons run side by side under two users.
    first.ok(&["run", "-d", "--name", "same", DEMO, "sleep", "60"])?;
    second.ok(&["run", "-d", "--name", "same", DEMO, "sleep", "60"])?;
    // A second daemon of the same user says which process holds the lock.
    let ran = first.k3c(&["daemon"])?;
    ensure!(ran.code != 0 && ran.stderr.contains(&first.daemon_pid()?.to_string()), "{ran}");
    second.stop()?;
    // A daemon with another runtime directory and the same data is refused; it says which process uses them.
    let mut third = TestEnv::of(first.user.clone())?;
    third.set("XDG_DATA_HOME", first.home.join(".local/share").display().to_string());
    let (code, text) = third.refused(&[])?;
    ensure!(code != 0 && text.contains("is used by another k3c (process "), "{code} {text}");
    third.assert_nothing_left()?;
    ensure!(first.ok(&["ps", "-q"])?.lines().count() == 1);
    first.stop()
}
