//! `k3c build`, on the shared daemon: the demonstration image and Debian's own root file system.

mod contexts;
mod history;
mod killed;
mod layouts;
mod options;
mod outputs;
mod private;
mod remote;

use crate::containers::DEMO;
use crate::env::TestEnv;
use crate::host::Need;
use crate::{Case, DAEMON, debian, shared};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

const WITH_DEBIAN: &[Need] = &[Need::Daemon, Need::Debian];

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    let mut cases = vec![
        case("build::the_hello_image", the_hello_image),
        case("build::ignore_file", ignore_file),
        case("build::arguments_targets_labels_tags", arguments_targets_labels_tags),
        case("build::file_outside_the_context", file_outside_the_context),
        case("build::a_failing_step_is_shown", a_failing_step_is_shown),
        case("build::cache_and_no_cache", cache_and_no_cache),
        case("build::interrupted", interrupted),
        case("build::modes_and_links_are_kept", modes_and_links_are_kept),
        case("build::idle_buildkitd_is_stopped", idle_buildkitd_is_stopped),
        case("build::a_large_context", a_large_context),
        Case::new("build::debian_with_a_compiler", WITH_DEBIAN, debian_with_a_compiler),
    ];
    cases.extend(contexts::cases());
    cases.extend(history::cases());
    cases.extend(killed::cases());
    cases.extend(layouts::cases());
    cases.extend(options::cases());
    cases.extend(outputs::cases());
    cases.extend(private::cases());
    cases.extend(remote::cases());
    cases
}

/// A context directory with these files.
fn context(env: &TestEnv, name: &str, files: &[(&str, &str)]) -> Result<PathBuf> {
    let dir = env.home.join(name);
    env.user.dir(&dir, 0o755)?;
    for (path, text) in files {
        env.user.write(&dir.join(path), text)?;
    }
    Ok(dir)
}

fn the_hello_image() -> Result<()> {
    let env = shared::env()?;
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("images/hello");
    let dir = context(&env, "hello", &[])?;
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        env.user.write(&dir.join(entry.file_name()), fs::read(entry.path())?)?;
    }
    let ran = env.k3c(&["build", "--progress", "plain", "-t", "hello:test", "hello"])?;
    ensure!(ran.code == 0 && ran.stderr.contains("RUN"), "{ran}");
    let text = env.ok(&["run", "--rm", "hello:test"])?;
    ensure!(text.contains("Hello from k3c") && text.contains("I am visitor"), "{text}");
    let id = env.ok(&["build", "-q", "-t", "hello:test", "hello"])?;
    ensure!(id.starts_with("sha256:") && id.lines().count() == 1, "{id}");
    Ok(())
}

fn ignore_file() -> Result<()> {
    let env = shared::env()?;
    context(
        &env,
        "ignored",
        &[
            (
                "Dockerfile",
                &format!(
                    "FROM {DEMO}\nCOPY . /ctx\nRUN find /ctx -type f | sort > /list\nCMD [\"cat\", \"/list\"]\n"
                ),
            ),
            (".dockerignore", "# comment\n**/*.log\nsecret\n!keep.log\n"),
            ("a.txt", "a"),
            ("a.log", "a"),
            ("keep.log", "k"),
            ("sub/b.log", "b"),
            ("sub/b.txt", "b"),
            ("secret/key", "s"),
        ],
    )?;
    env.ok(&["build", "-q", "-t", "ignored:1", "ignored"])?;
    let list = env.ok(&["run", "--rm", "ignored:1"])?;
    let names: Vec<&str> = list.lines().filter_map(|line| line.strip_prefix("/ctx/")).collect();
    ensure!(
        !names.iter().any(|name| name.starts_with("secret") || *name == "a.log" || *name == "sub/b.log"),
        "{names:?}"
    );
    ensure!(
        names.contains(&"keep.log") && names.contains(&"sub/b.txt") && names.contains(&"a.txt"),
        "{names:?}"
    );
    Ok(())
}

