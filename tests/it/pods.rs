//! Pods without a pause container: what CRI's clients see of them, before and after a restart of what is around them, and
//! what is left when something of them is killed.

use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::proxy::{Pod, with_channel};
use crate::user::command_line;
use crate::{Case, DAEMON};
use anyhow::{Context, Result, ensure};
use k3c::proto::cri::{self, NamespaceMode, NamespaceOption};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

type Runtime = cri::runtime_service_client::RuntimeServiceClient<tonic::transport::Channel>;

const CONTAINERD: &str = "/containerd --config";
const BACK: Duration = Duration::from_secs(30);
/// Prints each second, and outlives every test.
const TICKS: &str = "echo begins; sleep 4321";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("pods::nothing_stands_for_a_pod", nothing_stands_for_a_pod),
        case("pods::as_cris_clients_see_them", || all_is_seen(TestEnv::new()?)),
        case("pods::as_roots_clients_see_them", || all_is_seen(TestEnv::of(crate::user::User::root())?)),
        case("pods::as_runcs_containers_see_them", as_runcs_containers_see_them),
        case("pods::killed_shims_and_keepers", killed_shims_and_keepers),
        case("pods::containerd_killed_meanwhile", containerd_killed_meanwhile),
        case("pods::given_up_by_its_caller", given_up_by_its_caller),
        case("pods::keepers_have_nothing", keepers_have_nothing),
        case("pods::an_earlier_version_made_them", an_earlier_version_made_them),
    ]
}

/// Namespaces as a kubelet asks for them, or with one of process IDs for all.
fn modes(pid: NamespaceMode) -> NamespaceOption {
    NamespaceOption { pid: pid.into(), ..Default::default() }
}

fn runtime<T: Send>(
    env: &TestEnv,
    call: impl AsyncFnOnce(Runtime) -> Result<T, tonic::Status> + Send,
) -> Result<T> {
    with_channel(env, |channel| async { Ok(call(Runtime::new(channel)).await?) })
}

fn pods(env: &TestEnv) -> Result<Vec<cri::PodSandbox>> {
    runtime(env, async |mut runtime| {
        Ok(runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?.into_inner().items)
    })
}

fn state_of(env: &TestEnv, pod: &str) -> Result<cri::PodSandboxState> {
    let all = pods(env)?;
    Ok(all.iter().find(|p| p.id == pod).with_context(|| format!("no pod {pod}"))?.state())
}

fn status(env: &TestEnv, pod: &str) -> Result<cri::PodSandboxStatusResponse> {
    let message = cri::PodSandboxStatusRequest { pod_sandbox_id: pod.to_owned(), verbose: true };
    runtime(env, async |mut runtime| Ok(runtime.pod_sandbox_status(message).await?.into_inner()))
}

/// The process in whose namespaces a pod's containers are, as `crictl inspectp` says.
pub(crate) fn keeper(env: &TestEnv, pod: &str) -> Result<i32> {
    let seen = status(env, pod)?;
    let info: serde_json::Value = serde_json::from_str(seen.info.get("info").context("no info")?)?;
    i32::try_from(info["pid"].as_i64().context("no pid")?).map_err(Into::into)
}

fn exec(env: &TestEnv, container: &str, script: &str) -> Result<String> {
    let message = cri::ExecSyncRequest {
        container_id: container.to_owned(),
        cmd: ["sh", "-c", script].map(str::to_owned).into(),
        timeout: 20,
    };
    let answer = runtime(env, async |mut runtime| Ok(runtime.exec_sync(message).await?.into_inner()))?;
    Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
}

/// The shim of a container's first process.
fn shim_of(env: &TestEnv, name: &str) -> Result<i32> {
    let pid = env.ok(&["inspect", "-f", "{{.State.Pid}}", name])?;
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let parent = text.lines().find_map(|line| line.strip_prefix("PPid:")).context("no parent")?;
    let parent = parent.trim().parse()?;
    ensure!(command_line(parent).contains("containerd-shim-k3c"), "{}", command_line(parent));
    Ok(parent)
}

