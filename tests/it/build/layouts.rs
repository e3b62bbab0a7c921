//! Folders in the OCI's layout: caches, images as contexts, an image that is made as one. `buildctl` and `skopeo` have
//! the same folders.

use super::context;
use crate::containers::DEMO;
use crate::env::TestEnv;
use crate::host::Need;
use crate::proxy::client;
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

const WITH_OTHERS: &[Need] = &[DAEMON[0], Need::Tools, Need::Program("skopeo")];

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("build::caches_in_folders", WITH_OTHERS, caches),
        Case::new("build::images_in_folders", WITH_OTHERS, images),
        Case::new("build::a_bill_of_materials", DAEMON, bill),
    ]
}

/// The digest of the first manifest in a layout.
fn first(layout: &Path) -> Result<String> {
    let index: serde_json::Value = serde_json::from_slice(&fs::read(layout.join("index.json"))?)?;
    Ok(index["manifests"][0]["digest"].as_str().context("a digest")?.to_owned())
}

fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))
}

/// `buildctl build` of a folder, by the same daemon.
fn buildctl(env: &TestEnv, dir: &Path, more: &[&str]) -> Result<String> {
    let place = dir.display();
    let (context, file) = (format!("context={place}"), format!("dockerfile={place}"));
    let build = [
        "build",
        "--progress",
        "plain",
        "--frontend",
        "dockerfile.v0",
        "--local",
        &context,
        "--local",
        &file,
    ];
    let ran = client(env, "buildctl", &[&build[..], more].concat())?;
    ensure!(ran.code == 0, "{ran}");
    Ok(ran.stderr)
}

fn caches() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nRUN cat /proc/sys/kernel/random/uuid > /u\nCMD [\"cat\", \"/u\"]\n");
    let dir = context(&env, "kept", &[("Dockerfile", &file)])?;
    let build = |more: &[&str]| -> Result<(String, String)> {
        let ran = env.k3c(&[&["build", "--progress", "plain", "-t", "kept:1"], more, &["kept"]].concat())?;
        ensure!(ran.code == 0, "{ran}");
        Ok((env.ok(&["run", "--rm", "kept:1"])?, ran.stderr))
    };
    let forget = || {
        env.ok(&["rmi", "kept:1"])?;
        env.ok(&["builder", "prune", "-af"])
    };
    // The first of many builds has no cache yet.
    let both = ["--cache-from", "type=local,src=ours", "--cache-to", "type=local,dest=ours,mode=max"];
    let (built, said) = build(&both)?;
    ensure!(said.contains("the cache in ours is left out: ours/index.json: no such file"), "{said}");
    forget()?;
    let (again, said) = build(&both)?;
    ensure!(built == again && !said.contains("left out"), "{said}");
    // Nothing but the layout is left, and BuildKit's own client reads it.
    let ours = env.home.join("ours");
    let mut names: Vec<String> =
        fs::read_dir(&ours)?.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    ensure!(names == ["blobs", "index.json", "oci-layout"], "{names:?}");
    forget()?;
    let import = format!("type=local,src={}", ours.display());
    let export = format!("type=local,dest={}", env.home.join("theirs").display());
    let said = buildctl(&env, &dir, &["--import-cache", &import, "--export-cache", &export])?;
    ensure!(said.contains("CACHED"), "{said}");
    env.ok(&["builder", "prune", "-af"])?;
    let (again, said) = build(&["--cache-from", "type=local,src=theirs,tag=latest"])?;
    ensure!(built == again, "{said}");
    ensure!(first(&env.home.join("theirs"))?.starts_with("sha256:"));

    // One that is damaged is as good as none.
    forget()?;
    let manifest = blob(&ours, &first(&ours)?);
    let text = fs::read_to_string(&manifest)?;
    fs::write(&manifest, text.replacen('{', "{ ", 1))?;
    let (other, said) = build(&["--cache-from", "type=local,src=ours"])?;
    ensure!(other != built && said.contains("is damaged: its digest is another one"), "{said}");
    for (flag, value, words) in [
        ("--cache-from", "type=local", "src is required for --cache-from type=local"),
        ("--cache-to", "type=local", "dest is required for --cache-to type=local"),
        ("--cache-to", "type=local,dest=/proc/none", "/proc/none"),
    ] {
        env.k3c(&["build", flag, value, "kept"])?.fails(1, words)?;
    }
    forget().map(drop)
}

/// A scanner of the user's own, from the store, looks at what was built; what it says is beside the image.
fn bill() -> Result<()> {
    let env = shared::env()?;
    let script = "cd $BUILDKIT_SCAN_SOURCE; test -f seen || exit 3; cd $BUILDKIT_SCAN_DESTINATION\n\
                  echo '{\"_type\":\"https://in-toto.io/Statement/v0.1\",\"predicateType\":\"https://spdx.dev/Document\",\
                  \"predicate\":{\"name\":\"said by a scanner\"}}' > a.spdx.json\n";
    let scanner = format!("FROM {DEMO}\nCOPY scan /scan\nCMD [\"sh\", \"/scan\"]\n");
    context(&env, "scanner", &[("Dockerfile", &scanner), ("scan", script)])?;
    context(&env, "scanned", &[("Dockerfile", "FROM scratch\nCOPY seen /seen\n"), ("seen", "x")])?;
    env.ok(&["build", "-q", "-t", "scanner:1", "scanner"])?;
    let to = ["-o", "type=oci,tar=false,dest=bill", "scanned"];
    env.ok(&[&["build", "-q", "--sbom", "generator=scanner:1"], &to[..]].concat())?;
    let blobs = fs::read_dir(env.home.join("bill/blobs/sha256"))?.flatten();
    let said = blobs
        .filter(|blob| fs::read_to_string(blob.path()).is_ok_and(|text| text.contains("said by a scanner")));
    ensure!(said.count() == 1);
    env.k3c(&["build", "--sbom", "generator=localhost:1/none", "scanned"])?.fails(1, "localhost:1/none")?;
    env.ok(&["rmi", "scanner:1"]).map(drop)
}

