//! One socket: unmodified `ctr` and `buildctl`, and a CRI client, on `k3c.sock`.

use crate::containers::{DEMO, within};
use crate::env::{Ran, TestEnv};
use crate::host::{Need, tool};
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use k3c::proto;
use k3c::proto::cri;
use k3c::proto::cri::runtime_service_client::RuntimeServiceClient;
use std::time::Duration;

pub(crate) const WITH_TOOLS: &[Need] = &[Need::Daemon, Need::Tools];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("proxy::ctr", WITH_TOOLS, ctr),
        Case::new("proxy::buildctl", WITH_TOOLS, buildctl),
        Case::new("proxy::cri", DAEMON, cris_client),
        Case::new("proxy::containers_of_others", DAEMON, containers_of_others),
        Case::new("proxy::pods_with_namespaces_of_others", DAEMON, pods_with_namespaces_of_others),
        Case::new("proxy::pods_with_users_of_their_own", DAEMON, pods_with_users_of_their_own),
        Case::new("proxy::http1_is_answered_in_words", DAEMON, http1_is_answered_in_words),
        Case::new("proxy::health", DAEMON, health),
        Case::new("proxy::rootlesskits_client_finds_the_namespaces", DAEMON, rootlesskit),
    ]
}

/// A client of another project, copied to where the user can run it, with the socket's address in its arguments.
pub(crate) fn client(env: &TestEnv, name: &str, args: &[&str]) -> Result<Ran> {
    let copy = env.home.join(name);
    if !copy.exists() {
        std::fs::copy(tool(name), &copy).with_context(|| name.to_owned())?;
    }
    let socket = env.socket().display().to_string();
    let address = if name == "ctr" { vec!["--address", &socket, "-n", "k8s.io"] } else { vec!["--addr"] };
    let unix = format!("unix://{socket}");
    let mut all = address;
    if name != "ctr" {
        all.push(&unix);
    }
    all.extend(args);
    env.program(&copy, &all)
}

fn ctr() -> Result<()> {
    let env = shared::env()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    ensure!(client(&env, "ctr", &["version"])?.ok()?.contains("Server:"));
    let images = client(&env, "ctr", &["images", "ls", "-q"])?.ok()?;
    ensure!(images.lines().any(|line| line == "k3c.local/demo:latest"), "{images}");
    ensure!(
        client(&env, "ctr", &["snapshots", "--snapshotter", "overlayfs", "ls"])?.ok()?.lines().count() > 1
    );
    env.ok(&["run", "-d", "--name", "seen", DEMO, "sleep", "300"])?;
    ensure!(client(&env, "ctr", &["tasks", "ls"])?.ok()?.contains("RUNNING"));
    env.ok(&["rm", "-f", "seen"])?;
    // ctr makes its FIFOs itself, on the host's side of /run.
    let fifos = env.runtime.join("fifos");
    env.user.dir(&fifos, 0o700)?;
    let fifos = fifos.display().to_string();
    let ran = client(
        &env,
        "ctr",
        &["run", "--rm", "--fifo-dir", &fifos, "k3c.local/demo:latest", "by-ctr", "echo", "from ctr"],
    )?;
    ensure!(ran.code == 0 && ran.stdout.contains("from ctr"), "{ran}");
    ensure!(env.ok(&["ps", "-aq", "--filter", "name=by-ctr"])?.is_empty());
    Ok(())
}

