//! Interactive use, as somebody at a terminal sees it: tmux is the terminal, and keys are typed into it.

mod builds;

use crate::containers::{DEMO, within};
use crate::env::{Ran, TestEnv, installed};
use crate::host::Need;
use crate::{Case, shared};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The limit of each wait for something on the screen.
const PATIENCE: Duration = Duration::from_secs(20);

/// The shell's prompt, numbered, so that a new one is told from the one before.
const PROMPT: &str = "host$((n=n+1))$ ";

/// The prompt of busybox's shell in a container.
const INSIDE: &str = "/ #";

const NEEDS: &[Need] = &[Need::Daemon, Need::Program("tmux")];

static COUNT: AtomicU32 = AtomicU32::new(0);

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, NEEDS, run);
    let mut cases = vec![
        case("tmux::a_shell", a_shell),
        case("tmux::ended_from_elsewhere", ended_from_elsewhere),
        case("tmux::not_begun", not_begun),
        case("tmux::detach_keys", detach_keys),
        case("tmux::sizes_follow", sizes_follow),
        case("tmux::exec", exec),
        case("tmux::two_at_one_terminal", two_at_one_terminal),
        case("tmux::signals_are_the_containers", signals_are_the_containers),
        case("tmux::interrupted_looking", interrupted_looking),
        case("tmux::in_the_background", in_the_background),
        case("tmux::prompts", prompts),
        case("tmux::figures", figures),
        case("tmux::over_the_engines_death", over_the_engines_death),
    ];
    cases.extend(builds::cases());
    cases
}

/// A terminal of 80 columns and 24 rows with a shell of the instance's user in it. Dropping it ends both.
struct Screen<'a> {
    env: &'a TestEnv,
    socket: PathBuf,
    /// The number of the last prompt that was seen.
    prompt: u32,
    /// The terminal's modes before anything ran in it.
    modes: String,
}

impl Drop for Screen<'_> {
    fn drop(&mut self) {
        let _ = self.tmux(&["kill-server"]);
        let _ = std::fs::remove_file(&self.socket);
    }
}