fn images() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nRUN echo from a folder > /f\n");
    context(&env, "made", &[("Dockerfile", &file)])?;
    env.ok(&["build", "-q", "-t", "made:1", "-t", "made:2", "-o", "type=oci,tar=false,dest=image", "made"])?;
    env.ok(&["build", "-q", "-o", "type=oci,dest=made.oci", "made"])?;
    let skopeo = ["copy", "-q", "--insecure-policy", "oci-archive:made.oci", "oci:skopeos:v1"];
    env.program(Path::new("skopeo"), &skopeo)?.ok()?;
    let checked = ["inspect", "oci:image:1"];
    env.program(Path::new("skopeo"), &checked)?.ok()?;

    context(&env, "upon", &[("Dockerfile", "FROM base\nRUN cat /f\nCMD [\"cat\", \"/f\"]\n")])?;
    let build = |source: &str| {
        let named = format!("base=oci-layout://{source}");
        env.k3c(&["build", "-q", "-t", "upon:1", "--build-context", &named, "upon"])
    };
    let image = env.home.join("image");
    let digest = first(&image)?;
    let by_digest = format!("image@{digest}");
    for source in ["image:docker.io/library/made:1", "image:2", "skopeos", "skopeos:v1", &by_digest] {
        let whole = source.contains("docker.io");
        let ran = build(source)?;
        ensure!((ran.code == 0) != whole, "{ran}");
        if !whole {
            ensure!(env.ok(&["run", "--rm", "upon:1"])? == "from a folder", "{source}");
        }
    }
    env.ok(&["rmi", "upon:1"])?;
    env.ok(&["builder", "prune", "-af"])?;
    build("image:3")?
        .fails(1, "there is no \"3\" in it, it has docker.io/library/made:1, docker.io/library/made:2")?;
    build("image")?.fails(1, "there is no \"latest\" in it")?;
    build("none")?.fails(1, "none/index.json: no such file or directory")?;
    build(&format!("image@sha256:{}", "0".repeat(64)))?.fails(1, "is not in it")?;
    env.k3c(&["build", "-o", "type=oci,tar=false,dest=a", "-o", "type=oci,tar=false,dest=b", "made"])?
        .fails(1, "only one output can have tar=false")?;

    // Folders of somebody else's: a blob that is not what its name says, one that is a link, one that is not there.
    context(&env, "taken", &[("Dockerfile", "FROM scratch\nCOPY --from=base /f /f\n")])?;
    for (name, words) in
        [("", ""), ("damaged", "its digest is another one"), ("link", "is no file"), ("none", "not found")]
    {
        let place = format!("hostile-{name}");
        let layer = single(&env, &env.home.join(&place), name)?;
        let whole = fs::read(&layer)?;
        match name {
            "" => {}
            "damaged" => fs::write(&layer, [&whole[..], b"x"].concat())?,
            _ => fs::remove_file(&layer)?,
        }
        if name == "link" {
            let outside = env.home.join("outside-of-it");
            fs::write(&outside, &whole)?;
            symlink(&outside, &layer)?;
        }
        let named = format!("base=oci-layout://{place}");
        let ran = env.k3c(&["build", "-q", "-o", "taken-out", "--build-context", &named, "taken"])?;
        match name {
            "" => ensure!(ran.code == 0, "{ran}"),
            _ => ran.fails(1, words)?,
        }
    }
    Ok(())
}

/// An image of one layer with one file, whose text nobody has had before; the layer's path.
fn single(env: &TestEnv, layout: &Path, text: &str) -> Result<PathBuf> {
    env.user.dir(&layout.join("blobs/sha256"), 0o755)?;
    let put = |bytes: &[u8]| -> Result<serde_json::Value> {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        fs::write(layout.join("blobs/sha256").join(&hex), bytes)?;
        Ok(serde_json::json!({ "digest": format!("sha256:{hex}"), "size": bytes.len() }))
    };
    let typed = |mut descriptor: serde_json::Value, kind: &str| {
        descriptor["mediaType"] = format!("application/vnd.oci.image.{kind}").into();
        descriptor
    };
    let text = format!("{text} of {}", std::process::id());
    let mut header = tar::Header::new_gnu();
    header.set_size(text.len().try_into()?);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_data(&mut header, "f", text.as_bytes())?;
    let layer = put(&archive.into_inner()?)?;
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = put(config.to_string().as_bytes())?;
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": typed(config, "config.v1+json"),
        "layers": [typed(layer.clone(), "layer.v1.tar")],
    });
    let manifest = typed(put(manifest.to_string().as_bytes())?, "manifest.v1+json");
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string())?;
    Ok(blob(layout, layer["digest"].as_str().context("a digest")?))
}
