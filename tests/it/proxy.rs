//! One socket: unmodified `ctr` and `buildctl`, and a CRI client, on `k3c.sock`.

use crate::containers::{DEMO, within};
use crate::env::{Ran, TestEnv};
use crate::host::{Need, tool};
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use k3c::proto;
use std::time::Duration;

const WITH_TOOLS: &[Need] = &[
    Need::Root,
    Need::Bundle,
    Need::Program("slirp4netns"),
    Need::Program("newuidmap"),
    Need::Program("setpriv"),
    Need::Tools,
];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("proxy::ctr", WITH_TOOLS, ctr),
        Case::new("proxy::buildctl", WITH_TOOLS, buildctl),
        Case::new("proxy::cri", DAEMON, cri),
        Case::new("proxy::containers_of_others", DAEMON, containers_of_others),
        Case::new("proxy::http1_is_answered_in_words", DAEMON, http1_is_answered_in_words),
        Case::new("proxy::health", DAEMON, health),
        Case::new("proxy::rootlesskits_client_finds_the_namespaces", DAEMON, rootlesskit),
    ]
}

/// A client of another project, copied to where the user can run it, with the socket's address in its arguments.
fn client(env: &TestEnv, name: &str, args: &[&str]) -> Result<Ran> {
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
fn with_channel<F>(env: &TestEnv, body: impl FnOnce(tonic::transport::Channel) -> F + Send) -> Result<()>
where
    F: Future<Output = Result<()>>,
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

fn cri() -> Result<()> {
    use proto::cri::image_service_client::ImageServiceClient;
    use proto::cri::runtime_service_client::RuntimeServiceClient;
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

/// What a kubelet would do: a pod with one container, which our verbs then see.
fn containers_of_others() -> Result<()> {
    use proto::cri;
    use proto::cri::runtime_service_client::RuntimeServiceClient;
    let env = shared::env()?;
    // Ours bring the demonstration image along; others pull.
    env.ok(&["run", "--rm", DEMO, "true"])?;
    let logs = env.home.join("pod-logs");
    env.user.dir(&logs, 0o755)?;
    let sandbox = cri::PodSandboxConfig {
        metadata: Some(cri::PodSandboxMetadata {
            name: "theirs".into(),
            uid: "u-1".into(),
            namespace: "kube".into(),
            attempt: 0,
        }),
        log_directory: logs.display().to_string(),
        linux: Some(cri::LinuxPodSandboxConfig::default()),
        ..Default::default()
    };
    let words = ["sh", "-c", "echo to out; echo to err >&2; trap 'exit 7' TERM; while :; do sleep 0.1; done"];
    let container = cri::ContainerConfig {
        metadata: Some(cri::ContainerMetadata { name: "web".into(), attempt: 0 }),
        image: Some(cri::ImageSpec { image: DEMO.into(), ..Default::default() }),
        command: words.map(str::to_owned).into(),
        log_path: "web.log".into(),
        linux: Some(cri::LinuxContainerConfig::default()),
        ..Default::default()
    };
    let made = std::sync::Mutex::new((String::new(), String::new()));
    with_channel(&env, |channel| async {
        let mut runtime = RuntimeServiceClient::new(channel);
        let request =
            cri::RunPodSandboxRequest { config: Some(sandbox.clone()), runtime_handler: String::new() };
        let pod = runtime.run_pod_sandbox(request).await?.into_inner().pod_sandbox_id;
        let request = cri::CreateContainerRequest {
            pod_sandbox_id: pod.clone(),
            config: Some(container.clone()),
            sandbox_config: Some(sandbox.clone()),
        };
        let id = runtime.create_container(request).await?.into_inner().container_id;
        runtime.start_container(cri::StartContainerRequest { container_id: id.clone() }).await?;
        *made.lock().expect("made") = (pod, id);
        Ok(())
    })?;
    let (pod, id) = made.into_inner().expect("made");
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
    with_channel(&env, |channel| async {
        let mut runtime = RuntimeServiceClient::new(channel);
        runtime.stop_pod_sandbox(cri::StopPodSandboxRequest { pod_sandbox_id: pod.clone() }).await?;
        runtime.remove_pod_sandbox(cri::RemovePodSandboxRequest { pod_sandbox_id: pod.clone() }).await?;
        Ok(())
    })
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

/// What RootlessKit's own client reads: the files of the state directory, and `GET /v1/info`.
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
