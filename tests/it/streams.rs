//! Standard input, terminals, attach, exec: what goes in comes out, byte for byte, also while the engine is replaced.

use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// The limit of each wait.
const PATIENCE: Duration = Duration::from_secs(20);

/// The prompt of busybox's shell in a container.
const PROMPT: &str = "/ #";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("streams::stdin_and_its_end", stdin_and_its_end),
        case("streams::much_goes_in_and_out", much_goes_in_and_out),
        case("streams::a_burst_arrives_whole", a_burst_arrives_whole),
        case("streams::chosen_streams", chosen_streams),
        case("streams::exec_is_dockers", exec_is_dockers),
        case("streams::many_short_execs", many_short_execs),
        case("streams::attach_to_what_runs", attach_to_what_runs),
        case("streams::start_attached", start_attached),
        case("streams::terminal", terminal),
        case("streams::a_session_goes_on", a_session_goes_on),
        case("streams::wrong_words", wrong_words),
        case("streams::changed_in_place", changed_in_place),
    ]
}

/// A command with pipes that a test holds.
struct Piped {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
}

impl Piped {
    fn start(env: &TestEnv, args: &[&str]) -> Result<Self> {
        let mut command = env.k3c_command(args);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().context("stdout")?;
        Ok(Self { child, stdin, stdout })
    }

    fn say(&mut self, text: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("stdin is closed")?;
        Ok(stdin.write_all(text.as_bytes())?)
    }

    /// Reads until `text` was written.
    fn hear(&mut self, text: &str) -> Result<String> {
        let mut all = Vec::new();
        let mut byte = [0];
        while !String::from_utf8_lossy(&all).contains(text) {
            ensure!(
                self.stdout.read(&mut byte)? == 1,
                "ended before {text:?}: {:?}",
                String::from_utf8_lossy(&all)
            );
            all.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&all).into_owned())
    }

    /// Closes standard input and gives the rest of the output and the exit code.
    fn end(mut self) -> Result<(String, i32)> {
        drop(self.stdin.take());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest)?;
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut errors)?;
        }
        Ok((rest + &errors, self.child.wait()?.code().unwrap_or(-1)))
    }
}

/// Runs a command with `input` to its end: its standard output and exit code.
fn fed(env: &TestEnv, args: &[&str], input: Vec<u8>) -> Result<(Vec<u8>, i32)> {
    let mut command = env.k3c_command(args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let mut stdin = child.stdin.take().context("stdin")?;
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let mut out = Vec::new();
    child.stdout.take().context("stdout")?.read_to_end(&mut out)?;
    let code = child.wait()?.code().unwrap_or(-1);
    let _ = writer.join();
    Ok((out, code))
}

fn stdin_and_its_end() -> Result<()> {
    let env = shared::env()?;
    let (out, code) = fed(&env, &["run", "--rm", "-i", DEMO, "cat"], b"hello\n".to_vec())?;
    ensure!(out == b"hello\n" && code == 0, "{code} {out:?}");
    // The end of standard input reaches the process, and output after it still arrives.
    let script = "cat >/dev/null; echo after; exit 3";
    let (out, code) = fed(&env, &["run", "--rm", "-i", DEMO, "sh", "-c", script], vec![b'x'; 100_000])?;
    ensure!(out == b"after\n" && code == 3, "{code} {out:?}");
    // Without -i there is no standard input.
    let (out, code) = fed(&env, &["run", "--rm", DEMO, "cat"], b"unheard".to_vec())?;
    ensure!(out.is_empty() && code == 0, "{code} {out:?}");
    // A process that does not read does not keep the command from its end.
    let (_, code) = fed(&env, &["run", "--rm", "-i", DEMO, "true"], vec![b'x'; 4 << 20])?;
    ensure!(code == 0, "{code}");
    Ok(())
}

fn pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..length.div_ceil(8))
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .take(length)
        .collect()
}

fn much_goes_in_and_out() -> Result<()> {
    let env = shared::env()?;
    let input = pattern(200 << 20);
    let (out, code) = fed(&env, &["run", "--rm", "-i", DEMO, "cat"], input.clone())?;
    ensure!(code == 0 && out == input, "{code}, {} of {} bytes", out.len(), input.len());
    Ok(())
}

fn a_burst_arrives_whole() -> Result<()> {
    let env = shared::env()?;
    let script = "dd if=/dev/zero bs=1048576 count=100 2>/dev/null";
    let (out, code) = fed(&env, &["run", "--rm", DEMO, "sh", "-c", script], Vec::new())?;
    ensure!(code == 0 && out.len() == 100 << 20, "{code}, {} bytes", out.len());
    Ok(())
}