impl<'a> Screen<'a> {
    fn open(env: &'a TestEnv) -> Result<Self> {
        let socket = env.runtime.join(format!("tmux{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let mut screen = Self { env, socket, prompt: 0, modes: String::new() };
        let folder = installed().parent().context("a folder")?.display().to_string();
        let path = format!("PATH={folder}:/usr/local/bin:/usr/bin:/bin");
        let (prompt, demo) = (format!("PS1={PROMPT}"), format!("DEMO={DEMO}"));
        let shell = ["env", &path, &prompt, &demo, "sh"];
        screen.tmux(&[&["new-session", "-d", "-x", "80", "-y", "24"], &shell[..]].concat())?.ok()?;
        screen.at_prompt()?;
        screen.modes = screen.line("stty -g")?;
        let modes = screen.line("stty -a | grep -Ewo 'icanon|echo|isig' | tr '\\n' ' '")?;
        ensure!(modes.split(' ').count() == 3, "a strange terminal: {modes}");
        Ok(screen)
    }

    fn tmux(&self, args: &[&str]) -> Result<Ran> {
        let socket = self.socket.display().to_string();
        let all = [&["-u", "-f", "/dev/null", "-S", &socket], args].concat();
        self.env.program_within(30, Path::new("tmux"), &all)
    }

    /// Presses keys by tmux's names for them: `C-p`, `Enter`.
    fn keys(&self, names: &[&str]) -> Result<()> {
        self.tmux(&[&["send-keys"], names].concat())?.ok().map(drop)
    }

    /// Types text.
    fn types(&self, text: &str) -> Result<()> {
        self.tmux(&["send-keys", "-l", "--", text])?.ok().map(drop)
    }

    /// Types a line.
    fn enter(&self, line: &str) -> Result<()> {
        self.types(line)?;
        self.keys(&["Enter"])
    }

    /// Changes the terminal's size.
    fn resize(&self, columns: &str, rows: &str) -> Result<()> {
        self.tmux(&["resize-window", "-x", columns, "-y", rows])?.ok().map(drop)
    }

    /// Text that was typed and shown since the last prompt, also if it has left the screen at its top.
    fn text(&self) -> Result<String> {
        let text = self.tmux(&["capture-pane", "-p", "-J", "-S", "-"])?.ok()?;
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        let all = lines.join("\n");
        // A program may have cleared the screen, the prompt too.
        let since =
            all.rsplit_once(&format!("host{}$", self.prompt)).map_or(all.as_str(), |(_, since)| since);
        Ok(since.trim_end().to_owned())
    }

    /// Waits until the screen is as it should be.
    fn until(&self, what: &str, check: impl Fn(&str) -> bool) -> Result<String> {
        let mut text = String::new();
        let seen = within(PATIENCE, what, || {
            text = self.text()?;
            Ok(check(&text))
        });
        match seen {
            Ok(()) => Ok(text),
            Err(error) => bail!("{error}; the screen:\n{text}\n"),
        }
    }

    /// Waits until `part` was shown since the last prompt. Typed text is shown too, so type `$((6*7))` and wait for 42.
    fn sees(&self, part: &str) -> Result<()> {
        self.until(&format!("{part:?}"), |text| format!("{text}\n").contains(part)).map(drop)
    }

    /// Waits until the last line ends with `end`: a program waits for keys there.
    fn asks(&self, end: &str) -> Result<()> {
        self.until(&format!("a last line that ends with {end:?}"), |text| text.ends_with(end)).map(drop)
    }

    /// Types a line again and again until `part` is shown, for a state that comes in its own time.
    fn tells(&self, line: &str, part: &str) -> Result<()> {
        let again = || {
            let _ = self.enter(line);
            std::thread::sleep(Duration::from_millis(200));
            false
        };
        self.until(&format!("{part:?}"), |text| format!("{text}\n").contains(part) || again()).map(drop)
    }

    /// Waits until the shell asks for the next line, after whatever was typed at its last prompt.
    fn at_prompt(&mut self) -> Result<String> {
        let before = self.prompt;
        let text =
            self.until("the next prompt", |text| prompt_of(text).is_some_and(|number| number > before))?;
        self.prompt = prompt_of(&text).unwrap_or(before);
        Ok(text)
    }

    /// Types a line at the shell's prompt; the output of its command.
    fn line(&mut self, line: &str) -> Result<String> {
        self.enter(line)?;
        let text = self.at_prompt()?;
        let output = text.split_once('\n').unwrap_or_default().1;
        let end = output.rfind(&format!("host{}$", self.prompt)).unwrap_or(output.len());
        Ok(output[..end].trim_end().to_owned())
    }

    /// Waits until the command is over: it ended with `code`, and the terminal is as it was. The text that was shown.
    fn over(&mut self, code: u8) -> Result<String> {
        let text = self.at_prompt()?;
        let got = self.line("echo $?")?;
        ensure!(got == code.to_string(), "ended with {got}, not {code}; the screen:\n{text}\n");
        let modes = self.line("stty -g")?;
        ensure!(modes == self.modes, "not what it was: {}; the screen:\n{text}\n", self.line("stty -a")?);
        Ok(text)
    }
}

/// The number in the prompt, if the last line is one.
fn prompt_of(text: &str) -> Option<u32> {
    let last = text.strip_suffix('$')?;
    last[last.rfind("host")? + 4..].parse().ok()
}

fn running(env: &TestEnv, name: &str) -> Result<bool> {
    Ok(env.ok(&["inspect", "-f", "{{.State.Running}}", name])? == "true")
}

/// The process ID of a typed command, by the beginning of its command line.
fn client(env: &TestEnv, begin: &str) -> Result<i32> {
    let all = env.user.processes();
    let found = all.iter().find(|(_, line)| line.starts_with(begin));
    found.map(|(pid, _)| *pid).with_context(|| format!("{begin} is not among {all:#?}"))
}

fn a_shell() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    // The size is right from the start, and typed text is shown once.
    screen.enter("k3c run -it --rm $DEMO stty size")?;
    let shown = screen.over(0)?;
    ensure!(shown.contains("\n24 80\n"), "{shown}");
    screen.enter("k3c run -it --rm $DEMO sh")?;
    screen.asks(INSIDE)?;
    screen.types("echo shown=$((6*7))")?;
    screen.asks("\n/ # echo shown=$((6*7))")?;
    screen.keys(&["Enter"])?;
    screen.sees("\nshown=42\n")?;
    // Ctrl-C and Ctrl-Z go to the program that runs in the shell.
    screen.enter("sh -c 'echo begun=$((1+1)); exec sleep 100'")?;
    screen.sees("begun=2")?;
    screen.keys(&["C-c"])?;
    screen.asks(INSIDE)?;
    screen.enter("echo ended=$?")?;
    screen.sees("ended=130")?;
    screen.enter("sh -c 'trap \"echo on=3\" CONT; echo begun=$((1+2)); while :; do sleep 0.1; done'")?;
    screen.sees("begun=3")?;
    screen.keys(&["C-z"])?;
    screen.sees("Stopped")?;
    screen.asks(INSIDE)?;
    screen.enter("fg")?;
    screen.sees("\non=3\n")?;
    screen.keys(&["C-c"])?;
    screen.asks(INSIDE)?;
    // Every letter arrives, in either direction.
    screen.enter("echo 'grüße 日本' > /letters; wc -c < /letters; cat /letters")?;
    screen.sees("\n15\ngrüße 日本\n")?;
    screen.enter("exit 7")?;
    screen.over(7).map(drop)
}

fn ended_from_elsewhere() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    let name = "tmux-ended";
    for args in [&["kill", name][..], &["rm", "-f", name], &["stop", "-t", "1", name]] {
        screen.enter(&format!("k3c run -it --rm --name {name} $DEMO sh"))?;
        screen.asks(INSIDE)?;
        env.ok(args)?;
        screen.over(137).with_context(|| format!("{args:?}"))?;
    }
    Ok(())
}

