//! What images and volumes have led other runtimes to (`src/shim/oci/SECURITY.md`), played on our own as a program.

use super::bed::{Bed, bundle, plain_spec};
use anyhow::{Result, ensure};
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use serde_json::{Value, json};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};

fn add(spec: &mut Value, place: &str, value: Value) {
    if let Some(list) = spec.pointer_mut(place).and_then(Value::as_array_mut) {
        list.push(value);
    }
}

fn bind(from: &str, to: &str) -> Value {
    json!({ "destination": to, "type": "bind", "source": from, "options": ["bind"] })
}

fn without_mount(spec: &mut Value, place: &str) {
    if let Some(all) = spec["mounts"].as_array_mut() {
        all.retain(|mount| mount["destination"] != place);
    }
}

/// The containers of all tricks.
fn bundles(bed: &Bed) -> Result<()> {
    let dir = |name: &str| bed.dir.join(name).display().to_string();
    for folder in ["vol/a", "outside", "fakeproc/sys/net/core", "fakepts", "rootfs/data/hidden"] {
        fs::create_dir_all(bed.dir.join(folder))?;
    }
    for (file, text) in [
        ("evil", "EVIL\n"),
        ("terminal", "CONSOLE\n"),
        ("fakeproc/sys/net/core/somaxconn", ""),
        ("fakepts/ptmx", ""),
        ("rootfs/data/secret", "SECRET\n"),
        ("rootfs/data/hidden/secret", "SECRET\n"),
    ] {
        fs::write(bed.dir.join(file), text)?;
    }
    // A /dev/null of the image's, from which masks are made (CVE-2025-31133).
    let mut spec = plain_spec(&["sh", "-c", "cat /data/secret /data/hidden/secret; echo looked"]);
    add(&mut spec, "/mounts", bind(&dir("evil"), "/dev/null"));
    spec["linux"]["maskedPaths"] = json!(["/data/secret", "/data/hidden"]);
    bundle(bed, "null", &spec)?;
    // A console that is another file (CVE-2025-52565), and terminals that are none.
    let mut spec = plain_spec(&["sh", "-c", "test -c /dev/console && tty && echo written > /dev/console"]);
    spec["process"]["terminal"] = json!(true);
    add(&mut spec, "/mounts", bind(&dir("terminal"), "/dev/console"));
    bundle(bed, "console", &spec)?;
    let mut spec = plain_spec(&["echo", "with a terminal"]);
    spec["process"]["terminal"] = json!(true);
    without_mount(&mut spec, "/dev/pts");
    add(&mut spec, "/mounts", bind(&dir("fakepts"), "/dev/pts"));
    bundle(bed, "pts", &spec)?;
    let mut spec = plain_spec(&[
        "sh",
        "-c",
        "umount /dev/pts && mount --bind /dev/fake /dev/pts && echo ready; sleep 1000",
    ]);
    for set in ["bounding", "effective", "permitted"] {
        add(&mut spec, &format!("/process/capabilities/{set}"), json!("CAP_SYS_ADMIN"));
    }
    add(&mut spec, "/mounts", bind(&dir("fakepts"), "/dev/fake"));
    bundle(bed, "exec", &spec)?;
    // A /proc that is a folder of somebody's (CVE-2025-52881), and one that is covered (CVE-2019-19921).
    let mut spec = plain_spec(&["cat", "/proc/sys/net/core/somaxconn"]);
    spec["linux"]["sysctl"] = json!({ "net.core.somaxconn": "77" });
    spec["linux"]["maskedPaths"] = json!([]);
    spec["linux"]["readonlyPaths"] = json!([]);
    without_mount(&mut spec, "/proc");
    add(&mut spec, "/mounts", bind(&dir("fakeproc"), "/proc"));
    bundle(bed, "proc", &spec)?;
    let mut spec = plain_spec(&["echo", "covered"]);
    add(&mut spec, "/mounts", json!({ "destination": "/proc", "type": "tmpfs", "source": "x" }));
    bundle(bed, "cover", &spec)?;
    // What is above its cgroup.
    let look = "cat /proc/self/cgroup; grep -o ' /[^ ]* /sys/fs/cgroup ' /proc/self/mountinfo; cd /sys/fs/cgroup/..; ls; ls /sys/fs/cgroup | grep -c release";
    let mut spec = plain_spec(&["sh", "-c", look]);
    add(
        &mut spec,
        "/mounts",
        json!({ "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup" }),
    );
    bundle(bed, "group", &spec)?;
    spec["linux"]["cgroupsPath"] = json!("/../outside");
    bundle(bed, "above", &spec)?;
    // Places that are exchanged meanwhile (CVE-2021-30465).
    let mut spec = plain_spec(&["true"]);
    add(
        &mut spec,
        "/mounts",
        json!({ "destination": "/data", "type": "bind", "source": dir("vol"), "options": ["rbind"] }),
    );
    add(&mut spec, "/mounts", json!({ "destination": "/data/a/x", "type": "tmpfs", "source": "x" }));
    add(&mut spec, "/mounts", bind("/etc/hostname", "/data/a/y/file"));
    bundle(bed, "race", &spec)?;
    let up = format!("../../../../../../../../../..{}", dir("outside"));
    std::os::unix::fs::symlink(up, bed.dir.join("vol/b"))?;
    bed.own()
}