fn buildctl() -> Result<()> {
    let env = shared::env()?;
    let dir = env.home.join("by-buildctl");
    env.user.dir(&dir, 0o755)?;
    env.user.write(
        &dir.join("Dockerfile"),
        format!("FROM {DEMO}\nRUN echo by buildctl > /who\nCMD [\"cat\", \"/who\"]\n"),
    )?;
    ensure!(client(&env, "buildctl", &["debug", "workers"])?.ok()?.contains("linux/"));
    let dir = dir.display().to_string();
    let (context, file) = (format!("context={dir}"), format!("dockerfile={dir}"));
    let ran = client(
        &env,
        "buildctl",
        &[
            "build",
            "--progress",
            "plain",
            "--frontend",
            "dockerfile.v0",
            "--opt",
            "image-resolve-mode=local",
            "--local",
            &context,
            "--local",
            &file,
            "--output",
            "type=image,name=docker.io/library/by-buildctl:1",
        ],
    )?;
    ensure!(ran.code == 0, "{ran}");
    ensure!(env.ok(&["run", "--rm", "by-buildctl:1"])? == "by buildctl");
    let histories = client(&env, "buildctl", &["debug", "histories"])?.ok()?;
    let references =
        histories.lines().skip(1).filter_map(|line| line.split_whitespace().find(|w| w.len() > 20));
    let found = references.into_iter().any(|reference| {
        client(&env, "buildctl", &["debug", "logs", reference]).is_ok_and(|logs| {
            logs.code == 0 && format!("{}{}", logs.stdout, logs.stderr).contains("by buildctl")
        })
    });
    ensure!(found, "no log of this build: {histories}");
    let used = client(&env, "buildctl", &["du"])?.ok()?;
    ensure!(used.contains("RECLAIMABLE") && used.contains("Total:"), "{used}");
    ensure!(client(&env, "buildctl", &["prune"])?.code == 0);
    Ok(())
}

/// Runs something in a thread that is the instance's user: the socket serves nobody else (not even the host's root).
fn as_user<T: Send>(env: &TestEnv, body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let uid = rustix::process::Uid::from_raw(env.user.uid);
    std::thread::scope(|scope| {
        scope
            .spawn(move || {
                rustix::thread::set_thread_res_uid(uid, uid, uid)?;
                body()
            })
            .join()
            .unwrap_or_else(|_| Err(anyhow::anyhow!("the thread panicked")))
    })
}

/// Runs async code against the socket.
pub(crate) fn with_channel<T: Send, F>(
    env: &TestEnv,
    body: impl FnOnce(tonic::transport::Channel) -> F + Send,
) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let socket = env.socket();
    as_user(env, move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let channel = tonic::transport::Endpoint::from_static("http://k3c")
                .connect_with_connector(tower::service_fn(move |_| {
                    let socket = socket.clone();
                    async move {
                        Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(
                            tokio::net::UnixStream::connect(socket).await?,
                        ))
                    }
                }))
                .await?;
            body(channel).await
        })
    })
}

fn cris_client() -> Result<()> {
    use proto::cri::image_service_client::ImageServiceClient;
    let env = shared::env()?;
    env.ok(&["run", "-d", "--name", "for-cri", DEMO, "sleep", "300"])?;
    let id = env.ok(&["inspect", "-f", "{{.Id}}", "for-cri"])?;
    with_channel(&env, |channel| async move {
        let mut runtime = RuntimeServiceClient::new(channel.clone());
        let version = runtime.version(proto::cri::VersionRequest::default()).await?.into_inner();
        ensure!(version.runtime_name == "containerd", "{version:?}");
        let containers = runtime
            .list_containers(proto::cri::ListContainersRequest::default())
            .await?
            .into_inner()
            .containers;
        ensure!(
            containers.iter().any(|c| c.labels.get("io.k3c.id") == Some(&id)),
            "{id} is not among CRI's containers: {containers:?}"
        );
        let images =
            ImageServiceClient::new(channel).list_images(proto::cri::ListImagesRequest::default()).await?;
        let images = images.into_inner().images;
        ensure!(
            images.iter().any(|i| i.repo_tags.iter().any(|tag| tag.contains("k3c.local/demo"))),
            "{images:?}"
        );
        Ok(())
    })?;
    env.ok(&["rm", "-f", "for-cri"]).map(drop)
}

