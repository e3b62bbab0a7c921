//! The preflight: everything that a host must have before an ordinary user can have containers, each with the command that
//! brings it.

use super::ids::{self, Range};
use super::{cgroup, find_program};
use crate::config::{Dirs, env};
use crate::sys::netlink::{Family, Socket};
use crate::sys::user;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes that must be free where the data is; below that, images could not be unpacked anyway.
const NEEDED_SPACE: u64 = 200 << 20;

/// The oldest kernel on which containers start: a stage marks all of its descriptors at once (close_range(2)), and users
/// mount overlays.
const OLDEST: (u32, u32) = (5, 11);
/// The oldest kernel on which our own runtime makes them (mount_setattr(2)).
const OWN_RUNTIME: (u32, u32) = (5, 12);

/// Something that the host lacks, and its remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The thing, in words.
    pub what: String,
    /// Commands for the user.
    pub remedy: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n  {}", self.what, self.remedy.replace('\n', "\n  "))
    }
}

/// The outcome of a preflight.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Problems; with any of these the daemon does not start.
    pub problems: Vec<Problem>,
    /// Warnings for the user; the daemon starts.
    pub warnings: Vec<String>,
    /// The path of slirp4netns.
    pub slirp4netns: Option<PathBuf>,
    /// Subordinate user IDs.
    pub uids: Vec<Range>,
    /// Subordinate group IDs.
    pub gids: Vec<Range>,
}

impl Findings {
    fn problem(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push(Problem { what: what.into(), remedy: remedy.into() });
    }
}

/// The user who asks, and the place where the kernel's settings are read.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Login name, or the number if there is none.
    pub name: String,
    /// User ID.
    pub uid: u32,
    /// `/proc/sys`, or a stand-in.
    pub proc_sys: PathBuf,
}

impl Caller {
    /// The user of this process.
    pub fn current() -> Self {
        let uid = rustix::process::getuid().as_raw();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        Self {
            name: login_name(&passwd, uid)
                .or_else(|| login_name(&user::getent("passwd", &uid.to_string())?, uid))
                .unwrap_or_else(|| uid.to_string()),
            uid,
            proc_sys: std::env::var_os(env::TEST_PROC_SYS).map_or_else(|| "/proc/sys".into(), PathBuf::from),
        }
    }
}

fn login_name(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    })
}

/// Looks at everything that an ordinary user's daemon needs.
pub fn rootless(caller: &Caller, dirs: &Dirs) -> Findings {
    let mut found = Findings::default();
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    kernel(&read(&caller.proc_sys.join("kernel/osrelease")), &mut found);
    kernel_allows_user_namespaces(caller, &mut found);
    id_maps(caller, &mut found);
    network(&mut found);
    packet_filter(Socket::open(Family::Netfilter).map(drop), &mut found);
    places(dirs, &mut found);
    let unified = unified_cgroups(&read(Path::new("/proc/self/mountinfo")), &mut found);
    if unified && cgroup::base(false).is_none() {
        found.warnings.push(
            "no cgroup is delegated to you: limits (--memory, --cpus, --pids-limit) cannot be applied; \
             start k3c as a systemd user service (`systemctl --user start k3c`) or with \
             `systemd-run --user -p Delegate=yes k3c daemon`"
                .into(),
        );
    }
    found
}

/// Looks at what root's daemon needs.
pub fn root(dirs: &Dirs) -> Findings {
    let mut found = Findings::default();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    kernel(&read("/proc/sys/kernel/osrelease"), &mut found);
    packet_filter(Socket::open(Family::Netfilter).map(drop), &mut found);
    places(dirs, &mut found);
    unified_cgroups(&read("/proc/self/mountinfo"), &mut found);
    found
}

/// What becomes of the kernel's release, such as `5.10.0-28-amd64`. One that cannot be read is tried.
fn kernel(release: &str, found: &mut Findings) {
    let release = release.trim();
    let mut parts = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return };
    let version = (major, minor);
    if version < OLDEST {
        found.problem(
            format!("the kernel, {release}, is older than {}.{}: containers cannot be started", OLDEST.0, OLDEST.1),
            "install a newer kernel and restart: Debian, Ubuntu: sudo apt-get install linux-image-generic (or one of the \
             backports); Fedora: sudo dnf upgrade kernel; Arch: sudo pacman -S linux",
        );
    } else if version < OWN_RUNTIME {
        found.warnings.push(format!(
            "the kernel, {release}, is older than {}.{}: all containers are made by runc, which takes longer, and mounts \
             cannot be made read-only with all that is below them",
            OWN_RUNTIME.0, OWN_RUNTIME.1
        ));
    }
}

/// Whether there is a cgroup tree of version 2, in the text of `/proc/self/mountinfo`.
fn unified_cgroups(mountinfo: &str, found: &mut Findings) -> bool {
    let unified = cgroup::mount_point(mountinfo).is_some();
    if !unified {
        found.warnings.push(
            "this host has no cgroups of version 2: limits (--memory, --cpus, --pids-limit) cannot be applied and nothing \
             can be paused; boot the kernel with `systemd.unified_cgroup_hierarchy=1`"
                .into(),
        );
    }
    unified
}

