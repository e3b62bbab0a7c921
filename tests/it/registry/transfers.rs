//! Pulling and pushing, also over bad lines.

use super::proxy::{Mode, Proxy};
use super::{Registry, secrets};
use crate::containers::{DEMO, within};
use crate::env::{Ran, TestEnv};
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Bytes of the layer that is moved over bad lines.
pub(super) const SIZE: usize = 6 << 20;

pub(super) fn started() -> Result<(TestEnv, Registry)> {
    let env = TestEnv::started()?;
    env.user.dir(&secrets(&env), 0o700)?;
    let registry = Registry::start(&env, &secrets(&env).join("registry"), None)?;
    Ok((env, registry))
}

/// Keeps the demonstration image's layer as it is: plain.
const PLAIN: &str = "--compression-format=none";

/// Gives an image to the registry and takes it again.
pub(super) fn round_trip() -> Result<()> {
    let (mut env, registry) = started()?;
    let host = registry.host.clone();
    let (one, two, plain) = (format!("{host}/a/b:1"), format!("{host}/a/b:two"), format!("{host}/a/b"));
    env.k3c(&["push", &one])?.fails(1, &format!("An image does not exist locally with the tag: {plain}"))?;
    env.ok(&["tag", DEMO, &one])?;
    let pushed = env.ok(&["push", PLAIN, &one])?;
    let said = |text: &str, all: &str| -> Result<()> {
        ensure!(all.contains(text), "no {text:?} in {all:?}");
        Ok(())
    };
    said(&format!("The push refers to repository [{plain}]\n"), &pushed)?;
    said(": Preparing\n", &pushed)?;
    said(": Pushed\n", &pushed)?;
    let id = env.ok(&["image", "inspect", "-f", "{{.Id}}", &one])?;
    let last = pushed.lines().last().unwrap_or_default();
    ensure!(last.starts_with(&format!("1: digest: {id} size: ")), "{pushed}");
    env.ok(&["tag", DEMO, &two])?;
    let again = env.ok(&["image", "push", PLAIN, "--all-tags", &plain])?;
    said(": Layer already exists\n", &again)?;
    said("\n1: digest: ", &again)?;
    said("\ntwo: digest: ", &again)?;
    ensure!(env.ok(&["push", PLAIN, "-q", &two])? == two);
    env.k3c(&["push", &format!("{plain}:3")])?.fails(1, &format!("tag does not exist: {plain}:3"))?;
    env.k3c(&["push", "-a", &one])?.fails(1, "tag can't be used with --all-tags/-a")?;
    env.k3c(&["push", DEMO])?.fails(1, "k3c.local is no registry")?;
    env.k3c(&["pull", DEMO])?.fails(1, "k3c.local is no registry")?;

    env.ok(&["rmi", &one, &two])?;
    let pulled = env.ok(&["pull", &one])?;
    let end = |status: &str| format!("Digest: {id}\nStatus: {status} for {one}\n{one}");
    ensure!(pulled.starts_with("1: Pulling from a/b\n"), "{pulled}");
    ensure!(pulled.ends_with(&end("Downloaded newer image")), "{pulled}");
    ensure!(env.ok(&["pull", &one])?.ends_with(&end("Image is up to date")));
    ensure!(env.ok(&["image", "pull", "-q", &two])? == two);
    let ran = env.k3c(&["pull", &plain])?;
    ensure!(ran.stdout.starts_with("Using default tag: latest\n"), "{ran}");
    ran.fails(1, &format!("manifest for {plain}:latest not found: manifest unknown: manifest unknown"))?;
    let digest = format!("{plain}@{id}");
    env.ok(&["rmi", &one, &two])?;
    ensure!(env.ok(&["pull", "-q", &digest])? == digest);
    ensure!(env.ok(&["run", "--rm", &digest, "echo", "here"])? == "here");

    // Platforms.
    env.k3c(&["pull", "--platform", "linux/", &one])?.fails(1, "invalid platform \"linux/\"")?;
    env.k3c(&["pull", "--platform", "linux/s390x", &one])?
        .fails(1, "no matching manifest for linux/s390x in the manifest list entries")?;
    ensure!(env.k3c(&["image", "inspect", &one])?.code == 1, "what is of no use is not kept");
    env.ok(&["pull", &one])?;
    env.k3c(&["pull", "--platform", "linux/s390x", &one])?.fails(1, "no matching manifest")?;
    ensure!(env.ok(&["run", "--rm", &one, "echo", "still"])? == "still");
    env.k3c(&["pull", "localhost:1/x"])?.fails(1, "cannot reach the registry localhost:1: dial tcp")?;
    env.stop()
}