/// A pod with one container, made as a kubelet makes it, is seen by our verbs.
fn containers_of_others() -> Result<()> {
    let env = shared::env()?;
    // A container of ours brings the demonstration image along; a kubelet pulls.
    env.ok(&["run", "--rm", DEMO, "true"])?;
    let words = "echo to out; echo to err >&2; trap 'exit 7' TERM; while :; do sleep 0.1; done";
    let pod = Pod::run(&env, "theirs", cri::NamespaceOption::default())?;
    let id = pod.container("web", words, &|_| {})?;
    let name = "theirs/web";
    let row = env.ok(&["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.Image}} {{.State}}"])?;
    ensure!(row.lines().any(|l| l == format!("{id} {name} k3c.local/demo:latest running")), "{row}");
    within(Duration::from_secs(10), "logs of theirs", || {
        let ran = env.k3c(&["logs", name])?;
        Ok(ran.stdout == "to out\n" && ran.stderr == "to err\n")
    })?;
    for who in [name, &id, &id[..12]] {
        ensure!(env.ok(&["exec", who, "echo", "in there"])? == "in there", "exec in {who}");
        ensure!(env.ok(&["inspect", "-f", "{{.Name}} {{.State.Status}}", who])? == "/theirs/web running");
    }
    let cri = env.ok(&["inspect", "--cri", "-f", "{{.status.metadata.name}}", name])?;
    ensure!(cri == "web", "{cri}");
    env.k3c(&["rm", name])?.fails(1, "it was not made by k3c")?;
    env.k3c(&["rm", "-f", &id[..12]])?.ok()?;
    ensure!(env.ok(&["stop", name])? == name);
    ensure!(env.ok(&["wait", name])? == "7");
    env.ok(&["container", "prune", "-f"])?;
    let row = env.ok(&["ps", "-a", "--format", "{{.Names}} {{.Status}}"])?;
    ensure!(row.lines().any(|l| l.starts_with("theirs/web Exited (7) ")), "pruned or untrue: {row}");
    env.ok(&["rm", "-f", name])?;
    ensure!(!env.ok(&["ps", "-a"])?.contains("theirs"), "rm -f of its exact name left it");
    pod.remove()
}

/// A pod, made as a kubelet makes it.
pub(crate) struct Pod<'a> {
    env: &'a TestEnv,
    pub(crate) sandbox: cri::PodSandboxConfig,
    pub(crate) id: String,
}

impl<'a> Pod<'a> {
    pub(crate) fn run(env: &'a TestEnv, name: &str, namespaces: cri::NamespaceOption) -> Result<Self> {
        Self::run_with(env, name, namespaces, &|_| {})
    }

    /// `change` has the last word on its configuration.
    pub(crate) fn run_with(
        env: &'a TestEnv,
        name: &str,
        namespaces: cri::NamespaceOption,
        change: &dyn Fn(&mut cri::PodSandboxConfig),
    ) -> Result<Self> {
        let logs = env.home.join(format!("logs-of-{name}"));
        env.user.dir(&logs, 0o755)?;
        let security =
            cri::LinuxSandboxSecurityContext { namespace_options: Some(namespaces), ..Default::default() };
        let mut sandbox = cri::PodSandboxConfig {
            metadata: Some(cri::PodSandboxMetadata {
                name: name.into(),
                uid: format!("u-{name}"),
                namespace: "kube".into(),
                attempt: 0,
            }),
            log_directory: logs.display().to_string(),
            linux: Some(cri::LinuxPodSandboxConfig {
                security_context: Some(security),
                ..Default::default()
            }),
            ..Default::default()
        };
        change(&mut sandbox);
        let request =
            cri::RunPodSandboxRequest { config: Some(sandbox.clone()), runtime_handler: String::new() };
        let id = with_channel(env, |channel| async {
            Ok(RuntimeServiceClient::new(channel).run_pod_sandbox(request).await?.into_inner().pod_sandbox_id)
        })?;
        Ok(Self { env, sandbox, id })
    }