fn arguments_targets_labels_tags() -> Result<()> {
    let env = shared::env()?;
    let file = format!(
        "FROM {DEMO} AS one\nARG WORD=none\nRUN echo one $WORD > /w\nCMD [\"cat\", \"/w\"]\nFROM one AS two\nRUN echo two > /w\n"
    );
    context(&env, "args", &[("Dockerfile", &file)])?;
    env.ok(&[
        "build",
        "-q",
        "--build-arg",
        "WORD=given",
        "--target",
        "one",
        "--label",
        "k=v",
        "-t",
        "args:1",
        "-t",
        "args:also",
        "args",
    ])?;
    ensure!(env.ok(&["run", "--rm", "args:1"])? == "one given");
    ensure!(env.ok(&["run", "--rm", "args:also"])? == "one given");
    ensure!(env.ok(&["inspect", "-f", "{{.Config.Labels.k}}", "args:1"])? == "v");
    env.ok(&["build", "-q", "-t", "args:2", "args"])?;
    ensure!(env.ok(&["run", "--rm", "args:2"])? == "two");
    env.k3c(&["build", "--target", "three", "args"])?.fails(1, "three")
}

fn file_outside_the_context() -> Result<()> {
    let env = shared::env()?;
    context(&env, "outside", &[("data", "inside\n")])?;
    let file = format!("FROM {DEMO}\nCOPY data /data\nCMD [\"cat\", \"/data\"]\n");
    context(&env, "elsewhere", &[("My.dockerfile", &file)])?;
    env.ok(&["build", "-q", "-f", "elsewhere/My.dockerfile", "-t", "outside:1", "outside"])?;
    ensure!(env.ok(&["run", "--rm", "outside:1"])? == "inside");
    env.k3c(&["build", "-f", "elsewhere/none", "outside"])?.fails(1, "none")
}

fn a_failing_step_is_shown() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nRUN echo the last words && exit 9\n");
    context(&env, "failing", &[("Dockerfile", &file)])?;
    let ran = env.k3c(&["build", "--progress", "plain", "-t", "failing:1", "failing"])?;
    ensure!(
        ran.code == 1 && ran.stderr.contains("the last words") && ran.stderr.contains("exit code: 9"),
        "{ran}"
    );
    let ran = env.k3c(&["build", "-q", "failing"])?;
    ensure!(ran.code == 1 && ran.stderr.contains("the last words"), "quiet, and yet: {ran}");
    ensure!(!env.ok(&["images"])?.contains("failing"));
    Ok(())
}

fn cache_and_no_cache() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nRUN cat /proc/sys/kernel/random/uuid > /u\nCMD [\"cat\", \"/u\"]\n");
    context(&env, "cached", &[("Dockerfile", &file)])?;
    let build = |extra: &[&str]| -> Result<String> {
        let mut args = vec!["build", "-q", "-t", "cached:1"];
        args.extend(extra);
        args.push("cached");
        env.ok(&args)?;
        env.ok(&["run", "--rm", "cached:1"])
    };
    let first = build(&[])?;
    ensure!(first == build(&[])?, "the second build was not cached");
    ensure!(first != build(&["--no-cache"])?, "--no-cache used the cache");
    Ok(())
}

fn interrupted() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nRUN sleep 271\n");
    context(&env, "slow", &[("Dockerfile", &file)])?;
    let mut build = env
        .k3c_command(&["build", "--no-cache", "--progress", "plain", "slow"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let running = || env.processes().iter().any(|(_, line)| line.contains("sleep 271"));
    if let Err(error) = crate::containers::within(Duration::from_secs(60), "the step runs", || Ok(running()))
    {
        build.kill()?;
        build.wait()?;
        return Err(error);
    }
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(i32::try_from(build.id())?),
        nix::sys::signal::Signal::SIGINT,
    )?;
    let status = build.wait()?;
    ensure!(status.code() == Some(130) || status.code() == Some(1), "{status}");
    crate::containers::within(Duration::from_secs(20), "the step is cancelled", || Ok(!running()))
}

fn idle_buildkitd_is_stopped() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.dir(&env.home.join(".config"), 0o755)?;
    env.user.write(&env.home.join(".config/k3c/config.toml"), "buildkit-idle-seconds = 2\n")?;
    env.start()?;
    context(&env, "ctx", &[("Dockerfile", &format!("FROM {DEMO}\nRUN sleep 3\n"))])?;
    env.ok(&["build", "-q", "ctx"])?;
    ensure!(env.process("buildkitd").is_ok(), "it ended with the build");
    crate::containers::within(Duration::from_secs(20), "buildkitd is stopped", || {
        Ok(env.process("buildkitd").is_err())
    })?;
    env.ok(&["build", "-q", "--no-cache", "ctx"])?;
    env.stop()
}

