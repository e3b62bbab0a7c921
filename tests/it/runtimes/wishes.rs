//! Random wishes for containers, of all that Docker's flags can ask for, put to our own runtime and to runc: what a container
//! sees, what is said, and the exit codes must be the same.

use super::{LOOK, plain, with_runc};
use crate::containers::DEMO;
use crate::env::{TestEnv, installed};
use crate::shared;
use anyhow::{Result, anyhow, ensure};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The time for all; as many are tried as that allows.
const TIME: Duration = Duration::from_secs(70);
/// The number of them at most, and at least.
const MOST: usize = 300;
const LEAST: usize = 20;

/// The time for one of them, in seconds.
const LONGEST: &str = "20";

type Words = Vec<String>;

fn words(text: String) -> Words {
    text.split_whitespace().map(str::to_owned).collect()
}

/// One of these, or nothing; nothing is `rarely` times as likely.
fn maybe(all: &'static [&'static str], rarely: u32) -> BoxedStrategy<Words> {
    let given = select(all).prop_map(|text| words(text.to_owned()));
    prop_oneof![rarely => Just(Words::new()), 1 => given].boxed()
}

fn several(all: &'static [&'static str], most: usize) -> BoxedStrategy<Words> {
    let some = subsequence(all, 0..=most).prop_shuffle();
    some.prop_map(|some| some.into_iter().flat_map(|text| words(text.to_owned())).collect()).boxed()
}

const CAPABILITIES: [&str; 12] = [
    "CHOWN",
    "SYS_ADMIN",
    "NET_ADMIN",
    "SETUID",
    "SETPCAP",
    "KILL",
    "SYS_PTRACE",
    "MKNOD",
    "FOWNER",
    "BPF",
    "NET_BIND_SERVICE",
    "ALL",
];

fn capabilities() -> BoxedStrategy<Words> {
    let some = |verb: &'static str| {
        subsequence(&CAPABILITIES[..], 0..3).prop_map(move |some| {
            some.into_iter().map(|name| format!("--cap-{verb}={name}")).collect::<Words>()
        })
    };
    (some("add"), some("drop")).prop_map(|(add, drop)| [add, drop].concat()).boxed()
}

fn identity() -> BoxedStrategy<Words> {
    let number = || select(&[0_u32, 1, 9, 1000, 65534, 65535][..]);
    let user = (number(), prop::option::of(number())).prop_map(|(uid, gid)| match gid {
        Some(gid) => words(format!("-u {uid}:{gid}")),
        None => words(format!("-u {uid}")),
    });
    let groups = vec(number(), 0..3).prop_map(|all| {
        all.into_iter().flat_map(|gid| words(format!("--group-add {gid}"))).collect::<Words>()
    });
    (prop_oneof![1 => Just(Words::new()), 1 => user], groups)
        .prop_map(|(user, groups)| [user, groups].concat())
        .boxed()
}

fn limits() -> BoxedStrategy<Words> {
    let names = &["nofile", "core", "stack", "memlock", "fsize", "sigpending"][..];
    let one = (select(names), select(&[64_u32, 1024, 4096][..]), select(&[64_u32, 1024, 4096][..]));
    vec(one, 0..3)
        .prop_map(|all| {
            let sorted = |(name, soft, hard): (&str, u32, u32)| {
                // With less of a stack programs end by chance.
                let (soft, hard) =
                    if name == "stack" { (256 << 10, 1 << 20) } else { (soft, hard.max(soft)) };
                words(format!("--ulimit {name}={soft}:{hard}"))
            };
            all.into_iter().flat_map(sorted).collect()
        })
        .boxed()
}

/// What goes wrong.
fn faults() -> BoxedStrategy<Words> {
    maybe(
        &[
            "--mount type=bind,src=/no/such,dst=/b",
            "-v /etc/passwd:/etc",
            "--device /no/such",
            "-w /etc/passwd",
            "--sysctl kernel.panic=1",
            "--sysctl net.ipv4.nosuch=1",
            "--uts host --hostname x",
            "-u 100000",
            "-u 1:65536",
            "--group-add 65536",
            "--ulimit nice=40:40",
            "--ulimit nofile=0:0",
        ],
        9,
    )
}