    /// Makes and starts a container of the pod; `change` has the last word on its configuration.
    pub(crate) fn container(
        &self,
        name: &str,
        script: &str,
        change: &dyn Fn(&mut cri::ContainerConfig),
    ) -> Result<String> {
        let context = self.sandbox.linux.as_ref().and_then(|l| l.security_context.as_ref());
        let security = cri::LinuxContainerSecurityContext {
            namespace_options: context.and_then(|c| c.namespace_options.clone()),
            ..Default::default()
        };
        let mut config = cri::ContainerConfig {
            metadata: Some(cri::ContainerMetadata { name: name.into(), attempt: 0 }),
            image: Some(cri::ImageSpec { image: DEMO.into(), ..Default::default() }),
            command: ["sh", "-c", script].map(str::to_owned).into(),
            log_path: format!("{name}.log"),
            linux: Some(cri::LinuxContainerConfig { security_context: Some(security), ..Default::default() }),
            ..Default::default()
        };
        change(&mut config);
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: self.id.clone(),
            config: Some(config),
            sandbox_config: Some(self.sandbox.clone()),
        };
        with_channel(self.env, |channel| async {
            let mut runtime = RuntimeServiceClient::new(channel);
            let id = runtime.create_container(request).await?.into_inner().container_id;
            runtime.start_container(cri::StartContainerRequest { container_id: id.clone() }).await?;
            Ok(id)
        })
    }

    pub(crate) fn remove(self) -> Result<()> {
        with_channel(self.env, |channel| async {
            let mut runtime = RuntimeServiceClient::new(channel);
            let pod_sandbox_id = self.id.clone();
            runtime.stop_pod_sandbox(cri::StopPodSandboxRequest { pod_sandbox_id }).await?;
            let pod_sandbox_id = self.id.clone();
            runtime.remove_pod_sandbox(cri::RemovePodSandboxRequest { pod_sandbox_id }).await?;
            Ok(())
        })
    }
}

/// A container of ours, as CRI sees it.
pub(crate) struct Seen {
    pub(crate) id: String,
    /// The record's ID.
    pub(crate) record: String,
    pub(crate) running: bool,
}

/// All containers that carry our label.
pub(crate) fn cri_containers(env: &TestEnv) -> Result<Vec<Seen>> {
    with_channel(env, |channel| async {
        let mut runtime = RuntimeServiceClient::new(channel);
        let all =
            runtime.list_containers(cri::ListContainersRequest::default()).await?.into_inner().containers;
        Ok(all
            .into_iter()
            .filter_map(|c| {
                let running = c.state() == cri::ContainerState::ContainerRunning;
                Some(Seen { record: c.labels.get("io.k3c.id")?.clone(), id: c.id, running })
            })
            .collect())
    })
}

/// All pods that carry our label, with the record's ID.
pub(crate) fn cri_pods(env: &TestEnv) -> Result<Vec<(String, String)>> {
    with_channel(env, |channel| async {
        let mut runtime = RuntimeServiceClient::new(channel);
        let all = runtime.list_pod_sandbox(cri::ListPodSandboxRequest::default()).await?.into_inner().items;
        Ok(all.into_iter().filter_map(|p| Some((p.id, p.labels.get("io.k3c.id")?.clone()))).collect())
    })
}

/// Checks that our `exec`, `logs` and `ps` work on a container, whoever made it.
fn works(env: &TestEnv, name: &str, id: &str) -> Result<()> {
    within(Duration::from_secs(10), "its log", || {
        Ok(env.k3c(&["logs", name])?.stdout.starts_with("begins\n"))
    })?;
    ensure!(env.ok(&["exec", name, "echo", "in there"])? == "in there");
    let rows = env.ok(&["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}"])?;
    ensure!(rows.lines().any(|row| row == format!("{id} {name} running")), "{name}: {rows}");
    Ok(())
}

const BEGINS: &str = "echo begins; sleep 1000";

