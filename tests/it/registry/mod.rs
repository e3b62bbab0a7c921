//! Real registries on the host's loopback.

mod asking;
mod killed;
mod proxy;
mod transfers;

use crate::containers::{DEMO, within};
use crate::env::{TestEnv, installed};
use crate::host::{Need, tool};
use crate::{Case, DAEMON};
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use proxy::{Mode, Proxy};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const NEEDS: &[Need] = &[DAEMON[0], Need::Tools, Need::Program("docker-registry")];

const SECURE: &[Need] = &[DAEMON[0], Need::Program("docker-registry"), Need::Program("openssl")];

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, NEEDS, run);
    vec![
        case("registry::credentials_are_asked_for_on_the_way", credentials),
        case("registry::a_round_trip", transfers::round_trip),
        case("registry::plain_layers_are_compressed_once", transfers::plain_layers),
        case("registry::through_the_daemons_proxy", transfers::through_a_proxy),
        case("registry::bad_lines", transfers::faults),
        case("registry::tokens", tokens),
        case("registry::uploads_over_bad_lines", killed::uploads),
        case("registry::killed_in_the_middle", killed::killed),
        case("registry::all_tags", asking::all_tags),
        case("registry::all_platforms", asking::all_platforms),
        case("registry::manifests", asking::manifests),
        case("registry::retry_after", asking::retry_after),
        case("registry::login", login),
        Case::new("registry::certificates", SECURE, certificates),
    ]
}

const USER: &str = "joe";
const PASSWORD: &str = "geheim-4711";
/// A line of htpasswd(1) with the user and the password, in bcrypt.
pub(crate) const HTPASSWD: &str = "joe:$2b$05$abcdefghijklmnopqrstuuI9Ve74svfU50aEQdy91gepBOB8Ceywa\n";

/// A registry that runs until this is dropped.
pub(crate) struct Registry {
    child: Child,
    /// `localhost:PORT`
    pub(crate) host: String,
    port: u16,
}

impl Registry {
    /// Starts a registry that keeps its files in `dir`; with `users`, lines of htpasswd(1), it is for them only.
    pub(crate) fn start(env: &TestEnv, dir: &Path, users: Option<&str>) -> Result<Self> {
        Self::secure(env, dir, users, None)
    }

    /// The same with the files of a certificate and its key.
    fn secure(
        env: &TestEnv,
        dir: &Path,
        users: Option<&str>,
        certificate: Option<(&str, &str)>,
    ) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        env.user.dir(dir, 0o700)?;
        let mut config = serde_json::json!({
            "version": 0.1,
            "storage": { "filesystem": { "rootdirectory": dir.join("data") } },
            "http": { "addr": format!("127.0.0.1:{port}") },
        });
        if let Some(users) = users {
            env.user.write(&dir.join("htpasswd"), users)?;
            config["auth"] =
                serde_json::json!({ "htpasswd": { "realm": "tests", "path": dir.join("htpasswd") } });
        }
        if let Some((certificate, key)) = certificate {
            config["http"]["tls"] = serde_json::json!({ "certificate": certificate, "key": key });
        }
        // JSON is YAML.
        let file = dir.join("config.yml");
        env.user.write(&file, config.to_string())?;
        let log = std::fs::File::create(dir.join("log"))?;
        let mut command = env.command(Path::new("docker-registry"), &["serve", &file.display().to_string()]);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().context("docker-registry")?;
        let registry = Self { child, host: format!("localhost:{port}"), port };
        within(Duration::from_secs(30), "the registry listens", || {
            Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
        })?;
        Ok(registry)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The only folder with credentials: no file outside of it may have them.
fn secrets(env: &TestEnv) -> PathBuf {
    env.home.join("secrets")
}

pub(crate) fn encoded() -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"))
}

/// Makes a folder of Docker's settings with this `config.json`, which k3c uses from now on.
pub(crate) fn docker_config(env: &mut TestEnv, name: &str, config: &serde_json::Value) -> Result<()> {
    let dir = secrets(env).join(name);
    env.user.dir(&dir, 0o700)?;
    env.user.write(&dir.join("config.json"), config.to_string())?;
    env.set("DOCKER_CONFIG", dir.display().to_string());
    Ok(())
}

