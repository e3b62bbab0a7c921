//! A full disk: everything says so, what runs goes on, nothing is damaged, and space can be freed.

use crate::archives::store;
use crate::containers::{DEMO, within};
use crate::env::{Ran, TestEnv};
use crate::host::Need;
use crate::registry::Registry;
use crate::{Case, DAEMON};
use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

const WITH_REGISTRY: &[Need] = &[DAEMON[0], Need::Tools, Need::Program("docker-registry")];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("full::disk", DAEMON, disk),
        Case::new("full::transfers", WITH_REGISTRY, transfers),
        Case::new("full::exports", DAEMON, exports),
    ]
}

/// The size of the disk: room for the bundle of a binary with debug information, too.
const SIZE: &str = "420m";
const PATIENCE: Duration = Duration::from_secs(20);

/// The data directory of a daemon that has a disk of its own, seen from outside.
fn inside(env: &TestEnv) -> Result<PathBuf> {
    let data = env.data_dir();
    Ok(Path::new("/proc").join(env.daemon_pid()?.to_string()).join("root").join(data.strip_prefix("/")?))
}

/// Fills the disk with one file, to the last byte.
fn fill(path: &Path) -> Result<()> {
    let mut file = fs::File::create(path)?;
    for size in [1 << 20, 4096, 1] {
        let block = vec![0; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}

/// Fills the disk up to a number of bytes.
fn fill_but(path: &Path, free: u64) -> Result<()> {
    fill(path)?;
    let length = fs::metadata(path)?.len();
    Ok(fs::File::options().write(true).open(path)?.set_len(length - free)?)
}

fn refuses(ran: &Ran, code: i32) -> Result<()> {
    let text = ran.stderr.to_lowercase();
    ensure!(ran.code == code && text.contains("no space left on device"), "expected {code} and why: {ran}");
    Ok(())
}

/// A daemon with a disk of its own, which is small.
fn started() -> Result<TestEnv> {
    let mut env = TestEnv::new()?;
    env.user.dir(&env.home.join(".local"), 0o755)?;
    env.user.dir(&env.home.join(".local/share"), 0o755)?;
    let (uid, place) = (env.user.uid, env.home.join(".local/share"));
    env.prelude =
        format!("mount -t tmpfs -o size={SIZE},mode=755,uid={uid},gid={uid} tmpfs {}", place.display());
    env.start()?;
    Ok(env)
}

/// A pull that fills the disk, and a save onto a full one: each says so and leaves nothing, and with room it succeeds.
fn transfers() -> Result<()> {
    let mut env = started()?;
    let data = inside(&env)?;
    let registry = Registry::start(&env, &env.home.join("registry"), None)?;
    let image = format!("{}/large:1", registry.host);
    env.ok(&["run", "--name", "maker", DEMO, "sh", "-c", "head -c 20000000 /dev/urandom > /large"])?;
    env.ok(&["commit", "maker", &image])?;
    env.ok(&["rm", "maker"])?;
    env.ok(&["push", "-q", &image])?;
    env.ok(&["rmi", &image])?;
    let before = store(&env)?;
    // Half a layer fits.
    fill_but(&data.join("filling"), 9 << 20)?;
    refuses(&env.k3c(&["pull", &image])?, 1)?;
    within(PATIENCE, "nothing is left", || Ok(store(&env)? == before))?;
    ensure!(env.k3c(&["image", "inspect", &image])?.code == 1);
    fs::remove_file(data.join("filling"))?;
    env.ok(&["pull", "-q", &image])?;
    ensure!(env.ok(&["run", "--rm", &image, "wc", "-c", "/large"])? == "20000000 /large");

    let folder = data.join("out");
    fs::create_dir(&folder)?;
    std::os::unix::fs::chown(&folder, Some(env.user.uid), Some(env.user.uid))?;
    let (file, archive) = (folder.join("large.tar"), folder.join("large.tar").display().to_string());
    fill(&data.join("filling"))?;
    refuses(&env.k3c(&["save", "-o", &archive, &image])?, 1)?;
    ensure!(fs::read_dir(&folder)?.next().is_none(), "something is left");
    fs::remove_file(data.join("filling"))?;
    env.ok(&["save", "-o", &archive, &image])?;
    ensure!(fs::metadata(&file)?.len() > 20_000_000);
    env.stop()
}

/// A build whose step fits on the disk, and whose layer does not any more: it says so, no image is half there, and with
/// room the same build succeeds without the step being made again.
fn exports() -> Result<()> {
    let mut env = started()?;
    let data = inside(&env)?;
    env.user.dir(&env.home.join("ctx"), 0o755)?;
    let file = format!("FROM {DEMO}\nRUN head -c 20000000 /dev/urandom > /f\n");
    env.user.write(&env.home.join("ctx/Dockerfile"), file)?;
    // The daemon of builds is there, and has what it needs of the image.
    env.user.dir(&env.home.join("first"), 0o755)?;
    env.user.write(&env.home.join("first/Dockerfile"), format!("FROM {DEMO}\nRUN true\n"))?;
    env.ok(&["build", "-q", "-t", "first:1", "first"])?;
    let images = ["images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}"];
    let before = env.ok(&images)?;
    fill_but(&data.join("filling"), 30 << 20)?;
    refuses(&env.k3c(&["build", "-t", "big:1", "ctx"])?, 1)?;
    ensure!(env.ok(&images)? == before);
    // What was written of the layer goes with containerd's next collection, some moments later.
    within(PATIENCE, "the room of a layer that failed", || {
        let ran = env.k3c(&["run", "--rm", "first:1", "echo", "runs"])?;
        Ok(ran.code == 0 && ran.stdout.trim() == "runs")
    })?;
    fs::remove_file(data.join("filling"))?;
    let ran = env.k3c(&["build", "--progress", "plain", "-t", "big:1", "ctx"])?;
    let step = ran.stderr.lines().find(|line| line.contains("RUN head")).unwrap_or_default();
    let kept = format!("{} CACHED", step.split(' ').next().unwrap_or_default());
    ensure!(ran.code == 0 && ran.stderr.contains(&kept), "{ran}");
    ensure!(env.ok(&["run", "--rm", "big:1", "wc", "-c", "/f"])? == "20000000 /f");
    env.ok(&["rmi", "big:1", "first:1"])?;
    env.ok(&["builder", "prune", "-af"])?;
    env.stop()
}

fn disk() -> Result<()> {
    let mut env = started()?;
    let data = inside(&env)?;
    let count = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done";
    env.ok(&["run", "-d", "--name", "ticks", DEMO, "sh", "-c", count])?;
    for name in ["idle", "also"] {
        env.ok(&["run", "-d", "--name", name, DEMO, "sleep", "1000"])?;
    }
    env.ok(&["run", "--name", "over", DEMO, "echo", "was here"])?;
    env.ok(&["create", "--name", "made", DEMO, "true"])?;
    // Files that the commands below work with.
    env.user.dir(&env.home.join("ctx"), 0o755)?;
    env.user.write(&env.home.join("ctx/Dockerfile"), format!("FROM {DEMO}\nCOPY much /much\n"))?;
    env.user.dir(&env.home.join("step"), 0o755)?;
    env.user.write(&env.home.join("step/Dockerfile"), format!("FROM {DEMO}\nRUN cat /dev/zero > /f\n"))?;
    for name in ["much", "ctx/much"] {
        env.user.write(&env.home.join(name), vec![7; 3_000_000])?;
    }
    let archive = crate::user::run(
        std::process::Command::new("find").arg(data.join("bundle")).args(["-name", "*demo*", "-type", "f"]),
    )?;
    let archive = fs::read(archive.lines().next().unwrap_or_default())?;
    env.user.write(&env.home.join("demo.tar"), archive)?;
    let seen = env.home.join("seen");
    let mut attached = env.k3c_command(&["attach", "--no-stdin", "ticks"]);
    let mut attached = attached.stdin(Stdio::null()).stdout(fs::File::create(&seen)?).spawn()?;

    fill(&data.join("filling"))?;
    refuses(&env.k3c(&["run", "--rm", DEMO, "true"])?, 125)?;
    refuses(&env.k3c(&["run", "--name", "half", "-v", "/data", "-v", "named:/n", DEMO, "true"])?, 125)?;
    refuses(&env.k3c(&["create", "--name", "half", DEMO, "true"])?, 1)?;
    refuses(&env.k3c(&["build", "-t", "big:1", "ctx"])?, 1)?;
    refuses(&env.k3c(&["load", "-i", "demo.tar"])?, 1)?;
    refuses(&env.k3c(&["commit", "idle", "big:1"])?, 1)?;
    refuses(&env.k3c(&["cp", "much", "idle:/much"])?, 1)?;
    let ran = env.k3c(&["exec", "idle", "sh", "-c", "head -c 2000000 /dev/zero > /much"])?;
    ensure!(ran.code == 1 && !ran.stderr.is_empty(), "{ran}");
    // Commands that need no space work, and nothing half-made is left.
    ensure!(env.ok(&["exec", "idle", "echo", "in"])? == "in");
    ensure!(env.ok(&["logs", "over"])? == "was here");
    let rows = ["ps", "-a", "--format", "{{.Names}} {{.State}}"];
    let before = env.ok(&rows)?;
    ensure!(before == "made created\nover exited\nalso running\nidle running\nticks running", "{before}");
    ensure!(
        env.ok(&["volume", "ls", "-q"])?.is_empty() && fs::read_dir(data.join("volumes"))?.next().is_none()
    );
    ensure!(
        fs::read_dir(data.join("logs"))?.count() == 5 && fs::read_dir(data.join("containers"))?.count() == 5
    );
    // Output still reaches an attached client.
    let length = || Ok::<_, anyhow::Error>(fs::metadata(&seen)?.len());
    let now = length()?;
    within(PATIENCE, "output goes on", || Ok(length()? > now + 20))?;
    // A new engine can open the records.
    env.kill_process("__engine")?;
    ensure!(env.ok(&rows)? == before);
    // Removing frees space, so it works: with an ended container, and with a running one.
    env.ok(&["rm", "over"])?;
    env.ok(&["rm", "-f", "also"])?;
    let after = "made created\nidle running\nticks running";
    ensure!(env.ok(&rows)? == after, "{}", env.ok(&rows)?);

    fs::remove_file(data.join("filling"))?;
    // A disk that becomes full while a step writes has room again when the step is over.
    refuses(&env.k3c(&["build", "-t", "big:1", "step"])?, 1)?;
    ensure!(env.ok(&rows)? == after, "{}", env.ok(&rows)?);
    within(PATIENCE, "there is room again", || Ok(env.k3c(&["build", "-q", "ctx"])?.code == 0))?;
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "again"])? == "again");
    env.ok(&["build", "-q", "-t", "big:1", "ctx"])?;
    env.ok(&["load", "-i", "demo.tar"])?;
    env.ok(&["commit", "idle", "big:2"])?;
    env.ok(&["cp", "much", "idle:/much"])?;
    env.ok(&["start", "-a", "made"])?;
    ensure!(env.ok(&["exec", "idle", "wc", "-c", "/much"])? == "3000000 /much");
    // Lines written meanwhile may be missing in the log, as in Docker; those that come now are not.
    let last = || env.ok(&["logs", "--tail", "1", "ticks"]);
    let now = last()?;
    within(PATIENCE, "the log goes on", || Ok(last()? != now))?;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(attached.id())?), Signal::SIGKILL)?;
    attached.wait()?;
    let text = fs::read_to_string(&seen)?;
    let numbers: Vec<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
    ensure!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "output was lost: {text}");
    env.ok(&["rm", "-f", "idle", "ticks", "made"])?;
    env.stop()
}