fn pods_with_namespaces_of_others() -> Result<()> {
    use cri::NamespaceMode::{Container, Node, Pod as Shared, Target};
    let env = shared::env()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    let holder = env.process("__holder")?;
    let of = |pid: &str, kind: &str| std::fs::read_link(format!("/proc/{pid}/ns/{kind}"));
    let modes = |network: cri::NamespaceMode, pid: cri::NamespaceMode, ipc: cri::NamespaceMode| {
        cri::NamespaceOption {
            network: network.into(),
            pid: pid.into(),
            ipc: ipc.into(),
            ..Default::default()
        }
    };
    for (name, options) in [
        ("host-net", modes(Node, Container, Shared)),
        ("host-pid", modes(Shared, Node, Shared)),
        ("host-ipc", modes(Shared, Container, Node)),
        ("host-all", modes(Node, Node, Node)),
        ("own-all", modes(Shared, Container, Shared)),
    ] {
        let pod = Pod::run(&env, name, options.clone())?;
        let id = pod.container("web", BEGINS, &|_| {}).with_context(|| name.to_owned())?;
        let full = format!("{name}/web");
        works(&env, &full, &id).with_context(|| name.to_owned())?;
        let pid = env.ok(&["inspect", "-f", "{{.State.Pid}}", &full])?;
        for (kind, mode) in [("net", options.network), ("pid", options.pid), ("ipc", options.ipc)] {
            let host = of(&pid, kind)? == of(&holder.to_string(), kind)?;
            ensure!(host == (mode == i32::from(Node)), "{name}: the host's {kind} namespace: {host}");
        }
        // The file systems that belong to the namespaces are there.
        let ran = env.k3c(&[
            "exec",
            &full,
            "sh",
            "-c",
            "ls /sys/class/net && ls /proc/self/status && ls -d /dev/mqueue",
        ])?;
        let loopback = ran.stdout.lines().any(|line| line == "lo");
        ensure!(loopback && (ran.code == 0 || name == "host-ipc" || name == "host-all"), "{name}: {ran}");
        pod.remove()?;
    }
    // Two containers that see each other's processes, and one that looks at another's (`kubectl debug`).
    let pod = Pod::run(&env, "one-pid", modes(Shared, Shared, Shared))?;
    let first = pod.container("first", "echo begins; sleep 4321", &|_| {})?;
    let second = pod.container("second", BEGINS, &|_| {})?;
    works(&env, "one-pid/first", &first)?;
    works(&env, "one-pid/second", &second)?;
    let seen = env.ok(&["exec", "one-pid/second", "ps"])?;
    ensure!(seen.contains("sleep 4321") && seen.contains("sleep 1000"), "{seen}");
    pod.remove()?;
    let pod = Pod::run(&env, "debugged", modes(Shared, Container, Shared))?;
    let target = pod.container("app", "echo begins; sleep 4321", &|_| {})?;
    let other = pod.container("other", BEGINS, &|_| {})?;
    works(&env, "debugged/other", &other)?;
    let seen = env.ok(&["exec", "debugged/other", "ps"])?;
    ensure!(!seen.contains("sleep 4321"), "{seen}");
    let debugger = pod.container("debugger", BEGINS, &|config| {
        let security = config.linux.as_mut().and_then(|l| l.security_context.as_mut());
        if let Some(options) = security.and_then(|s| s.namespace_options.as_mut()) {
            options.pid = Target.into();
            options.target_id = target.clone();
        }
    })?;
    works(&env, "debugged/debugger", &debugger)?;
    let seen = env.ok(&["exec", "debugged/debugger", "ps"])?;
    ensure!(seen.contains("sleep 4321"), "{seen}");
    pod.remove()
}