/// An image with a layer that takes some time.
pub(super) fn large(env: &TestEnv, host: &str) -> Result<String> {
    let image = format!("{host}/large:1");
    let made = format!("head -c {SIZE} /dev/urandom > /large");
    env.ok(&["run", "--name", "maker", DEMO, "sh", "-c", &made])?;
    env.ok(&["commit", "maker", &image])?;
    env.ok(&["rm", "maker"])?;
    env.ok(&["push", "-q", &image])?;
    env.ok(&["rmi", &image])?;
    Ok(image)
}

pub(super) fn begin(env: &TestEnv, args: &[&str]) -> Result<Child> {
    let mut command = env.k3c_command(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().context("k3c")
}

pub(super) fn end(child: Child) -> Result<Ran> {
    Ok(Ran::new("pull".to_owned(), &child.wait_with_output()?))
}

/// The one request for a layer since the mode was set goes on where the one before was cut off.
fn resumed(proxy: &Proxy) -> Result<()> {
    let layers: Vec<String> = proxy.layers();
    let ranges: Vec<&String> = layers.iter().filter(|r| r.contains(" bytes=")).collect();
    ensure!(ranges.len() == 1 && !ranges[0].contains(" bytes=0-"), "{layers:#?}");
    Ok(())
}

/// What networks do to a pull.
pub(super) fn faults() -> Result<()> {
    let (mut env, registry) = started()?;
    let proxy = Proxy::start(registry.port)?;
    let image = large(&env, &proxy.host)?;
    let pull = ["pull", image.as_str()];
    let here = |env: &TestEnv| -> Result<()> {
        let size = env.ok(&["run", "--rm", &image, "sh", "-c", "wc -c < /large"])?;
        ensure!(size == SIZE.to_string(), "{size}");
        env.ok(&["rmi", &image]).map(drop)
    };
    let absent = |env: &TestEnv| -> Result<()> {
        ensure!(env.k3c(&["image", "inspect", &image])?.code == 1, "there is half an image");
        Ok(())
    };

    // A connection that is cut in the middle is made again, and goes on.
    proxy.set(Mode::Cut(SIZE / 2, 1));
    env.ok(&pull)?;
    resumed(&proxy)?;
    here(&env)?;

    // Somebody loses patience: the transfer ends with the command, and the next one goes on.
    proxy.set(Mode::Stall(SIZE / 2));
    let child = begin(&env, &pull)?;
    proxy.stalled(1)?;
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    let ran = end(child)?;
    ensure!(ran.code == 130, "{ran}");
    proxy.stalled(0)?;
    absent(&env)?;
    proxy.set(Mode::Straight);
    env.ok(&pull)?;
    resumed(&proxy)?;
    here(&env)?;

    // A pull that was begun and is not wanted any more goes with what is pruned.
    proxy.set(Mode::Stall(SIZE / 2));
    let child = begin(&env, &pull)?;
    proxy.stalled(1)?;
    // What is under way is not pruned: a second pull goes on with the same piece, or waits for it.
    env.ok(&["image", "prune", "-f"])?;
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGTERM)?;
    ensure!(end(child)?.code == 143);
    proxy.stalled(0)?;
    env.ok(&["image", "prune", "-f"])?;
    proxy.set(Mode::Straight);
    within(Duration::from_secs(20), "the piece is gone", || {
        let ingests = env.data_dir().join("containerd/io.containerd.content.v1.content/ingest");
        Ok(std::fs::read_dir(ingests)?.count() == 0)
    })?;
    env.ok(&pull)?;
    ensure!(proxy.layers().iter().all(|layer| !layer.contains("bytes=")), "{:#?}", proxy.layers());
    here(&env)?;

    // Other content than was said: refused, and nothing of it is kept.
    proxy.set(Mode::Corrupt);
    env.k3c(&pull)?.fails(1, "sent other content than it said")?;
    absent(&env)?;
    proxy.set(Mode::Straight);
    env.ok(&pull)?;
    ensure!(proxy.layers().iter().all(|layer| !layer.contains("bytes=")), "{:#?}", proxy.layers());
    here(&env)?;

    // Two at once share the work.
    proxy.set(Mode::Straight);
    let children = [begin(&env, &pull)?, begin(&env, &pull)?];
    for child in children {
        let ran = end(child)?;
        ensure!(ran.code == 0 && ran.stdout.ends_with(&format!("{image}\n")), "{ran}");
    }
    let mut layers = proxy.layers();
    let all = layers.len();
    layers.sort();
    layers.dedup();
    ensure!(layers.len() == all, "a layer was asked for twice: {:#?}", proxy.layers());
    here(&env)?;

    // The engine dies in the middle.
    proxy.set(Mode::Stall(SIZE / 2));
    let child = begin(&env, &pull)?;
    proxy.stalled(1)?;
    env.kill_process("__engine")?;
    ensure!(end(child)?.code == 1);
    proxy.stalled(0)?;
    env.answers(Duration::from_secs(30))?;
    absent(&env)?;
    proxy.set(Mode::Straight);
    env.ok(&pull)?;
    resumed(&proxy)?;
    here(&env)?;
    drop(proxy);
    env.stop()
}