fn chosen_streams() -> Result<()> {
    let env = shared::env()?;
    let script = "echo out; echo err >&2";
    let ran = env.k3c(&["run", "--rm", "-a", "stdout", DEMO, "sh", "-c", script])?;
    ensure!(ran.code == 0 && ran.stdout == "out\n" && ran.stderr.is_empty(), "{ran}");
    let ran = env.k3c(&["run", "--rm", "-a", "STDERR", DEMO, "sh", "-c", script])?;
    ensure!(ran.code == 0 && ran.stdout.is_empty() && ran.stderr == "err\n", "{ran}");
    env.k3c(&["run", "-d", "-a", "stdout", DEMO, "true"])?
        .fails(125, "conflicting options: cannot specify both --attach and --detach")?;
    env.k3c(&["run", "-a", "stdfoo", DEMO, "true"])?.fails(125, "valid streams are STDIN, STDOUT and STDERR")
}

fn exec_is_dockers() -> Result<()> {
    let env = shared::env()?;
    let name = "exec-is-dockers";
    env.ok(&["run", "-d", "--name", name, "-e", "A=1", "-w", "/tmp", DEMO, "sleep", "1000"])?;
    let ran = env.k3c(&["exec", name, "sh", "-c", "echo out; echo err >&2; exit 9"])?;
    ensure!(ran.code == 9 && ran.stdout == "out\n" && ran.stderr == "err\n", "{ran}");
    let text = env.ok(&["exec", "-e", "B=2", name, "sh", "-c", "echo $A$B $PWD $(id -u)"])?;
    ensure!(text == "12 /tmp 0", "{text}");
    let text =
        env.ok(&["exec", "-u", "1234:99", "-w", "/", name, "sh", "-c", "echo $(id -u):$(id -g) $PWD"])?;
    ensure!(text == "1234:99 /", "{text}");
    let (out, code) = fed(&env, &["exec", "-i", name, "cat"], b"typed".to_vec())?;
    ensure!(out == b"typed" && code == 0, "{code} {out:?}");
    env.k3c(&["exec", name, "no-such-program"])?.fails(127, "executable file not found")?;
    env.k3c(&["exec", name, "/etc/passwd"])?.fails(126, "permission denied")?;
    env.k3c(&["exec", "-u", "nobody-here", name, "true"])?.fails(126, "unable to find user nobody-here")?;
    env.k3c(&["exec", "-w", "relative", name, "true"])?.fails(126, "Cwd must be an absolute path")?;
    // An exec in the background says nothing, and leaves only what it did.
    ensure!(env.ok(&["exec", "-d", name, "touch", "/tmp/done"])?.is_empty());
    within(Duration::from_secs(5), "the background exec", || {
        Ok(env.k3c(&["exec", name, "test", "-e", "/tmp/done"])?.code == 0)
    })?;
    within(Duration::from_secs(5), "no exec is left", || {
        Ok(env.ok(&["inspect", "-f", "{{json .ExecIDs}}", name])? == "null")
    })?;
    env.ok(&["stop", "-t", "0", name])?;
    env.k3c(&["exec", name, "true"])?.fails(1, "is not running")?;
    env.k3c(&["exec", "no-such-container", "true"])?.fails(1, "No such container: no-such-container")?;
    env.ok(&["rm", name])?;
    Ok(())
}

