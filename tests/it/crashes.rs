//! Crashes in the middle of something: it is finished or undone, what happened meanwhile is told once, nothing is left.

mod points;

use crate::containers::{DEMO, within};
use crate::env::{TestEnv, installed};
use crate::proxy::{WITH_TOOLS, client, cri_containers, cri_pods, with_channel};
use crate::{Case, DAEMON, report, shared};
use anyhow::{Context, Result, ensure};
use containerd_client::services::v1::snapshots::{MountsRequest, snapshots_client::SnapshotsClient};
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::{CreateTaskRequest, StartRequest};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

const ENGINE: &str = "__engine";
const HOLDER: &str = "__holder";
const CONTAINERD: &str = "/containerd --config";
const BACK: Duration = Duration::from_secs(15);

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("crashes::engine_again_and_again", WITH_TOOLS, || again_and_again(ENGINE, 15, 500)),
        Case::new("crashes::containerd_again_and_again", WITH_TOOLS, || again_and_again(CONTAINERD, 8, 1200)),
        Case::new("crashes::told_once_by_the_next_engine", DAEMON, || told_once(false)),
        Case::new("crashes::told_once_after_containerd_too", DAEMON, || told_once(true)),
        Case::new("crashes::engine_at_each_point", WITH_TOOLS, points::engine_at_each_point),
        Case::new("crashes::plugin_at_each_point", WITH_TOOLS, points::plugin_at_each_point),
        Case::new("crashes::namespace_without_pod", WITH_TOOLS, points::namespace_without_pod),
        Case::new("crashes::execs_outlive_the_engine", DAEMON, execs_outlive_the_engine),
        Case::new("crashes::shim_killed", DAEMON, shim_killed),
        Case::new("crashes::dead_before_its_start", WITH_TOOLS, dead_before_its_start),
        Case::new("crashes::host_restarted", DAEMON, host_restarted),
        Case::new("crashes::a_million_lines", DAEMON, a_million_lines),
    ]
}

/// A script of two loops that create, start, rename and remove containers until there is a file `stop`.
const CHURN: &str = r#"
one() { n=0; while [ ! -e stop ]; do n=$((n+1))
    $K3C create --name a$1-$n -v /data -v kept$1:/x $DEMO sleep 1000; $K3C start a$1-$n; $K3C rename a$1-$n b$1-$n
    [ $((n % 4)) = 0 ] || $K3C rm -f -v b$1-$n
done > churn$1 2>&1; }
one 1 & one 2 & wait
"#;

fn again_and_again(part: &str, kills: u64, pause: u64) -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "-d", "--name", "stays", DEMO, "sleep", "1000"])?;
    let script = format!("export K3C={} DEMO={DEMO}; {CHURN}", installed().display());
    std::thread::scope(|scope| -> Result<()> {
        let churn = scope.spawn(|| env.program(Path::new("/bin/bash"), &["-c", &script]));
        // It is killed as often as was asked for, and until some containers were made in between.
        for round in 0..kills * 3 {
            if round >= kills && made(&env)? > 2 {
                break;
            }
            sleep(Duration::from_millis(pause + round * 67 % 400));
            // The process may not be back yet.
            let _ = env.kill_process(part);
        }
        env.user.write(&env.home.join("stop"), "")?;
        churn.join().expect("churn")?.ok().map(drop)
    })?;
    let since = Instant::now();
    let mut last = String::new();
    within(BACK, "records and CRI agree", || {
        last = disagreement(&env).unwrap_or_else(|error| format!("{error:#}"));
        Ok(last.is_empty())
    })
    .with_context(|| format!("{last}{}", env.complaints()))?;
    report(&format!("{part} killed: records and CRI agree after {:?}", since.elapsed()));
    within(BACK, "containerd holds nothing that nobody uses", || {
        last = held_for_nobody(&env)?;
        Ok(last.is_empty())
    })
    .with_context(|| format!("{last}{}", env.complaints()))?;
    let names = env.ok(&["ps", "-a", "--format", "{{.Names}}"])?;
    ensure!(names.lines().any(|name| name == "stays"), "what nobody touched is gone: {names}");
    ensure!(made(&env)? > 2, "hardly anything was made meanwhile: {}", churned(&env)?);
    for name in names.lines() {
        env.ok(&["inspect", name])?;
        env.ok(&["start", name])?;
        ensure!(env.ok(&["inspect", "-f", "{{.State.Running}}", name])? == "true", "{name}");
        env.ok(&["rm", "-f", "-v", name])?;
        env.ok(&["create", "--name", name, DEMO, "true"])?;
        env.ok(&["rm", name])?;
    }
    within(BACK, "nothing is left of what was removed", || {
        last = disagreement(&env)?;
        Ok(last.is_empty() && cri_pods(&env)?.is_empty())
    })
    .context(last.clone())?;
    env.stop()
}

