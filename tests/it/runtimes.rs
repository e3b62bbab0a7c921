//! Our own OCI runtime beside runc: what a container sees must be the same, and what broke out of other runtimes must not
//! break out of it (`src/shim/oci/SECURITY.md`).

mod bed;
mod command;
mod killed;
mod specs;
mod tricks;
mod validation;
mod wishes;

use crate::containers::{DEMO, within};
use crate::env::{Ran, TestEnv};
use crate::{Case, DAEMON, shared};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("runtimes::the_same_view", the_same_view),
        case("runtimes::roots_view", roots_view),
        case("runtimes::whose_is_it", whose_is_it),
        case("runtimes::there_are_two", there_are_two),
        case("runtimes::links_lead_nowhere", links_lead_nowhere),
        case("runtimes::folders_of_the_host_cannot_be_entered", folders_of_the_host_cannot_be_entered),
        case("runtimes::our_program_cannot_be_written", our_program_cannot_be_written),
        case("runtimes::killed_at_each_point", killed::at_each_point),
        case("runtimes::commands_killed_at_each_point", killed::commands_at_each_point),
        case("runtimes::tricks", tricks::tricks),
        case("runtimes::the_command_line", command::the_command_line),
        Case::new(
            "runtimes::validation",
            &[crate::host::Need::Daemon, crate::host::Need::Validation],
            validation::validation,
        ),
        case("runtimes::random_specifications", specs::random_specifications),
        case("runtimes::random_wishes", wishes::random_wishes),
        case("runtimes::a_killed_shim_leaves_nothing", a_killed_shim_leaves_nothing),
    ]
}

/// A look around. What differs from one container to the next is taken out, and the name that a cgroup tree was mounted by:
/// where the host's /sys is bound (`--network host`), runc binds that of the host, and we mount one.
const LOOK: &str = r#"
sed "s/^[0-9]* [0-9]* [0-9]*:[0-9]* //; s/ - cgroup2 cgroup2 / - cgroup2 cgroup /" /proc/self/mountinfo | sort
grep -E "^(Uid|Gid|Groups|Umask|SigBlk|SigCgt|Cap|NoNew|Sec|Spec)" /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj
env | sort | grep -v HOSTNAME=; pwd; umask
ls -ln /dev | sed "s/[A-Z][a-z][a-z] [0-9 ]* [0-9:]* //"
for n in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo fd $n; done
cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax /proc/sys/net/core/somaxconn
ls /proc/acpi /sys/firmware 2>&1; cat /proc/keys 2>&1 | grep -v _ses; cat /proc/sys/kernel/domainname
(echo 1 > /proc/sys/kernel/msgmax) 2>&1; (echo > /proc/sysrq-trigger) 2>&1; wc -c < /proc/kcore; n=/sys/fs/cgroup/$(cat /proc/sys/kernel/random/uuid); (mkdir $n && rmdir $n) 2>&1 | sed "s|$n|NEW|"
tty 2>&1; stat -c "%a %u %g %n" /tmp /dev/shm /proc/self/fd/1 / . 2>&1; ls -A /proc/self/ns
mknod /tmp/null c 1 3 2>&1; (: < /tmp/null) 2>&1; mknod /tmp/disk b 250 0 2>&1; (: < /tmp/disk) 2>&1; (: < /dev/fuse) 2>&1
unshare -m true 2>&1; mount -t tmpfs x /mnt 2>&1; chown 5 /tmp 2>&1; ping -c1 -W1 127.0.0.1 2>&1 | tail -2 | head -1
"#;

/// Flags of `run`.
const FLAGS: &[&str] = &[
    "",
    "--read-only",
    "--tmpfs /t --tmpfs /u:size=1m,mode=700 --tmpfs /tmp",
    "--cap-add NET_ADMIN --cap-drop CHOWN",
    "--cap-add ALL",
    "--cap-drop ALL -u 9",
    "-u 1000:5 --group-add 7",
    "-u 1000 -w /made/here",
    "--ulimit nofile=100:200 --ulimit core=0",
    "--privileged",
    "--init",
    "--shm-size 1m",
    "--device /dev/fuse",
    "--hostname foo --domainname bar",
    "--security-opt seccomp=unconfined",
    "--security-opt no-new-privileges",
    "--security-opt no-new-privileges -u 5",
    "--pid host",
    "--ipc host",
    "--uts host",
    "--net none",
    "--cgroupns host",
    "--sysctl net.core.somaxconn=77 --sysctl kernel.msgmax=5555",
    "-t",
    "-t -u 7",
    "-e A=1 -e HOME=/x -e A=2",
    "-v /etc:/h:ro -v volume:/v -v /etc/hostname:/etc/foo",
    "--oom-score-adj 500",
];