fn kernel_allows_user_namespaces(caller: &Caller, found: &mut Findings) {
    let setting = |name: &str| -> Option<i64> {
        fs::read_to_string(caller.proc_sys.join(name)).ok()?.trim().parse().ok()
    };
    if setting("user/max_user_namespaces") == Some(0) {
        found.problem(
            "user namespaces are disabled (user.max_user_namespaces is 0)",
            "echo 'user.max_user_namespaces=15000' | sudo tee /etc/sysctl.d/90-userns.conf && sudo sysctl --system",
        );
    }
    if setting("kernel/unprivileged_userns_clone") == Some(0) {
        found.problem(
            "user namespaces are disabled for ordinary users (kernel.unprivileged_userns_clone is 0)",
            "echo 'kernel.unprivileged_userns_clone=1' | sudo tee /etc/sysctl.d/90-userns.conf && sudo sysctl --system",
        );
    }
    if setting("kernel/apparmor_restrict_unprivileged_userns") == Some(1) && !has_apparmor_profile() {
        let binary = std::env::current_exe().unwrap_or_else(|_| "/usr/local/bin/k3c".into());
        found.problem(
            "AppArmor keeps ordinary users from making user namespaces \
             (kernel.apparmor_restrict_unprivileged_userns is 1)",
            format!(
                "allow it for k3c:\n\
                 printf 'abi <abi/4.0>,\\nprofile k3c {} flags=(unconfined) {{\\n  userns,\\n}}\\n' | \
                 sudo tee /etc/apparmor.d/k3c && sudo apparmor_parser -r /etc/apparmor.d/k3c",
                binary.display()
            ),
        );
    }
}

/// Whether an AppArmor profile is on this process, which then decides.
fn has_apparmor_profile() -> bool {
    fs::read_to_string("/proc/self/attr/apparmor/current").is_ok_and(|label| {
        let label = label.trim();
        !label.is_empty() && label != "unconfined"
    })
}

fn id_maps(caller: &Caller, found: &mut Findings) {
    for (program, file, option) in
        [("newuidmap", "/etc/subuid", "--add-subuids"), ("newgidmap", "/etc/subgid", "--add-subgids")]
    {
        if find_program(program).is_none() {
            found.problem(
                format!("{program} is not installed"),
                "Debian, Ubuntu: sudo apt-get install uidmap; Fedora: sudo dnf install shadow-utils; \
                 Arch: sudo pacman -S shadow",
            );
        }
        let text = fs::read_to_string(file).unwrap_or_default();
        let ranges = ids::ranges(&text, &caller.name, caller.uid);
        if ranges.iter().map(|r| u64::from(r.count)).sum::<u64>() < 65535 {
            found.problem(
                format!("{} has no range of 65536 subordinate IDs in {file}", caller.name),
                format!("sudo usermod {option} {} {}", free_range(&text), caller.name),
            );
        }
        if file.ends_with("subuid") {
            found.uids = ranges;
        } else {
            found.gids = ranges;
        }
    }
}

/// A range that is free in the text of `/etc/subuid`.
fn free_range(text: &str) -> String {
    let start = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':').skip(1);
            Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.trim().parse::<u64>().ok()?)
        })
        .max()
        .unwrap_or(0)
        .max(100_000);
    format!("{start}-{}", start + 65535)
}

fn network(found: &mut Findings) {
    let tun = Path::new("/dev/net/tun");
    if let Err(e) = fs::File::options().read(true).write(true).open(tun) {
        let remedy = if tun.exists() {
            "sudo chmod 666 /dev/net/tun"
        } else {
            "sudo modprobe tun (and for every boot: echo tun | sudo tee /etc/modules-load.d/tun.conf)"
        };
        found.problem(format!("/dev/net/tun cannot be opened: {e}"), remedy);
    }
    found.slirp4netns = find_program("slirp4netns");
    if found.slirp4netns.is_none() {
        found.problem(
            "slirp4netns is not installed",
            "Debian, Ubuntu: sudo apt-get install slirp4netns; Fedora: sudo dnf install slirp4netns; \
             Arch: sudo pacman -S slirp4netns",
        );
    }
}

/// What becomes of asking the kernel about packet filters: containers' packets leave under another address.
fn packet_filter(asked: io::Result<()>, found: &mut Findings) {
    if let Err(e) = asked {
        found.problem(
            format!("the kernel has no nf_tables: {e}"),
            "sudo modprobe -a nf_tables nft_masq nft_chain_nat (and for every boot: \
             printf 'nf_tables\\nnft_masq\\nnft_chain_nat\\n' | sudo tee /etc/modules-load.d/k3c.conf)",
        );
    }
}