/// Execs are records: the next engine knows those of the one before, and tells once of each end.
fn execs_outlive_the_engine() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "-d", "--name", "lives", DEMO, "sleep", "1000"])?;
    let execs = || env.ok(&["inspect", "-f", "{{len .ExecIDs}}", "lives"]);
    // An exec that goes on while the engine is replaced, and one that ends meanwhile.
    env.ok(&["exec", "-d", "lives", "sh", "-c", "while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 7"])?;
    env.ok(&["exec", "-d", "lives", "sh", "-c", "sleep 0.3; exit 8"])?;
    env.kill_process(ENGINE)?;
    within(BACK, "only the exec that runs is told of", || Ok(execs()? == "1"))?;
    env.ok(&["exec", "lives", "touch", "/tmp/end"])?;
    within(BACK, "no exec runs", || Ok(execs()? == "0"))?;
    let told = env.ok(&["events", "--since", "1m", "--until", "0s", "--filter", "event=exec_die"])?;
    for code in ["exitCode=7", "exitCode=8"] {
        ensure!(told.matches(code).count() == 1, "{code} is told of once: {told}");
    }
    env.ok(&["rm", "-f", "lives"])?;
    env.stop()
}

/// A process that dies while its start waits for it: the start fails, and the container can be removed.
fn dead_before_its_start() -> Result<()> {
    let env = shared::env()?;
    env.ok(&["images"])?;
    client(&env, "ctr", &["containers", "create", "k3c.local/demo:latest", "half", "sleep", "100"])?.ok()?;
    let pid = with_channel(&env, |channel| async {
        let mut snapshots = SnapshotsClient::new(channel.clone());
        let message = MountsRequest { snapshotter: "overlayfs".into(), key: "half".into() };
        let rootfs = snapshots.mounts(in_namespace(message)).await?.into_inner().mounts;
        let message = CreateTaskRequest { container_id: "half".into(), rootfs, ..Default::default() };
        let pid = TasksClient::new(channel).create(in_namespace(message)).await?.into_inner().pid;
        Ok(Pid::from_raw(i32::try_from(pid)?))
    })?;
    // It cannot meet the start, which waits at its FIFO.
    kill(pid, Signal::SIGSTOP)?;
    let start = with_channel(&env, |channel| async move {
        let message = StartRequest { container_id: "half".into(), ..Default::default() };
        let started =
            tokio::spawn(async move { TasksClient::new(channel).start(in_namespace(message)).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        ensure!(!started.is_finished(), "started without its process: {:?}", started.await);
        kill(pid, Signal::SIGKILL)?;
        Ok(tokio::time::timeout(BACK, started).await.context("the start still waits")??)
    })?;
    let error = start.err().context("the dead was started")?.to_string();
    ensure!(error.contains("cannot start a container that has stopped"), "{error}");
    client(&env, "ctr", &["tasks", "rm", "half"])?.ok()?;
    client(&env, "ctr", &["containers", "rm", "half"])?.ok().map(drop)
}

/// A message for what CRI has in containerd.
fn in_namespace<M>(message: M) -> tonic::Request<M> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("containerd-namespace", "k8s.io".parse().expect("ASCII"));
    request
}

/// Output of the two loops.
fn churned(env: &TestEnv) -> Result<String> {
    let read = |file: &str| fs::read_to_string(env.home.join(file));
    Ok(read("churn1")? + &read("churn2")?)
}

/// The number of containers that the two loops have made.
fn made(env: &TestEnv) -> Result<usize> {
    let is_id = |line: &&str| line.len() == 64 && line.bytes().all(|b| b.is_ascii_hexdigit());
    Ok(churned(env)?.lines().filter(is_id).count())
}

/// Differences between the records and what CRI, the folders and the volumes have; empty if they agree and the removals
/// that a killed engine left are done.
fn disagreement(env: &TestEnv) -> Result<String> {
    let mut wrong = String::new();
    let rows = env.ok(&["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}"])?;
    let records: BTreeMap<&str, &str> = rows.lines().filter_map(|row| row.split_once(' ')).collect();
    for (pod, id) in cri_pods(env)? {
        if !records.contains_key(id.as_str()) {
            writeln!(wrong, "pod {pod} of nobody: {id}")?;
        }
    }
    let mut running = BTreeSet::new();
    for container in cri_containers(env)? {
        if !records.contains_key(container.record.as_str()) {
            writeln!(wrong, "container {} of nobody", container.id)?;
        }
        if container.running {
            running.insert(container.record);
        }
    }
    for (id, state) in &records {
        if *state == "removing" {
            writeln!(wrong, "{id} is still being removed")?;
        }
        if (*state == "running") != running.contains(*id) {
            writeln!(wrong, "{id} is {state}; CRI says running: {}", running.contains(*id))?;
        }
    }
    let volumes = env.ok(&["volume", "ls", "-q"])?;
    let volumes: BTreeSet<&str> = volumes.lines().collect();
    let known = |folder: &str, name: &str| match folder {
        "volumes" => volumes.contains(name),
        _ => records.contains_key(name),
    };
    for folder in ["logs", "containers", "volumes"] {
        for entry in fs::read_dir(env.data_dir().join(folder))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !known(folder, &name) {
                writeln!(wrong, "{folder}/{name} of nobody")?;
            }
        }
    }
    let dangling = env.ok(&["volume", "ls", "-q", "-f", "dangling=true"])?;
    for name in dangling.lines().filter(|name| !name.starts_with("kept")) {
        writeln!(wrong, "the anonymous volume {name} of nobody")?;
    }
    Ok(wrong)
}

