//! What registries are asked beside transfers: tags, manifests, and how long they want to be left alone.

use super::proxy::{Mode, Proxy};
use super::transfers::started;
use crate::archives::for_several;
use crate::containers::DEMO;
use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};

const BUSY: &str = "429 Too Many Requests";

/// All tags of a repository, sorted.
pub(super) fn all_tags() -> Result<()> {
    let (mut env, registry) = started()?;
    let repository = format!("{}/team/many", registry.host);
    let tags = ["1", "1.1", "latest"];
    for tag in tags {
        env.ok(&["tag", DEMO, &format!("{repository}:{tag}")])?;
    }
    env.ok(&["push", "-aq", &repository])?;
    let forget = || {
        env.ok(&[&["rmi"][..], &tags.map(|tag| format!("{repository}:{tag}")).each_ref().map(String::as_str)]
            .concat())
    };
    forget()?;
    let said = env.ok(&["pull", "-a", &repository])?;
    let begun: Vec<&str> = said.lines().filter(|line| line.contains(": Pulling from ")).collect();
    ensure!(begun == tags.map(|tag| format!("{tag}: Pulling from team/many")), "{said}");
    ensure!(said.lines().filter(|line| line.starts_with("Digest: sha256:")).count() == tags.len(), "{said}");
    ensure!(
        said.ends_with(&format!("Status: Downloaded newer image for {repository}\n{repository}")),
        "{said}"
    );
    ensure!(env.ok(&["images", "-q", &repository])?.lines().count() == tags.len());
    let said = env.ok(&["pull", "--all-tags", &repository])?;
    ensure!(said.contains(&format!("Status: Image is up to date for {repository}\n")), "{said}");
    forget()?;
    ensure!(env.ok(&["image", "pull", "-a", "-q", &repository])? == repository);
    ensure!(env.ok(&["images", "-q", &repository])?.lines().count() == tags.len());
    for wrong in [format!("{repository}:1"), format!("{repository}@sha256:{}", "ab".repeat(32))] {
        env.k3c(&["pull", "-a", &wrong])?.fails(1, "tag can't be used with --all-tags/-a")?;
    }
    let none = format!("{}/team/none", registry.host);
    env.k3c(&["pull", "-a", &none])?.fails(1, &format!("repository {none} not found: name unknown"))?;
    env.k3c(&["pull", "-a", "localhost:1/x"])?.fails(1, "cannot reach the registry localhost:1: ")?;
    env.k3c(&["pull", "-a", "k3c.local/x"])?.fails(1, "k3c.local is no registry")?;
    // What is for others is said at the end, when the rest is here.
    forget()?;
    let ran = env.k3c(&["pull", "-a", "--platform", "linux/s390x", &repository])?;
    ensure!(ran.stderr.lines().count() == tags.len(), "{ran}");
    ran.fails(1, "1.1: Error response from daemon: no matching manifest for linux/s390x")?;
    env.stop()
}

/// An index goes to a registry as a whole and comes back: for this host, or for all.
pub(super) fn all_platforms() -> Result<()> {
    let (mut env, registry) = started()?;
    let image = format!("{}/team/several:1", registry.host);
    env.user.write(&env.home.join("all.tar"), for_several(&["own", "s390x"])?)?;
    env.ok(&["load", "-qi", "all.tar"])?;
    let id = env.ok(&["images", "-q", "--no-trunc", "several:1"])?;
    env.ok(&["tag", "several:1", &image])?;
    env.ok(&["push", "-q", "--compression-format=none", &image])?;
    env.ok(&["rmi", &image, "several:1"])?;
    let other = ["save", "--platform", "linux/s390x", "-o", "other.tar", &image];
    env.ok(&["pull", "-q", &image])?;
    env.k3c(&other)?.fails(1, "does not provide the specified platform (linux/s390x)")?;
    env.ok(&["pull", "--all-platforms", &image])?;
    ensure!(env.ok(&["images", "-q", "--no-trunc", &image])? == id);
    env.ok(&other)?;
    env.ok(&["save", "-o", "all.tar", &image])?;
    env.ok(&["rmi", &image])?;
    env.ok(&["load", "-qi", "all.tar"])?;
    env.ok(&other)?;
    ensure!(env.ok(&["images", "-q", "--no-trunc", &image])? == id);
    let both = ["pull", "--all-platforms", "--platform", "linux/s390x", &image];
    env.k3c(&both)?.fails(1, "conflicting options: --all-platforms and --platform")?;
    env.k3c(&["run", "--platform", "linux/s390x", &image])?
        .fails(125, "it is for linux/s390x, this host is")?;
    ensure!(env.ok(&["ps", "-aq"])?.is_empty());
    let all: serde_json::Value = serde_json::from_str(&env.ok(&["manifest", "inspect", "-v", &image])?)?;
    ensure!(all.as_array().is_some_and(|all| all.len() == 3), "{all}");
    env.stop()
}

