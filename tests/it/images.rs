//! The image store: what is in it from the first moment on, and what loading leaves there.

use crate::containers::{DEMO, within};
use crate::env::TestEnv;
use crate::user::run;
use crate::{Case, DAEMON};
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("images::the_first_list_is_whole", the_first_list_is_whole),
        case("images::a_removed_name_stays_away", a_removed_name_stays_away),
        case("images::without_names_are_loaded_by_id", without_names_are_loaded_by_id),
        case("images::a_broken_one_inside_is_said", a_broken_one_inside_is_said),
    ]
}

/// Rows of `images -a`.
const LIST: [&str; 4] = ["images", "-a", "--format", "{{.Repository}}:{{.Tag}}"];

/// The one row of a new instance.
const LISTED: &str = "k3c.local/demo:latest";

/// The number of lists that each poller makes of one instance, from its first answer on.
const LISTS: usize = 15;

/// Fresh instances under load, listed all the time: each list has the demonstration image, and nothing else.
fn the_first_list_is_whole() -> Result<()> {
    let busy = AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while busy.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let seen = fresh_instances();
        busy.store(false, Ordering::Relaxed);
        seen
    })
}

fn fresh_instances() -> Result<()> {
    for _ in 0..2 {
        let mut env = TestEnv::new()?;
        env.spawn(&[])?;
        std::thread::scope(|scope| {
            let pollers: Vec<_> = (0..2).map(|_| scope.spawn(|| polled(&env))).collect();
            pollers.into_iter().try_for_each(|poller| poller.join().expect("no panic"))
        })
        .with_context(|| env.complaints())?;
        let inspected = env.ok(&["image", "inspect", "-f", "{{.RepoTags}}", DEMO])?;
        ensure!(inspected == format!("[{LISTED}]"), "{inspected}");
        env.stop()?;
    }
    Ok(())
}

/// Lists images until the daemon answers, and goes on until there are [`LISTS`] answers.
fn polled(env: &TestEnv) -> Result<()> {
    let mut lists = 0;
    within(Duration::from_secs(120), "many lists", || {
        let ran = env.k3c(&LIST)?;
        if lists > 0 || ran.code == 0 {
            lists += 1;
            ensure!(
                ran.code == 0 && ran.stdout.trim() == LISTED && ran.stderr.is_empty(),
                "list {lists}: {ran}"
            );
        }
        Ok(lists >= LISTS)
    })
}

/// A name that is removed the moment it was made is not brought back by CRI, which just hears of it.
fn a_removed_name_stays_away() -> Result<()> {
    let mut env = TestEnv::started()?;
    let script = "for i in $(seq 25); do k3c tag $1 quick:$2-$i && k3c rmi quick:$2-$i || exit 1; done";
    let path =
        format!("PATH={}:/usr/bin:/bin", crate::env::installed().parent().context("a folder")?.display());
    std::thread::scope(|scope| {
        let row = |n: &str| {
            env.program(Path::new("env"), &[&path, "sh", "-c", script, "_", DEMO, n])?.ok().map(drop)
        };
        let rows: Vec<_> = ["a", "b", "c", "d"].map(|n| scope.spawn(move || row(n))).into();
        rows.into_iter().try_for_each(|row| row.join().expect("no panic"))
    })?;
    // A name that CRI brings back comes within moments.
    for _ in 0..10 {
        ensure!(env.ok(&LIST)? == LISTED, "{}", env.ok(&LIST)?);
        std::thread::sleep(Duration::from_millis(100));
    }
    env.stop()
}

/// An archive with two images that have no name: both are there by their IDs, also when it is loaded again, and
/// nothing else is.
fn without_names_are_loaded_by_id() -> Result<()> {
    let mut env = TestEnv::started()?;
    let archive = env.home.join("nameless.tar");
    nameless(&env.home.join("nameless"), &archive)?;
    let load = || -> Result<Vec<String>> {
        let text = env.ok(&["load", "-i", &archive.display().to_string()])?;
        Ok(text.lines().filter_map(|l| l.strip_prefix("Loaded image ID: ")).map(str::to_owned).collect())
    };
    let ids = load()?;
    ensure!(ids.len() == 2 && ids == load()?, "{ids:?}");
    let listed = env.ok(&["images", "-aq", "--no-trunc", "--filter", "dangling=true"])?;
    let mut listed: Vec<&str> = listed.lines().collect();
    listed.sort_unstable();
    ensure!(ids == listed, "{ids:?} {listed:?}");
    ensure!(env.ok(&["images", "-aq"])?.lines().count() == 3);
    for id in &ids {
        let label = env.ok(&["image", "inspect", "-f", "{{.Config.Labels.n}}", id])?;
        ensure!(["1", "2"].contains(&label.as_str()), "{label}");
        env.ok(&["rmi", id])?;
    }
    ensure!(env.ok(&LIST)? == LISTED);
    env.stop()
}

/// Makes an archive in the layout of `docker save` with two images that have no name.
fn nameless(work: &Path, archive: &Path) -> Result<()> {
    std::fs::create_dir_all(work.join("files"))?;
    std::fs::write(work.join("files/f"), "x")?;
    run(Command::new("tar")
        .arg("-C")
        .arg(work.join("files"))
        .arg("-cf")
        .arg(work.join("layer.tar"))
        .arg("."))?;
    let digest = run(Command::new("sha256sum").arg(work.join("layer.tar")))?;
    let digest = digest.split(' ').next().context("sha256sum")?;
    let mut manifest = Vec::new();
    for n in ["1", "2"] {
        let config = serde_json::json!({
            "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
            "os": "linux",
            "config": { "Labels": { "n": n } },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{digest}")] },
        });
        std::fs::write(work.join(format!("{n}.json")), config.to_string())?;
        manifest.push(serde_json::json!({ "Config": format!("{n}.json"), "Layers": ["layer.tar"] }));
    }
    std::fs::write(work.join("manifest.json"), serde_json::json!(manifest).to_string())?;
    run(Command::new("tar").arg("-C").arg(work).arg("-cf").arg(archive).args([
        "manifest.json",
        "1.json",
        "2.json",
        "layer.tar",
    ]))
    .map(drop)
}

/// An image inside k3c that cannot be imported: lists say so and do not wait for it.
fn a_broken_one_inside_is_said() -> Result<()> {
    let mut env = TestEnv::new()?;
    let whole = env.k3c(&["__unpack"])?.ok()?;
    let broken = env.home.join("bundle");
    run(Command::new("cp").args(["-a", &whole]).arg(&broken))?;
    // These files k3c puts there itself.
    for own in ["k3c", "containerd-shim-k3c-v1", "containerd-shim-runc-v2", "k3c-cni", "loopback"] {
        std::fs::remove_file(broken.join("bin").join(own))?;
    }
    std::fs::write(broken.join("images/demo.tar"), "no archive")?;
    env.set("K3C_BUNDLE_DIR", broken.display().to_string());
    env.start()?;
    let warning = format!("WARNING: cannot import the image {LISTED}, which is inside k3c");
    for line in [&["images", "-q"][..], &["system", "df"]] {
        let ran = env.k3c(line)?;
        ensure!(ran.code == 0 && ran.stderr.contains(&warning), "{ran}");
    }
    env.k3c(&["run", "--rm", DEMO, "true"])?.fails(125, "invalid archive")?;
    env.k3c(&["image", "inspect", "abcdef"])?.fails(1, "No such image: abcdef")?;
    env.stop()
}