/// All that pods have left in an instance that runs.
fn left(env: &TestEnv) -> Result<String> {
    let mut left = String::new();
    for (pid, line) in env.processes() {
        if ["shim", "k3c-reaper", "sleep 4321"].iter().any(|part| line.contains(part)) {
            writeln!(left, "process {pid}: {line}")?;
        }
    }
    let holder = env.process("__holder")?;
    for line in fs::read_to_string(format!("/proc/{holder}/mountinfo"))?.lines() {
        let at = line.split(' ').nth(4).unwrap_or_default();
        if ["/shim/pods/", "/containerd/io.containerd.grpc.v1.cri/netns/"].iter().any(|p| at.contains(p)) {
            writeln!(left, "mount {at}")?;
        }
    }
    let shims = env.run_dir().join("shim");
    for folder in [shims.clone(), shims.join("pods"), shims.join("runc/k8s.io")] {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !["pods", "runc"].contains(&name.as_str()) {
                writeln!(left, "file {}", folder.join(name).display())?;
            }
        }
    }
    for cgroup in env.cgroups()?.split(' ').filter(|name| name.contains("/k8s.io/")) {
        writeln!(left, "cgroup {cgroup}")?;
    }
    Ok(left)
}

fn nothing_is_left(env: &TestEnv) -> Result<()> {
    let mut last = String::new();
    within(BACK, "nothing is left of the pods", || {
        last = left(env)?;
        Ok(last.is_empty())
    })
    .with_context(|| last.clone())
}

fn nothing_stands_for_a_pod() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "-d", "--name", "alone", DEMO, "sleep", "4321"])?;
    let running: Vec<String> = env.processes().into_iter().map(|(_, line)| line).collect();
    ensure!(!running.iter().any(|line| line.contains("pause") || line.contains("reaper")), "{running:?}");
    let images = with_channel(&env, |channel| async {
        let mut images = cri::image_service_client::ImageServiceClient::new(channel);
        Ok(images.list_images(cri::ListImagesRequest::default()).await?.into_inner().images)
    })?;
    ensure!(images.iter().all(|i| !i.pinned), "{images:?}");
    let names: Vec<&String> = images.iter().flat_map(|i| &i.repo_tags).collect();
    ensure!(names == ["k3c.local/demo:latest"], "{names:?}");
    // The namespaces are a thread's of the shim.
    let shim = shim_of(&env, "alone")?;
    let pod = pods(&env)?.first().context("no pod")?.id.clone();
    let thread = keeper(&env, &pod)?;
    ensure!(Path::new(&format!("/proc/{shim}/task/{thread}")).exists(), "{thread} is no thread of {shim}");
    env.ok(&["rm", "-f", "alone"])?;
    nothing_is_left(&env)?;
    env.stop()
}

