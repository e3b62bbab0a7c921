//! Hosts with something missing, really broken: each names what is missing and the remedy.

use crate::containers::DEMO;
use crate::env::TestEnv;
use crate::host::Need;
use crate::user::{SubordinateIds, User};
use crate::{Case, DAEMON};
use anyhow::{Result, ensure};
use std::os::unix::fs::symlink;
use std::path::Path;

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case::new(name, DAEMON, run);
    vec![
        case("preflight::no_newuidmap", || without("newuidmap", "uidmap")),
        case("preflight::no_slirp4netns", || without("slirp4netns", "slirp4netns")),
        case("preflight::no_subordinate_ids", no_subordinate_ids),
        case("preflight::user_namespaces_off", || {
            kernel_says("user/max_user_namespaces", "0", "user.max_user_namespaces")
        }),
        case("preflight::user_namespaces_for_root_only", || {
            kernel_says("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone")
        }),
        case("preflight::apparmor_restricts", || {
            kernel_says(
                "kernel/apparmor_restrict_unprivileged_userns",
                "1",
                "kernel.apparmor_restrict_unprivileged_userns",
            )
        }),
        case("preflight::old_kernel", || {
            kernel_says("kernel/osrelease", "5.10.0-28-amd64", "older than 5.11")
        }),
        case("preflight::cgroup_v1_only", cgroup_v1_only),
        case("preflight::no_tun", || broken("mount -t tmpfs -o mode=755 t /dev/net", "/dev/net/tun")),
        case("preflight::no_runtime_directory", no_runtime_directory),
        case("preflight::runtime_directory_not_writable", runtime_directory_not_writable),
        case("preflight::disk_full", disk_full),
        case("preflight::data_on_overlay", data_on_overlay),
        case("preflight::no_delegation_is_a_warning", no_delegation_is_a_warning),
        case("preflight::home_without_exec", home_without_exec),
        case("preflight::unknown_setting", unknown_setting),
        Case::new("preflight::stale_files", &[Need::Root, Need::Bundle], stale_files),
    ]
}

fn refuses(env: &mut TestEnv, words: &[&str]) -> Result<()> {
    let (code, said) = env.refused(&[])?;
    ensure!(code != 0, "it started: {said}");
    for word in words {
        ensure!(said.contains(word), "expected {word:?} in: {said}");
    }
    env.assert_nothing_left()
}

/// A PATH with all of the host's programs but one.
fn without(program: &str, package: &str) -> Result<()> {
    let mut env = TestEnv::new()?;
    let dir = env.home.join("path");
    env.user.dir(&dir, 0o755)?;
    for from in ["/usr/sbin", "/usr/bin", "/sbin", "/bin"] {
        for entry in std::fs::read_dir(from)?.flatten() {
            if entry.file_name() != program {
                let _ = symlink(entry.path(), dir.join(entry.file_name()));
            }
        }
    }
    env.set("PATH", dir.display().to_string());
    refuses(&mut env, &[program, package])
}

fn no_subordinate_ids() -> Result<()> {
    let user = User::make("nosub", SubordinateIds::None)?;
    let name = user.name.clone();
    let mut env = TestEnv::of(user)?;
    refuses(&mut env, &["/etc/subuid", "usermod --add-subuids", &name])
}

/// A setting of the kernel that is in the way, in a stand-in for `/proc/sys`.
fn kernel_says(file: &str, value: &str, sysctl: &str) -> Result<()> {
    let mut env = TestEnv::new()?;
    let dir = env.home.join("sys");
    for (name, text) in
        [("user/max_user_namespaces", "10000"), ("kernel/unprivileged_userns_clone", "1"), (file, value)]
    {
        env.user.write(&dir.join(name), format!("{text}\n"))?;
    }
    env.set("K3C_TEST_PROC_SYS", dir.display().to_string());
    refuses(&mut env, &[sysctl])
}

fn broken(prelude: &str, word: &str) -> Result<()> {
    let mut env = TestEnv::new()?;
    env.prelude = prelude.into();
    refuses(&mut env, &[word])
}