/// Without the words in which two instances differ.
fn plain(ran: &Ran, env: &TestEnv) -> String {
    let home = env.home.display().to_string();
    let runtime = env.runtime.display().to_string();
    let text = format!("{}{}exit {}\n", ran.stdout, ran.stderr, ran.code);
    let mut all = String::new();
    for line in text.lines() {
        let line = line.replace(&home, "HOME").replace(&runtime, "RUNTIME").replace('\r', "");
        // Restrictions of the source are kept, which runc takes off.
        let line = if line.contains(" /dev/shm ") { line.replace(",nosuid,nodev,noexec", "") } else { line };
        let mut hex = String::new();
        let flush = |hex: &mut String, all: &mut String| {
            all.push_str(if hex.len() >= 12 { "ID" } else { hex });
            hex.clear();
        };
        let line = match line.find("snapshots/") {
            Some(at) => &line[..at],
            None => &line,
        };
        for letter in line.chars() {
            if letter.is_ascii_hexdigit() {
                hex.push(letter);
            } else {
                flush(&mut hex, &mut all);
                all.push(letter);
            }
        }
        flush(&mut hex, &mut all);
        all.push('\n');
    }
    // IDs of the two users, in what was mounted by them.
    let (uid, gid) = (env.user.uid.to_string(), env.user.gid.to_string());
    all.replace(&format!("uid={uid}"), "uid=U")
        .replace(&format!("gid={gid}"), "gid=G")
        .lines()
        .map(|line| if line.contains("devpts") { "devpts\n".to_owned() } else { format!("{line}\n") })
        .collect()
}

fn same(what: &str, ours: &str, runcs: &str) -> Result<()> {
    if ours == runcs {
        return Ok(());
    }
    let lacks =
        |a: &str, b: &str| a.lines().filter(|l| !b.lines().any(|m| m == *l)).collect::<Vec<_>>().join("\n");
    if let Some((own, other)) = ours.lines().zip(runcs.lines()).find(|(own, other)| own != other)
        && (lacks(runcs, ours).is_empty() && lacks(ours, runcs).is_empty())
    {
        anyhow::bail!("{what}: in another order: runc's {other:?} is ours {own:?}:\n{ours}");
    }
    anyhow::bail!("{what}:\nruncs alone:\n{}\nours alone:\n{}", lacks(runcs, ours), lacks(ours, runcs))
}

/// A daemon whose containers runc makes.
fn with_runc() -> Result<TestEnv> {
    let mut env = TestEnv::new()?;
    env.set("K3C_OCI_RUNTIME", "runc");
    env.start()?;
    Ok(env)
}

fn the_same_view() -> Result<()> {
    let ours = shared::env()?;
    let mut other = with_runc()?;
    same_views(&views(&ours, true)?, &views(&other, false)?)?;
    other.stop()
}

/// Root's containers, for whom devices are made, and rules for them are the kernel's to keep.
fn roots_view() -> Result<()> {
    let mut env = TestEnv::of(crate::user::User::root())?;
    env.start()?;
    let ours = views(&env, true)?;
    env.stop()?;
    env.set("K3C_OCI_RUNTIME", "runc");
    env.start()?;
    let runcs = views(&env, false)?;
    let (_, plain) = &runcs[0];
    ensure!(plain.contains("/tmp/disk: Operation not permitted"), "devices have no rules: {plain}");
    same_views(&ours, &runcs)?;
    env.stop()
}

fn same_views(ours: &[(String, String)], runcs: &[(String, String)]) -> Result<()> {
    ensure!(ours.len() == runcs.len() && !ours.is_empty());
    for ((what, own), (_, runcs)) in ours.iter().zip(runcs) {
        same(what, own, runcs)?;
    }
    Ok(())
}