/// What `crictl` shows of a pod with one container.
fn seen(env: &TestEnv, pod: &Pod<'_>, container: &str, mode: NamespaceMode) -> Result<i64> {
    let all = pods(env)?;
    let row = all.iter().find(|p| p.id == pod.id).context("not in the list")?;
    ensure!(row.state() == cri::PodSandboxState::SandboxReady, "{row:?}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let age = now.saturating_sub(u64::try_from(row.created_at)? / 1_000_000_000);
    ensure!(age < 300, "it was made {age} s ago: {row:?}");
    let one = status(env, &pod.id)?;
    let described = one.status.clone().context("no status")?;
    ensure!(
        described.created_at == row.created_at && described.state() == row.state(),
        "{described:?} {row:?}"
    );
    let address = described.network.context("no network")?.ip;
    ensure!(address.starts_with("10."), "{address}");
    let info: serde_json::Value = serde_json::from_str(one.info.get("info").context("no info")?)?;
    ensure!(info["processStatus"] == "running" && info["netNamespaceClosed"] == false, "{info}");
    ensure!(info["config"]["metadata"]["name"] == row.metadata.clone().unwrap_or_default().name, "{info}");
    let configs = &info["cniResult"]["Interfaces"]["eth0"]["IPConfigs"];
    ensure!(configs.as_array().into_iter().flatten().any(|c| c["IP"] == address.as_str()), "{configs}");
    // The namespaces that it names are the container's.
    let keeper = info["pid"].as_i64().context("no pid")?;
    let script =
        "for kind in net ipc uts pid; do readlink /proc/self/ns/$kind; done; hostname; cat /etc/hostname";
    let inside = exec(env, container, script)?;
    let inside: Vec<&str> = inside.lines().collect();
    for (at, kind) in ["net", "ipc", "uts", "pid"].into_iter().enumerate() {
        let link = fs::read_link(format!("/proc/{keeper}/ns/{kind}"))?;
        let same = inside.get(at) == Some(&link.to_string_lossy().as_ref());
        ensure!(
            same == (kind != "pid" || mode == NamespaceMode::Pod),
            "{kind}: {inside:?} {}",
            link.display()
        );
    }
    ensure!(inside[4..] == ["in-the-pod", "in-the-pod"], "{inside:?}");
    // Figures.
    let figures = runtime(env, async |mut runtime| {
        let one = cri::PodSandboxStatsRequest { pod_sandbox_id: pod.id.clone() };
        let one = runtime.pod_sandbox_stats(one).await?.into_inner().stats.unwrap_or_default();
        let all = cri::ListPodSandboxStatsRequest::default();
        let all = runtime.list_pod_sandbox_stats(all).await?.into_inner().stats;
        let containers = runtime.list_container_stats(cri::ListContainerStatsRequest::default()).await?;
        Ok((one, all, containers.into_inner().stats))
    })?;
    let linux = figures.0.linux.context("no figures")?;
    ensure!(figures.1.len() == 1 && figures.2.len() == 1, "{} {}", figures.1.len(), figures.2.len());
    ensure!(linux.containers.len() == 1, "{linux:?}");
    let memory = linux.memory.and_then(|m| m.working_set_bytes).map_or(0, |v| v.value);
    ensure!(memory > 0, "no memory");
    let network = linux.network.and_then(|n| n.default_interface).map(|i| i.name);
    ensure!(network.as_deref() == Some("eth0"), "{network:?}");
    // The name is taken.
    let request = cri::RunPodSandboxRequest { config: Some(pod.sandbox.clone()), ..Default::default() };
    let again = runtime(env, async |mut runtime| runtime.run_pod_sandbox(request).await.map(drop));
    let why = again.err().map(|e| format!("{e:#}")).unwrap_or_default();
    ensure!(why.contains("failed to reserve sandbox name") && why.contains(&pod.id), "{why}");
    Ok(row.created_at)
}

fn as_runcs_containers_see_them() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.set("K3C_OCI_RUNTIME", "runc");
    all_is_seen(env)
}

