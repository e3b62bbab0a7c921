//! Transfers that are cut off, and whose processes are killed: the store stays as it was, nothing is left, and the next try
//! succeeds.

use super::Registry;
use super::proxy::{Mode, Proxy};
use super::transfers::{SIZE, begin, end, large, started};
use crate::archives::store;
use crate::containers::within;
use crate::env::TestEnv;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where the layer stops that is under way.
const HALF: usize = SIZE / 2;

/// An upload whose connection ends is made again. A layer that the registry has in another repository is not sent.
pub(super) fn uploads() -> Result<()> {
    let (mut env, registry) = started()?;
    let proxy = Proxy::start(registry.port)?;
    let image = large(&env, &proxy.host)?;
    env.ok(&["pull", "-q", &image])?;
    // Another registry does not have it yet.
    let other = Registry::start(&env, &super::secrets(&env).join("other"), None)?;
    let second = Proxy::start(other.port)?;
    let copy = format!("{}/copy:1", second.host);
    env.ok(&["tag", &image, &copy])?;
    second.set(Mode::CutUp(HALF, 1));
    let ran = env.k3c(&["push", &copy])?;
    ensure!(ran.code == 0 && ran.stdout.contains(": Pushed\n"), "{ran}");
    ensure!(
        second.requests().iter().filter(|r| r.starts_with("PUT") && r.contains("/blobs/uploads/")).count()
            >= 3
    );
    env.ok(&["rmi", &copy])?;
    env.ok(&["pull", "-q", &copy])?;
    // The first registry has the layers, in another repository.
    let mounted = format!("{}/mounted/here:1", proxy.host);
    env.ok(&["tag", &image, &mounted])?;
    proxy.set(Mode::Straight);
    let said = env.ok(&["push", &mounted])?;
    ensure!(said.contains(": Mounted from large\n"), "{said}");
    let sent = proxy.requests();
    ensure!(sent.iter().any(|r| r.starts_with("POST") && r.contains("mount=sha256")), "{sent:#?}");
    let said = env.ok(&["push", &mounted])?;
    ensure!(said.contains(": Layer already exists\n") && !said.contains("Mounted"), "{said}");
    env.stop()
}

/// An image with a large layer that no registry has.
fn made(env: &TestEnv, name: &str) -> Result<String> {
    let line = format!("head -c {SIZE} /dev/urandom > /own");
    env.ok(&["run", "--name", "maker", crate::containers::DEMO, "sh", "-c", &line])?;
    env.ok(&["commit", "maker", name])?;
    env.ok(&["rm", "maker"])?;
    Ok(name.to_owned())
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Client,
    Engine,
    Containerd,
}

impl Victim {
    fn kill(self, env: &mut TestEnv, client: &Child) -> Result<()> {
        match self {
            Self::Client => kill(Pid::from_raw(i32::try_from(client.id())?), Signal::SIGKILL)?,
            Self::Engine => drop(env.kill_process("__engine")?),
            Self::Containerd => drop(env.kill_process("containerd --config")?),
        }
        if self != Self::Client {
            env.answers(PATIENCE)?;
        }
        Ok(())
    }
}

/// Each verb that moves images, with each of those who have a part in it killed in the middle.
pub(super) fn killed() -> Result<()> {
    let (mut env, registry) = started()?;
    let proxy = Proxy::start(registry.port)?;
    let image = large(&env, &proxy.host)?;
    env.ok(&["pull", "-q", &image])?;
    env.ok(&["save", "-o", "large.tar", &image])?;
    env.ok(&["rmi", &image])?;
    let archive = std::fs::read(env.home.join("large.tar"))?;
    let own = made(&env, &format!("{}/own:1", proxy.host))?;
    // What there is when nothing is under way; a lease of a pull that will be resumed is meant to stay.
    let settled = |env: &TestEnv, before: &str| -> Result<()> {
        let mut now = String::new();
        within(PATIENCE, "the store is as before", || {
            now = store(env).unwrap_or_default();
            Ok(now == before)
        })
        .with_context(|| format!("{before}\nbecame\n{now}"))
    };
    let works = |env: &TestEnv| -> Result<()> {
        for listed in env.ok(&["images", "--format", "{{.Repository}}:{{.Tag}}"])?.lines() {
            ensure!(env.ok(&["run", "--rm", listed, "echo", "runs"])? == "runs", "{listed}");
        }
        Ok(())
    };
    let before = store(&env)?;
    for victim in [Victim::Client, Victim::Engine, Victim::Containerd] {
        let what = |verb: &str| format!("{verb}, {victim:?} killed");
        // What is left of a pull holds its lease, until the pull is made again.
        proxy.set(Mode::Stall(HALF));
        let child = begin(&env, &["pull", &image])?;
        proxy.stalled(1)?;
        victim.kill(&mut env, &child).with_context(|| what("pull"))?;
        proxy.set(Mode::Straight);
        end(child)?;
        works(&env)?;
        env.ok(&["pull", "-q", &image])?;
        works(&env)?;
        env.ok(&["rmi", &image])?;
        settled(&env, &before).with_context(|| what("pull"))?;

        proxy.set(Mode::StallUp(HALF));
        let child = begin(&env, &["push", &own])?;
        proxy.stalled(1)?;
        victim.kill(&mut env, &child).with_context(|| what("push"))?;
        proxy.set(Mode::Straight);
        end(child)?;
        settled(&env, &before).with_context(|| what("push"))?;
        works(&env)?;

        let mut command = env.k3c_command(&["load", "-q"]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut input = child.stdin.take().context("standard input")?;
        input.write_all(&archive[..archive.len() / 2])?;
        input.flush()?;
        within(PATIENCE, "it is being written", || {
            let ingests = env.data_dir().join("containerd/io.containerd.content.v1.content/ingest");
            Ok(std::fs::read_dir(ingests)?.next().is_some())
        })?;
        victim.kill(&mut env, &child).with_context(|| what("load"))?;
        // The rest finds nobody, or is taken.
        input.write_all(&archive[archive.len() / 2..]).ok();
        drop(input);
        let ran = end(child)?;
        ensure!(ran.code != 0 || ran.stdout.contains("Loaded image"), "{}: {ran}", what("load"));
        if ran.code == 0 {
            env.ok(&["rmi", &image])?;
        }
        settled(&env, &before).with_context(|| what("load"))?;
        env.ok(&["load", "-qi", "large.tar"])?;
        works(&env)?;

        let mut command = env.k3c_command(&["save", &image]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut output = child.stdout.take().context("standard output")?;
        output.read_exact(&mut [0; 4096])?;
        victim.kill(&mut env, &child).with_context(|| what("save"))?;
        std::io::copy(&mut output, &mut std::io::sink()).ok();
        drop(output);
        end(child)?;
        env.ok(&["save", "-o", "again.tar", &image])?;
        ensure!(std::fs::read(env.home.join("again.tar"))? == archive, "{}", what("save"));
        env.ok(&["rmi", &image])?;
        settled(&env, &before).with_context(|| what("save"))?;
    }
    env.ok(&["push", "-q", &own])?;
    env.stop()
}
