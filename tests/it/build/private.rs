//! Secrets and SSH agents: steps see them, and nothing else does.

use super::context;
use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::host::Need;
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const WITH_SSH: &[Need] = &[DAEMON[0], Need::Program("ssh-agent"), Need::Program("ssh-add")];

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("build::secrets_are_seen_by_steps_only", DAEMON, secrets),
        Case::new("build::agents_can_be_used_and_not_changed", WITH_SSH, agents),
    ]
}

fn secrets() -> Result<()> {
    let env = shared::env()?;
    let file = format!(
        "FROM {DEMO}\n\
         RUN --mount=type=secret,id=a test \"$(rev /run/secrets/a)\" = 5180-mieheg\n\
         RUN --mount=type=secret,id=b,target=/b,mode=0444,required=true stat -c 'mode %a %s' /b\n\
         RUN --mount=type=secret,id=a,env=A test \"$(echo $A | rev)\" = 5180-mieheg\n\
         RUN --mount=type=secret,id=none test ! -e /run/secrets/none\n"
    );
    context(&env, "secrets", &[("Dockerfile", &file)])?;
    let dir = context(&env, "outside-secrets", &[("a", "geheim-0815"), ("b", "12345")])?;
    let a = format!("id=a,src={}", dir.join("a").display());
    let b = format!("id=b,type=file,source={}", dir.join("b").display());
    let build = ["build", "--progress", "plain", "--secret", &a, "--secret"];
    let ran = env.k3c(&[&build[..], &[&b, "-t", "secrets:1", "secrets"]].concat())?;
    ensure!(ran.code == 0 && ran.stderr.contains("mode 444 5"), "{ran}");
    ensure!(!ran.stderr.contains("geheim-0815"), "{ran}");
    env.k3c(&["build", "--no-cache", "--secret", &a, "secrets"])?.fails(1, "secret b: not found")?;
    env.k3c(&["build", "--secret", "id=a,src=none", "secrets"])?.fails(1, "secret a: none: No such file")?;
    env.k3c(&["build", "--secret", "id=a,env=NO_SUCH", "secrets"])?
        .fails(1, "the environment variable NO_SUCH is not set")?;

    // What is in a variable is as good as what is in a file.
    let value =
        format!("FROM {DEMO}\nRUN --mount=type=secret,id=v,env=V test \"$(echo $V | rev)\" = 2174-mieheg\n");
    context(&env, "variable", &[("Dockerfile", &value)])?;
    let line = "exec \"$0\" build -q --secret id=v,env=WORD variable";
    let binary = crate::env::installed().display().to_string();
    let script = format!("WORD=geheim-4712; export WORD; {line}");
    env.program(Path::new("/bin/sh"), &["-c", &script, &binary])?.ok()?;
    let mut grep = Command::new("grep");
    grep.args(["-rlaF", "-e", "geheim-0815", "-e", "geheim-4712", "--devices=skip"]);
    let found = grep.arg(env.home.join(".local")).output().context("grep")?;
    ensure!(found.stdout.is_empty(), "the secrets are in {}", String::from_utf8_lossy(&found.stdout));
    ensure!(!env.daemon_output().contains("geheim-"), "the secrets are in the log");
    Ok(())
}

/// An agent that runs until this is dropped.
struct Agent(Child);

