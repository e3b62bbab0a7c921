//! `make bench`: a table of times and CPU beside podman's and docker's, interleaved; memory when idle; programs executed by
//! a `run`. `K3C_BENCH=images` instead: images moved and built (`unpack`: only loaded and pulled); `K3C_BENCH=memory`:
//! memory before and after a thousand lifecycles; `K3C_BENCH=ports`: published ports beside podman's.

mod images;
mod memory;
mod ports;

use crate::containers::DEMO;
use crate::env::{TestEnv, binary};
use crate::report;
use crate::user::run;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A command that is timed: `PROGRAM` and `IMAGE` stand for each side's own.
struct Bench {
    title: &'static str,
    /// A command before all rounds.
    first: &'static str,
    /// A command before each round.
    before: &'static str,
    timed: &'static str,
    /// A command after each round.
    after: &'static str,
    /// A command after all rounds.
    last: &'static str,
    /// The limit of rounds.
    rounds: usize,
    /// A peer, and the part of its time that we mean to take at most.
    aim: Option<(&'static str, f64)>,
}

const NOTHING: Bench = Bench {
    title: "",
    first: "true",
    before: "true",
    timed: "true",
    after: "true",
    last: "true",
    rounds: 30,
    aim: None,
};
const FIFTY: &str = "for i in $(seq 50); do PROGRAM run -d --name many$i IMAGE sleep 1000; done";
const NO_FIFTY: &str = "PROGRAM rm -f $(seq -f many%g 50)";

const BENCHES: &[Bench] = &[
    Bench { title: "run --rm", timed: "PROGRAM run --rm IMAGE true", aim: Some(("podman", 0.45)), ..NOTHING },
    Bench {
        title: "run -d to running",
        timed: "PROGRAM run -d --name bb IMAGE sleep 300",
        after: "PROGRAM rm -f bb",
        ..NOTHING
    },
    Bench {
        title: "run -it",
        timed: "script -qec 'PROGRAM run --rm -it IMAGE true' /dev/null < /dev/null",
        aim: Some(("podman", 0.4)),
        ..NOTHING
    },
    Bench {
        title: "exec",
        first: "PROGRAM run -d --name bx IMAGE sleep 1000",
        timed: "PROGRAM exec bx true",
        aim: Some(("docker", 0.2)),
        last: "PROGRAM rm -f bx",
        ..NOTHING
    },
    Bench {
        title: "20 starts in parallel",
        timed: "p=; for i in $(seq 20); do PROGRAM run -d --name par$i IMAGE sleep 300 & p=\"$p $!\"; done; wait $p",
        after: "PROGRAM rm -f $(seq -f par%g 20)",
        rounds: 3,
        aim: Some(("podman", 0.6)),
        ..NOTHING
    },
    Bench {
        title: "ps with 50 up",
        first: FIFTY,
        timed: "PROGRAM ps",
        last: NO_FIFTY,
        aim: Some(("docker", 0.25)),
        ..NOTHING
    },
    Bench {
        title: "rm -f of 50",
        before: FIFTY,
        timed: NO_FIFTY,
        rounds: 1,
        aim: Some(("docker", 0.25)),
        ..NOTHING
    },
];

/// Runs every benchmark.
pub(crate) fn all() -> Result<()> {
    let rounds: usize = std::env::var("K3C_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(30);
    let which = std::env::var("K3C_BENCH").unwrap_or_default();
    if which == "ports" {
        return ports::all(rounds.min(5));
    }
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    // The first start has unpacked the bundle: what is measured is every other one.
    env.stop()?;
    env.start()?;
    memory::idle(&env)?;

    let mut ours = Shell::start(env.command(Path::new("/bin/bash"), &[]))?;
    let k3c = crate::env::installed().display().to_string();
    if which == "memory" {
        memory::lifecycles(&env, &mut ours, &k3c)?;
        drop(ours);
        return env.stop();
    }
    let mut peers: Vec<(&str, Shell)> = Vec::new();
    for (name, start) in [("podman", (|| podman(&[])) as fn() -> Result<Shell>), ("docker", docker)] {
        match start() {
            Ok(peer) => peers.push((name, peer)),
            Err(why) => report(&format!("{name} is left out: {why:#}")),
        }
    }
    let part = if which == "unpack" { images::Part::Unpacking } else { images::Part::All };
    let only_images = which == "images" || part == images::Part::Unpacking;
    let names = std::iter::once("k3c").chain(peers.iter().map(|(name, _)| *name));
    let mut table = Table { names: names.map(str::to_owned).collect(), rows: Vec::new() };
    for bench in BENCHES.iter().filter(|_| !only_images) {
        let rounds = bench.rounds.min(rounds);
        let line =
            |text: &str, program: &str, image: &str| text.replace("PROGRAM", program).replace("IMAGE", image);
        // Times of one command, one side after the other, ours first.
        let mut each = |text: &str, peers: &mut [(&str, Shell)]| -> Result<Vec<Duration>> {
            let mut times = vec![ours.time(&line(text, &k3c, DEMO))?];
            for (name, peer) in peers {
                // podman's waits for a stop unless told not to.
                let text =
                    if *name == "podman" { text.replace("rm -f", "rm -f -t 0") } else { text.to_owned() };
                times.push(peer.time(&line(&text, name, "k3c.local/demo"))?);
            }
            Ok(times)
        };
        each(bench.first, &mut peers)?;
        // The first rounds (one or two) only warm up.
        let warm = if bench.rounds > 10 { 2 } else { 1 };
        let mut all: Vec<Vec<Duration>> = vec![Vec::new(); peers.len() + 1];
        for round in 0..rounds + warm {
            each(bench.before, &mut peers)?;
            let times = each(bench.timed, &mut peers)?;
            each(bench.after, &mut peers)?;
            if round >= warm {
                all.iter_mut().zip(times).for_each(|(all, time)| all.push(time));
            }
        }
        if bench.title.starts_with("ps") {
            memory::per_pod(&env)?;
        }
        each(bench.last, &mut peers)?;
        let times = all.iter_mut().map(|times| median(times).unwrap_or_default().as_secs_f64() * 1000.0);
        table.row(bench.title, "ms", &times.collect::<Vec<_>>(), bench.aim);
    }
    if !only_images {
        let used = cpu(&mut ours, &format!("{k3c} run --rm {DEMO} true"))?;
        let mut all = vec![used];
        for (name, peer) in &mut peers {
            all.push(cpu(peer, &format!("{name} run --rm k3c.local/demo true"))?);
        }
        table.row("CPU of a run --rm", "ms", &all, Some(("podman", 0.5)));
    }

    if only_images {
        images::all(&env, &mut peers, rounds, part)?;
    } else {
        started(&env)?;
        executed(&env, "k3c", &mut ours, &format!("{k3c} run --rm {DEMO} true"))?;
        for (name, peer) in peers.iter_mut().filter(|(name, _)| *name == "podman") {
            executed(&env, name, peer, "podman run --rm k3c.local/demo true")?;
        }
    }
    for (_, peer) in peers.iter_mut().filter(|(name, _)| *name == "docker") {
        peer.time("kill $DAEMON; wait $DAEMON; true")?;
    }
    drop(peers);
    drop(ours);
    table.tell();
    report(&format!("size of the binary       {} MiB", fs::metadata(binary())?.len() / (1 << 20)));
    env.stop()
}

fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// Rows of figures, one of each side, ours first: told as they come, and at the end as a table.
struct Table {
    names: Vec<String>,
    rows: Vec<String>,
}

impl Table {
    fn row(&mut self, title: &str, unit: &str, figures: &[f64], aim: Option<(&str, f64)>) {
        let ours = figures.first().copied().unwrap_or_default();
        let mut row = format!("| {title} |");
        for (name, figure) in self.names.iter().zip(figures) {
            row += &match name.as_str() {
                "k3c" => format!(" {figure:.1} {unit} |"),
                _ => format!(" {figure:.1} {unit} ({:.2}) |", ours / figure),
            };
        }
        row += &aim.map_or_else(|| " |".to_owned(), |(peer, most)| format!(" {most} x {peer} |"));
        report(&row);
        self.rows.push(row);
    }

    /// Markdown.
    fn tell(&self) {
        if self.rows.is_empty() {
            return;
        }
        report(&format!("\n| | {} | at most |", self.names.join(" | ")));
        report(&format!("|---|{}", "---|".repeat(self.names.len() + 1)));
        self.rows.iter().for_each(|row| report(row));
    }
}

/// CPU time that the whole machine spends for one command, what goes on behind the answer included, in milliseconds: the
/// mean of some, without what the machine spends meanwhile anyway. Nothing else may run.
fn cpu(shell: &mut Shell, command: &str) -> Result<f64> {
    const RUNS: u32 = 20;
    let spent = |line: &str, shell: &mut Shell| -> Result<(f64, f64)> {
        let (before, since) = (busy()?, Instant::now());
        shell.time(&format!("{line}; sleep 3"))?;
        Ok((busy()? - before, since.elapsed().as_secs_f64()))
    };
    let (anyway, seconds) = spent("sleep 2", shell)?;
    let (all, time) = spent(&format!("for i in $(seq {RUNS}); do {command} || exit; done"), shell)?;
    Ok((all - anyway / seconds * time) * 1000.0 / f64::from(RUNS))
}

/// Seconds that the processors were not idle since the start, proc_stat(5).
fn busy() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: Vec<f64> = line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq
    let all = ticks.iter().take(7).sum::<f64>() - ticks.iter().skip(3).take(2).sum::<f64>();
    Ok(all / 100.0)
}

fn ms(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".into(), |time| format!("{:7.1} ms", time.as_secs_f64() * 1000.0))
}

/// A shell that is told commands, so that only the commands are timed, for both in the same way.
struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Shell {
    fn start(mut command: Command) -> Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let stdin = child.stdin.take().context("stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("stdout")?);
        let mut shell = Self { child, stdin, stdout };
        shell.time("true")?;
        Ok(shell)
    }

    fn time(&mut self, command: &str) -> Result<Duration> {
        let since = Instant::now();
        writeln!(self.stdin, "{{ {command}\n }} >/dev/null; echo $?")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let time = since.elapsed();
        ensure!(line.trim() == "0", "{command}: {line:?}");
        Ok(time)
    }

    fn pid(&mut self) -> Result<String> {
        self.said("echo $$")
    }

    /// The one line that a command prints.
    fn said(&mut self, command: &str) -> Result<String> {
        writeln!(self.stdin, "{command}")?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = writeln!(self.stdin, "exit");
        let _ = self.child.wait();
    }
}

/// The folder of the peers' scripts, when `program` is in their root; the root is made when it is not there.
pub(crate) fn peers(program: &str) -> Result<PathBuf> {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/peers");
    ensure!(peers.join("peer.sh").exists(), "the peers' root ({}) is not here", peers.display());
    // The script that makes the root fails where there is one already.
    let root = std::env::var_os("TRIXIE").map_or_else(|| "/var/lib/k3c-peers/trixie".into(), PathBuf::from);
    if !root.join(program).exists() {
        run(Command::new("bash").arg(peers.join("trixie-root.sh")).arg(&root)).context("the peers' root")?;
    }
    Ok(peers)
}

/// podman 5 in the peers' root, with our demonstration image loaded. `within`: words in front of its command line.
fn podman(within: &[&str]) -> Result<Shell> {
    let script = peers("usr/bin/podman")?.join("peer.sh");
    let words = within.iter().chain(&["bash"]).collect::<Vec<_>>();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(script).arg("bash");
    let mut shell = Shell::start(command)?;
    // podman refuses to work when processes that a broken-off run left are gone: to it this is a boot.
    shell.time("rm -rf $XDG_RUNTIME_DIR/{libpod,containers,crun}")?;
    fs::create_dir_all("/tmp/k3cpeer")?;
    let copy = Path::new("/tmp/k3cpeer/demo.tar");
    fs::copy(demo_archive()?, copy)?;
    shell.time("podman load -q -i /tmp/k3cpeer/demo.tar")?;
    fs::remove_file(copy)?;
    shell.time("podman tag $(podman images -q | head -n1) k3c.local/demo")?;
    // Containers that a broken-off run left are removed.
    shell.time("podman rm -fa || podman rm -fa || true")?;
    Ok(shell)
}

/// Rootless Docker 26 in the peers' root, with our demonstration image imported.
fn docker() -> Result<Shell> {
    let script = peers("usr/sbin/dockerd")?.join("peer.sh");
    let mut command = Command::new("bash");
    command.arg(script).arg("bash");
    let mut shell = Shell::start(command)?;
    let copy = Path::new("/tmp/k3cpeer/root.tar");
    fs::create_dir_all("/tmp/k3cpeer")?;
    fs::write(copy, crate::compare::demo_root()?)?;
    shell.time("dockerd-rootless.sh > /tmp/k3cpeer/dockerd.log 2>&1 & DAEMON=$!")?;
    shell.time("for i in $(seq 100); do docker version > /dev/null 2>&1 && break; sleep 0.3; done")?;
    shell.time("docker import -c 'CMD [\"sh\"]' /tmp/k3cpeer/root.tar k3c.local/demo")?;
    fs::remove_file(copy)?;
    shell.time("docker rm -f $(docker ps -aq) 2> /dev/null || true")?;
    Ok(shell)
}

/// Times containerd's wait for a pod's shim: from the call until the shim has told its address and listens there.
fn started(env: &TestEnv) -> Result<()> {
    const MARK: &str = "bench-of-shims";
    let find = ["-name", "containerd-shim-k3c-v1"];
    let found = run(Command::new("find").arg(env.data_dir().join("bundle")).args(find))?;
    let shim = found.lines().next().context("no shim in the bundle")?;
    let script = "export K3C_SHIM_DIR=$PWD/shims; mkdir -p shims bundle; cd bundle; echo {} > config.json
        for i in $(seq 20); do
            t=$(date +%s%N); $1 -namespace $2 -id s$i start < /dev/null > ../shims/$i; echo $(( $(date +%s%N) - t ))
        done";
    let text = env.program(Path::new("/bin/sh"), &["-c", script, "_", shim, MARK])?.ok()?;
    for (pid, line) in env.user.processes() {
        if line.contains(MARK) {
            kill(Pid::from_raw(pid), Signal::SIGKILL)?;
        }
    }
    let mut times: Vec<Duration> =
        text.lines().map(|n| Ok(Duration::from_nanos(n.parse()?))).collect::<Result<_>>()?;
    report(&format!("start of a pod's shim    {}", ms(median(&mut times))));
    Ok(())
}

/// The demonstration image's archive, as `make bundle` left it.
pub(crate) fn demo_archive() -> Result<PathBuf> {
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/out");
    let text = run(Command::new("find").arg(&out).args(["-name", "demo*.tar"]))?;
    text.lines()
        .next()
        .map(PathBuf::from)
        .with_context(|| format!("no demonstration image below {}", out.display()))
}

/// Counts successful `execve` while `command` runs in `shell`: of the shell's children and of all of the instance.
fn executed(env: &TestEnv, name: &str, shell: &mut Shell, command: &str) -> Result<()> {
    if !Path::new("/usr/bin/strace").exists() {
        report("programs per run: left out: needs strace");
        return Ok(());
    }
    let log = tempfile::NamedTempFile::new()?;
    let mut strace = Command::new("strace");
    strace.args(["-f", "-qq", "-e", "trace=execve", "-e", "signal=none", "-o"]).arg(log.path());
    strace.args(["-p", &shell.pid()?]);
    if name == "k3c" {
        for (pid, _) in env.processes() {
            strace.args(["-p", &pid.to_string()]);
        }
    }
    let mut strace = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
    std::thread::sleep(Duration::from_secs(2));
    shell.time(command)?;
    // Programs that tidy up after the answer count too.
    std::thread::sleep(Duration::from_secs(2));
    kill(Pid::from_raw(i32::try_from(strace.id())?), Signal::SIGINT)?;
    strace.wait()?;
    let text = fs::read_to_string(log.path())?;
    let programs: Vec<&str> = text
        .lines()
        .filter(|line| {
            line.ends_with(" = 0") && (line.contains("execve(") || line.contains("execve resumed"))
        })
        .map(|line| line.split('"').nth(1).and_then(|path| path.rsplit('/').next()).unwrap_or("?"))
        .collect();
    report(&format!("programs per run --rm    {name} {} ({})", programs.len(), programs.join(" ")));
    Ok(())
}
