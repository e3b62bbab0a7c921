//! Moving and building images: k3c, a containerd of its own with `ctr`, podman, docker, and BuildKit's own client.

use super::{Shell, median, ms};
use crate::env::TestEnv;
use crate::host::tool;
use crate::registry::Registry;
use crate::user::run;
use crate::{debian, report};
use anyhow::{Context, Result};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The limit of rounds of each command, after one that warms up.
const ROUNDS: usize = 5;
/// The name of the image in its archive.
const NAME: &str = "docker.io/library/big:1";
/// The folder that peers see, too.
const SHARED: &str = "/tmp/k3cpeer";

/// One engine, and how it is told what to do. `HOST` stands for the registry.
struct Side<'a> {
    name: &'a str,
    shell: &'a mut Shell,
    load: String,
    tag: String,
    push: String,
    pull: String,
    /// Removes all images.
    remove: String,
    /// Builds `SHARED/CONTEXT`; `MORE` stands for `--no-cache`, or nothing.
    build: Option<String>,
}

/// Number of the image's layers.
const LAYERS: usize = 5;

/// Layers that are compressed by gzip, as registries have them, 340 MB together: parts of Debian's root, Go with its
/// many small files, and the few large ones of Rust.
fn archive() -> Result<PathBuf> {
    let source = debian::archive()?;
    let archive = source.with_file_name("bigger-gzip.tar");
    if archive.exists() {
        return Ok(archive);
    }
    let work = tempfile::tempdir_in("/var/tmp")?;
    let (root, blobs) = (work.path().join("root"), work.path().join("oci/blobs/sha256"));
    fs::create_dir_all(&root)?;
    fs::create_dir_all(&blobs)?;
    let script = "set -e; tar -xOf $0 layer.tar | tar -C root -x
        tar -C root -c usr/lib > 1; rm -rf root/usr/lib; tar -C root -c usr > 2; rm -rf root/usr; tar -C root -c . > 3
        tar -C $(go env GOROOT)/.. --transform 's,^,usr/local/,' -c go > 4
        tar -C $(rustc --print sysroot) --transform 's,^,opt/rust/,' -c lib > 5
        for n in 1 2 3 4 5; do gzip -6 -k $n; done";
    run(Command::new("bash").args(["-c", script]).arg(&source).current_dir(work.path()))?;
    let put = |bytes: Vec<u8>, kind: &str| -> Result<serde_json::Value> {
        let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(blobs.join(&hex), &bytes)?;
        let kind = format!("application/vnd.oci.image.{kind}");
        Ok(json!({ "mediaType": kind, "digest": format!("sha256:{hex}"), "size": bytes.len() }))
    };
    let (mut layers, mut plain) = (Vec::new(), Vec::new());
    for number in 1..=LAYERS {
        let bytes = fs::read(work.path().join(number.to_string()))?;
        let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        plain.push(format!("sha256:{hex}"));
        let packed = fs::read(work.path().join(format!("{number}.gz")))?;
        layers.push(put(packed, "layer.v1.tar+gzip")?);
    }
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({ "os": "linux", "architecture": arch, "config": {},
        "rootfs": { "type": "layers", "diff_ids": plain } });
    let config = put(config.to_string().into(), "config.v1+json")?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
    let mut manifest = put(manifest.to_string().into(), "manifest.v1+json")?;
    manifest["annotations"] = json!({ "io.containerd.image.name": NAME, "org.opencontainers.image.ref.name": "docker.io/library/big:1" });
    // For Docker's older versions.
    let place = |blob: &serde_json::Value| {
        blob["digest"].as_str().unwrap_or_default().replace("sha256:", "blobs/sha256/")
    };
    let docker = json!([{ "Config": place(&config), "RepoTags": ["big:1"],
        "Layers": layers.iter().map(place).collect::<Vec<_>>() }]);
    let oci = work.path().join("oci");
    fs::write(oci.join("manifest.json"), docker.to_string())?;
    fs::write(oci.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    fs::write(oci.join("index.json"), json!({ "schemaVersion": 2, "manifests": [manifest] }).to_string())?;
    let new = archive.with_extension("new");
    run(Command::new("tar").arg("-C").arg(&oci).arg("-cf").arg(&new).args([
        "oci-layout",
        "index.json",
        "manifest.json",
        "blobs",
    ]))?;
    fs::rename(&new, &archive)?;
    Ok(archive)
}

/// A containerd as it comes, of root.
struct Plain {
    child: Child,
    dir: tempfile::TempDir,
}

impl Plain {
    fn start() -> Result<Self> {
        let dir = tempfile::tempdir_in("/var/tmp")?;
        let at = |name: &str| dir.path().join(name).display().to_string();
        let config = format!(
            "version = 3\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\", \
             \"io.containerd.cri.v1.runtime\", \"io.containerd.cri.v1.images\"]\n[grpc]\naddress = \"{}\"\n\
             [ttrpc]\naddress = \"{}\"\n",
            at("root"),
            at("state"),
            at("sock"),
            at("ttrpc"),
        );
        fs::write(dir.path().join("config.toml"), config)?;
        let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("images/out");
        let found = run(Command::new("find").arg("-L").arg(out).args(["-path", "*/bin/containerd"]))?;
        let program = found.lines().next().context("no containerd in images/out")?.to_owned();
        let log = fs::File::create(dir.path().join("log"))?;
        let child = Command::new(program)
            .arg("--config")
            .arg(dir.path().join("config.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let plain = Self { child, dir };
        crate::containers::within(Duration::from_secs(20), "containerd listens", || {
            Ok(std::os::unix::net::UnixStream::connect(plain.socket()).is_ok())
        })?;
        Ok(plain)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command lines of podman and docker, which are alike.
fn docker_like<'a>(name: &'a str, shell: &'a mut Shell) -> Side<'a> {
    let insecure = if name == "podman" { "--tls-verify=false " } else { "" };
    Side {
        name,
        shell,
        load: format!("{name} load -q -i {SHARED}/big.tar"),
        tag: format!("{name} tag big:1 HOST/push:1"),
        push: format!("{name} push -q {insecure}HOST/push:1"),
        pull: format!("{name} pull -q {insecure}HOST/push:1"),
        // Also what a broken-off run left, with the name of another registry: it would have the layers.
        remove: format!(
            "{name} images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' | grep -E '(^|/)(big|push):1$' | xargs -r {name} rmi -f"
        ),
        build: Some(format!("{name} build MORE -q -t built {SHARED}/CONTEXT")),
    }
}

fn sides<'a>(
    env: &TestEnv,
    plain: &Plain,
    [ours, of_ctr, of_buildctl]: [&'a mut Shell; 3],
    peers: &'a mut [(&str, Shell)],
) -> Vec<Side<'a>> {
    let mut ours = docker_like("k3c", ours);
    let program = crate::env::installed().display().to_string();
    for line in [&mut ours.load, &mut ours.tag, &mut ours.push, &mut ours.pull, &mut ours.remove] {
        *line = line.replace("k3c ", &format!("{program} "));
    }
    ours.build = ours.build.map(|line| line.replacen("k3c ", &format!("{program} "), 1));
    // It warns on standard error of what is no concern of ours.
    let ctr = format!("2> /dev/null {} -a {}", tool("ctr").display(), plain.socket().display());
    let mut all = vec![ours];
    all.push(Side {
        name: "ctr",
        shell: of_ctr,
        load: format!("{ctr} images import {SHARED}/big.tar"),
        tag: format!("{ctr} images tag --force {NAME} HOST/push:1"),
        push: format!("{ctr} images push --plain-http HOST/push:1"),
        pull: format!("{ctr} images pull --plain-http HOST/push:1"),
        remove: format!("{ctr} images rm --sync {NAME} HOST/push:1 || true"),
        build: None,
    });
    let buildctl = tool("buildctl").display().to_string();
    let socket = env.socket().display().to_string();
    all.push(Side {
        name: "buildctl",
        shell: of_buildctl,
        load: String::new(),
        tag: String::new(),
        push: String::new(),
        pull: String::new(),
        remove: String::new(),
        build: Some(format!(
            "{buildctl} --addr unix://{socket} build --frontend dockerfile.v0 --local context={SHARED}/CONTEXT \
             --local dockerfile={SHARED}/CONTEXT MORE --output type=image,name=docker.io/library/built:latest,unpack=true \
             --progress plain 2> /dev/null"
        )),
    });
    for (name, shell) in peers.iter_mut() {
        let mut side = docker_like(name, shell);
        if *name == "docker" {
            // A rootless dockerd has a loopback of its own, without the registry.
            (side.push, side.pull) = (String::new(), String::new());
        }
        all.push(side);
    }
    all
}

/// Times one command of all sides that have it, one after the other in each round.
fn compare(
    title: &str,
    sides: &mut [Side<'_>],
    before: impl Fn(&Side<'_>) -> String,
    timed: impl Fn(&Side<'_>) -> Option<String>,
    mut each: impl FnMut() -> Result<()>,
    rounds: usize,
) -> Result<()> {
    let mut all: Vec<Vec<Duration>> = vec![Vec::new(); sides.len()];
    for round in 0..=rounds {
        for (side, times) in sides.iter_mut().zip(&mut all) {
            let Some(line) = timed(side).filter(|line| !line.is_empty()) else { continue };
            each()?;
            let first = before(side);
            side.shell.time(&first).with_context(|| format!("{}: {first}", side.name))?;
            let time = side.shell.time(&line).with_context(|| format!("{}: {line}", side.name))?;
            if round > 0 {
                times.push(time);
            }
        }
    }
    let own = median(&mut all[0]).unwrap_or_default();
    let mut text = format!("{title:24} k3c {}", ms(Some(own)));
    for (side, times) in sides.iter().zip(&mut all).skip(1) {
        if let Some(time) = median(times) {
            text += &format!(
                "  {} {} ratio {:.2}",
                side.name,
                ms(Some(time)),
                own.as_secs_f64() / time.as_secs_f64()
            );
        }
    }
    report(&text);
    Ok(())
}

/// Highest memory of each process of the instance so far, in KiB, summed up.
fn peak(env: &TestEnv) -> u64 {
    let of = |pid: i32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    env.processes().into_iter().filter_map(|(pid, _)| of(pid)).sum()
}

/// Contexts for builds: a few steps in two stages, and 10,000 files.
fn contexts() -> Result<()> {
    let steps = Path::new(SHARED).join("steps");
    let files = Path::new(SHARED).join("files");
    for dir in [&steps, &files] {
        let _ = fs::remove_dir_all(dir);
        fs::create_dir_all(dir)?;
    }
    let from = "FROM k3c.local/demo";
    let text = format!(
        "{from} AS one\nCOPY a /a\nRUN head -c 1000000 /dev/zero > /b\nRUN cat /a /b > /c\n{from}\n\
         COPY --from=one /c /c\nRUN md5sum /c > /d\n"
    );
    fs::write(steps.join("Dockerfile"), text)?;
    fs::write(steps.join("a"), "a")?;
    fs::write(files.join("Dockerfile"), format!("{from}\nCOPY . /all\n"))?;
    for folder in 0..100 {
        let folder = files.join(folder.to_string());
        fs::create_dir(&folder)?;
        for file in 0..100 {
            fs::write(folder.join(file.to_string()), format!("{file}"))?;
        }
    }
    Ok(())
}

/// Parts of these benchmarks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    All,
    /// Pull and load.
    Unpacking,
}

/// Runs the benchmarks of images.
pub(super) fn all(env: &TestEnv, peers: &mut [(&str, Shell)], rounds: usize, part: Part) -> Result<()> {
    let rounds = rounds.min(ROUNDS);
    fs::create_dir_all(SHARED)?;
    let archive = archive()?;
    fs::copy(&archive, Path::new(SHARED).join("big.tar"))?;
    let data = env.home.join("registry");
    let registry = Registry::start(env, &data, None)?;
    let plain = Plain::start()?;
    let user = || Shell::start(env.command(Path::new("/bin/bash"), &[]));
    let (mut ours, mut of_buildctl) = (user()?, user()?);
    let mut of_ctr = Shell::start(Command::new("bash"))?;
    let mut sides = sides(env, &plain, [&mut ours, &mut of_ctr, &mut of_buildctl], peers);
    for side in &mut sides {
        for line in [&mut side.tag, &mut side.push, &mut side.pull, &mut side.remove] {
            *line = line.replace("HOST", &registry.host);
        }
    }
    report(&format!(
        "image: {} MB compressed, in {LAYERS} layers",
        fs::metadata(&archive)?.len() / 1_000_000
    ));
    let idle = peak(env);
    if part == Part::Unpacking {
        let first = sides.first_mut().context("k3c")?;
        first.shell.time(&format!("{} && {} && {}", first.load, first.tag, first.push))?;
    }
    compare("load", &mut sides, |s| s.remove.clone(), |s| Some(s.load.clone()), || Ok(()), rounds)?;
    // A registry that has nothing takes every byte.
    let empty = || -> Result<()> {
        let docker = data.join("data/docker");
        match docker.exists() {
            true => Ok(fs::remove_dir_all(docker)?),
            false => Ok(()),
        }
    };
    let tagged = |s: &Side<'_>| format!("{} && {}", s.load, s.tag);
    if part == Part::All {
        compare("push", &mut sides, tagged, |s| Some(s.push.clone()), empty, rounds)?;
    }
    compare("pull", &mut sides, |s| s.remove.clone(), |s| Some(s.pull.clone()), || Ok(()), rounds)?;
    report(&format!("peak of memory, all      {} KiB before, {} KiB after them", idle, peak(env)));
    if part == Part::Unpacking {
        return Ok(fs::remove_file(Path::new(SHARED).join("big.tar"))?);
    }
    contexts()?;
    for (title, context, anew) in [
        ("build, nothing cached", "steps", true),
        ("build, all cached", "steps", false),
        ("build, 10,000 files", "files", false),
    ] {
        let line = |s: &Side<'_>| {
            let more = if anew { "--no-cache" } else { "" };
            s.build.as_ref().map(|line| line.replace("CONTEXT", context).replace("MORE", more))
        };
        compare(title, &mut sides, |_| "true".to_owned(), line, || Ok(()), rounds)?;
    }
    for name in ["big.tar", "steps", "files"] {
        let path = Path::new(SHARED).join(name);
        let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
    }
    Ok(())
}
