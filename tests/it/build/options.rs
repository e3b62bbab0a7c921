//! The options of `k3c build` that go to BuildKit's frontend and to its image exporter.

use super::context;
use crate::containers::DEMO;
use crate::{Case, DAEMON, shared};
use anyhow::{Result, ensure};
use std::fs;

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case::new("build::options_of_steps_and_files_about_a_build", DAEMON, steps),
        Case::new("build::several_platforms", DAEMON, platforms),
        Case::new("build::questions_and_displays", DAEMON, questions),
    ]
}

fn steps() -> Result<()> {
    let env = shared::env()?;
    let file = format!(
        "FROM {DEMO} AS one\nARG WORD\nARG SOURCE_DATE_EPOCH\nARG no_proxy\n\
         RUN cat /etc/hosts; echo shm $(df -k /dev/shm | tail -1); echo files $(ulimit -n)-$(ulimit -Hn); \
         echo links $(ip link | grep -c mtu) $WORD $SOURCE_DATE_EPOCH $no_proxy\n\
         FROM one AS two\nCOPY --from=more f /f\n\
         FROM one AS unused\nRUN false\nFROM two\nCMD [\"cat\", \"/f\"]\n"
    );
    context(&env, "steps", &[("Dockerfile", &file)])?;
    context(&env, "more", &[("f", "from elsewhere\n")])?;
    let (id, metadata) = (env.home.join("id"), env.home.join("metadata.json"));
    env.user.write(&id, "stale")?;
    let (id_file, metadata_file) = (id.display().to_string(), metadata.display().to_string());
    let line = "build --progress plain --network none --add-host h:1.2.3.4 --add-host six=[::1] --shm-size 48m \
                --ulimit nofile=100:200 --build-arg WORD=w --build-arg SOURCE_DATE_EPOCH=7 --build-arg no_proxy=x \
                --annotation team=us --label l=m --build-context more=more -t steps:1 -t steps:2 --metadata-file";
    let mut args: Vec<&str> = line.split_whitespace().collect();
    args.extend([&metadata_file, "--iidfile", &id_file, "steps"]);
    let ran = env.k3c(&args)?;
    let said = |text: &str| ran.stderr.contains(text);
    ensure!(ran.code == 0 && ran.stdout.is_empty(), "{ran}");
    ensure!(said("1.2.3.4\th") && said("::1\tsix") && said("shm tmpfs 49152"), "{ran}");
    ensure!(said("files 100-200") && said("links 1 w 7 x"), "{ran}");
    ensure!(env.ok(&["run", "--rm", "steps:2"])? == "from elsewhere");
    let told: serde_json::Value = serde_json::from_slice(&fs::read(&metadata)?)?;
    let id = fs::read_to_string(&id)?;
    ensure!(
        told["containerimage.digest"] == *id && told["containerimage.descriptor"]["size"].is_u64(),
        "{told}"
    );
    ensure!(told["image.name"] == "docker.io/library/steps:1,docker.io/library/steps:2", "{told}");
    ensure!(env.ok(&["inspect", "-f", "{{.Id}} {{.Config.Labels.l}}", "steps:1"])? == format!("{id} m"));

    // The stage that is named is built anew, the other one is not.
    let file = format!(
        "FROM {DEMO} AS kept\nRUN cat /proc/sys/kernel/random/uuid > /u\n\
         FROM kept AS anew\nRUN cat /proc/sys/kernel/random/uuid > /v\nCMD [\"cat\", \"/u\", \"/v\"]\n"
    );
    context(&env, "anew", &[("Dockerfile", &file)])?;
    let built = |extra: &[&str]| -> Result<Vec<String>> {
        let args = ["build", "-q", "-t", "anew:1"].iter().chain(extra).chain(&["anew"]);
        env.ok(&args.copied().collect::<Vec<_>>())?;
        Ok(env.ok(&["run", "--rm", "anew:1"])?.lines().map(str::to_owned).collect())
    };
    let (before, after) = (built(&[])?, built(&["--no-cache-filter", "anew"])?);
    ensure!(before[0] == after[0] && before[1] != after[1], "{before:?} {after:?}");

    // An image as a context, and privileges.
    let file = format!(
        "FROM {DEMO}\nRUN ip link | grep -c mtu > /n\nCOPY --from=more /f /f\nCMD [\"cat\", \"/f\"]\n"
    );
    context(&env, "host", &[("Dockerfile", &file)])?;
    let image = "more=docker-image://steps:1";
    env.ok(&["build", "-q", "--network", "host", "--build-context", image, "-t", "host:1", "host"])?;
    ensure!(env.ok(&["run", "--rm", "host:1"])? == "from elsewhere");
    env.k3c(&["build", "--allow", "security.insecure", "host"])?
        .fails(1, "granting entitlement security.insecure is not allowed")?;
    env.k3c(&["build", "--cgroup-parent", "x", "host"])?.fails(1, "not supported by a rootless daemon")?;
    env.k3c(&["build", "--build-context", "a=none", "host"])?
        .fails(1, "failed to get build context a: path \"none\" not found")?;
    env.k3c(&["build", "--squash", "host"])?
        .fails(125, "--squash is not supported: BuildKit has no such thing")?;
    env.k3c(&["bake"])?.fails(1, "bake is not supported yet")
}

