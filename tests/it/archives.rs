//! Archives of images: what others read of ours, and what we read of theirs.

mod platforms;

pub(crate) use platforms::for_several;

use crate::Case;
use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::host::Need;
use crate::proxy::client;
use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;
use tar::{Builder, EntryType, Header};

const OTHERS: &[Need] = &[Need::Daemon, Need::Tools, Need::Program("skopeo"), Need::Program("podman")];
const WITH_TOOLS: &[Need] = &[Need::Daemon, Need::Tools];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("archives::others_read_what_is_saved", OTHERS, others_read_what_is_saved),
        Case::new("archives::theirs_are_loaded", OTHERS, theirs_are_loaded),
        Case::new("archives::broken_ones_leave_nothing", WITH_TOOLS, broken_ones_leave_nothing),
        Case::new("archives::for_other_platforms", WITH_TOOLS, platforms::for_other_platforms),
    ]
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

/// A line for the shell in the user's home, with k3c on its PATH.
fn shell(env: &TestEnv, line: &str) -> Result<String> {
    let path =
        format!("PATH={}:/usr/bin:/bin", crate::env::installed().parent().context("a folder")?.display());
    env.program(Path::new("env"), &[&path, "sh", "-c", line])?.ok()
}

/// Archives of skopeo, podman and buildctl in both layouts, plain and compressed: each gives the image back, by name or by
/// ID, and it runs.
fn theirs_are_loaded() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["tag", DEMO, "first:1"])?;
    env.ok(&["save", "-o", "ours.tar", "first:1"])?;
    let copy = |to: &str| skopeo(&env, &["copy", "docker-archive:ours.tar", to]);
    copy("docker-archive:skopeo-docker.tar:second:1")?;
    copy("oci-archive:skopeo-oci.tar:localhost/third:1")?;
    copy("oci-archive:skopeo-tag.tar:1")?;
    podman(&env, &["load", "-i", "ours.tar"])?;
    for (layout, file) in [("docker-archive", "podman-docker.tar"), ("oci-archive", "podman-oci.tar")] {
        podman(&env, &["save", "--format", layout, "-o", file, "docker.io/library/first:1"])?;
    }
    env.user.dir(&env.home.join("ctx"), 0o755)?;
    env.user.write(&env.home.join("ctx/Dockerfile"), format!("FROM {DEMO}\nLABEL by=buildctl\n"))?;
    for layout in ["docker", "oci"] {
        let output =
            format!("type={layout},name=docker.io/library/built-{layout}:1,dest=buildctl-{layout}.tar");
        let line = ["build", "--frontend", "dockerfile.v0", "--opt", "image-resolve-mode=local", "--local"];
        let more = ["context=ctx", "--local", "dockerfile=ctx", "--output", &output];
        client(&env, "buildctl", &[&line[..], &more].concat())?.ok()?;
    }
    let load = "k3c rmi -f first:1 >/dev/null; k3c load";
    for (file, said) in [
        ("ours.tar", "Loaded image: first:1"),
        ("skopeo-docker.tar", "Loaded image: second:1"),
        ("skopeo-oci.tar", "Loaded image: localhost/third:1"),
        ("skopeo-tag.tar", "Loaded image ID: sha256:"),
        ("podman-docker.tar", "Loaded image: first:1"),
        ("podman-oci.tar", "Loaded image: first:1"),
        ("buildctl-docker.tar", "Loaded image: built-docker:1"),
        ("buildctl-oci.tar", "Loaded image: built-oci:1"),
    ] {
        let found = shell(&env, &format!("{load} -qi {file}")).context(file)?;
        ensure!(found.trim().starts_with(said) && found.lines().count() == 1, "{file}: {found}");
        let who = found.trim().rsplit_once(": ").context("a name")?.1;
        let who = if who.starts_with("sha256:") { who } else { who.trim_start() };
        let id = env.ok(&["image", "inspect", "-f", "{{.Architecture}}", who])?;
        ensure!(["amd64", "arm64"].contains(&id.as_str()), "{file}: {id}");
    }
    for program in ["gzip", "xz -0", "bzip2", "zstd -q"] {
        let found = shell(&env, &format!("{program} < skopeo-docker.tar > c; {load} -q < c"));
        ensure!(found.as_deref().is_ok_and(|f| f.trim() == "Loaded image: second:1"), "{program}: {found:?}");
    }
    for name in ["second:1", "localhost/third:1", "built-oci:1"] {
        ensure!(env.ok(&["run", "--rm", name, "echo", "runs"])? == "runs", "{name}");
    }
    env.stop()
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(bytes))
}