impl Agent {
    fn start(env: &TestEnv, socket: &Path) -> Result<Self> {
        let mut command = env.command(Path::new("ssh-agent"), &["-D", "-a", &socket.display().to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let agent = Self(command.spawn().context("ssh-agent")?);
        within(Duration::from_secs(10), "the agent listens", || Ok(socket.exists()))?;
        Ok(agent)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Copies a program of the host with its libraries into a context, under the paths that it knows them by.
fn with_libraries(env: &TestEnv, program: &str, root: &Path) -> Result<()> {
    let listed = Command::new("ldd").arg(program).output().context("ldd")?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries.chain([program]) {
        let inner = root.join(path.trim_start_matches('/'));
        env.user.dir(inner.parent().context("a folder")?, 0o755)?;
        fs::copy(path, &inner).with_context(|| path.to_owned())?;
    }
    Ok(())
}

fn agents() -> Result<()> {
    let env = shared::env()?;
    let file = format!(
        "FROM {DEMO}\nCOPY root /\n\
         RUN --mount=type=ssh ssh-add -l\n\
         RUN --mount=type=ssh,id=other ssh-add -D || echo kept\n\
         RUN --mount=type=ssh,id=other,required=true ssh-add -l\n"
    );
    let dir = context(&env, "agents", &[("Dockerfile", &file)])?;
    with_libraries(&env, "/usr/bin/ssh-add", &dir.join("root"))?;
    let socket = env.home.join("agent");
    let agent = Agent::start(&env, &socket)?;
    let key = env.home.join("key");
    let (key, socket) = (key.display().to_string(), socket.display().to_string());
    env.program(
        Path::new("ssh-keygen"),
        &["-q", "-t", "ed25519", "-N", "", "-C", "of-the-tests", "-f", &key],
    )?
    .ok()?;
    let add = "SSH_AUTH_SOCK=$0 exec ssh-add \"$1\"";
    env.program(Path::new("/bin/sh"), &["-c", add, &socket, &key])?.ok()?;
    let (default, other) = (format!("default={socket}"), format!("other={socket}"));
    let build = ["build", "--no-cache", "--progress", "plain", "--ssh", &default];
    let ran = env.k3c(&[&build[..], &["--ssh", &other, "agents"]].concat())?;
    let lines = ran.stderr.lines().filter(|line| line.contains("of-the-tests (ED25519)")).count();
    ensure!(ran.code == 0 && lines == 2 && ran.stderr.contains("kept"), "{ran}");
    env.k3c(&[&build[..], &["agents"]].concat())?.fails(1, "unset ssh forward key other")?;
    env.k3c(&["build", "--ssh", "default", "agents"])?.fails(1, "SSH_AUTH_SOCK is not set")?;

    // Keys in files, in an agent that ends with the build.
    let second = env.home.join("second").display().to_string();
    let locked = env.home.join("locked").display().to_string();
    for (file, words, comment) in [(&second, "", "the-second"), (&locked, "geheim-99", "the-locked")] {
        let kind = ["-q", "-t", "ecdsa", "-N", words, "-C", comment, "-f", file];
        env.program(Path::new("ssh-keygen"), &kind)?.ok()?;
    }
    let keys = format!("default={key},~/second");
    let ran = env.k3c(&[&build[..5], &[&keys, "--ssh", &other, "agents"]].concat())?;
    let said = |text: &str| ran.stderr.contains(text);
    ensure!(ran.code == 0 && said("of-the-tests (ED25519)") && said("the-second (ECDSA)"), "{ran}");
    let left = || env.user.processes().into_iter().find(|(_, line)| line.contains("ssh-agent -a"));
    within(Duration::from_secs(10), "the agent ends with the build", || Ok(left().is_none()))?;
    let words = "(a key with a passphrase is given to an agent by ssh-add, and the agent to the build)";
    env.k3c(&["build", "--ssh", &format!("default={locked}"), "agents"])?.fails(1, words)?;
    env.k3c(&["build", "--ssh", "default=agents/Dockerfile", "agents"])?
        .fails(1, "not a key that can be used: ")?;
    env.k3c(&["build", "--ssh", &format!("default={key},{socket}"), "agents"])?
        .fails(1, "it is one socket, or files with keys")?;
    within(Duration::from_secs(10), "the agent ends with a refusal", || Ok(left().is_none()))?;
    drop(agent);
    env.k3c(&[&build[..], &["--ssh", &other, "agents"]].concat())?.fails(1, "ssh").map(drop)
}