fn platforms() -> Result<()> {
    let env = shared::env()?;
    context(&env, "platforms", &[("Dockerfile", "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /f\n")])?;
    let dir = env.home.join("platforms");
    for arch in ["amd64", "arm64", "riscv64"] {
        env.user.write(&dir.join(arch), arch)?;
    }
    let platforms = "linux/amd64,linux/arm64,linux/riscv64";
    let index = ["--annotation", "index:who=us", "--annotation", "manifest[linux/arm64]:only=arm"];
    let args: Vec<&str> = ["build", "-q", "--platform", platforms, "-t", "platforms:1"]
        .into_iter()
        .chain(index)
        .chain(["platforms"])
        .collect();
    let id = env.ok(&args)?;
    ensure!(env.ok(&["images", "-q", "--no-trunc", "platforms"])? == id);
    let own = env.ok(&["inspect", "-f", "{{.Architecture}}", "platforms:1"])?;
    // A container of it has the file of the machine's own platform.
    env.ok(&["create", "--name", "platforms", "platforms:1", "none"])?;
    let copy = env.home.join("copied");
    env.ok(&["cp", "platforms:/f", &copy.display().to_string()])?;
    env.ok(&["rm", "platforms"])?;
    ensure!(fs::read_to_string(&copy)? == own, "{own}");
    env.k3c(&["build", "--platform", "no/such/thing/at-all", "platforms"])?.fails(1, "platform")?;
    env.ok(&["rmi", "platforms:1"]).map(drop)
}

fn questions() -> Result<()> {
    let env = shared::env()?;
    let file = format!("from {DEMO} as a\nARG B=1\nMAINTAINER x\nFROM a as b\n");
    context(&env, "questions", &[("Dockerfile", &file)])?;
    let ran = env.k3c(&["build", "--check", "questions"])?;
    let said = |text: &str| ran.stdout.contains(text);
    ensure!(ran.code == 1 && said("have been found!") && said(">>> MAINTAINER x"), "{ran}");
    let ran = env.k3c(&["build", "--call", "check,format=json,ignorestatus=true", "questions"])?;
    let json: serde_json::Value = serde_json::from_str(&ran.stdout)?;
    ensure!(ran.code == 0 && json["warnings"].as_array().is_some_and(|all| all.len() > 1), "{ran}");
    let targets = env.ok(&["buildx", "build", "--progress", "none", "--call", "targets", "questions"])?;
    ensure!(targets.contains("b (default)") && targets.contains("\na"), "{targets}");
    let outline =
        env.ok(&["build", "--progress", "none", "--call", "outline", "--target", "a", "questions"])?;
    ensure!(outline.contains("TARGET: a") && outline.contains("B           1"), "{outline}");
    env.k3c(&["build", "--call", "none", "questions"])?.fails(1, "unsupported request frontend.none")?;

    let raw = env.k3c(&["build", "--progress", "rawjson", "questions"])?;
    let lines = &raw.stderr;
    for line in lines.lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        ensure!(message.is_object(), "{line}");
    }
    ensure!(raw.code == 0 && lines.contains("\"vertexes\"") && lines.contains("\"warnings\""), "{lines}");
    let ran = env.k3c(&["build", "--progress", "none", "questions"])?;
    ensure!(ran.code == 0 && ran.stdout.is_empty() && ran.stderr.is_empty(), "{ran}");
    let id = env.ok(&["build", "--progress", "quiet", "questions"])?;
    ensure!(id.starts_with("sha256:"), "{id}");
    Ok(())
}