/// User namespaces in the daemon's own: owners are moved, as the kernel maps none on a disk for an ordinary user.
fn pods_with_users_of_their_own() -> Result<()> {
    // An instance of its own, for its containerd is killed.
    let mut env = TestEnv::started()?;
    env.ok(&["run", "--rm", DEMO, "true"])?;
    let map = |host_id, length| vec![cri::IdMapping { host_id, container_id: 0, length }];
    let users = |host_id, length| cri::NamespaceOption {
        userns_options: Some(cri::UserNamespace {
            mode: cri::NamespaceMode::Pod.into(),
            uids: map(host_id, length),
            gids: map(host_id, length),
        }),
        ..Default::default()
    };
    let pod = Pod::run(&env, "apart", users(20_000, 3000))?;
    let id = pod.container("web", BEGINS, &|_| {})?;
    works(&env, "apart/web", &id)?;
    let script = "cat /proc/self/uid_map; id -u; stat -c %u:%g /bin /etc/passwd; touch /new /dev/shm/new && stat -c %u /new;
        cat /etc/hosts > /dev/null && ping -c 1 -W 5 10.0.2.2 > /dev/null && echo reached; echo 1 > /proc/sys/kernel/panic";
    let ran = env.k3c(&["exec", "apart/web", "sh", "-c", script])?;
    let words: Vec<&str> = ran.stdout.split_whitespace().collect();
    ensure!(words == ["0", "20000", "3000", "0", "0:0", "0:0", "0", "reached"] && ran.code != 0, "{ran}");
    // The container goes on when containerd is another one, and the pod takes a second one.
    env.kill_process("containerd --config")?;
    within(Duration::from_secs(10), "it goes on", || Ok(env.k3c(&["exec", "apart/web", "true"])?.code == 0))?;
    let again = pod.container("again", BEGINS, &|_| {})?;
    works(&env, "apart/again", &again)?;
    // A folder of the host's would show owners that are nobody inside: that is refused.
    env.user.dir(&env.home.join("theirs"), 0o755)?;
    let refused = pod.container("bound", BEGINS, &|config| {
        config.mounts.push(cri::Mount {
            container_path: "/theirs".into(),
            host_path: env.home.join("theirs").display().to_string(),
            uid_mappings: map(20_000, 3000),
            gid_mappings: map(20_000, 3000),
            ..Default::default()
        });
    });
    let why = refused.err().map(|e| format!("{e:#}")).unwrap_or_default();
    ensure!(why.contains("the kernel maps owners only on file systems"), "{why}");
    pod.remove()?;
    // A range beyond the user's own is refused.
    let why =
        Pod::run(&env, "beyond", users(60_000, 65_536)).err().map(|e| format!("{e:#}")).unwrap_or_default();
    ensure!(why.contains("ot permitted") || why.contains("nvalid argument"), "{why}");
    ensure!(!env.ok(&["ps", "-a"])?.contains("apart"));
    env.stop()
}

fn health() -> Result<()> {
    use proto::grpc::health::v1::health_client::HealthClient;
    let env = shared::env()?;
    with_channel(&env, |channel| async move {
        let answer = HealthClient::new(channel)
            .check(proto::grpc::health::v1::HealthCheckRequest::default())
            .await?
            .into_inner();
        ensure!(answer.status == 1, "{answer:?}");
        Ok(())
    })
}

fn http1_is_answered_in_words() -> Result<()> {
    use std::io::{Read, Write};
    let env = shared::env()?;
    let socket = env.socket();
    let mut stream = as_user(&env, move || Ok(std::os::unix::net::UnixStream::connect(socket)?))?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    ensure!(answer.starts_with("HTTP/1.1 404") || answer.starts_with("HTTP/1.1 501"), "{answer}");
    ensure!(answer.contains("\r\n\r\n") && !answer.ends_with("\r\n\r\n"), "no sentence: {answer}");
    Ok(())
}

/// Files of the state directory, and `GET /v1/info`, as RootlessKit's own client reads them.
fn rootlesskit() -> Result<()> {
    use std::io::{Read, Write};
    let env = shared::env()?;
    let folder = env.run_dir().join("rootlesskit");
    let pid: u32 = std::fs::read_to_string(folder.join("child_pid"))?.trim().parse()?;
    let inner = std::path::Path::new("/proc").join(pid.to_string()).join("root");
    let netns = inner.join(folder.join("netns").strip_prefix("/")?);
    use std::os::unix::fs::MetadataExt;
    let ours = std::fs::metadata("/proc/self/ns/net")?.ino();
    ensure!(std::fs::metadata(netns)?.ino() != ours, "not a network namespace of its own");
    let socket = folder.join("api.sock");
    let mut stream = as_user(&env, move || Ok(std::os::unix::net::UnixStream::connect(socket)?))?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10)))?;
    stream.write_all(b"GET /v1/info HTTP/1.1\r\nHost: rootlesskit\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{answer}");
    let info: serde_json::Value = serde_json::from_str(body)?;
    ensure!(info["childPID"] == pid && info["networkDriver"]["driver"] == "slirp4netns", "{info}");
    ensure!(info["stateDir"] == folder.display().to_string(), "{info}");
    Ok(())
}