/// What containers see and say, by what they were asked for.
fn views(env: &TestEnv, made_here: bool) -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    let mut view = |what: String, args: &[&str]| -> Result<()> {
        all.push((what, plain(&env.k3c(args)?, env)));
        Ok(())
    };
    for flags in FLAGS {
        let mut args = vec!["run", "--rm"];
        args.extend(flags.split_whitespace());
        args.extend([DEMO, "sh", "-c", LOOK]);
        view((*flags).to_owned(), &args)?;
    }
    for words in
        [&["nope"][..], &["/no/such"], &["/etc/passwd"], &["/etc"], &["sh", "-c", "kill -9 $$; exit 3"]]
    {
        let mut args = vec!["run", "--rm", DEMO];
        args.extend(words);
        view(words.join(" "), &args)?;
    }
    let mut start: Vec<&str> = "run -d --name view -u 3:4 -e A=1 --ulimit nofile=50".split(' ').collect();
    start.extend([DEMO, "sleep", "1000"]);
    env.ok(&start)?;
    ensure!((marks(env) > 0) == made_here, "{} of the states are ours", marks(env));
    for (flags, words) in [
        ("", vec!["sh", "-c", LOOK]),
        ("-t", vec!["sh", "-c", LOOK]),
        ("-u 0", vec!["sh", "-c", LOOK]),
        ("-u 8:9 -w /etc -e B=2", vec!["sh", "-c", LOOK]),
        ("--privileged -u 0", vec!["sh", "-c", LOOK]),
        ("-w /nosuch", vec!["true"]),
        ("-w /etc/passwd", vec!["true"]),
        ("", vec!["nope"]),
        ("", vec!["/no/such"]),
        ("", vec!["/etc/passwd"]),
        ("", vec!["/etc"]),
        ("", vec!["sh", "-c", "kill -9 $$"]),
    ] {
        let mut args = vec!["exec"];
        args.extend(flags.split_whitespace());
        args.push("view");
        args.extend(&words);
        view(format!("exec {flags} {}", words.join(" ")), &args)?;
    }
    env.ok(&["rm", "-f", "view"])?;
    let _ = env.k3c(&["volume", "rm", "volume"])?;
    Ok(all)
}

/// Folders of the runtimes' states.
fn states(env: &TestEnv) -> PathBuf {
    env.run_dir().join("shim/runc/k8s.io")
}

fn marks(env: &TestEnv) -> usize {
    let folders = fs::read_dir(states(env)).into_iter().flatten().flatten();
    folders.filter(|entry| entry.path().join("stage.json").exists()).count()
}

fn whose_is_it() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "-d", "--name", "own", DEMO, "sleep", "1000"])?;
    ensure!(marks(&env) == 1, "the container is not ours, or there are others: {}", marks(&env));
    env.ok(&["exec", "own", "true"])?;
    // An option that is not known here.
    env.ok(&["run", "-d", "--name", "runcs", "--tmpfs", "/t:sync", DEMO, "sleep", "1000"])?;
    let all = fs::read_dir(states(&env))?.count();
    ensure!(all == 2 && marks(&env) == 1, "{} of {all} are ours", marks(&env));
    env.ok(&["exec", "runcs", "true"])?;
    env.ok(&["rm", "-f", "own", "runcs"])?;
    within(Duration::from_secs(20), "states go", || Ok(fs::read_dir(states(&env))?.count() == 0))?;
    env.stop()
}

fn there_are_two() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.set("K3C_OCI_RUNTIME", "crun");
    env.k3c(&["daemon"])?.fails(1, "K3C_OCI_RUNTIME: there is no runtime \"crun\"")
}

/// A link in a volume, on the way to another mount's place (CVE-2021-30465, CVE-2019-16884).
fn links_lead_nowhere() -> Result<()> {
    let mut env = TestEnv::started()?;
    let outside = env.home.join("outside");
    env.user.dir(&outside, 0o755)?;
    let up = format!("/../../../../../../../..{}", outside.display());
    let link = format!("ln -s {up} /v/link; ln -s /proc/self /v/proc; ln -s /proc/self/root /v/root");
    env.ok(&["run", "--rm", "-v", "links:/v", DEMO, "sh", "-c", &link])?;
    // It leads to a folder of that name in the container.
    let look = format!("grep -c ' {}/x ' /proc/self/mountinfo", outside.display());
    let seen = env.ok(&["run", "--rm", "-v", "links:/v", "--tmpfs", "/v/link/x", DEMO, "sh", "-c", &look]);
    ensure!(seen.as_deref().unwrap_or("1") == "1", "{seen:?}");
    ensure!(fs::read_dir(&outside)?.count() == 0, "something was made on the host");
    for place in ["/v/proc/attr", "/v/proc/ns", "/v/root/x"] {
        let ran = env.k3c(&["run", "--rm", "-v", "links:/v", "--tmpfs", place, DEMO, "true"])?;
        ensure!(place == "/v/root/x" || ran.code != 0, "{ran}");
    }
    env.ok(&["volume", "rm", "links"])?;
    env.stop()
}

