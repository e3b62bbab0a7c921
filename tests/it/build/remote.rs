//! Builds by a BuildKit elsewhere: a second, real one, reached in every way that there is.

use super::context;
use crate::containers::within;
use crate::env::TestEnv;
use crate::host::{Need, tool};
use crate::registry::{HTPASSWD, Registry, docker_config};
use crate::user::run;
use crate::{Case, DAEMON};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NEEDS: &[Need] = &[
    DAEMON[0],
    Need::Tools,
    Need::Program("docker-registry"),
    Need::Program("openssl"),
    Need::Program("sshd"),
    Need::Program("ssh-keygen"),
];

pub(super) fn cases() -> Vec<Case> {
    vec![Case::new("build::by_a_builder_elsewhere", NEEDS, elsewhere)]
}

/// A process that is ended when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// A buildkitd of root's own, with the programs that the daemon has unpacked; `port` is where it listens.
fn buildkitd(env: &TestEnv, root: &Path, port: u16, more: &[&str]) -> Result<Running> {
    let bundles = fs::read_dir(env.data_dir().join("bundle"))?.flatten();
    let bin = bundles.map(|entry| entry.path().join("bin")).find(|bin| bin.join("buildkitd").exists());
    let bin = bin.context("no bundle")?;
    let mut command = Command::new(bin.join("buildkitd"));
    command
        .args(["--oci-worker=true", "--containerd-worker=false", "--oci-worker-snapshotter=native"])
        .args(["--oci-worker-net=host", "--root"])
        .arg(root)
        .arg(format!("--oci-worker-binary={}", bin.join("runc").display()))
        .args(["--addr", &format!("tcp://127.0.0.1:{port}")])
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(fs::File::create(root.with_extension("log"))?);
    let running = Running(command.spawn().context("buildkitd")?);
    let log = root.with_extension("log");
    within(Duration::from_secs(30), "buildkitd listens", || {
        Ok(fs::read_to_string(&log)?.contains("running server on 127.0.0.1"))
    })?;
    Ok(running)
}

/// An authority, and certificates that it signed for the server and for us, all below `dir`.
fn certificates(dir: &Path) -> Result<()> {
    let openssl = |line: &str| run(Command::new("openssl").args(line.split(' ')).current_dir(dir)).map(drop);
    fs::create_dir_all(dir)?;
    fs::write(dir.join("server.ext"), "subjectAltName=DNS:builder.test,IP:127.0.0.1\n")?;
    fs::write(dir.join("cert.ext"), "extendedKeyUsage=clientAuth\n")?;
    let new = "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=tests";
    for authority in ["ca", "other"] {
        openssl(&format!("{new} -x509 -days 2 -keyout {authority}.key -out {authority}.pem"))?;
    }
    for (name, key) in [("server", "server.key"), ("cert", "key.pem")] {
        openssl(&format!("{new} -keyout {key} -out {name}.req"))?;
        openssl(&format!(
            "x509 -req -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -in {name}.req -out {name}.pem -extfile {name}.ext"
        ))?;
    }
    for file in fs::read_dir(dir)?.flatten() {
        fs::set_permissions(file.path(), fs::Permissions::from_mode(0o644))?;
    }
    Ok(())
}

/// A server of the user's own, and settings by which `ssh far` leads to it; `path` is where it finds programs.
fn sshd(env: &TestEnv, path: &Path) -> Result<Running> {
    let port = free_port()?;
    let dir = env.user.home.join(".ssh");
    env.user.dir(&dir, 0o700)?;
    let keygen = |name: &str| {
        let file = dir.join(name).display().to_string();
        env.program(Path::new("ssh-keygen"), &["-q", "-t", "ed25519", "-N", "", "-f", &file])?.ok()
    };
    keygen("host")?;
    keygen("id_ed25519")?;
    let place = dir.display();
    env.user.write(&dir.join("authorized_keys"), fs::read(dir.join("id_ed25519.pub"))?)?;
    let host = fs::read_to_string(dir.join("host.pub"))?;
    env.user.write(&dir.join("known_hosts"), format!("[127.0.0.1]:{port} {host}"))?;
    env.user
        .write(&dir.join("config"), format!("Host far\nHostName 127.0.0.1\nPort {port}\nBatchMode yes\n"))?;
    let settings = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {place}/host\nPidFile none\nUsePAM no\nStrictModes no\n\
         SetEnv PATH={}:/usr/bin:/bin\n",
        path.display()
    );
    env.user.write(&dir.join("sshd_config"), settings)?;
    let mut command =
        env.command(Path::new("/usr/sbin/sshd"), &["-D", "-e", "-f", &format!("{place}/sshd_config")]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let running = Running(command.spawn().context("sshd")?);
    within(Duration::from_secs(10), "sshd listens", || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok()))?;
    Ok(running)
}

