//! A small machine under emulation (QEMU's TCG), whose kernel has every cgroup v2 controller: limits for real.
//!
//! `tests/guest/make.sh` makes it: Debian's cloud kernel, busybox, what k3c asks of a distribution, and k3c. Its first
//! process starts the daemon as an ordinary user with a delegated cgroup; we talk to an agent on a serial port.

use crate::Case;
use crate::containers::DEMO;
use crate::env::{Ran, binary};
use crate::host::Need;
use crate::user::run;
use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const NEEDS: &[Need] = &[
    Need::Root,
    Need::Bundle,
    Need::Program("qemu-system-x86_64"),
    Need::Program("busybox"),
    Need::Program("cpio"),
    Need::Program("depmod"),
    Need::Program("mkfs.ext4"),
    Need::Program("slirp4netns"),
];

/// QEMU 7 loses some guests at boot under emulation; QEMU 10 does not.
const BOOTS: usize = 6;

pub(crate) fn cases() -> Vec<Case> {
    // The kernel comes from Debian for the machine at hand; the emulator's command line is a PC's.
    if !cfg!(target_arch = "x86_64") {
        return Vec::new();
    }
    vec![Case::new("guest::limits_for_real", NEEDS, || {
        let dir = tempfile::tempdir_in("/var/tmp")?;
        run(Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest/make.sh"))
            .arg(binary())
            .arg(dir.path()))?;
        let mut last = String::new();
        for _ in 0..BOOTS {
            let mut guest = match Guest::boot(dir.path()) {
                Ok(guest) => guest,
                Err(error) => {
                    last = format!("{error:#}");
                    continue;
                }
            };
            match all(&mut guest) {
                // A guest that the emulator broke says nothing about us.
                Err(error) if guest.broken() => last = format!("{error:#}"),
                done => return done,
            }
        }
        bail!("no guest came up and stayed up in {BOOTS} tries: {last}")
    })]
}

/// A part of the test, in a guest that the other parts use too: it leaves nothing.
type Part = fn(&mut Guest) -> Result<()>;

/// A running guest; dropping it ends it.
struct Guest {
    qemu: Child,
    agent: BufReader<UnixStream>,
    console: std::path::PathBuf,
}