/// Manifests as the registry has them, whatever is here.
pub(super) fn manifests() -> Result<()> {
    let (mut env, registry) = started()?;
    let image = format!("{}/team/demo:1", registry.host);
    env.ok(&["tag", DEMO, &image])?;
    env.k3c(&["manifest", "inspect", &image])?
        .fails(1, &format!("manifest for {image} not found: manifest unknown"))?;
    env.ok(&["push", "-q", "--compression-format=none", &image])?;
    let id = env.ok(&["images", "-q", "--no-trunc", &image])?;
    let own = env.ok(&["manifest", "inspect", &id])?;
    env.ok(&["rmi", &image])?;
    ensure!(env.ok(&["manifest", "inspect", &image])? == own);
    ensure!(env.ok(&["manifest", "inspect", &format!("{}/team/demo@{id}", registry.host)])? == own);
    ensure!(env.ok(&["manifest", "inspect", "--insecure", &image])? == own);
    let all: serde_json::Value = serde_json::from_str(&env.ok(&["manifest", "inspect", "-v", &image])?)?;
    let entry = if all.is_array() { &all[0] } else { &all };
    ensure!(entry["Ref"].as_str().is_some_and(|name| name.starts_with(&format!("{image}@sha256:"))), "{all}");
    ensure!(entry["Descriptor"]["platform"]["os"] == "linux", "{all}");
    env.k3c(&["manifest", "inspect", "localhost:1/x"])?
        .fails(1, "cannot reach the registry localhost:1: ")?;
    env.k3c(&["manifest", "inspect", "UPPER"])?.fails(1, "must be lowercase")?;
    env.stop()
}

/// A registry that is busy says for how long: in seconds, or until when. Whoever waits is told.
pub(super) fn retry_after() -> Result<()> {
    let (mut env, registry) = started()?;
    let proxy = Proxy::start(registry.port)?;
    let image = format!("{}/team/busy:1", proxy.host);
    env.ok(&["tag", DEMO, &image])?;
    let soon = || {
        (Timestamp::now() + SignedDuration::from_secs(4)).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    // containerd asks five times, in a push for two blobs at once; the request after those reads the header.
    let busy =
        |verb, status, wait: String| proxy.set(Mode::Busy(if verb == "push" { 11 } else { 6 }, status, wait));
    let failed = "503 Service Unavailable";
    for verb in ["push", "pull"] {
        busy(verb, BUSY, "3".to_owned());
        let ran = env.k3c(&[verb, &image])?;
        let said =
            format!("Retrying in 3 s: toomanyrequests: the registry {} refuses more requests", proxy.host);
        ensure!(ran.code == 0 && ran.stdout.contains(&said), "{verb}: {ran}");
        busy(verb, BUSY, soon());
        let ran = env.k3c(&[verb, &image])?;
        let waited = |n| ran.stdout.contains(&format!("Retrying in {n} s: toomanyrequests"));
        ensure!(ran.code == 0 && (1..=4).any(waited), "{verb}: {ran}");
        busy(verb, BUSY, "86400".to_owned());
        env.k3c(&[verb, &image])?
            .fails(1, "it wants to be asked again in 86400 s, which is too long to wait")?;
    }
    busy("pull", failed, "2".to_owned());
    let ran = env.k3c(&["pull", &image])?;
    ensure!(ran.code == 0 && ran.stdout.contains("Retrying in 2 s: the registry"), "{ran}");
    // Who only asks has one request for each answer.
    for (line, out) in [(["manifest", "inspect"], false), (["pull", "-a"], true)] {
        proxy.set(Mode::Busy(1, BUSY, "2".to_owned()));
        let name = if out { image.trim_end_matches(":1") } else { &image };
        let ran = env.k3c(&[line[0], line[1], name])?;
        let said = if out { &ran.stdout } else { &ran.stderr };
        ensure!(ran.code == 0 && said.contains("Retrying in 2 s: toomanyrequests"), "{ran}");
    }
    drop(proxy);
    env.stop()
}