fn not_begun() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    for (line, code, text) in [
        ("k3c run -it --rm $DEMO no-such-program", 127, "executable file not found"),
        ("k3c run -it --rm $DEMO /etc/passwd", 126, "permission denied"),
        ("k3c run -it --rm localhost:1/none sh", 125, "localhost:1/none"),
        ("echo x | k3c run -it --rm $DEMO sh", 1, "the input device is not a TTY\n"),
        ("k3c exec -it no-such-container sh", 1, "No such container: no-such-container\n"),
    ] {
        screen.enter(line)?;
        let shown = screen.over(code).context(line)?;
        ensure!(shown.contains(text), "{line}: {shown}");
    }
    Ok(())
}

fn detach_keys() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    let name = "tmux-detach";
    screen.enter(&format!("k3c run -it --name {name} $DEMO sh"))?;
    screen.asks(INSIDE)?;
    screen.enter("stty -echo; echo begun=$((1+1)); cat -v")?;
    screen.sees("begun=2")?;
    // The first detach key alone goes to the program, as soon as another key follows.
    screen.keys(&["C-p", "x", "Enter"])?;
    screen.sees("\n^Px\n")?;
    screen.keys(&["C-p", "C-q"])?;
    let shown = screen.over(0)?;
    ensure!(!shown.contains("escape") && running(&env, name)?, "{shown}");
    screen.enter(&format!("k3c attach {name}"))?;
    screen.tells("again", "\nagain\n")?;
    screen.keys(&["C-p", "C-q"])?;
    let shown = screen.over(1)?;
    ensure!(shown.contains("read escape sequence\n"), "{shown}");
    // With other detach keys the usual ones are nothing special.
    screen.enter(&format!("k3c attach --detach-keys ctrl-x,x {name}"))?;
    screen.tells("third", "\nthird\n")?;
    screen.keys(&["C-p", "C-t", "1", "C-x", "2", "Enter"])?;
    screen.sees("^P^T1^X2\n")?;
    screen.keys(&["C-x", "x"])?;
    screen.over(1)?;
    env.user.write(&env.home.join("keys/config.json"), r#"{"detachKeys": "ctrl-e,e"}"#)?;
    screen.enter(&format!("DOCKER_CONFIG=$HOME/keys k3c attach {name}"))?;
    screen.tells("fourth", "\nfourth\n")?;
    screen.keys(&["C-e", "e"])?;
    screen.over(1)?;
    // A shell draws its prompt again for a client that comes back.
    screen.enter(&format!("k3c attach {name}"))?;
    screen.tells("fifth", "\nfifth\n")?;
    screen.keys(&["C-c"])?;
    screen.asks(INSIDE)?;
    screen.enter("stty echo")?;
    screen.tells("echo sixth=$((1+1))", "sixth=2\n")?;
    screen.asks(INSIDE)?;
    screen.keys(&["C-p", "C-q"])?;
    screen.over(1)?;
    screen.enter(&format!("k3c attach {name}"))?;
    screen.asks(&format!("\n{INSIDE}"))?;
    screen.enter("exit 5")?;
    screen.over(5)?;
    screen.enter(&format!("k3c start -ai {name}"))?;
    screen.asks(INSIDE)?;
    screen.keys(&["C-p", "C-q"])?;
    screen.over(0)?;
    screen.enter(&format!("k3c exec -it {name} sh"))?;
    screen.asks(INSIDE)?;
    screen.keys(&["C-p", "C-q"])?;
    screen.over(1)?;
    env.ok(&["rm", "-f", name]).map(drop)
}