/// An archive being made, of which each part can be wrong.
#[derive(Clone)]
struct Parts {
    entries: Vec<(EntryType, String, Vec<u8>)>,
    config: Value,
    layer: Vec<u8>,
}

impl Parts {
    /// The parts of an image with one layer.
    fn good() -> Result<Self> {
        let mut files = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(9);
        header.set_mode(0o644);
        files.append_data(&mut header, "hostile", &b"unpacked\n"[..])?;
        let layer = files.into_inner()?;
        let config = json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        Ok(Self { entries: Vec::new(), config, layer })
    }

    fn file(&mut self, name: &str, bytes: impl Into<Vec<u8>>) {
        self.entries.push((EntryType::Regular, name.to_owned(), bytes.into()));
    }

    fn blob(&mut self, bytes: impl Into<Vec<u8>>) -> String {
        let bytes = bytes.into();
        let digest = digest(&bytes);
        self.file(&format!("blobs/{}", digest.replace(':', "/")), bytes);
        digest
    }

    /// In Docker's layout.
    fn docker(mut self, change: impl FnOnce(&mut Value)) -> Result<Vec<u8>> {
        let mut manifest =
            json!([{ "Config": "c.json", "RepoTags": ["hostile:1"], "Layers": ["layer.tar"] }]);
        change(&mut manifest);
        self.file("c.json", self.config.to_string());
        self.file("layer.tar", self.layer.clone());
        self.file("manifest.json", manifest.to_string());
        self.tar()
    }

    /// In OCI's layout, with another manifest and another index.
    fn oci(
        mut self,
        change: impl FnOnce(&mut Value),
        change_index: impl FnOnce(&mut Value),
    ) -> Result<Vec<u8>> {
        let (config, layer) = (self.config.to_string(), self.layer.clone());
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config.as_bytes()), "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(&layer), "size": layer.len() }],
        });
        change(&mut manifest);
        self.blob(config);
        self.blob(layer);
        let text = manifest.to_string();
        let target = self.blob(text.clone());
        let mut index = json!({ "schemaVersion": 2, "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": target, "size": text.len(),
            "annotations": { "io.containerd.image.name": "docker.io/library/hostile:1" },
        }] });
        change_index(&mut index);
        self.file("index.json", index.to_string());
        self.file("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string());
        self.tar()
    }

    fn tar(self) -> Result<Vec<u8>> {
        let mut archive = Builder::new(Vec::new());
        for (kind, name, bytes) in self.entries {
            let mut header = Header::new_gnu();
            // As it is: the library would refuse some.
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            let size = if kind.is_symlink() { 0 } else { bytes.len() };
            if kind.is_symlink() {
                header.set_link_name_literal(&bytes)?;
            }
            header.set_entry_type(kind);
            header.set_size(size as u64);
            header.set_cksum();
            archive.append(&header, &bytes[..size])?;
        }
        Ok(archive.into_inner()?)
    }
}