impl Guest {
    fn boot(dir: &Path) -> Result<Self> {
        let (console, socket) = (dir.join("console.log"), dir.join("agent.sock"));
        let _ = fs::remove_file(&socket);
        let disk = dir.join("disk.ext4");
        run(Command::new("cp").arg("--sparse=always").arg(dir.join("root.ext4")).arg(&disk))?;
        let said = File::create(dir.join("qemu.out"))?;
        let qemu = Command::new("qemu-system-x86_64")
            .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35"])
            .args(["-accel", "tcg,thread=multi", "-cpu", "Nehalem", "-smp", "2", "-m", "2048"])
            .arg("-kernel")
            .arg(dir.join("vmlinuz"))
            .arg("-initrd")
            .arg(dir.join("initrd"))
            .args(["-append", "console=ttyS0 panic=-1 tsc=reliable no_timer_check quiet"])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-chardev", &format!("socket,id=agent,path={},server=on,wait=off", socket.display())])
            .args(["-serial", "chardev:agent"])
            .args(["-drive", &format!("file={},format=raw,if=none,id=disk", disk.display())])
            .args(["-device", "virtio-blk-pci,drive=disk"])
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("qemu-system-x86_64")?;
        let end = Instant::now() + Duration::from_secs(10);
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if Instant::now() > end => return Err(error).context("the guest's serial port"),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        };
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut guest = Self { qemu, agent: BufReader::new(stream), console };
        let mut line = String::new();
        while !line.contains("K3C-READY") {
            line.clear();
            let read = guest.agent.read_line(&mut line);
            ensure!(read.is_ok_and(|n| n > 0), "the guest did not come up:\n{}", guest.console());
        }
        guest.agent.get_ref().set_read_timeout(Some(Duration::from_secs(180)))?;
        Ok(guest)
    }

    fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.console).unwrap_or_default()).into_owned()
    }

    /// Has the guest's kernel failed, or is the guest gone?
    fn broken(&mut self) -> bool {
        let console = self.console();
        let words = ["Oops", "Kernel panic", "BUG:", "segfault", "soft lockup", "rcu_sched", "int3"];
        words.iter().any(|w| console.contains(w)) || !matches!(self.qemu.try_wait(), Ok(None))
    }

    /// Runs a line of shell as root.
    fn sh(&mut self, line: &str) -> Result<Ran> {
        ensure!(!line.contains('\n'), "one line: {line}");
        let mut stream = self.agent.get_ref();
        stream.write_all(format!("{line}\n").as_bytes())?;
        let (mut code, mut parts, mut at) = (-1, [String::new(), String::new()], None);
        loop {
            let mut text = String::new();
            let read = self.agent.read_line(&mut text).with_context(|| format!("no answer to {line}"))?;
            ensure!(read > 0, "the guest is gone at {line}:\n{}", self.console());
            match text.trim() {
                "K3C-ERR" => at = Some(1),
                "K3C-END" => break,
                begin if begin.starts_with("K3C-BEGIN ") => {
                    (code, at) = (begin["K3C-BEGIN ".len()..].parse()?, Some(0));
                }
                more => {
                    if let Some(at) = at {
                        parts[at].push_str(more);
                    }
                }
            }
        }
        let text = |part: &str| -> Result<String> {
            let bytes = base64::engine::general_purpose::STANDARD.decode(part)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        Ok(Ran { line: line.to_owned(), code, stdout: text(&parts[0])?, stderr: text(&parts[1])? })
    }

    /// Runs `k3c ARGS`, in a shell's words, as the ordinary user; `$DEMO` is the image.
    fn k3c(&mut self, args: &str) -> Result<Ran> {
        self.sh(&format!("DEMO={DEMO}; as-user k3c {args}"))
    }

    /// Runs `k3c ARGS`, which must succeed without a word on standard error; its output.
    fn quiet(&mut self, args: &str) -> Result<String> {
        let ran = self.k3c(args)?;
        ensure!(ran.stderr.is_empty(), "{ran}");
        ran.ok()
    }

    /// Waits until a command's output has `part` in it.
    fn until(&mut self, args: &str, part: &str) -> Result<()> {
        let mut last = String::new();
        for _ in 0..60 {
            last = self.k3c(args)?.stdout;
            if last.contains(part) {
                return Ok(());
            }
            sleep(Duration::from_millis(500));
        }
        bail!("{args} never says {part:?}: {last}")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

fn all(guest: &mut Guest) -> Result<()> {
    guest
        .until("version --format '{{.Server.Version}}'", ".")
        .with_context(|| guest.sh("cat /tmp/daemon.out").map(|r| r.stdout).unwrap_or_default())?;
    let parts: [(&str, Part); 8] = [
        ("applied", applied),
        ("disks", disks),
        ("out of range", out_of_range),
        ("memory", memory),
        ("memory of a child", memory_of_a_child),
        ("processes", processes),
        ("update", update),
        ("pause", pause),
    ];
    for (name, part) in parts {
        part(guest).context(name)?;
    }
    let left = guest.quiet("ps -aq")?;
    ensure!(left.is_empty(), "containers are left: {left}");
    let cgroups = guest.sh("find /sys/fs/cgroup/user.slice -path '*k8s.io/*' -type d")?.ok()?;
    ensure!(cgroups.is_empty(), "cgroups are left: {cgroups}");
    Ok(())
}

const FILES: &str = "cd /sys/fs/cgroup; for f in memory.max memory.low memory.swap.max cpu.max cpu.weight pids.max \
                     cpuset.cpus; do echo $f $(cat $f); done";

/// Limits that are asked for are those that the kernel has, without a warning.
fn applied(guest: &mut Guest) -> Result<()> {
    let info = guest.k3c("info")?;
    ensure!(!format!("{}{}", info.stdout, info.stderr).contains("WARNING"), "{info}");
    let seen = guest.quiet(&format!(
        "run --rm -m 64m --memory-swap 96m --memory-reservation 32m --cpus 0.5 --cpu-shares 512 --pids-limit 20 \
         --cpuset-cpus 0 $DEMO sh -c '{FILES}'"
    ))?;
    let wanted = "memory.max 67108864\nmemory.low 33554432\nmemory.swap.max 33554432\ncpu.max 50000 100000\n\
                  cpu.weight 59\npids.max 20\ncpuset.cpus 0";
    // runc's conversion of shares to a weight has changed before.
    ensure!(seen == wanted || seen == wanted.replace("weight 59", "weight 20"), "{seen}");
    let seen = guest.quiet(&format!("run --rm --cpu-period 20000 --cpu-quota 5000 $DEMO sh -c '{FILES}'"))?;
    ensure!(seen.contains("memory.max max") && seen.contains("cpu.max 5000 20000"), "{seen}");
    Ok(())
}

fn disks(guest: &mut Guest) -> Result<()> {
    let seen = guest.quiet(
        "run --rm --device-read-bps /dev/vda:1mb --device-write-iops /dev/vda:100 --blkio-weight 1000 $DEMO sh -c \
         'cd /sys/fs/cgroup; cat io.max io.weight io.bfq.weight 2>/dev/null; true'",
    )?;
    ensure!(seen.contains("rbps=1048576") && seen.contains("wiops=100"), "{seen}");
    ensure!(seen.contains("default 10000") || seen.contains("1000"), "{seen}");
    Ok(())
}

fn out_of_range(guest: &mut Guest) -> Result<()> {
    guest
        .k3c("run --rm --cpus 9 $DEMO true")?
        .fails(125, "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available")?;
    guest
        .k3c("run --rm --cpuset-cpus 0,7 $DEMO true")?
        .fails(125, "Requested CPUs are not available - requested 0,7, available: 0-1")
}

/// A first process beyond its memory is killed: 137, `OOMKilled`, the event.
fn memory(guest: &mut Guest) -> Result<()> {
    let ran = guest.k3c("run --name oom -m 24m $DEMO tail /dev/zero")?;
    ensure!(ran.code == 137, "{ran}");
    let state = guest.quiet("inspect -f '{{.State.Status}} {{.State.OOMKilled}} {{.State.ExitCode}}' oom")?;
    ensure!(state == "exited true 137", "{state}");
    let events = guest.quiet("events --since 1h --until 0s --filter container=oom --format '{{.Action}}'")?;
    ensure!(events.ends_with("start\noom\ndie"), "{events}");
    guest.quiet("rm oom")?;
    Ok(())
}

/// A child beyond its memory is killed: the event comes at once, and the container goes on.
fn memory_of_a_child(guest: &mut Guest) -> Result<()> {
    guest.quiet("run -d --name lives -m 24m $DEMO sh -c 'tail /dev/zero; sleep 1000'")?;
    let events = "events --since 1h --until 0s --filter container=lives --format '{{.Action}}'";
    guest.until(events, "oom")?;
    let state = guest.quiet("inspect -f '{{.State.Status}} {{.State.OOMKilled}}' lives")?;
    ensure!(state == "running true", "{state}");
    guest.quiet("rm -f lives")?;
    let events = guest.quiet(events)?;
    ensure!(events.matches("oom").count() == 1, "told more than once: {events}");
    Ok(())
}

fn processes(guest: &mut Guest) -> Result<()> {
    let ran =
        guest.k3c("run --rm --pids-limit 6 $DEMO sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 9 & done'")?;
    ensure!(ran.code == 2 && ran.stderr.contains("can't fork"), "{ran}");
    Ok(())
}

/// Limits are changed while a container runs, kept by a restart, and shown by `stats`.
fn update(guest: &mut Guest) -> Result<()> {
    guest.quiet("run -d --name busy -m 64m $DEMO sh -c 'while :; do :; done'")?;
    guest.quiet("update -m 48m --cpus 0.2 --pids-limit 30 busy")?;
    let files = format!("exec busy sh -c '{FILES}'");
    let seen = guest.quiet(&files)?;
    for line in ["memory.max 50331648", "memory.swap.max 83886080", "cpu.max 20000 100000", "pids.max 30"] {
        ensure!(seen.contains(line), "no {line} in {seen}");
    }
    guest.until("exec busy sh -c 'grep nr_throttled /sys/fs/cgroup/cpu.stat'", "nr_throttled ")?;
    let stats =
        guest.quiet("stats --no-stream --format '{{.MemUsage}}|{{.PIDs}}|{{.CPUPerc}}|{{.MemPerc}}' busy")?;
    ensure!(stats.contains("iB / 48MiB|1|") && !stats.contains("--"), "{stats}");
    guest.k3c("update -m 1g busy")?.fails(1, "Memory limit should be smaller than already set memoryswap")?;
    guest.k3c("update --cpus 9 busy")?.fails(1, "range of CPUs")?;
    guest.quiet("restart -t 0 busy")?;
    ensure!(guest.quiet(&files)?.contains("memory.max 50331648"), "a restart forgot the new limit");
    guest.quiet("rm -f busy")?;
    Ok(())
}

/// A paused container is frozen by the kernel; a killed containerd does not thaw it, and its exit is seen afterwards.
fn pause(guest: &mut Guest) -> Result<()> {
    guest.quiet("run -d --name still $DEMO sh -c 'while :; do echo x; sleep 0.1; done'")?;
    guest.quiet("pause still")?;
    let frozen = guest.sh("find /sys/fs/cgroup/user.slice -name cgroup.freeze | xargs cat | grep -c 1")?;
    ensure!(frozen.stdout.trim() == "1", "{frozen}");
    ensure!(guest.quiet("ps")?.contains("(Paused)"), "ps does not say so");
    guest.k3c("exec still true")?.fails(1, "is paused, unpause the container before exec")?;
    guest.sh("kill -9 $(pidof containerd)")?.ok()?;
    guest.until("ps --format '{{.Status}}'", "(Paused)")?;
    let lines = |guest: &mut Guest| -> Result<usize> { Ok(guest.quiet("logs still")?.lines().count()) };
    let before = lines(guest)?;
    sleep(Duration::from_secs(1));
    ensure!(lines(guest)? == before, "it writes while it is paused");
    guest.quiet("unpause still")?;
    for _ in 0..60 {
        if lines(guest)? > before {
            guest.quiet("stop -t 0 still")?;
            let state = guest.quiet("inspect -f '{{.State.Status}} {{.State.ExitCode}}' still")?;
            ensure!(state == "exited 137", "{state}");
            guest.quiet("rm still")?;
            return Ok(());
        }
        sleep(Duration::from_millis(500));
    }
    bail!("it does not go on after it was unpaused")
}
