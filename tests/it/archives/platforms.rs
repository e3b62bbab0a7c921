//! Archives of images for other platforms, and for several.

use super::{Parts, digest, store};
use crate::containers::within;
use crate::env::TestEnv;
use anyhow::{Result, ensure};
use serde_json::{Value, json};
use std::time::Duration;
use tar::{Builder, Header};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// This host's architecture.
fn own() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// An archive of one image, `several:1`, for several architectures, `own` among them being this host's, with what is none
/// of them: an attestation. Each image has a file that says what it is for.
pub(crate) fn for_several(architectures: &[&str]) -> Result<Vec<u8>> {
    let mut parts = Parts::good()?;
    let mut manifests = Vec::new();
    for architecture in architectures.iter().copied().chain(["unknown"]) {
        let os = if architecture == "unknown" { "unknown" } else { "linux" };
        let architecture = if architecture == "own" { own() } else { architecture };
        let mut layer = Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(architecture.len() as u64);
        header.set_mode(0o644);
        layer.append_data(&mut header, "for", architecture.as_bytes())?;
        let layer = layer.into_inner()?;
        let config = json!({
            "architecture": architecture,
            "os": os,
            "config": { "Cmd": ["/for"] },
            "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
        });
        let config = config.to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(config.as_bytes()), "size": config.len() },
            "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(&layer), "size": layer.len() }],
        });
        let manifest = manifest.to_string();
        parts.blob(config);
        parts.blob(layer);
        let platform = json!({ "os": os, "architecture": architecture });
        let size = manifest.len();
        let digest = parts.blob(manifest);
        manifests
            .push(json!({ "mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform }));
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string();
    let size = index.len();
    let target = parts.blob(index);
    let top: Value = json!({ "schemaVersion": 2, "manifests": [{
        "mediaType": INDEX, "digest": target, "size": size,
        "annotations": { "io.containerd.image.name": "docker.io/library/several:1" },
    }] });
    parts.file("index.json", top.to_string());
    parts.file("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string());
    parts.tar()
}

/// What is for others is loaded, kept, saved and loaded again; only running it is refused, before anything is made.
pub(super) fn for_other_platforms() -> Result<()> {
    let mut env = TestEnv::started()?;
    let architecture = |image: &str| env.ok(&["image", "inspect", "-f", "{{.Architecture}}", image]);
    let refused = |image: &str, why: &str| -> Result<()> {
        let ran = env.k3c(&["run", "--name", "refused", image])?;
        ran.fails(125, why)?;
        ensure!(env.ok(&["ps", "-aq"])?.is_empty(), "{image}: a container was left");
        Ok(())
    };
    let binfmt = |platform: &str| format!("it is for {platform}, this host is linux/{}", own());
    env.user.write(&env.home.join("all.tar"), for_several(&["s390x", "own", "riscv64"])?)?;
    env.user.write(&env.home.join("two.tar"), for_several(&["s390x", "riscv64"])?)?;
    env.user.write(&env.home.join("one.tar"), for_several(&["s390x"])?)?;
    let loaded = "Loaded image: several:1";

    // With this host's: that is what is run, and the others stay.
    ensure!(env.ok(&["load", "-qi", "all.tar"])? == loaded);
    let id = env.ok(&["images", "-q", "--no-trunc", "several:1"])?;
    ensure!(architecture("several:1")? == own());
    let whole = store(&env)?;
    env.ok(&["save", "-o", "again.tar", "several:1"])?;
    env.ok(&["rmi", "several:1"])?;
    ensure!(env.ok(&["load", "-qi", "again.tar"])? == loaded);
    ensure!(env.ok(&["images", "-q", "--no-trunc", "several:1"])? == id && store(&env)? == whole);
    for platform in ["linux/s390x", "linux/riscv64"] {
        env.ok(&["save", "--platform", platform, "-o", "part.tar", "several:1"])?;
        env.ok(&["rmi", "several:1"])?;
        ensure!(env.ok(&["load", "-qi", "part.tar"])? == loaded);
        ensure!(architecture("several:1")? == platform.trim_start_matches("linux/"));
        refused("several:1", &binfmt(platform))?;
        env.ok(&["rmi", "several:1"])?;
        ensure!(env.ok(&["load", "-qi", "again.tar"])? == loaded);
    }

    // Each is shown, and can be removed alone; what is left is what it was.
    let tree = env.ok(&["images", "--tree", "several"])?;
    let shown = |tree: &str, platform: &str| -> Vec<String> {
        let line = tree.lines().find(|line| line.contains(platform)).unwrap_or_default();
        line.split_whitespace().map(str::to_owned).collect()
    };
    ensure!(tree.lines().count() == 5 && tree.contains("└─ linux/riscv64"), "{tree}");
    ensure!(shown(&tree, "linux/s390x").last().is_some_and(|size| size != "0B"), "{tree}");
    let said = env.ok(&["rmi", "--platform", "linux/s390x", "several:1"])?;
    ensure!(said.starts_with("Deleted: sha256:") && said.lines().count() == 1, "{said}");
    let tree = env.ok(&["images", "--tree", "several"])?;
    ensure!(shown(&tree, "linux/s390x").ends_with(&["0B".into(), "0B".into()]), "{tree}");
    within(Duration::from_secs(20), "its content is gone", || Ok(store(&env)?.len() < whole.len()))?;
    env.k3c(&["rmi", "--platform", "linux/s390x", "several:1"])?
        .fails(1, "does not provide the specified platform (linux/s390x)")?;
    env.k3c(&["save", "--platform", "linux/s390x", "-o", "no.tar", "several:1"])?
        .fails(1, "(linux/s390x)")?;
    let all = format!("linux/{},linux/riscv64", own());
    env.k3c(&["rmi", "--platform", &all, "several:1"])?.fails(1, "there is nothing else of it")?;
    env.ok(&["create", "--name", "user", "several:1"])?;
    env.k3c(&["rmi", "--platform", own(), "several:1"])?.fails(1, "is being used by stopped container")?;
    let tree = env.ok(&["images", "--tree", "several"])?;
    ensure!(shown(&tree, own()).last().is_some_and(|mark| mark == "U"), "{tree}");
    env.ok(&["rm", "user"])?;
    env.ok(&["rmi", "--platform", own(), "several:1"])?;
    refused("several:1", &binfmt("linux/riscv64"))?;
    env.ok(&["rmi", "several:1"])?;

    // One of several, by wish.
    ensure!(env.ok(&["load", "-q", "--platform", "linux/riscv64", "-i", "all.tar"])? == loaded);
    ensure!(architecture("several:1")? == "riscv64");
    env.ok(&["rmi", "several:1"])?;
    env.k3c(&["load", "-q", "--platform", "linux/ppc64le", "-i", "all.tar"])?
        .fails(1, "the archive has no image for linux/ppc64le")?;
    env.k3c(&["load", "--platform", "what/x", "-i", "all.tar"])?.fails(1, "invalid platform \"what/x\"")?;

    // Without this host's: one is that one, two are both.
    ensure!(env.ok(&["load", "-qi", "one.tar"])? == loaded);
    ensure!(architecture("several:1")? == "s390x");
    refused("several:1", &binfmt("linux/s390x"))?;
    env.ok(&["rmi", "several:1"])?;
    ensure!(env.ok(&["load", "-qi", "two.tar"])? == loaded);
    let id = env.ok(&["images", "-q", "--no-trunc", "several:1"])?;
    refused("several:1", "cannot run several:1: it is for ")?;
    env.ok(&["save", "-o", "again.tar", "several:1"])?;
    env.ok(&["rmi", "several:1"])?;
    ensure!(env.ok(&["load", "-qi", "again.tar"])? == loaded);
    ensure!(env.ok(&["images", "-q", "--no-trunc", "several:1"])? == id);
    env.ok(&["rmi", "several:1"])?;
    let empty = store(&env)?;
    ensure!(!empty.contains("several"), "{empty}");
    env.stop()
}