/// Leases and snapshots beyond those of pods and containers.
fn held_for_nobody(env: &TestEnv) -> Result<String> {
    let words = |args: &[&str]| -> Result<Vec<Vec<String>>> {
        let text = client(env, "ctr", args)?.ok()?;
        Ok(text.lines().skip(1).map(|l| l.split_whitespace().map(str::to_owned).collect()).collect())
    };
    let mut users: BTreeSet<String> =
        words(&["containers", "ls"])?.into_iter().filter_map(|row| row.into_iter().next()).collect();
    // CRI has a lease for each pod.
    users.extend(cri_pods(env)?.into_iter().map(|(pod, _)| pod));
    let mut wrong = String::new();
    let active =
        words(&["snapshots", "ls"])?.into_iter().filter(|row| row.last().is_some_and(|k| k != "Committed"));
    for row in active.chain(words(&["leases", "ls"])?) {
        if !users.contains(&row[0]) {
            writeln!(wrong, "{row:?}")?;
        }
    }
    Ok(wrong)
}

fn told_once(both: bool) -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "-d", "--name", "late", DEMO, "sh", "-c", "sleep 2; exit 7"])?;
    let pid = env.ok(&["inspect", "-f", "{{.State.Pid}}", "late"])?;
    let holder = Pid::from_raw(env.process(HOLDER)?);
    // A stopped holder starts no new engine and no new containerd.
    kill(holder, Signal::SIGSTOP)?;
    env.kill_process(ENGINE)?;
    if both {
        env.kill_process(CONTAINERD)?;
    }
    let process = Path::new("/proc").join(pid);
    let ended = within(BACK, "it ends", || Ok(!process.exists())).map(|()| jiff::Timestamp::now());
    sleep(Duration::from_secs(2));
    kill(holder, Signal::SIGCONT)?;
    let ended = ended?;
    let mut last = String::new();
    within(BACK, "it is known", || {
        let ran = env.k3c(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "late"])?;
        last = format!("{} {}", ran.stdout.trim(), ran.stderr);
        Ok(ran.stdout.trim() == "exited 7")
    })
    .with_context(|| last.clone())?;
    // An engine that looks at the end again must not tell of it again.
    sleep(Duration::from_secs(4));
    let events = ["events", "--since", "1m", "--until", "0s", "-f", "container=late", "-f", "event=die"];
    let text = env.ok(&events)?;
    let (time, rest) = text.split_once(' ').context("no event")?;
    ensure!(text.lines().count() == 1 && rest.contains("exitCode=7"), "{text}");
    let finished = env.ok(&["inspect", "-f", "{{.State.FinishedAt}}", "late"])?;
    for time in [time, &finished] {
        let off = time.parse::<jiff::Timestamp>()?.duration_since(ended).unsigned_abs();
        ensure!(off < Duration::from_secs(1), "it ended at {ended}, and is said to at {time}");
    }
    env.stop()
}