fn no_runtime_directory() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.set("XDG_RUNTIME_DIR", "");
    refuses(&mut env, &["XDG_RUNTIME_DIR is not set"])
}

fn runtime_directory_not_writable() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.set("XDG_RUNTIME_DIR", "/run");
    refuses(&mut env, &["/run"])
}

fn disk_full() -> Result<()> {
    let mut env = TestEnv::new()?;
    let data = env.home.join(".local/share");
    env.user.dir(&env.home.join(".local"), 0o755)?;
    env.user.dir(&data, 0o755)?;
    env.prelude = format!("mount -t tmpfs -o size=20m,uid={} t {}", env.user.uid, data.display());
    refuses(&mut env, &["space", &data.display().to_string()])
}

fn data_on_overlay() -> Result<()> {
    let mut env = TestEnv::new()?;
    let data = env.home.join(".local/share");
    env.user.dir(&env.home.join(".local"), 0o755)?;
    env.user.dir(&data, 0o755)?;
    let lower = env.home.join("layers");
    for name in ["", "lower", "upper", "work"] {
        env.user.dir(&lower.join(name), 0o755)?;
    }
    // An overlay cannot be an overlay's upper directory.
    env.prelude = format!(
        "mount -t tmpfs t {l}; mkdir {l}/lower {l}/upper {l}/work; chown {u} {l}/upper; mount -t overlay -o lowerdir={l}/lower,upperdir={l}/upper,workdir={l}/work o {d}",
        l = lower.display(),
        u = env.user.uid,
        d = data.display()
    );
    env.start()?;
    ensure!(env.daemon_output().contains("native"), "no warning: {}", env.daemon_output());
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "slow but sure"])? == "slow but sure");
    env.stop()
}

fn no_delegation_is_a_warning() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.prelude = "mount -o remount,bind,ro /sys/fs/cgroup; chown 0 $D $D/cgroup.* 2>/dev/null".into();
    env.start()?;
    let said = env.daemon_output();
    ensure!(said.contains("cgroup"), "no warning: {said}");
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "unlimited"])? == "unlimited");
    env.stop()
}

fn cgroup_v1_only() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.prelude = "umount -R -l /sys/fs/cgroup; mount -t tmpfs -o mode=755 t /sys/fs/cgroup".into();
    env.start()?;
    let said = env.daemon_output();
    ensure!(said.contains("no cgroups of version 2"), "no warning: {said}");
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "unlimited"])? == "unlimited");
    env.stop()
}

fn home_without_exec() -> Result<()> {
    let mut env = TestEnv::new()?;
    let data = env.home.join(".local/share");
    env.user.dir(&env.home.join(".local"), 0o755)?;
    env.user.dir(&data, 0o755)?;
    let disk = env.home.join("disk.img");
    // The data directory has a file system of its own, for a tmpfs would be no home.
    env.prelude = format!(
        "truncate -s 2G {i} && mkfs.ext4 -q {i} && mount -o loop,noexec {i} {d} && chown {u} {d}",
        i = disk.display(),
        d = data.display(),
        u = env.user.uid
    );
    env.start()?;
    ensure!(env.daemon_output().contains("noexec"), "no warning: {}", env.daemon_output());
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "executed"])? == "executed");
    env.stop()
}

fn unknown_setting() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.dir(&env.home.join(".config"), 0o755)?;
    env.user.write(&env.home.join(".config/k3c/config.toml"), "colour = \"red\"\n")?;
    refuses(&mut env, &["config.toml", "unknown field `colour`"])
}

fn stale_files() -> Result<()> {
    let mut env = TestEnv::new()?;
    env.user.dir(&env.run_dir(), 0o700)?;
    drop(std::os::unix::net::UnixListener::bind(env.socket())?);
    std::os::unix::fs::chown(env.socket(), Some(env.user.uid), Some(env.user.gid))?;
    env.user.write(&env.run_dir().join("daemon.lock"), "999999\n")?;
    ensure!(Path::new(&env.socket()).exists());
    env.start()?;
    ensure!(env.ok(&["run", "--rm", DEMO, "echo", "clean"])? == "clean");
    env.stop()
}
