//! Debian's root file system as an image archive, made once by debootstrap and kept.

use crate::user::run;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// A compiler is inside, so that a build needs no network.
const INCLUDE: &str = "gcc,libc6-dev";
const SUITE: &str = "bookworm";

static ONE: Mutex<()> = Mutex::new(());

fn cache() -> PathBuf {
    let name = format!("k3c-tests/debian-{SUITE}-{}", INCLUDE.replace(',', "-"));
    match std::env::var_os("K3C_TEST_CACHE") {
        Some(dir) => PathBuf::from(dir).join(name),
        None => Path::new("/var/cache").join(name),
    }
}

/// The archive, in the layout of `docker save`, tagged `debian:bookworm`.
pub(crate) fn archive() -> Result<PathBuf> {
    let _guard = ONE.lock().expect("debian");
    let cache = cache();
    let archive = cache.join("image.tar");
    if archive.exists() {
        return Ok(archive);
    }
    let work = tempfile::tempdir_in("/var/tmp")?;
    let root = work.path().join("root");
    let mut debootstrap = Command::new("debootstrap");
    debootstrap.args(["--variant=minbase", &format!("--include={INCLUDE}"), SUITE]).arg(&root);
    if let Some(mirror) = mirror() {
        debootstrap.arg(mirror);
    }
    run(&mut debootstrap)?;
    for waste in ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"]
    {
        let _ = fs::remove_dir_all(root.join(waste));
    }
    let layer = work.path().join("layer.tar");
    run(Command::new("tar")
        .args(["--sort=name", "--numeric-owner", "--exclude=./dev/*", "-C"])
        .arg(&root)
        .arg("-cf")
        .arg(&layer)
        .arg("."))?;
    let digest = run(Command::new("sha256sum").arg(&layer))?;
    let digest = digest.split(' ').next().context("sha256sum")?.to_owned();
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
            "Cmd": ["bash"],
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        "history": [{ "created_by": "debootstrap" }],
    });
    fs::write(work.path().join("config.json"), config.to_string())?;
    let manifest = serde_json::json!([
        { "Config": "config.json", "RepoTags": [format!("debian:{SUITE}")], "Layers": ["layer.tar"] }
    ]);
    fs::write(work.path().join("manifest.json"), manifest.to_string())?;
    fs::create_dir_all(&cache)?;
    let new = cache.join("image.tar.new");
    run(Command::new("tar").arg("-C").arg(work.path()).arg("-cf").arg(&new).args([
        "manifest.json",
        "config.json",
        "layer.tar",
    ]))?;
    ensure!(fs::metadata(&new)?.len() > 50_000_000, "the root file system is too small to be one");
    fs::rename(&new, &archive)?;
    Ok(archive)
}

/// The host's own mirror, from its apt configuration.
fn mirror() -> Option<String> {
    let deb822 = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    let uri = deb822.lines().find_map(|line| line.strip_prefix("URIs:"))?;
    uri.split_whitespace().next().map(str::to_owned)
}