fn all_is_seen(mut env: TestEnv) -> Result<()> {
    env.start()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    for (name, mode) in [("apart", NamespaceMode::Container), ("shared", NamespaceMode::Pod)] {
        let pod = Pod::run_with(&env, name, modes(mode), &|config| {
            config.hostname = "in-the-pod".into();
            let sysctl = ("net.core.somaxconn".to_owned(), "77".to_owned());
            config.linux.get_or_insert_default().sysctls = [sysctl].into();
            config.dns_config =
                Some(cri::DnsConfig { servers: vec!["10.9.8.7".into()], ..Default::default() });
        })?;
        let first = pod.container("first", TICKS, &|_| {})?;
        exec(&env, &first, "echo memory > /dev/shm/word")?;
        let born = seen(&env, &pod, &first, mode).with_context(|| name.to_owned())?;
        for part in [CONTAINERD, "__engine", CONTAINERD] {
            let old = env.kill_process(part)?;
            within(BACK, "it is back", || Ok(env.process(part).is_ok_and(|new| new != old)))?;
            within(BACK, "the pod is seen", || Ok(pods(&env).is_ok_and(|all| all.len() == 1)))?;
            let mut last = String::new();
            within(BACK, "all is seen as before", || {
                match seen(&env, &pod, &first, mode) {
                    Ok(now) => {
                        ensure!(now == born, "made at {born}, or at {now}?");
                        return Ok(true);
                    }
                    Err(error) => last = format!("{error:#}"),
                }
                Ok(false)
            })
            .with_context(|| format!("{name}, {part}: {last}"))?;
        }
        // The pod takes containers as before.
        let second = pod.container("second", TICKS, &|_| {})?;
        let script = "cat /dev/shm/word /etc/hostname /etc/resolv.conf /proc/sys/net/core/somaxconn; hostname; grep -c localhost /etc/hosts";
        let said = exec(&env, &second, script)?;
        let said: Vec<&str> = said.lines().collect();
        ensure!(said[..5] == ["memory", "in-the-pod", "nameserver 10.9.8.7", "77", "in-the-pod"], "{said:?}");
        let processes = exec(&env, &second, "ps")?;
        let others = processes.matches("sleep 4321").count();
        ensure!(others == if mode == NamespaceMode::Pod { 2 } else { 1 }, "{processes}");
        let id = pod.id.clone();
        runtime(&env, async |mut runtime| {
            let message = cri::StopPodSandboxRequest { pod_sandbox_id: id.clone() };
            runtime.stop_pod_sandbox(message).await.map(drop)
        })?;
        within(BACK, "it is not ready", || {
            Ok(state_of(&env, &pod.id)? == cri::PodSandboxState::SandboxNotready)
        })?;
        pod.remove()?;
        nothing_is_left(&env)?;
    }
    env.stop()
}

fn killed_shims_and_keepers() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    for (name, mode, who) in [
        ("one", NamespaceMode::Container, "shim"),
        ("two", NamespaceMode::Pod, "shim"),
        ("three", NamespaceMode::Pod, "keeper"),
        ("four", NamespaceMode::Pod, "away"),
    ] {
        let pod = Pod::run(&env, name, modes(mode))?;
        let first = pod.container("first", TICKS, &|_| {})?;
        let shim = shim_of(&env, &format!("{name}/first"))?;
        let victim = if who == "keeper" { keeper(&env, &pod.id)? } else { shim };
        if who == "away" {
            // Nobody sees it.
            let holder = Pid::from_raw(env.process("__holder")?);
            kill(holder, Signal::SIGSTOP)?;
            env.kill_process(CONTAINERD)?;
            kill(Pid::from_raw(victim), Signal::SIGKILL)?;
            kill(holder, Signal::SIGCONT)?;
        } else {
            kill(Pid::from_raw(victim), Signal::SIGKILL)?;
        }
        let message = cri::ContainerStatusRequest { container_id: first.clone(), verbose: false };
        let mut last = String::new();
        within(BACK, "the pod and its container are over", || {
            let asked = message.clone();
            let seen = runtime(&env, async |mut runtime| runtime.container_status(asked).await);
            let Ok(seen) = seen else { return Ok(false) };
            let seen = seen.into_inner().status.unwrap_or_default();
            let pod = state_of(&env, &pod.id)?;
            last = format!("{pod:?} {:?} {}", seen.state(), seen.exit_code);
            // CRI may see the connection's end first, which is 255 to it.
            let codes = if who == "keeper" { &[137][..] } else { &[137, 255] };
            Ok(codes.iter().any(|code| last == format!("SandboxNotready ContainerExited {code}")))
        })
        .with_context(|| format!("{name}: {last}"))?;
        let described = status(&env, &pod.id)?;
        ensure!(described.info["info"].contains("sandboxMetadata"), "{described:?}");
        env.ok(&["rm", "-f", &format!("{name}/first")])?;
        pod.remove()?;
        nothing_is_left(&env).with_context(|| name.to_owned())?;
    }
    env.stop()
}