fn credentials() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.dir(&secrets(&env), 0o700)?;
    let registry = Registry::start(&env, &secrets(&env).join("registry"), Some(HTPASSWD))?;
    let host = registry.host.clone();
    // A second name of the registry, by the user's configuration.
    let mirror = format!(
        "server = \"http://{host}\"\n[host.\"http://{host}\"]\ncapabilities = [\"pull\", \"resolve\"]\n"
    );
    env.user.dir(&env.home.join(".config"), 0o755)?;
    env.user.write(&env.home.join(".config/k3c/certs.d/registry.test/hosts.toml"), mirror)?;
    env.set("K3C_LOG", "trace");
    env.start()?;
    let image = format!("{host}/team/demo:1");
    push(&env, &image)?;

    let run = |env: &TestEnv, image: &str| env.k3c(&["run", "--rm", image, "cat", "/made"]);
    let denied = format!("pull access denied for {host}/team/demo");
    let pulled = |env: &TestEnv, image: &str| -> Result<()> {
        let ran = run(env, image)?;
        let said = |text: &str| ran.stderr.contains(text);
        ensure!(ran.code == 0 && ran.stdout == "made\n", "{ran}");
        ensure!(said("1: Pulling from team/demo") && said(": Pulling fs layer"), "{ran}");
        ensure!(said(&format!("Status: Downloaded newer image for {image}")), "{ran}");
        env.ok(&["rmi", image]).map(drop)
    };

    docker_config(&mut env, "none", &serde_json::json!({}))?;
    run(&env, &image)?.fails(125, &denied)?;
    let wrong = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:wrong"));
    docker_config(&mut env, "wrong", &serde_json::json!({ "auths": { &host: { "auth": wrong } } }))?;
    run(&env, &image)?.fails(125, &denied)?;
    docker_config(&mut env, "plain", &serde_json::json!({ "auths": { &host: { "auth": encoded() } } }))?;
    pulled(&env, &image)?;
    pulled(&env, "registry.test/team/demo:1")?;
    run(&env, &format!("{host}/team/none:1"))?.fails(125, "manifest unknown")?;

    // Credentials from a helper of the user's.
    let bin = secrets(&env).join("bin");
    env.user.dir(&bin, 0o755)?;
    let helper = bin.join("docker-credential-tests");
    let answer = serde_json::json!({ "Username": USER, "Secret": PASSWORD });
    env.user.write(&helper, format!("#!/bin/sh\n[ \"$(cat)\" = {host} ] && echo '{answer}'\n"))?;
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755))?;
    let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    env.set("PATH", format!("{}:{path}", bin.display()));
    docker_config(&mut env, "helper", &serde_json::json!({ "credHelpers": { &host: "tests" } }))?;
    pulled(&env, &image)?;
    docker_config(&mut env, "broken", &serde_json::json!({ "credHelpers": { &host: "missing" } }))?;
    let ran = run(&env, &image)?;
    ensure!(
        ran.stderr.contains("the credentials cannot be read: cannot run docker-credential-missing"),
        "{ran}"
    );
    ran.fails(125, &denied)?;

    // Credentials from podman's file, for a part of the registry.
    docker_config(&mut env, "none", &serde_json::json!({}))?;
    let file = secrets(&env).join("auth.json");
    let entry = serde_json::json!({ "auths": { format!("{host}/team"): { "auth": encoded() } } });
    env.user.write(&file, entry.to_string())?;
    env.set("REGISTRY_AUTH_FILE", file.display().to_string());
    pulled(&env, &image)?;

    unwritten(&env)?;
    drop(registry);
    env.stop()?;
    unwritten(&env)
}

/// Makes an image with a layer of its own, hands it to the registry, and forgets it.
fn push(env: &TestEnv, image: &str) -> Result<()> {
    env.ok(&["run", "--name", "maker", DEMO, "sh", "-c", "echo made > /made"])?;
    env.ok(&["commit", "maker", image])?;
    env.ok(&["rm", "maker"])?;
    let (socket, user) = (env.socket().display().to_string(), format!("{USER}:{PASSWORD}"));
    let push =
        ["--address", &socket, "-n", "k8s.io", "images", "push", "--plain-http", "--user", &user, image];
    env.program(&tool("ctr"), &push)?.ok()?;
    env.ok(&["rmi", image]).map(drop)
}

/// Neither logs nor records have the password, as it is or as it goes to the registry.
fn unwritten(env: &TestEnv) -> Result<()> {
    let mut log = env.daemon_output();
    for entry in std::fs::read_dir(env.home.join(".local/state/k3c"))? {
        log += &std::fs::read_to_string(entry?.path()).unwrap_or_default();
    }
    ensure!(log.contains("TRACE"), "the engine did not log everything");
    let mut grep = Command::new("grep");
    grep.args(["-rlaF", "--exclude-dir=secrets", "-e", PASSWORD, "-e", &encoded()]);
    grep.args([&env.home, &env.runtime]).args(["--devices=skip"]);
    let found = grep.output().context("grep")?;
    let found = String::from_utf8_lossy(&found.stdout).into_owned();
    ensure!(found.is_empty(), "the password is in {found}");
    Ok(())
}

