//! A place where OCI runtimes are called as programs, by root or in a user's namespace: our own under its name in the
//! bundle, and the bundle's runc.

use crate::env::{Ran, TestEnv};
use crate::shared;
use crate::user::run;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// The names of the two.
pub(super) const OURS: &str = "k3c-oci";
pub(super) const RUNC: &str = "runc";

/// A script that enters a cgroup tree of its own, and for a user a namespace in which that is root. `$1` uid, `$2` gid,
/// `$3` cgroup, the rest a command.
const ENTER: &str = r#"
U=$1 G=$2 C=/sys/fs/cgroup/$3/$$; shift 3
umount -R -l /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup
mkdir -p $C/own || exit 90
if [ $U = 0 ]; then echo $$ > $C/own/cgroup.procs || exit 91; exec "$@"; fi
chown $U $C $C/cgroup.procs $C/cgroup.subtree_control $C/cgroup.threads
rmdir $C/own; echo $$ > $C/cgroup.procs || exit 91
exec setpriv --reuid $U --regid $G --init-groups \
    unshare --user --map-root-user --map-auto --mount --cgroup sh -c '
        mkdir -p cgroup && mount -t cgroup2 none cgroup && mount --bind cgroup /sys/fs/cgroup || exit 92
        mkdir -p /sys/fs/cgroup/own && echo $$ > /sys/fs/cgroup/own/cgroup.procs || exit 93
        exec "$@"' _ "$@"
"#;

/// The place.
pub(super) struct Bed {
    env: Arc<TestEnv>,
    /// Its folder: `rootfs`, and what a test puts there.
    pub(super) dir: PathBuf,
    bin: PathBuf,
    cgroup: String,
    uid: u32,
    gid: u32,
}