fn sizes_follow() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    let name = "tmux-sizes";
    let size = "echo size=$(stty size)";
    screen.enter(&format!("k3c run -it --rm --name {name} $DEMO sh"))?;
    screen.asks(INSIDE)?;
    screen.resize("100", "30")?;
    screen.tells(size, "size=30 100")?;
    // A program that traps WINCH gets it.
    let told =
        r#"sh -c 'trap "echo told=\$(stty size)" WINCH; echo begun=$((1+1)); while :; do sleep 0.1; done'"#;
    screen.enter(told)?;
    screen.sees("begun=2")?;
    screen.resize("70", "20")?;
    screen.sees("told=20 70")?;
    screen.keys(&["C-c"])?;
    screen.asks(INSIDE)?;
    let mut other = Screen::open(&env)?;
    other.enter(&format!("k3c exec -it {name} sh"))?;
    other.asks(INSIDE)?;
    other.tells(size, "size=24 80")?;
    other.resize("90", "40")?;
    other.tells(size, "size=40 90")?;
    other.enter("exit")?;
    other.over(0)?;
    // The exec's terminal has a size of its own; the container's has not changed.
    screen.enter("echo still=$(stty size)")?;
    screen.sees("still=20 70")?;
    // A client that comes back from a terminal of another size brings that size.
    screen.keys(&["C-p", "C-q"])?;
    screen.over(0)?;
    screen.resize("66", "22")?;
    screen.enter(&format!("k3c attach {name}"))?;
    screen.tells(size, "size=22 66")?;
    screen.enter("exit")?;
    screen.over(0).map(drop)
}

fn exec() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    let name = "tmux-exec";
    env.ok(&["run", "-d", "--name", name, DEMO, "sleep", "1000"])?;
    screen.enter(&format!("k3c exec -it {name} stty size"))?;
    let shown = screen.over(0)?;
    ensure!(shown.contains("\n24 80\n"), "{shown}");
    screen.enter(&format!("k3c exec -it {name} sh"))?;
    screen.asks(INSIDE)?;
    screen.enter("sh -c 'echo begun=$((1+1)); exec sleep 100'")?;
    screen.sees("begun=2")?;
    screen.keys(&["C-c"])?;
    screen.asks(INSIDE)?;
    screen.enter("sh -c 'echo leaving=$((1+1)); exit 6'")?;
    screen.sees("leaving=2")?;
    screen.asks(INSIDE)?;
    screen.keys(&["C-d"])?;
    screen.over(6)?;
    // A program without a shell around it gets the key too.
    screen.enter(&format!("k3c exec -it {name} sh -c 'echo begun=$((1+2)); exec sleep 100'"))?;
    screen.sees("begun=3")?;
    screen.keys(&["C-c"])?;
    screen.over(130)?;
    // A command that is ended leaves the terminal as it was, too.
    screen.enter(&format!("k3c exec -it {name} sh -c 'echo begun=$((1+3)); exec sleep 100'"))?;
    screen.sees("begun=4")?;
    let client = client(&env, &format!("k3c exec -it {name}"))?;
    kill(Pid::from_raw(client), Signal::SIGTERM)?;
    screen.over(143)?;
    ensure!(running(&env, name)?);
    env.ok(&["rm", "-f", name]).map(drop)
}

