//! What becomes of what was built: archives, directories, registries, caches, attestations.

use super::context;
use crate::containers::DEMO;
use crate::env::TestEnv;
use crate::host::Need;
use crate::registry::{HTPASSWD, Registry, docker_config};
use crate::{Case, DAEMON, shared};
use anyhow::{Result, ensure};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

const WITH_REGISTRY: &[Need] = &[DAEMON[0], Need::Program("docker-registry")];

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("build::archives_and_directories", DAEMON, archives),
        Case::new("build::pushes_and_caches_in_a_registry", WITH_REGISTRY, registry),
    ]
}

fn archives() -> Result<()> {
    let env = shared::env()?;
    let file = "FROM scratch\nARG TARGETARCH\nCOPY tool /\nCOPY links /\nCOPY tool /in/$TARGETARCH\n";
    let dir = context(&env, "files", &[("Dockerfile", file), ("tool", "made\n")])?;
    fs::set_permissions(dir.join("tool"), fs::Permissions::from_mode(0o751))?;
    env.user.dir(&dir.join("links"), 0o755)?;
    symlink("/etc/passwd", dir.join("links/link"))?;
    // A directory keeps what it has, and nothing leads out of it.
    let out = context(&env, "out", &[("mine", "mine"), ("tool", "old")])?;
    let victim = context(&env, "victim", &[("safe", "safe")])?;
    symlink(&victim, out.join("in"))?;
    let ran = env.k3c(&["build", "-q", "-o", "out", "files"])?;
    ensure!(ran.code == 0 && out.join("in/amd64").exists(), "{ran}");
    ensure!(fs::read_dir(&victim)?.count() == 1, "files were written through a link");
    env.ok(&["build", "-q", "-o", "type=local,dest=out", "files"])?;
    ensure!(fs::read_to_string(out.join("tool"))? == "made\n" && out.join("mine").exists());
    ensure!(fs::metadata(out.join("tool"))?.permissions().mode() & 0o7777 == 0o751);
    ensure!(fs::read_link(out.join("link"))? == Path::new("/etc/passwd"));
    env.ok(&["build", "-q", "--platform", "linux/amd64,linux/arm64", "-o", "several", "files"])?;
    ensure!(env.home.join("several/linux_arm64/in/arm64").exists());

    // Several outputs of one build; each archive is an image, under the names that were given.
    let ran = env.k3c(&[
        "build",
        "-q",
        "-t",
        "files:1",
        "-o",
        "type=oci,dest=x.oci",
        "-o",
        "type=docker,dest=x.tar",
        "-o",
        "type=tar,dest=x.files",
        "files",
    ])?;
    ensure!(ran.code == 0 && ran.stdout.starts_with("sha256:"), "{ran}");
    ensure!(env.ok(&["images", "-q", "files"])?.is_empty(), "it is in the store, too");
    for archive in ["x.oci", "x.tar"] {
        ensure!(env.ok(&["load", "-q", "-i", archive])?.contains("Loaded image: files:1"), "{archive}");
        env.ok(&["rmi", "files:1"])?;
    }
    let archive = fs::read(env.home.join("x.files"))?;
    ensure!(archive.get(257..262) == Some(&b"ustar"[..]));
    let piped = env.k3c_command(&["build", "-q", "-o", "-", "files"]).output()?;
    ensure!(piped.status.success() && piped.stdout.get(257..262) == Some(&b"ustar"[..]), "{piped:?}");
    ensure!(
        fs::read_dir(&env.home)?.flatten().all(|e| !e.file_name().to_string_lossy().contains(".k3c-build-"))
    );

    env.k3c(&["build", "-o", "type=local", "files"])?.fails(1, "dest is required for local output")?;
    env.k3c(&["build", "-q", "-o", "type=tar,dest=none/x", "files"])?
        .fails(1, "write none/x: No such file")?;
    env.k3c(&["build", "--iidfile", "i", "-o", "out", "files"])?
        .fails(1, "incompatible with image ID file")?;
    env.k3c(&["build", "--push", "files"])?.fails(1, "tag is needed when pushing to registry").map(drop)
}

fn registry() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.dir(&env.home.join("secrets"), 0o700)?;
    let registry = Registry::start(&env, &env.home.join("secrets/registry"), Some(HTPASSWD))?;
    let host = registry.host.clone();
    env.start()?;
    let file = format!("FROM {DEMO}\nRUN cat /proc/sys/kernel/random/uuid > /u\nCMD [\"cat\", \"/u\"]\n");
    context(&env, "pushed", &[("Dockerfile", &file)])?;
    let (image, cache) = (format!("{host}/team/pushed:1"), format!("{host}/team/cache:1"));
    let none = serde_json::json!({ "auths": {} });
    docker_config(&mut env, "none", &none)?;
    let push = ["build", "-q", "--push", "-t", &image];
    env.k3c(&[&push[..], &["pushed"]].concat())?.fails(1, "401 Unauthorized")?;

    let login = serde_json::json!({ "auths": { &host: { "auth": crate::registry::encoded() } } });
    docker_config(&mut env, "login", &login)?;
    let max = format!("type=registry,ref={cache},mode=max");
    let id = env.ok(&[&push[..], &["--cache-to", &max, "pushed"]].concat())?;
    let built = env.ok(&["run", "--rm", &image])?;
    // What was pushed is what was built.
    env.ok(&["rmi", &image])?;
    ensure!(env.ok(&["run", "--rm", &image])? == built);
    ensure!(env.ok(&["inspect", "-f", "{{.Id}}", &image])? == id);

    // Without a cache of its own, a build takes that of the registry.
    env.ok(&["rmi", &image])?;
    env.ok(&["builder", "prune", "-af"])?;
    env.ok(&["build", "-q", "-t", "again:1", "--cache-from", &cache, "pushed"])?;
    ensure!(env.ok(&["run", "--rm", "again:1"])? == built, "the cache was not used");

    // A statement about an image makes an index of it, which runs as well.
    let attested = env.ok(&["build", "-q", "--provenance", "mode=max", "-t", "attested:1", "pushed"])?;
    ensure!(env.ok(&["run", "--rm", "attested:1"])? == built);
    let plain = env.ok(&["build", "-q", "-t", "attested:2", "--provenance", "false", "pushed"])?;
    ensure!(attested != plain, "{plain}");
    drop(registry);
    env.k3c(&[&push[..], &["pushed"]].concat())?.fails(1, "connection refused")?;
    env.stop()
}