fn elsewhere() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.dir(&env.home.join("secrets"), 0o700)?;
    let registry = Registry::start(&env, &env.home.join("secrets/registry"), Some(HTPASSWD))?;
    let login = serde_json::json!({ "auths": { &registry.host: { "auth": crate::registry::encoded() } } });
    docker_config(&mut env, "login", &login)?;
    env.start()?;
    let work = tempfile::tempdir_in("/var/tmp")?;
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))?;
    let (socket, certs) = (work.path().join("b.sock"), work.path().join("certs"));
    certificates(&certs)?;
    let (plain, secure) = (free_port()?, free_port()?);
    let unix = format!("unix://{}", socket.display());
    let group = env.user.gid.to_string();
    let _plain = buildkitd(&env, &work.path().join("plain"), plain, &["--addr", &unix, "--group", &group])?;
    let file = |name: &str| certs.join(name).display().to_string();
    let tls =
        ["--tlscacert", &file("ca.pem"), "--tlscert", &file("server.pem"), "--tlskey", &file("server.key")];
    let _secure = buildkitd(&env, &work.path().join("secure"), secure, &tls)?;
    let plain = format!("tcp://127.0.0.1:{plain}");

    let dir = context(
        &env,
        "far",
        &[
            (
                "Dockerfile",
                "FROM scratch\nCOPY sh data /bin/\nCMD [\"/bin/sh\", \"-c\", \"read l < /bin/data; echo $l\"]\n",
            ),
            ("data", "made elsewhere\n"),
        ],
    )?;
    fs::copy("/bin/busybox", dir.join("sh"))?;
    results(&env, &plain, &registry.host)?;
    all_ways(&env, &unix, &format!("tcp://127.0.0.1:{secure}"), &certs)?;
    mistakes(&env, &plain, &format!("127.0.0.1:{secure}"), &certs, &registry.host)?;
    env.stop()
}

/// What is built comes into the store, goes to a registry, or to the user, as ever.
fn results(env: &TestEnv, builder: &str, registry: &str) -> Result<()> {
    let ran = env.k3c(&["build", "--builder", builder, "-t", "far:1", "-t", "far:also", "far"])?;
    ensure!(ran.code == 0 && ran.stderr.contains("sending tarball"), "{ran}");
    ensure!(env.ok(&["run", "--rm", "far:1"])? == "made elsewhere");
    let own = env.ok(&["builder", "history", "ls", "--format", "{{.Ref}}"])?;
    ensure!(own.is_empty(), "the daemon's own builder built, too: {own}");

    // By the environment, without a name, for several platforms.
    let builder_by_variable = format!("K3C_BUILDER={builder}");
    let binary = crate::env::installed().display().to_string();
    let line =
        ["build", "-q", "--iidfile", "id", "--platform", "linux/amd64,linux/arm64,linux/riscv64", "far"];
    let id = env.program(Path::new("env"), &[&[&*builder_by_variable, &binary], &line[..]].concat())?.ok()?;
    ensure!(env.ok(&["run", "--rm", &id])? == "made elsewhere");
    ensure!(fs::read_to_string(env.home.join("id"))? == id);
    env.ok(&["rmi", "far:1", "far:also", &id])?;
    ensure!(env.ok(&["images", "-q", "far"])?.is_empty());

    let image = format!("{registry}/team/far:1");
    let push = ["build", "-q", "--builder", builder, "-t", &image, "--push"];
    let id = env.ok(&[&push[..], &["far"]].concat())?;
    ensure!(
        env.ok(&["images", "-q", "--no-trunc"])?.lines().all(|line| line != id),
        "pushed, and loaded, too"
    );
    ensure!(env.ok(&["run", "--rm", "-q", &image])? == "made elsewhere");
    env.ok(&["rmi", &image])?;
    ensure!(env.ok(&[&push[..], &["--load", "far"]].concat())? == id);
    ensure!(env.ok(&["run", "--rm", "--pull", "never", &image])? == "made elsewhere");
    env.ok(&["rmi", &image])?;

    let to =
        |output: &str| env.ok(&["build", "-q", "--builder", builder, "-t", "far:2", "-o", output, "far"]);
    to("out")?;
    to("type=tar,dest=far.tar")?;
    to("type=oci,dest=far.oci")?;
    ensure!(fs::read_to_string(env.home.join("out/bin/data"))? == "made elsewhere\n");
    ensure!(fs::read(env.home.join("far.tar"))?.get(257..262) == Some(&b"ustar"[..]));
    ensure!(env.ok(&["images", "-q", "far"])?.is_empty(), "an archive was loaded, too");
    ensure!(env.ok(&["load", "-q", "-i", "far.oci"])? == "Loaded image: far:2");
    env.ok(&["rmi", "far:2"])?;

    let called =
        env.ok(&["build", "--builder", builder, "--progress", "none", "--call", "targets", "far"])?;
    ensure!(called.contains("(default)"), "{called}");
    let kept = env.ok(&["builder", "du", "--builder", builder])?;
    ensure!(kept.contains("Reclaimable:") && !kept.contains("Total:         0B"), "{kept}");
    let builds = env.ok(&["builder", "history", "ls", "--builder", builder])?;
    ensure!(builds.lines().count() > 3, "{builds}");
    let logs = env.k3c(&["builder", "history", "logs", "--builder", builder])?;
    ensure!(logs.code == 0 && logs.stderr.contains("[internal]"), "{logs}");
    env.ok(&["builder", "history", "rm", "--all", "--builder", builder])?;
    env.ok(&["builder", "prune", "-af", "--builder", builder])?;
    let rest = env.ok(&["builder", "du", "--builder", builder])?;
    ensure!(rest.contains("Total:         0B"), "{rest}");
    Ok(())
}