fn two_at_one_terminal() -> Result<()> {
    let env = shared::env()?;
    let name = "tmux-two";
    let (mut one, mut two) = (Screen::open(&env)?, Screen::open(&env)?);
    one.enter(&format!("k3c run -it --rm --name {name} $DEMO sh"))?;
    one.asks(INSIDE)?;
    two.enter(&format!("k3c attach {name}"))?;
    two.asks(INSIDE)?;
    for (typing, number) in [(&one, 1), (&two, 2), (&one, 3)] {
        typing.enter(&format!("echo said=$((10+{number}))"))?;
        for screen in [&one, &two] {
            screen.sees(&format!("\nsaid={}\n", 10 + number))?;
        }
    }
    // One client leaves, the other stays.
    one.keys(&["C-p", "C-q"])?;
    one.over(0)?;
    one.enter(&format!("k3c attach {name}"))?;
    one.asks(&format!("\n{INSIDE}"))?;
    two.enter("echo said=$((10+4))")?;
    one.sees("said=14")?;
    two.enter("exit 4")?;
    one.over(4)?;
    two.over(4).map(drop)
}

fn signals_are_the_containers() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    let trap = "sh -c 'trap \"echo got; exit 3\" INT; echo begun=$((1+1)); while :; do sleep 0.1; done'";
    for flags in ["--rm", "--rm -i", "--rm -t"] {
        screen.enter(&format!("k3c run {flags} $DEMO {trap}"))?;
        screen.sees("begun=2")?;
        screen.keys(&["C-c"])?;
        let shown = screen.over(3).with_context(|| format!("run {flags}"))?;
        ensure!(shown.contains("got\n"), "{shown}");
    }
    // With --sig-proxy=false the signal ends the client alone.
    let name = "tmux-signals";
    screen.enter(&format!("k3c run --sig-proxy=false --name {name} $DEMO {trap}"))?;
    screen.sees("begun=2")?;
    screen.keys(&["C-c"])?;
    screen.over(130)?;
    ensure!(running(&env, name)?);
    env.ok(&["rm", "-f", name]).map(drop)
}

fn interrupted_looking() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    let name = "tmux-looking";
    let script = "trap 'exit 3' INT; i=0; while :; do i=$((i+1)); echo number=$i; sleep 0.1; done";
    env.ok(&["run", "-d", "--name", name, DEMO, "sh", "-c", script])?;
    for (line, shown) in [
        (format!("k3c logs -f {name}"), "number=1\n"),
        (format!("k3c attach --no-stdin --sig-proxy=false {name}"), "number="),
        (format!("k3c events --since 1h --filter container={name}"), " container start "),
        (format!("k3c stats {name}"), "MEM USAGE"),
        (format!("k3c wait {name}"), ""),
    ] {
        screen.enter(&line)?;
        screen.sees(shown)?;
        within(PATIENCE, &line, || Ok(client(&env, &line).is_ok()))?;
        screen.keys(&["C-c"])?;
        screen.over(130).context(line)?;
        ensure!(running(&env, name)?);
    }
    let line = "k3c load";
    screen.enter(&format!("cat | {line}"))?;
    within(PATIENCE, line, || Ok(client(&env, line).is_ok()))?;
    screen.keys(&["C-c"])?;
    screen.over(130)?;
    // Without --sig-proxy=false the key's signal goes to the container.
    screen.enter(&format!("k3c attach {name}"))?;
    screen.sees("number=")?;
    screen.keys(&["C-c"])?;
    screen.over(3)?;
    env.ok(&["rm", name]).map(drop)
}