/// The descriptors of a runtime as working directory (CVE-2024-21626).
fn folders_of_the_host_cannot_be_entered() -> Result<()> {
    let mut env = TestEnv::started()?;
    env.ok(&["run", "-d", "--name", "folders", DEMO, "sleep", "1000"])?;
    for number in 3..16 {
        for process in ["self", "1"] {
            let folder = format!("/proc/{process}/fd/{number}");
            let ran =
                env.k3c(&["exec", "-w", &folder, "folders", "sh", "-c", "ls ../../../../../../home"])?;
            ensure!(ran.code != 0 && ran.stdout.is_empty(), "{ran}");
        }
        let folder = format!("/proc/self/fd/{number}");
        let ran =
            env.k3c(&["run", "--rm", "-w", &folder, DEMO, "sh", "-c", "ls ../../../../../../home/*"])?;
        ensure!(ran.code != 0 && ran.stdout.is_empty(), "{ran}");
    }
    env.ok(&["rm", "-f", "folders"])?;
    env.stop()
}

/// A privileged program of the container's keeps the link to every process's program, also to that of an exec that is not
/// yet in its own program, and to a script's "#!/proc/self/exe" (CVE-2019-5736), and changes the file.
fn our_program_cannot_be_written() -> Result<()> {
    let mut env = TestEnv::started()?;
    let program =
        env.processes().into_iter().find(|(_, line)| line.contains("__engine")).context("no engine")?;
    let program = fs::read_link(format!("/proc/{}/exe", program.0))?;
    let before = fs::metadata(&program)?;
    let script = "
        echo '#!/proc/self/exe' > /bin/evil; chmod 755 /bin/evil
        echo ready
        while :; do for p in /proc/[0-9]*; do
            test $p = /proc/1 || {
                case \"$(readlink /proc/self/fd/9)\" in
                    */busybox) ;;
                    # Written it cannot be while others run it; its mode could be set.
                    # Nor can its mount, which is in no namespace, be made one that can be written.
                    *) chmod 755 /proc/self/fd/9 && echo written
                        mount -o remount,bind,rw /proc/self/fd/9 2>/dev/null && echo written;;
                esac
            } 9< $p/exe
        done; done 2>&1";
    env.ok(&["run", "-d", "--name", "writer", "--cap-add", "ALL", DEMO, "sh", "-c", script])?;
    within(Duration::from_secs(10), "the writer is ready", || {
        Ok(env.ok(&["logs", "writer"])?.contains("ready"))
    })?;
    for _ in 0..20 {
        let _ = env.k3c(&["exec", "writer", "evil"])?;
        env.ok(&["exec", "writer", "true"])?;
    }
    let said = env.ok(&["logs", "writer"])?;
    ensure!(
        !said.contains("written") && said.contains("Read-only file system"),
        "written, or never tried: {said}"
    );
    let after = fs::metadata(&program)?;
    ensure!(
        (before.len(), before.mtime(), before.ino()) == (after.len(), after.mtime(), after.ino()),
        "{} was written",
        program.display()
    );
    env.ok(&["rm", "-f", "writer"])?;
    env.stop()
}

/// `delete` of a shim that died, at any time.
fn a_killed_shim_leaves_nothing() -> Result<()> {
    let mut env = TestEnv::started()?;
    for round in 0..6_u64 {
        let name = format!("killed{round}");
        let mut command = env.k3c_command(&["run", "-d", "--name", &name, DEMO, "sleep", "1000"]);
        let mut child = command.spawn()?;
        // From the start of the shim to the running container.
        std::thread::sleep(Duration::from_millis(60 + 60 * round));
        let shims: Vec<i32> = env
            .processes()
            .into_iter()
            .filter(|(_, line)| line.contains("containerd-shim"))
            .map(|p| p.0)
            .collect();
        for shim in shims {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), nix::sys::signal::Signal::SIGKILL);
        }
        let _ = child.wait()?;
        let _ = env.k3c(&["rm", "-f", &name])?;
    }
    within(Duration::from_secs(60), "nothing is left of them", || {
        let sleeping = env
            .processes()
            .iter()
            .any(|(_, line)| line.contains("sleep 1000") || line.contains("k3c-reaper"));
        Ok(!sleeping && fs::read_dir(states(&env)).map_or(0, Iterator::count) == 0)
    })?;
    env.stop()
}