fn all_ways(env: &TestEnv, unix: &str, secure: &str, certs: &Path) -> Result<()> {
    let build = |builder: &str| env.ok(&["build", "-q", "--builder", builder, "-t", "far:3", "far"]);
    let id = build(unix)?;
    let certs = certs.display();
    build(&format!("{secure},tlsdir={certs}"))?;
    let ours = format!("cert={certs}/cert.pem,key={certs}/key.pem");
    build(&format!("{secure},cacert={certs}/ca.pem,{ours},servername=builder.test"))?;

    let bin = env.home.join("far-bin");
    env.user.dir(&bin, 0o755)?;
    let server = sshd(env, &bin)?;
    let refused = |text: &str| env.k3c(&["build", "--builder", "ssh://far", "far"])?.fails(1, text);
    refused("cannot use the builder ssh://far: ssh: ")?;
    refused("buildctl: ")?;
    fs::copy(tool("buildctl"), bin.join("buildctl"))?;
    let socket = unix.strip_prefix("unix://").context("a socket")?;
    ensure!(build(&format!("ssh://{}@far{socket}", env.user.name))? == id);
    // One behind ssh that is not there.
    env.k3c(&["build", "--builder", "ssh://far/no/such.sock", "far"])?.fails(1, "no/such.sock")?;
    drop(server);
    refused("onnection refused")?;
    env.ok(&["rmi", "far:3"]).map(drop)
}

fn mistakes(env: &TestEnv, plain: &str, secure: &str, certs: &Path, registry: &str) -> Result<()> {
    let certs = certs.display();
    let ours = format!("cert={certs}/cert.pem,key={certs}/key.pem");
    let nobody = free_port()?;
    for (builder, words) in [
        (format!("tcp://{secure}"), "does not answer as a BuildKit does"),
        (
            format!("tcp://{secure},cacert={certs}/ca.pem"),
            "it wants a certificate of ours: cert= and key= name it",
        ),
        (format!("tcp://{secure},cacert={certs}/other.pem,{ours}"), "not signed by a known authority"),
        (format!("tcp://{secure},cacert={certs}/ca.pem,{ours},servername=other.test"), "not valid for name"),
        (format!("tcp://{secure},cacert={certs}/none.pem"), "none.pem: no such file"),
        (format!("tcp://{secure},cacert={certs}/ca.key"), "there is none in it"),
        (format!("{plain},cacert={certs}/ca.pem"), "it does not speak TLS"),
        (format!("tcp://127.0.0.1:{nobody}"), "connection refused"),
        (format!("tcp://{registry}"), "does not answer as a BuildKit does"),
        ("unix:///no/such.sock".to_owned(), "no such file or directory"),
        (format!("unix://{}/run.sock", env.home.display()), "no such file or directory"),
        ("mine".to_owned(), "it is no address"),
    ] {
        env.k3c(&["build", "--builder", &builder, "far"])?.fails(1, words)?;
    }
    // gRPC, and no BuildKit.
    let containerd = format!("unix://{}", env.run_dir().join("containerd/containerd.sock").display());
    env.k3c(&["builder", "du", "--builder", &containerd])?.fails(1, "it is not a BuildKit")?;
    let binary = crate::env::installed().display().to_string();
    env.program(Path::new("env"), &["PATH=/none", &binary, "build", "--builder", "ssh://far", "far"])?
        .fails(1, "there is no `ssh` here: install OpenSSH's client")
}
