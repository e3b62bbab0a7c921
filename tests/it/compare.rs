//! `make compare-docker`: the tables of `behaviour`, run against rootless Docker in the peers' root. Each line that
//! Docker answers otherwise is printed; those that differ on purpose come with the reason.

use crate::behaviour::{Line, TABLES, lacks};
use crate::bench::{demo_archive, peers};
use crate::report;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Command;

/// A folder that both sides see.
const SHARED: &str = "/tmp/k3cpeer/compare";

/// Parts of lines that k3c answers otherwise on purpose, and why.
const DELIBERATE: &[(&str, &str)] = &[
    ("--init $DEMO nope", "k3c's init ends with 127, as without it; tini with 1 or 127"),
    ("--domainname dom.x", "rootless Docker cannot set it"),
    ("--device /dev/null:/dev/mine", "rootless Docker cannot give a device another name"),
    ("--ipc host", "rootless Docker wants /dev/mqueue on the host"),
    ("--platform linux/s390x", "Docker 26 asks the registry first"),
    ("type=image", "Docker 26 has no mounts of images"),
    ("volume-subpath", "Docker names the path on the host"),
    ("-p 80", "k3c has no published ports"),
    ("--gpus", "k3c says why a flag is not there"),
    ("--ulimit nofile=1:999999999999", "k3c refuses before it creates"),
    ("--log-driver gelf", "k3c has two log drivers"),
    ("--log-opt max-size=x", "k3c refuses before it creates"),
    ("host-gateway", "an ordinary user's containers reach the host only where that is allowed"),
    ("k3c cp new made:/new", "k3c says that a start after an exit is fresh"),
    ("k3c start -a made", "a start after an exit is fresh"),
    ("inspect --cri", "Docker has no CRI"),
    ("k3c port made 80", "the words of Docker 29"),
    ("k3c inspect -f '{{.Name}}' other old", "the words of Docker 29"),
    ("k3c volume create -d nfs", "k3c says which drivers there are"),
    ("k3c build", "Docker 26 builds with its own builder"),
    ("my/changed:2", "was not built"),
    ("k3c run --detach-keys ctrl-1", "k3c looks at the keys before it creates"),
    ("ctrl-1\"}", "k3c looks at the keys before it creates"),
    ("k3c ps -aqf name=no-keys", "k3c looks at the keys before it creates"),
    ("{{.ID}} {{if .State.Health}}", "k3c finds a field by either name, beside what is omitted"),
    ("Descriptor.MediaType", "the documents of Docker 29"),
    ("{{slice .Names 1}}", "Docker tries a template on nothing first"),
    ("--sig-proxy=false -a", "a flag of Docker 29"),
    ("k3c exec ex nope", "not found is 127, and on standard error"),
    (
        "k3c stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}}",
        "k3c says that nothing is known",
    ),
    ("70000", "k3c says what is wrong"),
    ("-h $(head", "k3c says what is wrong"),
    ("volume create -o", "k3c's volumes have no options"),
    ("' ev[23]$'", "Docker tells of stop and die in either order"),
    ("printf no-end", "k3c shows a line that is not whole after a second"),
    ("k3c rmi $DEMO", "the words of a Docker with containerd's images"),
    ("timeout 3 k3c stop -t -1", "timeout(1) ends the shell that stands for Docker"),
];

/// Words of Docker 26 in the place of those of Docker 29, which k3c has: no difference of ours.
const WORDS: &[(&str, &str)] = &[
    ("docker: 'foo' is not a docker command.\nSee 'docker --help'", "unknown command"),
    ("Usage:  docker container COMMAND", "unknown command"),
    (" requires ", "how many arguments"),
    (" accepts no arguments.", "how many arguments"),
    ("See 'docker", "where the help is"),
    ("Flag shorthand -h has been deprecated", "-h"),
    ("No such object: ", "with a small letter"),
    ("Conflicting options: ", "with a small letter, and 125"),
    ("No public port", "with a small letter"),
    ("Error response from daemon: No such container: nobody", "rm -f of what is not there says nothing"),
];