fn in_the_background() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    // A client in the background that wants the terminal is stopped until it is in the foreground, as any program is.
    for flags in ["-it", "-i"] {
        screen.line(&format!("k3c run {flags} --rm $DEMO sh &"))?;
        within(PATIENCE, "it is stopped", || Ok(screen.line("jobs")?.contains("Stopped")))?;
        screen.enter("fg")?;
        screen.tells("echo said=$((6*7))", "said=42\n")?;
        screen.enter("exit 4")?;
        screen.over(4)?;
    }
    Ok(())
}

fn prompts() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    let name = "tmux-prompts";
    let label = "asked=tmux";
    let container = ["create", "--label", label, "--name", name, DEMO];
    let volume = ["volume", "create", "--label", label, name];
    for (line, make, look) in [
        ("container prune", &container[..], ["container", "inspect", name]),
        ("system prune", &container, ["container", "inspect", name]),
        ("volume prune -a", &volume, ["volume", "inspect", name]),
    ] {
        env.ok(make)?;
        let no = [&["n", "Enter"][..], &["Enter"], &["y", "e", "s", "Enter"], &["C-d"], &["C-c"]];
        for (answer, stays) in no.map(|keys| (keys, true)).into_iter().chain([(&["y", "Enter"][..], false)]) {
            screen.enter(&format!("k3c {line} --filter label={label}"))?;
            screen.asks("Are you sure you want to continue? [y/N]")?;
            screen.keys(answer)?;
            let shown = screen.over(0).with_context(|| format!("{line} {answer:?}"))?;
            let told = shown.contains("Total reclaimed space: ");
            let there = env.k3c(&look)?.code == 0;
            ensure!(there == stays && told != stays, "{line} {answer:?}: there: {there}; {shown}");
            // The shell's prompt is on a line of its own again.
            ensure!(answer == ["C-d"] || shown.contains("\nhost"), "{shown}");
        }
    }
    Ok(())
}

fn figures() -> Result<()> {
    let env = shared::env()?;
    let mut screen = Screen::open(&env)?;
    let name = "tmux-figures";
    env.ok(&["run", "-d", "--name", name, DEMO, "sleep", "1000"])?;
    screen.enter(&format!("k3c stats {name}"))?;
    // One table, in the same place, with new figures; the last column is the number of processes.
    let shows = |screen: &Screen, processes: &str| {
        screen.until(&format!("one table with {processes} processes"), |text| {
            let lines: Vec<&str> = text.lines().collect();
            matches!(lines[..], [titles, row] if titles.starts_with("CONTAINER ID") && row.contains(name)
                && row.ends_with(&format!(" {processes}")))
        })
    };
    shows(&screen, "1")?;
    env.ok(&["exec", "-d", name, "sleep", "1000"])?;
    shows(&screen, "2")?;
    screen.keys(&["C-c"])?;
    screen.over(130)?;
    let shown = screen.line(&format!("k3c top {name} -o pid,args"))?;
    ensure!(shown.lines().count() == 3 && shown.matches("sleep 1000").count() == 2, "{shown}");
    env.ok(&["rm", "-f", name]).map(drop)
}

fn over_the_engines_death() -> Result<()> {
    let mut env = TestEnv::started()?;
    {
        let mut screen = Screen::open(&env)?;
        screen.enter("k3c run -it --rm $DEMO sh")?;
        screen.asks(INSIDE)?;
        screen.enter("kept=here")?;
        for number in 1..=2 {
            let old = env.kill_process("__engine")?;
            screen.enter(&format!("echo $kept=$((10+{number}))"))?;
            screen.sees(&format!("\nhere={}\n", 10 + number))?;
            within(PATIENCE, "a new engine", || Ok(env.process("__engine").is_ok_and(|new| new != old)))?;
        }
        // The session follows the terminal's size too, and its exit code arrives.
        screen.resize("100", "30")?;
        screen.tells("echo size=$(stty size)", "size=30 100")?;
        screen.enter("exit 9")?;
        screen.over(9)?;
    }
    env.stop()
}