/// A registry behind a server of tokens, which also takes identity tokens.
fn tokens() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.dir(&secrets(&env), 0o700)?;
    let registry = Registry::start(&env, &secrets(&env).join("registry"), None)?;
    env.start()?;
    let proxy = Proxy::start(registry.port)?;
    let image = format!("{}/team/demo:1", proxy.host);
    env.ok(&["tag", DEMO, &image])?;
    let identity = "identity-4711".to_owned();
    proxy.set(Mode::Token { user: USER.into(), password: PASSWORD.into(), identity: identity.clone() });
    let auth = |entry: serde_json::Value| serde_json::json!({ "auths": { &proxy.host: entry } });
    docker_config(&mut env, "none", &serde_json::json!({}))?;
    let ran = env.k3c(&["push", &image])?;
    ensure!(ran.stderr.contains(&format!("Run 'k3c login {}'", proxy.host)), "{ran}");
    ran.fails(1, &format!("push access denied for {}/team/demo", proxy.host))?;
    env.k3c(&["pull", &image])?.fails(1, &format!("pull access denied for {}/team/demo", proxy.host))?;
    docker_config(&mut env, "asked", &serde_json::json!({}))?;
    env.k3c(&["login", "-u", USER, "-p", "wrong", &proxy.host])?.fails(
        1,
        &format!("login attempt to https://{}/v2/ failed with status: 401 Unauthorized", proxy.host),
    )?;
    ensure!(env.ok(&["login", "-u", USER, "-p", PASSWORD, &proxy.host])? == "Login Succeeded");
    env.ok(&["push", &image])?;
    env.ok(&["rmi", &image])?;
    env.ok(&["pull", &image])?;
    let repository = format!("{}/team/demo", proxy.host);
    ensure!(env.ok(&["pull", "-aq", &repository])? == repository);
    env.ok(&["manifest", "inspect", &image])?;
    docker_config(&mut env, "wrong", &auth(serde_json::json!({ "identitytoken": "other" })))?;
    env.k3c(&["pull", &image])?.fails(1, "pull access denied")?;
    docker_config(&mut env, "identity", &auth(serde_json::json!({ "identitytoken": identity })))?;
    ensure!(env.ok(&["pull", "-q", &image])? == image);
    ensure!(env.ok(&["pull", "-aq", &repository])? == repository);
    docker_config(&mut env, "none", &serde_json::json!({}))?;
    let ran = env.k3c(&["pull", "-a", &repository])?;
    ensure!(ran.stderr.contains(&format!("Run 'k3c login {}'", proxy.host)), "{ran}");
    ran.fails(1, &format!("pull access denied for {repository}"))?;
    drop(proxy);
    env.stop()
}