/// Archives that are cut off, damaged or hostile, and why they are refused.
fn broken_ones() -> Result<Vec<(&'static str, Vec<u8>, &'static str)>> {
    let good = Parts::good()?;
    let whole = good.clone().docker(|_| {})?;
    let with = |kind, name: &str, bytes: &[u8]| {
        let mut parts = good.clone();
        parts.entries.push((kind, name.to_owned(), bytes.to_vec()));
        parts.docker(|_| {})
    };
    let mut other_name = good.clone();
    other_name.file(&format!("blobs/sha256/{}", "ab".repeat(32)), *b"something else");
    let mut other_layer = good.clone();
    other_layer.layer[0] ^= 1;
    let mut bad_tar = good.clone();
    bad_tar.layer = b"no archive at all".to_vec();
    bad_tar.config["rootfs"]["diff_ids"] = json!([digest(&bad_tar.layer)]);
    let mut twice = good.clone();
    twice.file("layer.tar", *b"one of two");
    let long = |parts: &Parts| parts.clone().oci(|_| {}, |v| v["manifests"][0]["size"] = json!(1_u64 << 62));
    let mut huge = Header::new_gnu();
    huge.set_size(1 << 50);
    huge.set_path("layer.tar")?;
    huge.set_cksum();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&whole)?;
    let gzip = gzip.finish()?;
    Ok(vec![
        ("nothing", Vec::new(), "neither oci-layout nor manifest.json"),
        ("no archive", vec![b'x'; 5000], "invalid archive"),
        ("cut in a file", whole[..1700].to_vec(), "it is cut off in"),
        ("cut in a header", whole[..1300].to_vec(), "it is cut off"),
        (
            "cut before the manifest",
            whole[..whole.len() - 2048].to_vec(),
            "neither oci-layout nor manifest.json",
        ),
        ("cut gzip", gzip[..200].to_vec(), "cut off"),
        ("a name that leads out", with(EntryType::Regular, "../../etc/x", b"x")?, "leads out of it"),
        ("a link that leads out", with(EntryType::Symlink, "id/l", b"../../x")?, "leads out of it"),
        ("a device", with(EntryType::Char, "null", b"")?, "is no file, folder or link"),
        ("a name twice", twice.docker(|_| {})?, "it has \"layer.tar\" twice"),
        ("a digest that is another's", other_name.docker(|_| {})?, "has not the digest that its name says"),
        ("a layer that is another", other_layer.docker(|_| {})?, "invalid archive: "),
        ("a layer that is no archive", bad_tar.docker(|_| {})?, "invalid archive: "),
        (
            "a layer that is not there",
            good.clone().docker(|m| m[0]["Layers"] = json!(["no.tar"]))?,
            "names \"no.tar\", which is not in it",
        ),
        (
            "a name that is none",
            good.clone().docker(|m| m[0]["RepoTags"] = json!(["../x"]))?,
            "invalid reference format",
        ),
        (
            "too many layers",
            good.clone().docker(|m| m[0]["Layers"] = json!(["layer.tar", "layer.tar"]))?,
            "has 2 layers, and its configuration 1",
        ),
        ("an absurd length", long(&good)?, "bytes, not 4611686018427387904"),
        (
            "a blob that is not there",
            good.clone().oci(|v| v["layers"][0]["digest"] = json!(digest(b"none")), |_| {})?,
            "is not in it",
        ),
        (
            "a digest that is none",
            good.clone().oci(|_| {}, |v| v["manifests"][0]["digest"] = json!("sha256:../../x"))?,
            "is no digest",
        ),
        (
            "a manifest that is an index, too",
            good.clone().oci(|v| v["manifests"] = json!([]), |_| {})?,
            "is not what its media type says",
        ),
        (
            "more than the disk has",
            [huge.as_bytes().to_vec(), vec![0; 8 << 20]].concat(),
            "no space left on device",
        ),
    ])
}

/// All that containerd's store holds, after what nothing holds was collected.
pub(crate) fn store(env: &TestEnv) -> Result<String> {
    client(env, "ctr", &["leases", "create", "--id", "settle"])?.ok()?;
    client(env, "ctr", &["leases", "rm", "--sync", "settle"])?.ok()?;
    let lists =
        [&["content", "ls", "-q"][..], &["content", "active"], &["leases", "ls"], &["images", "ls", "-q"]];
    let lists = lists.iter().map(|args| client(env, "ctr", args)?.ok()).collect::<Result<Vec<_>>>();
    Ok(lists?.join("\n--\n"))
}

/// Each is refused with its reason, and then the store is as it was: no image, no lease, no content.
fn broken_ones_leave_nothing() -> Result<()> {
    let mut env = TestEnv::started()?;
    let store = || store(&env);
    env.ok(&["images"])?;
    let mut before = store()?;
    within(Duration::from_secs(30), "k3c's own images are there", || {
        before = store()?;
        Ok(!before.contains("k3c-load-"))
    })?;
    for (name, bytes, why) in broken_ones()? {
        env.user.write(&env.home.join("broken.tar"), bytes)?;
        let ran = env.k3c(&["load", "-qi", "broken.tar"])?;
        ensure!(ran.code == 1 && ran.stderr.contains(why), "{name}: {ran}");
    }
    let mut now = String::new();
    within(Duration::from_secs(30), "the store is as before", || {
        now = store()?;
        Ok(now == before)
    })
    .with_context(|| format!("{before}\nbecame\n{now}"))?;
    // The same without a fault is an image.
    for (name, bytes) in
        [("docker", Parts::good()?.docker(|_| {})?), ("oci", Parts::good()?.oci(|_| {}, |_| {})?)]
    {
        env.user.write(&env.home.join("good.tar"), bytes)?;
        let said = env.ok(&["load", "-qi", "good.tar"])?;
        ensure!(said == "Loaded image: hostile:1", "{name}: {said}");
    }
    env.stop()
}
