//! Random specifications, of what CRI, Docker and BuildKit ask for and some that are wrong, run by our own runtime and by
//! runc, as programs: what the containers see, what is said, and the exit codes must be the same.

use super::bed::{Bed, OURS, RUNC, bundle, plain_spec};
use super::same;
use anyhow::{Result, anyhow, ensure};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};
use std::fs;

/// The number of specifications, half of them for root, half for a user; `K3C_TEST_SPECIFICATIONS` brings more.
fn number() -> usize {
    std::env::var("K3C_TEST_SPECIFICATIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(50)
}

/// A look around. Both streams are one, because runc carries them apart.
const LOOK: &str = r#"
exec 2>&1
sed "s/^[0-9]* [0-9]* [0-9]*:[0-9]* //; s/ - devpts.*//" /proc/self/mountinfo | sort
grep -E "^(Uid|Gid|Groups|Umask|SigBlk|Cap|NoNew|Sec)" /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj; env | sort; pwd; umask; hostname; cat /proc/sys/kernel/domainname
ls -ln /dev /dev/deep 2>/dev/null | sed "s/[A-Z][a-z][a-z] [0-9 ]* [0-9:]* //"
for n in 0 1 2 3 4 5 6 7 8 9; do test -e /proc/$$/fd/$n && echo fd $n; done
cat /proc/sys/kernel/msgmax /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/ip_forward 2>&1
ls /proc/acpi /sys/firmware /proc/timer_list /data 2>&1; (echo 1 > /proc/sys/kernel/msgmax) 2>&1; wc -c < /proc/kcore 2>&1
for f in /data /mnt /mnt/sub /t /tmp; do (: > $f/file && rm $f/file) 2>&1; done
tty 2>&1; stat -c "%a %u %g %n" /tmp /t /dev/shm /proc/self/fd/1 / . /data/made 2>&1
for f in pids.max cpu.max cpu.weight memory.max memory.low memory.swap.max; do tail -n +1 /sys/fs/cgroup/$f | head -1; done 2>&1
ls -A /proc/self/ns | wc -l; for n in uts ipc net; do readlink /proc/self/ns/$n; done | grep -cxF "HOSTS"
mknod /tmp/null c 1 3 2>&1; (: < /tmp/null) 2>&1; mknod /tmp/disk b 250 0 2>&1; (: < /tmp/disk) 2>&1; rm -f /tmp/null /tmp/disk
(mkdir /tmp/x && rmdir /tmp/x) 2>&1; unshare -m true 2>&1; chown 5 /tmp 2>&1; chown 0 /tmp 2>&1; ip -o a 2>&1 | grep -o "inet [0-9./]*"
"#;

/// What a word of the tables below means: a place in the specification, and the value for it, or what is added to a list.
fn change(text: &str) -> (String, Value) {
    let (place, value) = text.split_once(' ').unwrap_or((text, "null"));
    (place.to_owned(), serde_json::from_str(value).unwrap_or_else(|e| panic!("{text}: {e}")))
}

fn apply(spec: &mut Value, text: &str) {
    let (place, value) = change(text);
    if let Some(kind) = place.strip_prefix("-ns:") {
        if let Some(all) = spec["linux"]["namespaces"].as_array_mut() {
            all.retain(|n| n["type"] != kind);
        }
        if kind == "uts" {
            // A host name of its own would be the host's.
            spec["hostname"] = json!("");
        }
        return;
    }
    match place.strip_prefix('+') {
        Some(list) => match spec.pointer_mut(list).and_then(Value::as_array_mut) {
            Some(all) => all.push(value),
            None => put(spec, list, json!([value])),
        },
        None => put(spec, &place, value),
    }
}

fn put(spec: &mut Value, place: &str, value: Value) {
    let (parent, key) = place.rsplit_once('/').unwrap_or(("", place));
    let parent = spec.pointer_mut(parent).expect("a place that is there");
    parent[key] = value;
}

const FILES: &[&str] = &[
    r#"/root/readonly true"#,
    r#"+/mounts {"destination":"/t","type":"tmpfs","source":"tmpfs","options":["nosuid","size=1m","mode=1700"]}"#,
    r#"+/mounts {"destination":"/tmp","type":"tmpfs","source":"tmpfs","options":["ro"]}"#,
    r#"+/mounts {"destination":"/data","type":"bind","source":"DIR/shared","options":["rbind","ro"]}"#,
    r#"+/mounts {"destination":"/mnt","type":"bind","source":"DIR/shared","options":["rbind","rprivate","rro"]}"#,
    r#"+/mounts {"destination":"/mnt","type":"bind","source":"DIR/shared","options":["bind","nosuid","nodev","noexec","noatime"]}"#,
    r#"+/mounts {"destination":"/made/here/file","type":"bind","source":"/etc/hostname","options":["bind","ro"]}"#,
    r#"+/mounts {"destination":"/dev/deep/er","type":"tmpfs","source":"x","options":["mode=711","nr_inodes=9"]}"#,
    r#"+/mounts {"destination":"/sys/fs/cgroup","type":"cgroup","source":"cgroup","options":["nosuid","noexec","nodev","relatime","ro"]}"#,
    r#"/linux/maskedPaths ["/proc/kcore","/data","/proc/timer_list","/no/such"]"#,
    r#"/linux/maskedPaths []"#,
    r#"/linux/readonlyPaths ["/data","/mnt","/no/such"]"#,
    r#"/linux/readonlyPaths []"#,
    r#"/process/cwd "/tmp""#,
    r#"/process/cwd "/data/made/here""#,
];

const RIGHTS: &[&str] = &[
    r#"/process/noNewPrivileges false"#,
    r#"/process/user {"uid":1000,"gid":1000}"#,
    r#"/process/user {"uid":7,"gid":0,"additionalGids":[5,9],"umask":63}"#,
    r#"/process/user {"uid":0,"gid":0,"umask":0}"#,
    r#"/process/capabilities {}"#,
    r#"/process/capabilities {"bounding":["CAP_SYS_ADMIN","CAP_CHOWN"],"permitted":["CAP_SYS_ADMIN","CAP_CHOWN"],"effective":["CAP_CHOWN"]}"#,
    r#"/process/capabilities {"bounding":["CAP_NET_RAW"],"permitted":["CAP_NET_RAW"],"inheritable":["CAP_NET_RAW"],"ambient":["CAP_NET_RAW"]}"#,
    r#"/process/rlimits [{"type":"RLIMIT_NOFILE","soft":64,"hard":128},{"type":"RLIMIT_CORE","soft":0,"hard":0}]"#,
    r#"/process/rlimits [{"type":"RLIMIT_STACK","soft":262144,"hard":1048576}]"#,
    r#"/process/rlimits [{"type":"RLIMIT_NPROC","soft":500,"hard":500}]"#,
    r#"/process/oomScoreAdj 500"#,
    r#"/process/env ["PATH=/bin","A=1","HOME=","A=2","B"]"#,
    r#"/process/env ["PATH=/bin","HOME=/data","A=","TERM=vt100"]"#,
    r#"/linux/seccomp {"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":28},{"names":["unshare"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#,
    r#"/linux/seccomp {"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[{"names":["chown","fchownat"],"action":"SCMP_ACT_ERRNO","args":[{"index":2,"value":5,"op":"SCMP_CMP_EQ"}]}]}"#,
    r#"/linux/resources/devices [{"allow":true,"access":"rwm"}]"#,
    r#"/linux/resources/devices [{"allow":false,"access":"rwm"},{"allow":true,"type":"b","major":250,"minor":0,"access":"rm"}]"#,
    r#"+/linux/devices {"path":"/dev/zeros","type":"c","major":1,"minor":5,"fileMode":384,"uid":5,"gid":6}"#,
    r#"+/linux/devices {"path":"/dev/deep/null","type":"c","major":1,"minor":3,"fileMode":438}"#,
];

const NAMESPACES: &[&str] = &[
    r#"-ns:uts"#,
    r#"-ns:ipc"#,
    r#"-ns:network"#,
    r#"-ns:pid"#,
    r#"-ns:cgroup"#,
    r#"/domainname "dom""#,
    r#"/hostname """#,
    r#"+/ns/uts "/proc/OTHER/ns/uts""#,
    r#"+/ns/ipc "/proc/OTHER/ns/ipc""#,
    r#"+/ns/network "/proc/OTHER/ns/net""#,
    r#"+/ns/pid "/proc/OTHER/ns/pid""#,
    r#"/linux/sysctl {"net.core.somaxconn":"77"}"#,
    r#"/linux/sysctl {"kernel.msgmax":"5555","net.ipv4.ip_forward":"1"}"#,
];

/// What goes wrong; limits do where the kernel has no controllers.
const FAULTS: &[&str] = &[
    r#"/linux/resources/pids {"limit":99}"#,
    r#"/linux/resources/cpu {"shares":512,"quota":50000,"period":100000}"#,
    r#"/linux/resources/memory {"limit":67108864,"swap":134217728,"reservation":33554432}"#,
    r#"+/mounts {"destination":"/b","type":"bind","source":"/no/such","options":["rbind"]}"#,
    r#"+/mounts {"destination":"/etc","type":"bind","source":"/etc/passwd","options":["rbind"]}"#,
    r#"/process/cwd "/etc/passwd""#,
    r#"/process/user {"uid":70000,"gid":0}"#,
    r#"/process/args ["nope"]"#,
    r#"/process/args ["/no/such"]"#,
    r#"/process/args ["/etc/passwd"]"#,
    r#"/process/args ["/etc"]"#,
    r#"/process/args ["sh","-c","exit 7"]"#,
    r#"/process/args ["sh","-c","kill -9 $$"]"#,
    r#"/linux/sysctl {"net.ipv4.nosuch":"1"}"#,
    r#"/process/rlimits [{"type":"RLIMIT_NOFILE","soft":9,"hard":8}]"#,
];

/// Processes that are added.
const EXECS: &[&str] = &[
    r#"/user {"uid":1000,"gid":1000}"#,
    r#"/user {"uid":0,"gid":0,"additionalGids":[7],"umask":7}"#,
    r#"/capabilities {"bounding":["CAP_CHOWN"],"effective":["CAP_CHOWN"],"permitted":["CAP_CHOWN"]}"#,
    r#"/capabilities {}"#,
    r#"/cwd "/tmp""#,
    r#"/cwd "/no/such""#,
    r#"/cwd "/proc/self/fd""#,
    r#"/noNewPrivileges false"#,
    r#"/noNewPrivileges true"#,
    r#"/rlimits [{"type":"RLIMIT_NOFILE","soft":32,"hard":33}]"#,
    r#"/env ["PATH=/bin","E=1","E=2"]"#,
    r#"/args ["nope"]"#,
    r#"/args ["/etc/passwd"]"#,
    r#"/terminal true"#,
    r#"/oomScoreAdj 700"#,
];

fn some(all: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<&'static str>> {
    subsequence(all, 0..=most)
}

/// A specification, as changes to a plain one, and changes of its process for an exec.
fn wish() -> impl Strategy<Value = (Vec<&'static str>, Vec<&'static str>)> {
    let faults = prop_oneof![5 => Just(Vec::new()), 1 => select(FAULTS).prop_map(|fault| vec![fault])];
    (some(FILES, 4), some(RIGHTS, 4), some(NAMESPACES, 3), faults, some(EXECS, 3)).prop_map(
        |(files, rights, namespaces, faults, exec)| ([files, rights, namespaces, faults].concat(), exec),
    )
}

/// A folder with another mount in it, and the root as every container finds it.
const SHARED: &str = "cp -a rootfs pristine; mkdir -p shared/sub && mount -t tmpfs tmpfs shared/sub";

/// All specifications with one runtime, whose namespaces to join are its own: settings stay in them.
const ALL: &str = r#"
unshare --uts --ipc --net --pid --fork --mount-proc sh -c 'hostname other; exec sleep 1000' & O=$!
for n in $(seq 100); do C=$(cat /proc/$O/task/$O/children | tr -d ' '); [ -n "$C" ] && grep -q sleep /proc/$C/comm 2>/dev/null && break; sleep 0.05; done
sed -i "s|/proc/[A-Z0-9]*/ns/|/proc/$C/ns/|g" b*/config.json s*/config.json
for n in $(seq 0 LAST); do
    o=$PWD/out-$NAME-$n; rm -rf rootfs; cp -a pristine rootfs
    if [ -e b$n/terminal ]; then
        script -qec "$R run --bundle $PWD/b$n $NAME-c$n" /dev/null < /dev/null > $o 2>&1
    else
        timeout -k 5 20 $R run --bundle $PWD/b$n $NAME-c$n > $o 2>&1 < /dev/null
    fi
    echo "exit $?" >> $o
    if $R create --bundle $PWD/s$n $NAME-e$n > /dev/null 2>&1 < /dev/null && $R start $NAME-e$n; then
        if grep -q '"terminal":true' p$n; then
            script -qec "$R exec --process p$n $NAME-e$n" /dev/null < /dev/null >> $o 2>&1
        else
            timeout -k 5 20 $R exec --process p$n $NAME-e$n >> $o 2>&1 < /dev/null
        fi
        echo "exec $?" >> $o
    fi
    $R delete --force $NAME-e$n >> $o 2>&1
done
kill -9 $C; wait
"#;

/// A line without what is no difference. Of an error that is not one of those that users know only that it is one: the ways
/// to it differ, and a container that cannot be made here is tried with runc, whose words are shown then. The number of a
/// process in its namespace is higher with runc, which makes some on the way. script(1), whose input is at its end, tells a
/// terminal so whenever it comes to that.
fn known(line: &str) -> String {
    let error = line.contains("run failed: ") || line.contains("exec failed: ");
    if error && !["exec: ", "chdir to cwd"].iter().any(|known| line.contains(known)) {
        return "it failed".to_owned();
    }
    let line = line.replace("^@", "");
    let number = regex::Regex::new("/proc/[0-9]+/fd").expect("a pattern");
    number.replace_all(&line, "/proc/PID/fd").into_owned()
}

fn specification(bed: &Bed, changes: &[&str], words: &[&str]) -> Value {
    let mut spec = plain_spec(words);
    for text in changes {
        let text = text.replace("DIR", &bed.dir.display().to_string());
        match text.strip_prefix("+/ns/").and_then(|rest| rest.split_once(' ')) {
            Some((kind, path)) => {
                apply(&mut spec, &format!("-ns:{kind}"));
                apply(&mut spec, &format!("+/linux/namespaces {{\"type\":\"{kind}\",\"path\":{path}}}"));
            }
            None => apply(&mut spec, &text),
        }
    }
    spec
}

/// What a specification asks for, and an exec of it.
type Wish = (Vec<&'static str>, Vec<&'static str>);

/// Writes the bundles.
fn write(bed: &Bed, wishes: &[Wish]) -> Result<()> {
    let own =
        |kind: &str| fs::read_link(format!("/proc/self/ns/{kind}")).map(|name| name.display().to_string());
    let hosts = ["uts", "ipc", "net"].map(own).into_iter().collect::<Result<Vec<_>, _>>()?;
    let look = LOOK.replace("HOSTS", &hosts.join("\n"));
    for (number, (changes, exec)) in wishes.iter().enumerate() {
        let spec = specification(bed, changes, &["sh", "-c", &look]);
        bundle(bed, &format!("b{number}"), &spec)?;
        let mut long = spec.clone();
        long["process"]["args"] = json!(["sleep", "1000"]);
        let mut process = spec["process"].clone();
        process["args"] = json!(["sh", "-c", look]);
        bundle(bed, &format!("s{number}"), &long)?;
        exec.iter().for_each(|text| apply(&mut process, text));
        fs::write(bed.dir.join(format!("p{number}")), process.to_string())?;
    }
    fs::create_dir_all(bed.dir.join("shared"))?;
    bed.own()
}

/// What came of some specifications.
#[derive(Default)]
struct Found {
    differ: Vec<String>,
    looked: usize,
    refused: usize,
}

/// Puts specifications to both runtimes.
fn compare(root: bool, wishes: &[Wish]) -> Result<Found> {
    let bed = Bed::new(root)?;
    write(&bed, wishes)?;
    let all = ALL.replace("LAST", &(wishes.len() - 1).to_string());
    let one = |name: &str| format!("NAME={name}; R=\"$BIN/{name} --root $PWD/state-{name}\"; {all}");
    let seconds = 30 + 4 * u32::try_from(wishes.len())?;
    let ran = bed.script(seconds, &format!("{SHARED}\n{}\n{}", one(OURS), one(RUNC)), &[])?;
    ensure!(ran.code == 0 && !ran.stderr.contains("Terminated"), "{ran}");
    let mut found = Found::default();
    for (number, (changes, exec)) in wishes.iter().enumerate() {
        let read = |name: &str| -> Result<String> {
            let text = fs::read(bed.dir.join(format!("out-{name}-{number}")))?;
            let text = bed.plain(&String::from_utf8_lossy(&text));
            Ok(text.lines().map(|line| known(line) + "\n").collect())
        };
        let (ours, runcs) = (read(OURS)?, read(RUNC)?);
        if ours.contains("this runtime does not do that") {
            found.refused += 1;
            continue;
        }
        found.looked += usize::from(ours.contains("NoNewPrivs:"));
        let what = format!("root {root}: {} | {}", changes.join("\n  "), exec.join("\n  "));
        if let Err(why) = same(&what, &ours, &runcs) {
            found.differ.push(why.to_string());
        }
    }
    bed.end()?;
    Ok(found)
}

pub(super) fn random_specifications() -> Result<()> {
    let mut bytes = [0; 32];
    let seed = super::wishes::seed();
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let wishes: Vec<Wish> = (0..number())
        .map(|_| wish().new_tree(&mut runner).map(|tree| tree.current()).map_err(|why| anyhow!("{why}")))
        .collect::<Result<_>>()?;
    let (roots, users) = wishes.split_at(wishes.len() / 2);
    let (roots, users) = std::thread::scope(|scope| {
        let other = scope.spawn(|| compare(false, users));
        (compare(true, roots), other.join().expect("no panic"))
    });
    let (roots, users) = (roots?, users?);
    let differ = [roots.differ, users.differ].concat();
    let (all, looked, refused) = (wishes.len(), roots.looked + users.looked, roots.refused + users.refused);
    ensure!(
        differ.is_empty(),
        "K3C_TEST_SEED={seed}: {} of {all} differ ({refused} refused, {looked} looked):\n{}",
        differ.len(),
        differ.join("\n\n")
    );
    ensure!(looked > all / 2 && refused < all / 4, "of {all} {looked} looked around, {refused} were refused");
    Ok(())
}