/// Logging in and out: into a file and with a helper.
fn login() -> Result<()> {
    let mut env = TestEnv::new()?;
    let dir = secrets(&env);
    env.user.dir(&dir, 0o700)?;
    let registry = Registry::start(&env, &dir.join("registry"), Some(HTPASSWD))?;
    let host = registry.host.as_str();
    env.user.write(&dir.join("password"), format!("{PASSWORD}\n"))?;
    env.user.write(&dir.join("wrong"), "wrong")?;
    env.start()?;
    let image = format!("{host}/team/demo:1");
    env.ok(&["tag", DEMO, &image])?;
    let login = |env: &TestEnv, file: &str| {
        let line = format!("k3c login -u {USER} --password-stdin {host} < {}", dir.join(file).display());
        env.program(Path::new("sh"), &["-c", &line.replacen("k3c", &installed().display().to_string(), 1)])
    };
    let pushed = |env: &TestEnv| -> Result<bool> { Ok(env.k3c(&["push", "-q", &image])?.code == 0) };

    // A file, of which all else stays.
    let settings =
        serde_json::json!({ "psFormat": "{{.ID}}", "auths": { "other.test": { "auth": "YTpi" } } });
    docker_config(&mut env, "file", &settings)?;
    let file = dir.join("file/config.json");
    let refused = format!("login attempt to https://{host}/v2/ failed with status: 401 Unauthorized");
    login(&env, "wrong")?.fails(1, &refused)?;
    let before = settings.to_string();
    ensure!(std::fs::read_to_string(&file)? == before && !pushed(&env)?);
    let ran = login(&env, "password")?;
    let warning = format!("WARNING! Your credentials are stored unencrypted in '{}'", file.display());
    ensure!(ran.stdout == "Login Succeeded\n" && ran.stderr.contains(&warning), "{ran}");
    let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    ensure!(kept["psFormat"] == "{{.ID}}" && kept["auths"]["other.test"]["auth"] == "YTpi", "{kept}");
    ensure!(kept["auths"][host]["auth"] == encoded(), "{kept}");
    ensure!(std::fs::metadata(&file)?.permissions().mode() & 0o777 == 0o600);
    ensure!(pushed(&env)?, "nobody is logged in");
    ensure!(env.ok(&["login", host])?.ends_with("Login Succeeded"), "known credentials are not taken");
    ensure!(env.ok(&["logout", host])? == format!("Removing login credentials for {host}"));
    ensure!(env.ok(&["logout", host])? == format!("Not logged in to {host}"));
    ensure!(!pushed(&env)?, "somebody is logged in");
    env.k3c(&["login", host])?.fails(1, "Cannot perform an interactive login from a non TTY device")?;

    // A helper of the user's.
    let bin = dir.join("bin");
    env.user.dir(&bin, 0o755)?;
    let helper = bin.join("docker-credential-tests");
    let script = "#!/bin/sh\nF=$HOME/secrets/kept; case $1 in store) cat > $F;; erase) rm $F;;\n\
        get) [ -s $F ] && cat $F || { echo credentials not found in native keychain; exit 1; };; esac\n";
    env.user.write(&helper, script)?;
    std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755))?;
    env.set(
        "PATH",
        format!("{}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", bin.display()),
    );
    let settings = serde_json::json!({ "credsStore": "tests" });
    docker_config(&mut env, "helper", &settings)?;
    let ran = login(&env, "password")?;
    ensure!(ran.code == 0 && ran.stdout == "Login Succeeded\n" && ran.stderr.is_empty(), "{ran}");
    let before = settings.to_string();
    ensure!(std::fs::read_to_string(dir.join("helper/config.json"))? == before);
    ensure!(std::fs::read_to_string(dir.join("kept"))?.contains(PASSWORD) && pushed(&env)?);
    ensure!(env.ok(&["logout", host])? == format!("Removing login credentials for {host}"));
    ensure!(!dir.join("kept").exists() && !pushed(&env)?, "the helper was not asked to forget");
    drop(registry);
    env.stop()
}

/// A registry whose certificate an authority of the user's own has signed.
fn certificates() -> Result<()> {
    let mut env = TestEnv::new()?;
    let dir = secrets(&env);
    env.user.dir(&dir, 0o700)?;
    let name = "registry.test";
    let openssl = |args: &[&str]| env.program(Path::new("openssl"), args)?.ok();
    let [authority, authority_key, key, request, certificate, extensions] =
        ["ca.crt", "ca.key", "key", "request", "certificate", "extensions"]
            .map(|file| dir.join(file).display().to_string());
    env.user.write(Path::new(&extensions), format!("subjectAltName=DNS:{name}\n"))?;
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj"];
    let of = |subject: &'static str, rest: &[&str]| openssl(&[&new[..], &[subject], rest].concat());
    of("/CN=tests", &["-x509", "-days", "2", "-keyout", &authority_key, "-out", &authority])?;
    of("/CN=registry", &["-keyout", &key, "-out", &request])?;
    let signing = ["-CA", &authority, "-CAkey", &authority_key, "-CAcreateserial", "-days", "2"];
    let files = ["-in", &request, "-out", &certificate, "-extfile", &extensions];
    openssl(&[&["x509", "-req"][..], &signing, &files].concat())?;
    let registry = Registry::secure(&env, &dir.join("registry"), Some(HTPASSWD), Some((&certificate, &key)))?;
    // A name that leads to loopback, and is not localhost: there no certificate would be asked for.
    let hosts = dir.join("hosts");
    env.user.write(&hosts, format!("127.0.0.1 localhost {name}\n"))?;
    env.prelude = format!("mount --bind {} /etc/hosts", hosts.display());
    env.start()?;

    let host = format!("{name}:{}", registry.port);
    let image = format!("{host}/team/demo:1");
    env.ok(&["tag", DEMO, &image])?;
    docker_config(&mut env, "plain", &serde_json::json!({ "auths": { &host: { "auth": encoded() } } }))?;
    let words =
        format!("the registry {host} cannot be trusted: x509: certificate signed by unknown authority");
    let ran = env.k3c(&["push", &image])?;
    ensure!(ran.stderr.contains(&format!("certs.d/{host}/ca.crt")), "{ran}");
    ran.fails(1, &words)?;
    // In Docker's layout.
    env.user
        .write(&env.home.join(format!(".config/k3c/certs.d/{host}/ca.crt")), std::fs::read(&authority)?)?;
    env.ok(&["push", &image])?;
    env.ok(&["rmi", &image])?;
    ensure!(env.ok(&["pull", "-q", &image])? == image);
    env.stop()
}