/// An archive of `docker save` has plain layers: they are compressed once, for all pushes.
pub(super) fn plain_layers() -> Result<()> {
    let (mut env, registry) = started()?;
    let script = r#"set -e; mkdir plain; cd plain
        $K3C export -o layer.tar $($K3C create $DEMO true); sum=$(sha256sum < layer.tar | cut -c1-64)
        printf '{"architecture":"%s","os":"linux","config":{"Cmd":["sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
            $($K3C image inspect -f '{{.Architecture}}' $DEMO) $sum > config.json
        echo '[{"Config":"config.json","RepoTags":["plain:1"],"Layers":["layer.tar"]}]' > manifest.json
        tar -cf ../plain.tar manifest.json config.json layer.tar; $K3C load -q -i ../plain.tar"#;
    let script = format!("export K3C={} DEMO={DEMO}; {script}", crate::env::installed().display());
    env.program(Path::new("/bin/bash"), &["-c", &script])?.ok()?;
    // The type of the layer that the registry has.
    let kind = |name: &str| -> Result<String> {
        let script = "import json, sys, urllib.request as u
kinds = 'application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json'
r = u.Request(f'http://{sys.argv[1]}/v2/{sys.argv[2]}/manifests/1', headers={'Accept': kinds})
print(*(layer['mediaType'] for layer in json.load(u.urlopen(r))['layers']))";
        env.program(Path::new("python3"), &["-c", script, &registry.host, name])?.ok()
    };
    for (name, flags, compressing, suffix) in [
        ("none", &["--compression-format", "none"][..], false, ".tar"),
        ("first", &[], true, "gzip"),
        ("second", &[], false, "gzip"),
        ("smaller", &["--compression-format=zstd"], true, "zstd"),
    ] {
        let full = format!("{}/{name}:1", registry.host);
        env.ok(&["tag", "plain:1", &full])?;
        let said = env.ok(&[&["push"], flags, &[&full]].concat())?;
        for word in [": Compressing", ": Compressed"] {
            ensure!(said.contains(word) == compressing, "{name}: {said}");
        }
        let kind = kind(name)?;
        ensure!(kind.ends_with(suffix), "{name}: {kind}");
        let digest =
            said.rsplit("digest: ").next().and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        env.ok(&["rmi", &full])?;
        env.ok(&["pull", "-q", &full])?;
        ensure!(env.ok(&["image", "inspect", "-f", "{{.Id}}", &full])? == digest, "{name}: {said}");
        ensure!(env.ok(&["run", "--rm", &full, "echo", name])? == name);
        env.ok(&["rmi", &full])?;
    }
    env.k3c(&["push", "--compression-format", "lzma", "plain:1"])?
        .fails(125, "\"lzma\" is not one of gzip, zstd, none")?;
    ensure!(env.ok(&["run", "--rm", "plain:1", "echo", "here"])? == "here");
    env.stop()
}

/// The proxy of the daemon's environment is the way to registries, also to those whose names only it knows.
pub(super) fn through_a_proxy() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.dir(&secrets(&env), 0o700)?;
    let registry = Registry::start(&env, &secrets(&env).join("registry"), None)?;
    let proxy = Proxy::start(registry.port)?;
    let plain = "server = \"http://registry.test:5000\"\n";
    env.user.dir(&env.home.join(".config"), 0o755)?;
    env.user.write(&env.home.join(".config/k3c/certs.d/registry.test:5000/hosts.toml"), plain)?;
    env.set("HTTP_PROXY", format!("http://{}", proxy.host));
    env.start()?;
    let image = "registry.test:5000/team/demo:1";
    env.ok(&["tag", DEMO, image])?;
    env.ok(&["push", image])?;
    env.ok(&["rmi", image])?;
    ensure!(env.ok(&["pull", "-q", image])? == image);
    ensure!(env.ok(&["run", "--rm", image, "echo", "here"])? == "here");
    let requests = proxy.requests();
    let through = |method: &str| {
        requests.iter().any(|r| r.starts_with(&format!("{method} http://registry.test:5000/v2/team/demo/")))
    };
    ensure!(through("PUT") && through("GET"), "{requests:?}");
    env.stop()
}
