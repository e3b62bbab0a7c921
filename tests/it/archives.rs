//! Archives of images: what others read of ours, and what we read of theirs.

use crate::Case;
use crate::containers::DEMO;
use crate::env::TestEnv;
use crate::host::Need;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;

const OTHERS: &[Need] = &[Need::Daemon, Need::Program("skopeo"), Need::Program("podman")];

pub(crate) fn cases() -> Vec<Case> {
    vec![Case::new("archives::others_read_what_is_saved", OTHERS, others_read_what_is_saved)]
}

/// podman, with a store of its own that needs nothing of the host.
fn podman(env: &TestEnv, args: &[&str]) -> Result<String> {
    let own = ["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--log-level", "error"];
    let said = env.program(Path::new("podman"), &[&own, args].concat())?.ok();
    // What keeps its namespaces goes on without it.
    for (pid, _) in env.user.processes().into_iter().filter(|(_, line)| line.trim() == "podman") {
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
    said
}

fn skopeo(env: &TestEnv, args: &[&str]) -> Result<String> {
    env.program(Path::new("skopeo"), &[&["--insecure-policy"], args].concat())?.ok()
}

/// Several images and names in one archive, which skopeo reads in both layouts and podman loads; the file appears only
/// when it is whole.
fn others_read_what_is_saved() -> Result<()> {
    let mut env = TestEnv::started()?;
    for name in ["kept:1", "kept:2", "other"] {
        env.ok(&["tag", DEMO, name])?;
    }
    env.ok(&["run", "--name", "made", DEMO, "sh", "-c", "echo made > /made"])?;
    env.ok(&["commit", "-c", "CMD [\"cat\", \"/made\"]", "made", "own:1"])?;
    env.ok(&["save", "-o", "all.tar", "kept", "other", "own:1"])?;
    for name in ["kept:1", "kept:2", "other:latest", "own:1"] {
        skopeo(&env, &["inspect", &format!("docker-archive:all.tar:{name}")])?;
    }
    env.ok(&["save", "-o", "one.tar", "own:1"])?;
    let digest = skopeo(&env, &["inspect", "-f", "{{.Digest}}", "oci-archive:one.tar:1"])?;
    ensure!(digest == env.ok(&["images", "-q", "--no-trunc", "own:1"])?, "{digest}");
    let said = podman(&env, &["load", "-i", "all.tar"])?;
    ensure!(said.contains("localhost/kept:2") && said.contains("localhost/own:1"), "{said}");
    let label = podman(&env, &["inspect", "-f", "{{.Config.Cmd}}", "localhost/own:1"])?;
    ensure!(label == "[cat /made]", "{label}");

    // To standard output it is the same, and by ID it has no name.
    let line = "k3c save own:1 | cmp - one.tar && k3c save $(k3c images -q own:1) | tar -xO manifest.json";
    let path =
        format!("PATH={}:/usr/bin:/bin", crate::env::installed().parent().context("a folder")?.display());
    let shell = |line: &str| env.program(Path::new("env"), &[&path, "sh", "-c", line]);
    let said = shell(line)?.ok()?;
    ensure!(said.contains("\"RepoTags\":null"), "{said}");

    // Content that is damaged is found on the way: the file that was there stays, and nothing else is left.
    let layer: serde_json::Value = serde_json::from_str(&shell("tar -xOf one.tar manifest.json")?.ok()?)?;
    let layer = layer[0]["Layers"][1].as_str().context("a layer")?;
    let blob = env.data_dir().join("containerd/io.containerd.content.v1.content").join(layer);
    let mut bytes = fs::read(&blob).with_context(|| blob.display().to_string())?;
    bytes[9] ^= 1;
    fs::remove_file(&blob)?;
    env.user.write(&blob, bytes)?;
    let before = fs::read(env.home.join("one.tar"))?;
    env.k3c(&["save", "-o", "one.tar", "own:1"])?.fails(1, "is damaged")?;
    ensure!(fs::read(env.home.join("one.tar"))? == before, "the file was changed");
    ensure!(shell("ls -A | grep k3c-part || true")?.ok()?.is_empty());
    env.ok(&["rm", "made"])?;
    env.stop()
}