/// The shim that a process of a container belongs to.
fn shim_of(env: &TestEnv, name: &str) -> Result<Pid> {
    let pid = env.ok(&["inspect", "-f", "{{.State.Pid}}", name])?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)).context("stat")?;
    let parent: i32 = parent.parse()?;
    let line = crate::user::command_line(parent);
    ensure!(line.contains("containerd-shim-k3c"), "{name}'s parent is {line}");
    Ok(Pid::from_raw(parent))
}

fn shim_killed() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "-d", "--name", "back", "--restart", "always", DEMO, "sleep", "1000"])?;
    env.ok(&["run", "-d", "--name", "gone", DEMO, "sleep", "1000"])?;
    let count = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done";
    env.ok(&["run", "-d", "--name", "other", DEMO, "sh", "-c", count])?;
    let old: Vec<(String, String)> = cri_pods(&env)?;
    let started = env.ok(&["inspect", "-f", "{{.State.StartedAt}}", "other"])?;
    for (name, wanted) in [("gone", "exited 137 0"), ("back", "running 0 1")] {
        let shim = shim_of(&env, name)?;
        let since = Instant::now();
        kill(shim, Signal::SIGKILL)?;
        within(BACK, "ps is true", || {
            let format = "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}";
            Ok(env.ok(&["inspect", "-f", format, name])? == wanted)
        })?;
        report(&format!("{name}: {wanted} {:?} after its shim was killed", since.elapsed()));
    }
    ensure!(
        env.ok(&["inspect", "-f", "{{.State.StartedAt}} {{.RestartCount}}", "other"])?
            == format!("{started} 0")
    );
    let lines = || Ok::<_, anyhow::Error>(env.ok(&["logs", "other"])?.lines().count());
    let before = lines()?;
    within(BACK, "others go on", || Ok(lines()? > before + 3))?;
    ensure!(env.ok(&["exec", "back", "echo", "in"])? == "in");
    // The pods that died with their shims have left no mount, no socket and no cgroup.
    let ids: Vec<String> =
        [env.ok(&["inspect", "-f", "{{.Id}}", "gone"])?, env.ok(&["inspect", "-f", "{{.Id}}", "back"])?]
            .into();
    let dead: Vec<&str> =
        old.iter().filter(|(_, id)| ids.contains(id)).map(|(pod, _)| pod.as_str()).collect();
    ensure!(dead.len() == 2, "{old:?}");
    let holder = env.process(HOLDER)?;
    let mut left = String::new();
    within(BACK, "nothing is left of them", || {
        let mounts = fs::read_to_string(format!("/proc/{holder}/mountinfo"))?;
        let sockets: Vec<String> = fs::read_dir(env.run_dir().join("shim"))?
            .flatten()
            .map(|e| e.file_name().to_string_lossy().into_owned())
            .collect();
        let count = sockets.iter().filter(|name| name.ends_with(".ttrpc")).count();
        let cgroups = env.cgroups()?;
        left = format!("{count} task sockets\n");
        for pod in &dead {
            for place in mounts
                .lines()
                .filter(|l| l.contains(pod))
                .chain(cgroups.split(' ').filter(|l| l.contains(pod)))
            {
                writeln!(left, "{place}")?;
            }
            for socket in sockets.iter().filter(|name| pod.starts_with(name.trim_end_matches(".sock"))) {
                writeln!(left, "{socket}")?;
            }
        }
        Ok(left == "2 task sockets\n")
    })
    .with_context(|| left.clone())?;
    env.ok(&["rm", "-f", "gone", "back", "other"])?;
    env.stop()
}