fn many_short_execs() -> Result<()> {
    let env = shared::env()?;
    let name = "many-short-execs";
    env.ok(&["run", "-d", "--name", name, DEMO, "sleep", "1000"])?;
    std::thread::scope(|scope| -> Result<()> {
        let threads: Vec<_> = (0..6)
            .map(|thread| {
                let env = &env;
                scope.spawn(move || -> Result<()> {
                    for round in 0..12 {
                        let code = (thread * 12 + round) % 50;
                        let script = format!("echo {code}; exit {code}");
                        let ran = env.k3c(&["exec", name, "sh", "-c", &script])?;
                        ensure!(ran.code == code && ran.stdout == format!("{code}\n"), "{ran}");
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| anyhow::anyhow!("a thread died"))??;
        }
        Ok(())
    })?;
    env.ok(&["rm", "-f", name])?;
    Ok(())
}

fn attach_to_what_runs() -> Result<()> {
    let env = shared::env()?;
    let name = "attach-to-what-runs";
    let script = "while read line; do echo got $line; [ $line = end ] && exit 5; done; exit 6";
    env.ok(&["run", "-d", "-i", "--name", name, DEMO, "sh", "-c", script])?;
    let container = format!("container={name}");
    let events = ["events", "--since", "5m", "--until", "0s", "-f", "event=attach", "-f", &container];
    let attached =
        |clients| within(PATIENCE, "an attach", || Ok(env.ok(&events)?.lines().count() >= clients));
    // Two clients at once get the same output.
    let mut one = Piped::start(&env, &["attach", name])?;
    let mut two = Piped::start(&env, &["attach", "--no-stdin", name])?;
    attached(2)?;
    one.say("first\n")?;
    one.hear("got first\n")?;
    two.hear("got first\n")?;
    // The end of one client's input is not the container's.
    drop(one.stdin.take());
    std::thread::sleep(Duration::from_millis(200));
    let mut three = Piped::start(&env, &["attach", name])?;
    attached(3)?;
    three.say("end\n")?;
    for client in [one, two, three] {
        let (text, code) = client.end()?;
        ensure!(code == 5 && text.contains("got end"), "{code} {text}");
    }
    env.k3c(&["attach", name])?.fails(1, "cannot attach to a stopped container, start it first")?;
    env.ok(&["rm", name])?;
    Ok(())
}

fn start_attached() -> Result<()> {
    let env = shared::env()?;
    let name = "start-attached";
    let ran = env.k3c(&[
        "run",
        "--name",
        name,
        DEMO,
        "sh",
        "-c",
        "echo fresh $(ls /made 2>&1); touch /made; exit 4",
    ])?;
    ensure!(ran.code == 4 && ran.stdout.starts_with("fresh"), "{ran}");
    // Each start gives every byte from the first, and has a fresh root filesystem.
    for _ in 0..2 {
        let again = env.k3c(&["start", "-a", name])?;
        ensure!(again.code == 4 && again.stdout == ran.stdout, "{again}");
    }
    ensure!(env.ok(&["inspect", "-f", "{{.Attempt}}", name])? == "2");
    ensure!(env.ok(&["start", name])? == name);
    env.k3c(&["start", name, "no-such-container"])?
        .fails(1, "failed to start containers: no-such-container")?;
    env.k3c(&["start", "-a", name, name])?
        .fails(1, "you cannot start and attach multiple containers at once")?;
    env.ok(&["wait", name])?;
    env.ok(&["rm", name])?;
    Ok(())
}

/// Runs a line of k3c in a terminal that `script`(1) makes: its output and exit code. Each of `typed` is a text to wait
/// for in the output, and keys to type then.
fn in_terminal(env: &TestEnv, line: &str, typed: &[(&str, &str)]) -> Result<(String, i32)> {
    let script = format!(
        "stty rows 33 cols 77; {} {line}",
        env.k3c_command(&[]).get_args().last().map_or_else(|| "k3c".into(), |p| p.to_string_lossy())
    );
    let mut command = env.command(Path::new("/usr/bin/script"), &["-qec", &script, "/dev/null"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
    let mut stdin = child.stdin.take().context("stdin")?;
    let mut stdout = child.stdout.take().context("stdout")?;
    let (sender, receiver) = mpsc::channel();
    let reader = std::thread::spawn(move || -> std::io::Result<()> {
        let mut block = [0; 4096];
        loop {
            let length = stdout.read(&mut block)?;
            if length == 0 || sender.send(block[..length].to_vec()).is_err() {
                return Ok(());
            }
        }
    });
    let mut shown = Vec::new();
    for (text, keys) in typed {
        within(PATIENCE, &format!("{text:?} is shown"), || {
            shown.extend(receiver.try_iter().flatten());
            Ok(String::from_utf8_lossy(&shown).contains(text))
        })
        .with_context(|| format!("{line}: {:?}", String::from_utf8_lossy(&shown)))?;
        stdin.write_all(keys.as_bytes())?;
        stdin.flush()?;
    }
    shown.extend(receiver.iter().flatten());
    reader.join().expect("reader")?;
    drop(stdin);
    Ok((String::from_utf8(shown)?, child.wait()?.code().unwrap_or(-1)))
}

fn terminal() -> Result<()> {
    let env = shared::env()?;
    let typed = [(PROMPT, "tty; stty size\n"), ("\n33 77", "echo TERM=$TERM; exit 7\n")];
    let (text, code) = in_terminal(&env, &format!("run --rm -it {DEMO} sh"), &typed)?;
    ensure!(
        code == 7 && text.contains("/dev/pts/0") && text.contains("33 77") && text.contains("TERM=xterm"),
        "{code} {text}"
    );
    // The detach keys leave the container running.
    let name = "terminal";
    let typed = [(PROMPT, "echo in\n"), ("\nin", "\u{10}\u{11}\n")];
    let (text, code) = in_terminal(&env, &format!("run -it --name {name} {DEMO} sh"), &typed)?;
    ensure!(code == 0, "{code} {text}");
    ensure!(env.ok(&["inspect", "-f", "{{.State.Running}}", name])? == "true");
    let typed = [(PROMPT, "echo back\n"), ("\nback", "\u{1}x\n")];
    let (text, code) = in_terminal(&env, &format!("attach --detach-keys ctrl-a,x {name}"), &typed)?;
    ensure!(code == 1 && text.contains("back") && text.contains("read escape sequence"), "{code} {text}");
    let (text, code) = in_terminal(&env, &format!("exec -it {name} sh"), &[(PROMPT, "stty size; exit 8\n")])?;
    ensure!(code == 8 && text.contains("33 77"), "{code} {text}");
    let (text, code) = in_terminal(&env, &format!("attach {name}"), &[(PROMPT, "exit 9\n")])?;
    ensure!(code == 9, "{code} {text}");
    let events = ["events", "--since", "5m", "--until", "0s", "--filter"];
    let events = env.ok(&[&events[..], &["container=terminal", "--filter", "event=resize"]].concat())?;
    ensure!(events.contains("height=33") && events.contains("width=77"), "no event of its size: {events}");
    env.ok(&["rm", name])?;
    // A terminal alone, without -i, has one stream.
    let ran = env.k3c(&["run", "--rm", "-t", DEMO, "sh", "-c", "echo out; echo err >&2"])?;
    ensure!(ran.code == 0 && ran.stdout == "out\r\nerr\r\n" && ran.stderr.is_empty(), "{ran}");
    env.k3c(&["run", "--rm", "-it", DEMO, "sh"])?.fails(1, "the input device is not a TTY")
}

fn a_session_goes_on() -> Result<()> {
    let mut env = TestEnv::started()?;
    let script = "while read line; do echo got $line; done; echo over; exit 11";
    let mut session =
        Piped::start(&env, &["run", "-i", "--rm", "--name", "session", DEMO, "sh", "-c", script])?;
    session.say("one\n")?;
    session.hear("got one\n")?;
    for word in ["two", "three"] {
        env.kill_process("__engine")?;
        session.say(&format!("{word}\n"))?;
        session.hear(&format!("got {word}\n"))?;
    }
    // A session does not need containerd either.
    env.kill_process("containerd --config")?;
    session.say("four\n")?;
    session.hear("got four\n")?;
    let (text, code) = session.end()?;
    ensure!(code == 11 && text == "over\n", "{code} {text:?}");
    ensure!(env.ok(&["ps", "-aq"])?.is_empty());
    env.stop()
}

fn wrong_words() -> Result<()> {
    let env = shared::env()?;
    env.k3c(&["run", "--detach-keys", "ctrl-1", DEMO, "true"])?.fails(1, "invalid detach keys (ctrl-1)")?;
    env.k3c(&["exec", "--foo"])?.fails(125, "unknown flag: --foo")?;
    env.k3c(&["exec", "x"])?.fails(1, "'k3c exec' requires at least 2 arguments")?;
    env.k3c(&["attach"])?.fails(1, "'k3c attach' requires 1 argument")?;
    env.k3c(&["start"])?.fails(1, "'k3c start' requires at least 1 argument")
}

fn changed_in_place() -> Result<()> {
    let env = shared::env()?;
    let name = "changed-in-place";
    env.ok(&["run", "-d", "--name", name, DEMO, "sleep", "1000"])?;
    ensure!(env.ok(&["pause", name])? == name);
    ensure!(
        env.ok(&["ps", "--filter", &format!("name={name}"), "--format", "{{.Status}}"])?
            .ends_with("(Paused)")
    );
    env.k3c(&["pause", name])?.fails(1, "is already paused")?;
    env.k3c(&["exec", name, "true"])?
        .fails(1, &format!("Container {name} is paused, unpause the container before exec"))?;
    env.k3c(&["attach", name])?.fails(1, "cannot attach to a paused container, unpause it first")?;
    ensure!(env.ok(&["unpause", name])? == name);
    env.k3c(&["unpause", name])?.fails(1, "is not paused")?;
    env.ok(&["exec", name, "touch", "/made"])?;
    // A restart makes a fresh container with the same ID.
    let id = env.ok(&["inspect", "-f", "{{.Id}}", name])?;
    ensure!(env.ok(&["restart", "-t", "0", name])? == name);
    ensure!(env.k3c(&["exec", name, "test", "-e", "/made"])?.code == 1);
    ensure!(
        env.ok(&["inspect", "-f", "{{.Id}} {{.RestartCount}} {{.Attempt}}", name])? == format!("{id} 0 1")
    );
    // A paused container can be stopped.
    env.ok(&["pause", name])?;
    ensure!(env.ok(&["rename", name, "changed-name"])?.is_empty());
    env.k3c(&["rename", name, "other"])?.fails(1, &format!("No such container: {name}"))?;
    env.k3c(&["rename", "changed-name", "changed-name"])?
        .fails(1, "Renaming a container with the same name")?;
    env.k3c(&["rename", "changed-name", "a/b"])?.fails(1, "Invalid container name (a/b)")?;
    env.ok(&["stop", "-t", "1", "changed-name"])?;
    env.ok(&["rm", "changed-name"])?;
    Ok(())
}