impl Bed {
    pub(super) fn new(root: bool) -> Result<Self> {
        let env = shared::env()?;
        let engine =
            env.processes().into_iter().find(|(_, line)| line.contains("__engine")).context("no engine")?;
        let bin = fs::read_link(format!("/proc/{}/exe", engine.0))?.with_file_name("");
        let label = format!("oci{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let pid = std::process::id();
        let (uid, gid, dir) = match root {
            true => (0, 0, PathBuf::from(format!("/var/tmp/k3cit{pid}{label}"))),
            false => (env.user.uid, env.user.gid, env.home.join(&label)),
        };
        let bed = Self { env, dir, bin, cgroup: format!("k3cit-{pid}/{label}"), uid, gid };
        bed.make_root()?;
        Ok(bed)
    }

    /// A small root: busybox under all of its names, and two users.
    fn make_root(&self) -> Result<()> {
        let root = self.dir.join("rootfs");
        for folder in ["bin", "etc", "proc", "sys", "dev", "tmp", "root", "data/deep", "mnt"] {
            fs::create_dir_all(root.join(folder))?;
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).context("busybox-static")?;
        let names = run(Command::new("/bin/busybox").arg("--list"))?;
        for name in names.lines().filter(|name| *name != "busybox") {
            std::os::unix::fs::symlink("busybox", root.join("bin").join(name))?;
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\njoe:x:1000:1000::/data:/bin/sh\n")?;
        fs::write(root.join("etc/group"), "root:x:0:\njoe:x:1000:\n")?;
        self.own()
    }

    /// Gives all of the folder to the user.
    pub(super) fn own(&self) -> Result<()> {
        run(Command::new("chown").args(["-hR", &format!("{}:{}", self.uid, self.gid)]).arg(&self.dir))?;
        Ok(())
    }

    /// Runs a script there, in the folder. `$BIN` is the bundle's.
    pub(super) fn script(&self, seconds: u32, text: &str, args: &[&str]) -> Result<Ran> {
        let mut command = Command::new("timeout");
        command.args(["-k", "5", &seconds.to_string()]);
        command.args(["unshare", "-m", "--propagation", "private", "sh", "-c", ENTER, "_"]);
        command.args([&self.uid.to_string(), &self.gid.to_string(), &self.cgroup]);
        command.args(["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=dumb"]);
        command.arg(format!("BIN={}", self.bin.display())).args(["sh", "-c", text, "_"]).args(args);
        let output = command.current_dir(&self.dir).stdin(Stdio::null()).output().context("unshare")?;
        Ok(Ran::new(text.lines().take(3).collect::<Vec<_>>().join("; "), &output))
    }

    /// The two ways of one script, whose `$R` is a runtime with its root, `$NAME` that one's name.
    pub(super) fn both(&self, seconds: u32, text: &str) -> Result<[String; 2]> {
        let one = |name: &str| -> Result<String> {
            let text = format!("NAME={name} R=\"$BIN/{name} --root $PWD/state-{name}\"\n{text}");
            let ran = self.script(seconds, &text, &[])?;
            Ok(self.plain(&format!("{}{}exit {}\n", ran.stdout, ran.stderr, ran.code)))
        };
        Ok([one(OURS)?, one(RUNC)?])
    }

    /// Without the words in which two runtimes differ: their names, times, and where they keep what.
    pub(super) fn plain(&self, text: &str) -> String {
        let time = regex::Regex::new(r#"time="[^"]*" level="#).expect("a pattern");
        let text = time.replace_all(text, "");
        text.replace(&self.dir.display().to_string(), "DIR")
            .replace("state-runc", "STATE")
            .replace("state-k3c-oci", "STATE")
            .replace(OURS, "RUNTIME")
            .replace("runc", "RUNTIME")
            .replace('\r', "")
            .lines()
            // Kernels without a memory controller have no such file, of which runc warns.
            .filter(|line| !line.contains("unable to get oom kill count"))
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<()> {
        let states: Vec<String> = [OURS, RUNC]
            .iter()
            .flat_map(|name| fs::read_dir(self.dir.join(format!("state-{name}"))))
            .flatten()
            .flatten()
            .map(|entry| entry.path().display().to_string())
            .collect();
        ensure!(states.is_empty(), "containers are left: {states:?}");
        let left = crate::user::processes(|_| true);
        let own = self.dir.display().to_string();
        let left: Vec<_> = left.into_iter().filter(|(_, line)| line.contains(&own)).collect();
        ensure!(left.is_empty(), "processes are left: {left:?}");
        crate::env::remove_cgroups(&self.cgroup)?;
        fs::remove_dir_all(&self.dir)?;
        drop(self.env);
        Ok(())
    }
}

/// A plain specification for `words`.
pub(super) fn plain_spec(words: &[&str]) -> Value {
    let capabilities = ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD"];
    let devices = json!([{ "allow": false, "access": "rwm" }]);
    json!({
        "ociVersion": "1.3.0",
        "process": {
            "user": { "uid": 0, "gid": 0 }, "args": words, "cwd": "/", "env": ["PATH=/bin", "TERM=xterm"],
            "noNewPrivileges": true,
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "rlimits": [{ "type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024 }],
        },
        "root": { "path": "rootfs" },
        "hostname": "box",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"] },
            { "destination": "/dev/shm", "type": "tmpfs", "source": "shm", "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] },
            { "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        ],
        "linux": {
            "namespaces": [{ "type": "pid" }, { "type": "network" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "cgroup" }],
            "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            "resources": { "devices": devices },
        },
    })
}

/// Writes a bundle with the bed's root.
pub(super) fn bundle(bed: &Bed, name: &str, spec: &Value) -> Result<PathBuf> {
    let path = bed.dir.join(name);
    fs::create_dir_all(&path)?;
    let mut spec = spec.clone();
    spec["root"]["path"] = json!(bed.dir.join("rootfs"));
    fs::write(path.join("config.json"), serde_json::to_vec(&spec)?)?;
    Ok(path)
}