fn places(dirs: &Dirs, found: &mut Findings) {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    for (folder, name) in [(&dirs.runtime, "runtime"), (&dirs.data, "data"), (&dirs.state, "state")] {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        let usable = made.and_then(|()| tempfile::tempfile_in(folder).map(|_| ()));
        match usable {
            Ok(()) => {}
            Err(e) if name == "runtime" => found.problem(
                format!("the runtime directory {} cannot be written: {e}", folder.display()),
                "XDG_RUNTIME_DIR must be a directory of yours with mode 0700: log in through systemd-logind (ssh, a \
                 desktop, `machinectl shell`), or: export XDG_RUNTIME_DIR=$(mktemp -d)",
            ),
            Err(e) => found.problem(
                format!("the {name} directory {} cannot be written: {e}", folder.display()),
                if e.raw_os_error() == Some(libc::ENOSPC) {
                    "free some space there, or set XDG_DATA_HOME to a place with room".to_owned()
                } else {
                    format!("make it yours: sudo chown -R $(id -u):$(id -g) {}", folder.display())
                },
            ),
        }
    }
    let _ = fs::set_permissions(&dirs.data, fs::Permissions::from_mode(0o700));
    if let Ok(stat) = rustix::fs::statvfs(&dirs.data) {
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free < NEEDED_SPACE {
            found.problem(
                format!("the data directory {} has only {} MB free", dirs.data.display(), free / 1_000_000),
                "free some space there, or set XDG_DATA_HOME to a place with room",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_settings(settings: &[(&str, &str)]) -> Findings {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in settings {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, value).unwrap();
        }
        let caller = Caller { name: "x".into(), uid: 1, proc_sys: folder.path().into() };
        let mut found = Findings::default();
        kernel_allows_user_namespaces(&caller, &mut found);
        found
    }

    #[test]
    fn old_kernels() {
        for (release, refused, warned) in [
            ("4.18.0-553.el8_10.x86_64\n", true, false),
            ("5.10.0-28-amd64", true, false),
            ("5.11.0-49-generic", false, true),
            ("5.12.0", false, false),
            ("5.15.167.4-microsoft-standard-WSL2", false, false),
            ("6.1-rc3", false, false),
            ("10.0.1", false, false),
            ("", false, false),
            ("unheard of", false, false),
        ] {
            let mut found = Findings::default();
            kernel(release, &mut found);
            assert_eq!(
                (!found.problems.is_empty(), !found.warnings.is_empty()),
                (refused, warned),
                "{release}"
            );
            let words = found.problems.iter().map(|p| &p.what).chain(&found.warnings);
            words.for_each(|words| {
                assert!(words.contains(release.trim()) && words.contains("older than 5.1"), "{words}")
            });
        }
    }

    #[test]
    fn cgroups_of_version_1_only() {
        let first = "29 24 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
                     30 29 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let mut found = Findings::default();
        assert!(!unified_cgroups(first, &mut found));
        assert!(found.warnings[0].contains("no cgroups of version 2"), "{found:?}");
        let both = format!("{first}31 29 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
        let mut found = Findings::default();
        assert!(unified_cgroups(&both, &mut found));
        assert_eq!(found.warnings, [] as [String; 0]);
    }

    #[test]
    fn a_kernel_without_packet_filters() {
        let mut found = Findings::default();
        packet_filter(Ok(()), &mut found);
        assert_eq!(found.problems, []);
        packet_filter(Err(io::Error::from_raw_os_error(libc::EPROTONOSUPPORT)), &mut found);
        let said = found.problems[0].to_string();
        assert!(said.contains("no nf_tables") && said.contains("sudo modprobe -a nf_tables"), "{said}");
    }

    #[test]
    fn each_setting_that_forbids_user_namespaces_has_its_remedy() {
        assert!(with_settings(&[("user/max_user_namespaces", "96365\n")]).problems.is_empty());
        for (name, value, remedy) in [
            ("user/max_user_namespaces", "0\n", "sysctl --system"),
            ("kernel/unprivileged_userns_clone", "0\n", "unprivileged_userns_clone=1"),
            ("kernel/apparmor_restrict_unprivileged_userns", "1\n", "apparmor_parser -r"),
        ] {
            let found = with_settings(&[(name, value)]);
            assert_eq!(found.problems.len(), 1, "{name}");
            assert!(found.problems[0].remedy.contains(remedy), "{name}");
        }
    }

    #[test]
    fn the_proposed_range_is_free() {
        assert_eq!(free_range("a:100000:65536\nb:200000:65536\n"), "265536-331071");
        assert_eq!(free_range(""), "100000-165535");
    }

    #[test]
    fn names_come_from_passwd() {
        let passwd = "root:x:0:0::/root:/bin/sh\nal:x:1000:1000::/home/al:/bin/sh\n";
        assert_eq!(login_name(passwd, 1000), Some("al".into()));
        assert_eq!(login_name(passwd, 7), None);
    }
}