/// Compares the answers to every line of the tables.
pub(crate) fn all() -> Result<()> {
    let peers = peers("usr/sbin/dockerd")?;
    let _ = fs::remove_dir_all(SHARED);
    fs::create_dir_all(Path::new(SHARED).join("out"))?;
    ensure!(Command::new("chmod").args(["-R", "777", SHARED]).status()?.success(), "chmod");
    fs::write(Path::new(SHARED).join("root.tar"), demo_root()?)?;
    fs::write(Path::new(SHARED).join("all.sh"), script())?;
    let ran = Command::new("timeout")
        .args(["1500", "bash"])
        .arg(peers.join("peer.sh"))
        .args(["bash", &format!("{SHARED}/all.sh")])
        .output()
        .context("peer.sh")?;
    ensure!(
        ran.status.success(),
        "Docker did not run in the peers' root:\n{}{}",
        String::from_utf8_lossy(&ran.stdout),
        String::from_utf8_lossy(&ran.stderr)
    );
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (table, lines) in TABLES {
        for (index, line) in lines.iter().enumerate() {
            *counts.entry(judge(table, index, line)?).or_default() += 1;
        }
    }
    fs::remove_dir_all(SHARED)?;
    let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    report(&format!("compared with Docker: {}", counts.join(", ")));
    Ok(())
}

/// The demonstration image's only layer: Docker 26 loads no OCI archives.
pub(crate) fn demo_root() -> Result<Vec<u8>> {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for entry in tar::Archive::new(fs::File::open(demo_archive()?)?).entries()? {
        let mut entry = entry?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(entry.path()?.to_string_lossy().into_owned(), bytes);
    }
    let json = |name: &str| -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(files.get(name).with_context(|| name.to_owned())?)?)
    };
    let blob = |value: &serde_json::Value| {
        let digest = value["digest"].as_str().unwrap_or_default();
        format!("blobs/{}", digest.replace(':', "/"))
    };
    let mut top = json("index.json")?;
    while !top["manifests"].is_null() {
        top = json(&blob(&top["manifests"][0]))?;
    }
    files.get(&blob(&top["layers"][0])).cloned().context("no layer")
}

/// Compares one line's answer, and says what is not the same.
fn judge(table: &str, index: usize, (line, code, parts): &Line) -> Result<&'static str> {
    let stem = format!("{SHARED}/out/{table}.{index}");
    let text = fs::read(&stem).with_context(|| stem.clone())?;
    let plain = String::from_utf8_lossy(&text);
    let text = plain.replace("docker: ", "k3c: ").replace("docker ", "k3c ").replace("'docker'", "'k3c'");
    let got: i32 = fs::read_to_string(format!("{stem}.code"))?.trim().parse()?;
    if got == *code && lacks(&text, parts).is_none() {
        return Ok("alike");
    }
    let why = DELIBERATE.iter().find(|(part, _)| line.contains(part)).map(|(_, why)| (*why).to_owned());
    let why = why.or_else(|| {
        let words = WORDS.iter().find(|(part, _)| got != 0 && plain.contains(part) || plain.trim() == *part);
        words.map(|(_, what)| format!("the words of Docker 29: {what}"))
    });
    let mut shown = format!("$ {line}\n  k3c: {code} {parts:?}\n  docker: {got}");
    for said in text.lines().filter(|l| !l.trim().is_empty()).take(4) {
        write!(shown, " | {said}")?;
    }
    match why {
        Some(why) => {
            report(&format!("{shown}\n  on purpose: {why}"));
            Ok("otherwise on purpose")
        }
        None => {
            report(&shown);
            Ok("otherwise")
        }
    }
}

/// Starts Docker, and runs the lines one after the other.
fn script() -> String {
    // `k3c` is a program, not a function of the shell: lines start it in many ways.
    let mut text = format!(
        "export PATH=$PATH:/usr/share/docker.io/contrib; cd $(mktemp -d)\n\
         mkdir bin; printf '#!/bin/sh\\nexec docker \"$@\"\\n' > bin/k3c; chmod +x bin/k3c; PATH=$PWD/bin:$PATH\n\
         dockerd-rootless.sh > {SHARED}/dockerd.log 2>&1 & daemon=$!\n\
         for i in $(seq 100); do docker version > /dev/null 2>&1 && break; sleep 0.3; done\n\
         docker import -c 'CMD [\"sh\"]' {SHARED}/root.tar k3c.local/demo || \
         {{ tail -5 {SHARED}/dockerd.log; kill $daemon; exit 1; }}\n\
         export DEMO=k3c.local/demo\n"
    );
    for (table, lines) in TABLES {
        for (index, (line, ..)) in lines.iter().enumerate() {
            let stem = format!("{SHARED}/out/{table}.{index}");
            // Each line goes into a file, for it may have quotes of all kinds.
            let _ = write!(
                text,
                "cat > line.sh <<'END'\n{line}\nEND\n\
                 timeout 60 sh line.sh > {stem} 2> {stem}.err < /dev/null; echo $? > {stem}.code; cat {stem}.err >> {stem}\n"
            );
        }
    }
    text.push_str("docker rm -f $(docker ps -aq) > /dev/null 2>&1\nkill $daemon; wait $daemon; exit 0\n");
    text
}