/// More files than one flow-control window holds requests for, and more bytes than the client may keep.
fn a_large_context() -> Result<()> {
    let env = shared::env()?;
    let file = format!("FROM {DEMO}\nCOPY . /c\nCMD ls /c/many | wc -l; stat -c %s /c/big\n");
    let dir = context(&env, "large", &[("Dockerfile", &file)])?;
    let many = dir.join("many");
    env.user.dir(&many, 0o755)?;
    for number in 0..5000 {
        fs::write(many.join(number.to_string()), "x")?;
    }
    fs::File::create(dir.join("big"))?.set_len(300 << 20)?;
    let peak = env.home.join("peak");
    let script = format!(
        "k3c=$1; shift; \"$k3c\" \"$@\" & p=$!; while kill -0 $p 2>/dev/null; do grep VmHWM /proc/$p/status; sleep 0.05; done > {}; wait $p",
        peak.display()
    );
    let binary = crate::env::installed().display().to_string();
    let ran = env.program(
        std::path::Path::new("/bin/sh"),
        &["-c", &script, "sh", &binary, "build", "-q", "-t", "large", "large"],
    )?;
    ensure!(ran.code == 0, "{ran}");
    ensure!(env.ok(&["run", "--rm", "large"])? == format!("5000\n{}", 300 << 20));
    let text = fs::read_to_string(&peak)?;
    let most = text.lines().filter_map(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).max();
    let most = most.context("no figure of the client's memory")?;
    ensure!(most < 120 << 10, "the client took {most} KiB for a context of 300 MiB");
    Ok(())
}

fn modes_and_links_are_kept() -> Result<()> {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let env = shared::env()?;
    let file = format!(
        "FROM {DEMO}\nCOPY . /c\nCMD [\"sh\", \"-c\", \"stat -c %a /c/tool; readlink /c/link; ls -A /c/empty | wc -l; stat -c %s /c/big\"]\n"
    );
    let dir = context(
        &env,
        "modes",
        &[("Dockerfile", &file), ("tool", "#!/bin/sh\n"), ("big", &"x".repeat(5_000_000))],
    )?;
    fs::set_permissions(dir.join("tool"), fs::Permissions::from_mode(0o751))?;
    symlink("tool", dir.join("link"))?;
    env.user.dir(&dir.join("empty"), 0o700)?;
    env.ok(&["build", "-q", "-t", "modes:1", "modes"])?;
    let text = env.ok(&["run", "--rm", "modes:1"])?;
    ensure!(text == "751\ntool\n0\n5000000", "{text}");
    Ok(())
}

fn debian_with_a_compiler() -> Result<()> {
    let archive = debian::archive()?;
    let env = shared::env()?;
    let loaded = env.k3c_command(&["load"]).stdin(fs::File::open(&archive)?).output().context("load")?;
    ensure!(
        loaded.status.success()
            && String::from_utf8_lossy(&loaded.stdout).contains("Loaded image: debian:bookworm"),
        "{loaded:?}"
    );
    ensure!(
        env.ok(&["run", "--rm", "debian:bookworm", "sh", "-c", ". /etc/os-release; echo $ID"])? == "debian"
    );
    context(
        &env,
        "compiled",
        &[
            (
                "Dockerfile",
                &format!(
                    "FROM debian:bookworm AS build\nCOPY hello.c .\nRUN gcc -static -O1 -o /hello hello.c\nFROM {DEMO}\nCOPY --from=build /hello /hello\nCMD [\"/hello\"]\n"
                ),
            ),
            ("hello.c", "#include <stdio.h>\nint main(void) { puts(\"compiled inside\"); return 4; }\n"),
        ],
    )?;
    env.ok(&["build", "-q", "-t", "compiled:1", "compiled"])?;
    let ran = env.k3c(&["run", "--rm", "compiled:1"])?;
    ensure!(ran.code == 4 && ran.stdout == "compiled inside\n", "{ran}");
    Ok(())
}