const TRICKS: &str = r#"
try() { echo "-- $1"; timeout -k 5 20 $R run --bundle $PWD/$1 t 2>&1 < /dev/null; echo "= $?"; }
terminal() { echo "-- $1"; script -qec "timeout --foreground -k 5 20 $R run --bundle $PWD/$1 t" /dev/null 2>&1 < /dev/null; echo "= $?"; }
try null; terminal console; terminal pts; try proc; try cover; try group; try above
echo "-- exec"; $R run --detach --bundle $PWD/exec t > ready 2>&1 < /dev/null
for n in $(seq 100); do grep -q ready ready && break; sleep 0.05; done; cat ready
script -qec "$R exec --tty t echo with a terminal" /dev/null 2>&1 < /dev/null; echo "= $?"; $R delete --force t
echo "-- race"; for n in $(seq 40); do $R run --bundle $PWD/race t > /dev/null 2>&1 < /dev/null && echo well; done | sort -u
grep -c outside /proc/self/mountinfo
"#;

pub(super) fn tricks() -> Result<()> {
    for root in [true, false] {
        let bed = Bed::new(root)?;
        bundles(&bed)?;
        let (over, volume) = (AtomicBool::new(false), bed.dir.join("vol"));
        let ran = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let (one, other) = (volume.join("a"), volume.join("b"));
                    let _ = renameat2(AT_FDCWD, &one, AT_FDCWD, &other, RenameFlags::RENAME_EXCHANGE);
                }
            });
            let text = format!("R=\"$BIN/k3c-oci --root $PWD/state-k3c-oci\"\n{TRICKS}");
            let ran = bed.script(120, &text, &[]);
            over.store(true, Ordering::Relaxed);
            ran
        })?;
        let said = ran.stdout.replace('\r', "");
        let of = |name: &str| {
            let rest = said.split(&format!("-- {name}\n")).nth(1).unwrap_or_default();
            rest.split("-- ").next().unwrap_or_default().to_owned()
        };
        let mut wrong = Vec::new();
        let mut must = |what: &str, is: bool| {
            if !is {
                wrong.push(what.to_owned());
            }
        };
        let (null, looked) = (of("null"), of("null").contains("looked"));
        must("a mask is a file of the image's", !null.contains("EVIL") && !null.contains("SECRET"));
        must("the masks are looked at, or there is no container", looked || !null.contains("= 0"));
        let console = of("console");
        must("there is a terminal at /dev/console", console.contains("/dev/") && console.contains("= 0"));
        must("the console is the host's file", fs::read_to_string(bed.dir.join("terminal"))? == "CONSOLE\n");
        must("a folder's ptmx is no terminal", !of("pts").contains("with a terminal"));
        must("it is said why", of("pts").contains("a terminal without /dev/pts"));
        let exec = of("exec");
        must("an exec has another's terminal", exec.contains("ready") && exec.contains("makes no terminals"));
        must(
            "a setting is written to a file",
            fs::read(bed.dir.join("fakeproc/sys/net/core/somaxconn"))?.is_empty(),
        );
        must(
            "/proc is covered",
            !of("cover").contains("covered\n") && of("cover").contains("is inside of /proc"),
        );
        let cgroup = of("group");
        must("it sees cgroups above", cgroup.contains("0::/\n") && cgroup.contains(" / /sys/fs/cgroup "));
        must("there is an agent", cgroup.contains("\n0\n"));
        must("a cgroup is outside", of("above").contains("outside") && !of("above").contains("= 0"));
        must("no container of the race was made", of("race").contains("well"));
        must("a mount is outside", of("race").ends_with("0\n"));
        must("something was made outside", fs::read_dir(bed.dir.join("outside"))?.count() == 0);
        ensure!(wrong.is_empty(), "root {root}: not so: {wrong:#?}\n{ran}");
        bed.end()?;
    }
    Ok(())
}