/// All flags of a container, and its program.
fn wish() -> impl Strategy<Value = (Words, Words)> {
    let files = (
        maybe(&["--read-only"], 3),
        several(
            &[
                "--tmpfs /t",
                "--tmpfs /tmp:size=1m,mode=1700",
                "--tmpfs /dev/deep/er:ro",
                "--tmpfs /u:exec,suid,dev,noatime",
                "-v /etc:/h:ro",
                "-v /v",
                "-v /etc/hostname:/etc/foo",
                "-v /usr:/made/here:ro",
                "-v /tmp:/x/../y",
                "--mount type=tmpfs,dst=/m,tmpfs-size=64k,tmpfs-mode=0711",
                "--mount type=bind,src=/etc,dst=/b,readonly",
                "-v /sys:/s:ro",
                "-v /proc/sys:/p:ro",
                "--mount type=bind,src=/etc,dst=/c,bind-recursive=disabled",
            ],
            3,
        ),
        maybe(&["-w /tmp", "-w /made/deep", "-w /proc", "-w /root", "-w /dev/shm"], 3),
        several(
            &["--device /dev/fuse", "--device /dev/net/tun:/dev/net/tun:rw", "--device /dev/null:/dev/zeros"],
            1,
        ),
        maybe(&["--shm-size 1m", "--shm-size 128m"], 4),
    );
    let rights = (
        capabilities(),
        identity(),
        limits(),
        several(
            &[
                "--security-opt no-new-privileges",
                "--security-opt seccomp=unconfined",
                "--security-opt seccomp=profile.json",
                "--security-opt systempaths=unconfined",
            ],
            2,
        ),
        maybe(&["--privileged"], 9),
        maybe(&["--oom-score-adj 500", "--oom-score-adj -5", "--oom-score-adj 1000"], 4),
    );
    let namespaces = (
        maybe(&["--pid host"], 6),
        maybe(&["--ipc host", "--ipc none", "--ipc shareable"], 4),
        maybe(&["--uts host", "--hostname foo", "--hostname foo --domainname bar"], 4),
        maybe(&["--net none", "--net host"], 4),
        maybe(&["--cgroupns host"], 6),
        several(
            &[
                "--sysctl net.core.somaxconn=77",
                "--sysctl kernel.msgmax=5555",
                "--sysctl net.ipv4.ip_forward=1",
                "--sysctl fs.mqueue.msg_max=20",
            ],
            2,
        ),
    );
    let process = (
        maybe(&["-t"], 4),
        maybe(&["--init"], 5),
        several(&["-e A=1", "-e HOME=/x", "-e A=", "-e PATH=/bin", "-e HOME=", "-e TERM=vt100"], 3),
        maybe(
            &[
                "--memory 64m",
                "--cpus 0.5",
                "--pids-limit 99",
                "--cpu-shares 5 --memory 64m --memory-swap -1",
            ],
            5,
        ),
    );
    let program = prop_oneof![
        12 => Just(vec!["sh".to_owned(), "-c".to_owned(), LOOK.to_owned()]),
        1 => select(&["nope", "/no/such", "/etc/passwd", "/etc", "./sh", "sh/x"][..]).prop_map(|name| words(name.to_owned())),
        1 => Just(words("sh -c exit${IFS}7".into())),
        1 => Just(words("sh -c kill${IFS}-9${IFS}$$".into())),
    ];
    (files, rights, namespaces, process, faults(), program).prop_map(|(f, r, n, p, faults, program)| {
        let flags = [
            f.0, f.1, f.2, f.3, f.4, r.0, r.1, r.2, r.3, r.4, r.5, n.0, n.1, n.2, n.3, n.4, n.5, p.0, p.1,
            p.2, p.3, faults,
        ];
        (flags.concat(), program)
    })
}

/// Calls that the profile forbids, and how.
const PROFILE: &str = r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
    {"names": ["umask"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 22, "op": "SCMP_CMP_GT"}]},
    {"names": ["unshare"], "action": "SCMP_ACT_KILL_PROCESS"}, {"names": ["fchownat"], "action": "SCMP_ACT_TRAP"}]}"#;

/// The number that makes the wishes of a run: the same in each, so that a difference is never a surprise of somebody else's
/// change; `K3C_TEST_SEED` brings others.
pub(super) fn seed() -> u64 {
    std::env::var("K3C_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(201)
}

pub(super) fn random_wishes() -> Result<()> {
    let seed = seed();
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let wishes: Vec<(Words, Words)> = (0..MOST)
        .map(|_| wish().new_tree(&mut runner).map(|tree| tree.current()).map_err(|why| anyhow!("{why}")))
        .collect::<Result<_>>()?;
    let ours = shared::env()?;
    let mut other = with_runc()?;
    for env in [&*ours, &other] {
        env.user.write(&env.home.join("profile.json"), PROFILE)?;
    }
    let (next, tried, looked) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let differ = Mutex::new(Vec::new());
    let since = Instant::now();
    let work = || -> Result<()> {
        while since.elapsed() < TIME {
            let Some((flags, program)) = wishes.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
            let ask = |env: &TestEnv| -> Result<String> {
                let own = installed().display().to_string();
                let mut args = vec!["-k", "5", LONGEST, &own, "run", "--rm"];
                args.extend(flags.iter().map(String::as_str));
                args.push(DEMO);
                args.extend(program.iter().map(String::as_str));
                let begun = Instant::now();
                let ran = env.program(Path::new("/usr/bin/timeout"), &args)?;
                ensure!(begun.elapsed() < Duration::from_secs(20), "K3C_TEST_SEED={seed}: too long: {ran}");
                Ok(plain(&ran, env))
            };
            let (own, runcs) = (ask(&ours)?, ask(&other)?);
            if let Err(why) = super::same(
                &format!("{} | {}", flags.join(" "), program[..program.len().min(2)].join(" ")),
                &own,
                &runcs,
            ) {
                differ.lock().expect("no worker panics").push(why.to_string());
            }
            tried.fetch_add(1, Ordering::Relaxed);
            looked.fetch_add(usize::from(own.contains("NoNewPrivs:")), Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = (0..3).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker panicked"))?)
    })?;
    for env in [&*ours, &other] {
        fs::remove_file(env.home.join("profile.json"))?;
    }
    other.stop()?;
    let (tried, differ) = (tried.into_inner(), differ.into_inner().expect("no worker panics"));
    ensure!(
        differ.is_empty(),
        "K3C_TEST_SEED={seed}: {} of {tried} differ:\n{}",
        differ.len(),
        differ.join("\n\n")
    );
    let looked = looked.into_inner();
    ensure!(tried >= LEAST && looked > tried / 4, "of {tried} only {looked} looked around");
    Ok(())
}