fn containerd_killed_meanwhile() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    for round in 0..12_u64 {
        let mode = if round % 2 == 0 { NamespaceMode::Container } else { NamespaceMode::Pod };
        let name = format!("pod{round}");
        let kill_in = |after: Duration| {
            std::thread::sleep(after);
            // What it is about to execute looks like it for a moment.
            within(BACK, "it is killed", || Ok(env.kill_process(CONTAINERD).is_ok()))
        };
        // In the middle of its making, or of its end.
        let after = Duration::from_millis(10 + round * 13 % 90);
        let made = match round % 3 {
            0 => std::thread::scope(|scope| {
                let making = scope.spawn(|| Pod::run(&env, &name, modes(mode)));
                kill_in(after)?;
                Ok::<_, anyhow::Error>(making.join().expect("a pod").ok())
            })?,
            which => {
                let pod = Pod::run(&env, &name, modes(mode))?;
                pod.container("first", TICKS, &|_| {})?;
                let id = pod.id.clone();
                std::thread::scope(|scope| {
                    let ending = scope.spawn(|| {
                        runtime(&env, async |mut runtime| {
                            if which == 1 {
                                let message = cri::StopPodSandboxRequest { pod_sandbox_id: id.clone() };
                                return runtime.stop_pod_sandbox(message).await.map(drop);
                            }
                            let message = cri::RemovePodSandboxRequest { pod_sandbox_id: id.clone() };
                            runtime.remove_pod_sandbox(message).await.map(drop)
                        })
                    });
                    kill_in(after)?;
                    let _ = ending.join().expect("an end");
                    Ok::<_, anyhow::Error>(())
                })?;
                Some(pod)
            }
        };
        drop(made);
        within(BACK, "all pods are removed", || {
            let Ok(all) = pods(&env) else { return Ok(false) };
            for pod in &all {
                let message = cri::RemovePodSandboxRequest { pod_sandbox_id: pod.id.clone() };
                let _ =
                    runtime(&env, async |mut runtime| runtime.remove_pod_sandbox(message).await.map(drop));
            }
            Ok(all.is_empty())
        })?;
        // A network namespace containerd writes down only after it has made it.
        let mut last = String::new();
        within(BACK, "nothing is left of the pod", || {
            last = left(&env)?;
            Ok(last.lines().all(|line| line.contains("/netns/")))
        })
        .with_context(|| format!("round {round}, {after:?}: {last}"))?;
        // The name is free again.
        Pod::run(&env, &name, modes(mode))?.remove()?;
    }
    env.stop()
}

/// Callers of RunPodSandbox that go away: containerd cancels what it was about, and may tell the shim nothing.
fn given_up_by_its_caller() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    for round in 0..16_u64 {
        let config = cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata { name: format!("gone{round}"), ..Default::default() }),
            linux: Some(cri::LinuxPodSandboxConfig::default()),
            ..Default::default()
        };
        let limit = Duration::from_millis(5 + round * 5);
        let mut request =
            tonic::Request::new(cri::RunPodSandboxRequest { config: Some(config), ..Default::default() });
        request.set_timeout(limit);
        let _ = runtime(&env, async |mut runtime| runtime.run_pod_sandbox(request).await.map(drop));
    }
    within(BACK, "all pods are removed", || {
        let all = pods(&env)?;
        for pod in &all {
            let message = cri::RemovePodSandboxRequest { pod_sandbox_id: pod.id.clone() };
            let _ = runtime(&env, async |mut runtime| runtime.remove_pod_sandbox(message).await.map(drop));
        }
        Ok(all.is_empty())
    })?;
    nothing_is_left(&env)?;
    env.stop()
}

/// The process that keeps a pod's process IDs is seen by its containers: there is nothing to be had from it.
fn keepers_have_nothing() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    let pod = Pod::run_with(&env, "looked-at", modes(NamespaceMode::Pod), &|config| {
        let linux = config.linux.get_or_insert_default();
        linux.security_context.get_or_insert_default().privileged = true;
    })?;
    let all = |config: &mut cri::ContainerConfig| {
        let linux = config.linux.get_or_insert_default();
        linux.security_context.get_or_insert_default().privileged = true;
    };
    let first = pod.container("first", TICKS, &all)?;
    let script = "ls -A /proc/1/root | wc -l; ls /proc/1/fd | wc -l; grep -E '^Cap(Eff|Prm|Bnd)' /proc/1/status | sort -u -k2 | wc -l;
        grep CapBnd /proc/1/status; (echo x >> /proc/1/exe) 2>/dev/null && echo written; echo x 2>/dev/null > /proc/1/root/x && echo made; sh -c 'sleep 0.1 & exit'; sleep 0.5; ps | grep -c '\\[sleep\\]'";
    let said = exec(&env, &first, script)?;
    let said: Vec<&str> = said.split_whitespace().collect();
    ensure!(said == ["0", "3", "1", "CapBnd:", "0000000000000000", "0"], "{said:?}");
    let keeper = keeper(&env, &pod.id)?;
    ensure!(command_line(keeper).starts_with("k3c-reaper"), "{}", command_line(keeper));
    pod.remove()?;
    nothing_is_left(&env)?;
    env.stop()
}