/// A host that starts again after a power cut: containers with a policy come back, and no data or end is lost.
fn host_restarted() -> Result<()> {
    let mut env = TestEnv::started()?;
    let script = "echo begun; echo mine >> /v/file; exec sleep 1000";
    for (name, policy) in [("always", "always"), ("unless", "unless-stopped"), ("never", "no")] {
        let volume = format!("{name}-volume:/v");
        env.ok(&["run", "-d", "--name", name, "--restart", policy, "-v", &volume, DEMO, "sh", "-c", script])?;
    }
    env.ok(&["create", "--name", "made", DEMO, "echo", "made"])?;
    let ran =
        env.k3c(&["run", "--name", "ended", DEMO, "sh", "-c", "echo data > /file; echo said; exit 4"])?;
    ensure!(ran.code == 4 && ran.stdout == "said\n", "{ran}");
    for name in ["always", "unless", "never"] {
        within(BACK, "it has begun", || Ok(env.k3c(&["logs", name])?.stdout == "begun\n"))?;
    }
    env.power_cut()?;
    env.start()?;
    let states = ["ps", "-a", "--format", "{{.Names}} {{.State}}"];
    let mut last = String::new();
    within(BACK, "what should run is back", || {
        let mut rows: Vec<String> = env.ok(&states)?.lines().map(str::to_owned).collect();
        rows.sort();
        last = rows.join(", ");
        Ok(last == "always running, ended exited, made created, never exited, unless running")
    })
    .with_context(|| format!("{last}\n{}", env.complaints()))?;
    let code = |name: &str| env.ok(&["inspect", "-f", "{{.State.ExitCode}} {{.RestartCount}}", name]);
    ensure!((code("never")?, code("ended")?) == ("255 0".to_owned(), "4 0".to_owned()));
    let events = ["events", "--since", "1m", "--until", "0s", "-f", "container=never", "-f", "event=die"];
    let text = env.ok(&events)?;
    ensure!(text.lines().count() == 1 && text.contains("exitCode=255"), "{text}");
    // Logs, volumes, and the files of an ended attempt are there.
    ensure!(env.ok(&["logs", "never"])? == "begun" && env.ok(&["logs", "ended"])? == "said");
    within(
        BACK,
        "its second attempt",
        || Ok(env.ok(&["exec", "always", "cat", "/v/file"])? == "mine\nmine"),
    )?;
    env.ok(&["cp", "ended:/file", "file"])?;
    ensure!(fs::read_to_string(env.home.join("file"))? == "data\n");
    ensure!(env.ok(&["diff", "ended"])?.contains("A /file"));
    // A container that was never started starts.
    ensure!(env.k3c(&["start", "-a", "made"])?.stdout == "made\n");
    env.ok(&["start", "never"])?;
    ensure!(env.ok(&["inspect", "-f", "{{.State.Running}}", "never"])? == "true");
    env.ok(&["rm", "-f", "always", "unless", "never", "made", "ended"])?;
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "new"])? == "new");
    env.stop()
}

fn a_million_lines() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    let all = |text: &str| text.lines().map(str::parse).eq((1..=1_000_000_u32).map(Ok));
    // The container goes on writing while containerd is away, and beyond what the shim keeps for it.
    let script =
        "i=0; while [ $i -lt 10 ]; do seq $((i*100000+1)) $((i*100000+100000)); i=$((i+1)); sleep 0.6; done";
    let args = ["run", "--name", "many", "--log-opt", "max-size=200m", DEMO, "sh", "-c", script];
    std::thread::scope(|scope| -> Result<()> {
        let run = scope.spawn(|| env.k3c(&args));
        within(BACK, "it writes", || Ok(!env.k3c(&["logs", "--tail", "1", "many"])?.stdout.is_empty()))?;
        let (mut kills, mut last) = (0, String::new());
        while !run.is_finished() {
            match env.kill_process(CONTAINERD) {
                Ok(_) => kills += 1,
                Err(error) => last = format!("{error:#}"),
            }
            sleep(Duration::from_millis(1500));
        }
        let ran = run.join().expect("run")?;
        let lines = ran.stdout.lines().count();
        ensure!(
            kills > 0,
            "containerd was not killed: {last}; {} with {lines} lines, {}",
            ran.code,
            ran.stderr
        );
        ensure!(ran.code == 0 && all(&ran.stdout), "{} with {} lines", ran.code, ran.stdout.lines().count());
        Ok(())
    })?;
    let mut count = 0;
    within(BACK, "the log is whole", || {
        let text = env.k3c(&["logs", "many"])?.stdout;
        count = text.lines().count();
        Ok(all(&text))
    })
    .with_context(|| format!("{count} lines"))?;
    env.stop()
}