/// Pods with a pause container go on when the version after them takes over, until they are removed. `K3C_TEST_OLD_BIN`
/// names a binary that makes them.
fn an_earlier_version_made_them() -> Result<()> {
    let Some(old) = std::env::var_os("K3C_TEST_OLD_BIN") else {
        crate::report("an earlier version's pods: not looked at without K3C_TEST_OLD_BIN");
        return Ok(());
    };
    let mut env = TestEnv::new()?;
    let new = env.use_binary(Path::new(&old))?;
    env.start()?;
    env.ok(&["run", "-d", "--name", "ours", DEMO, "sh", "-c", "echo begins; sleep 4321"])?;
    let pod = Pod::run(&env, "theirs", modes(NamespaceMode::Pod))?;
    let first = pod.container("first", TICKS, &|_| {})?;
    ensure!(
        env.processes().iter().filter(|(_, line)| line.starts_with("/pause")).count() == 2,
        "no old pods"
    );
    let started = env.ok(&["inspect", "-f", "{{.State.StartedAt}}", "ours"])?;
    env.replace_binary(&new)?;
    let before = [env.process("__engine")?, env.process(CONTAINERD)?];
    env.ok(&["daemon", "reload"])?;
    // The programs of the old one may do nothing of the new configuration.
    within(BACK, "the new version is there", || {
        Ok(env.process("__engine").is_ok_and(|new| new != before[0])
            && env.process(CONTAINERD).is_ok_and(|new| new != before[1]))
    })?;
    within(BACK, "it answers", || Ok(env.k3c(&["ps"])?.code == 0))?;
    within(BACK, "the image of the old version is gone", || {
        let images = with_channel(&env, |channel| async {
            let mut images = cri::image_service_client::ImageServiceClient::new(channel);
            Ok(images.list_images(cri::ListImagesRequest::default()).await?.into_inner().images)
        })?;
        Ok(!images.iter().any(|i| i.repo_tags.iter().any(|tag| tag.contains("pause"))))
    })?;
    for _ in 0..2 {
        ensure!(env.ok(&["inspect", "-f", "{{.State.StartedAt}}", "ours"])? == started);
        ensure!(env.ok(&["exec", "ours", "echo", "in"])? == "in");
        ensure!(env.ok(&["logs", "ours"])? == "begins");
        ensure!(exec(&env, &first, "echo in")? == "in\n");
        ensure!(state_of(&env, &pod.id)? == cri::PodSandboxState::SandboxReady);
        let old = env.kill_process(CONTAINERD)?;
        within(BACK, "it is back", || Ok(env.process(CONTAINERD).is_ok_and(|new| new != old)))?;
        within(BACK, "it answers", || Ok(exec(&env, &first, "true").is_ok()))?;
    }
    let second = pod.container("second", TICKS, &|_| {})?;
    ensure!(exec(&env, &second, "ps")?.matches("sleep 4321").count() == 2);
    // A new container, and the old one anew, are of the new kind.
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "new"])? == "new");
    env.ok(&["restart", "-t", "0", "ours"])?;
    ensure!(
        env.processes().iter().filter(|(_, line)| line.starts_with("/pause")).count() == 1,
        "restart keeps it"
    );
    env.ok(&["stop", "-t", "0", "ours"])?;
    env.ok(&["rm", "ours"])?;
    pod.remove()?;
    nothing_is_left(&env)?;
    env.stop()
}
