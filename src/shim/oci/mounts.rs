//! Mounts of a specification as what is to be done: kinds, attributes and the file systems' own options. A word that is not
//! known here makes the whole specification runc's.

use super::spec::Mount;

/// `MOUNT_ATTR_*` (`<linux/mount.h>`).
pub(super) const RDONLY: u64 = 0x1;
pub(super) const NOSUID: u64 = 0x2;
pub(super) const NODEV: u64 = 0x4;
pub(super) const NOEXEC: u64 = 0x8;
/// The field of all choices for access times.
pub(super) const ATIME: u64 = 0x70;
const NOATIME: u64 = 0x10;
const STRICTATIME: u64 = 0x20;
const NODIRATIME: u64 = 0x80;

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bind { recursive: bool },
    Proc,
    Sysfs,
    Tmpfs,
    Mqueue,
    Devpts,
    Cgroup,
}

impl Kind {
    /// The kernel's name of the file system.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Bind { .. } => "bind",
            Self::Proc => "proc",
            Self::Sysfs => "sysfs",
            Self::Tmpfs => "tmpfs",
            Self::Mqueue => "mqueue",
            Self::Devpts => "devpts",
            Self::Cgroup => "cgroup2",
        }
    }

    /// Options of the file system that are passed on.
    fn knows(self, key: &str) -> bool {
        match self {
            Self::Tmpfs => ["mode", "size", "nr_inodes", "nr_blocks", "uid", "gid"].contains(&key),
            Self::Devpts => ["mode", "ptmxmode", "uid", "gid", "max"].contains(&key),
            _ => false,
        }
    }
}

/// A mount to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) source: String,
    /// An absolute path without `.` and `..`.
    pub(super) target: String,
    pub(super) set: u64,
    pub(super) clear: u64,
    /// Read-only with all that is mounted below.
    pub(super) all_read_only: bool,
    /// Private propagation; `true` for all that is mounted below, too.
    pub(super) private: Option<bool>,
    pub(super) flags: Vec<String>,
    pub(super) data: Vec<(String, String)>,
}

impl Plan {
    pub(super) fn read_only(&self) -> bool {
        self.set & RDONLY != 0
    }

    /// Whether the mode of its root is asked for.
    pub(super) fn has_mode(&self) -> bool {
        self.data.iter().any(|(key, _)| key == "mode")
    }

    /// Understands a mount, or says what is not done here.
    pub(super) fn new(mount: &Mount) -> Result<Self, String> {
        let target = mount.destination.as_str();
        let refuse = |what: &str| Err(format!("mount at {target}: {what}"));
        if !is_plain(target) || target == "/" {
            return refuse("its place");
        }
        if target.starts_with("/proc/") {
            return refuse("inside of /proc");
        }
        let has = |word: &str| mount.options.iter().any(|o| o == word);
        let kind = match mount.kind.as_str() {
            _ if has("rbind") => Kind::Bind { recursive: true },
            _ if has("bind") => Kind::Bind { recursive: false },
            "bind" => return refuse("a bind without its option"),
            "proc" => Kind::Proc,
            "sysfs" => Kind::Sysfs,
            "tmpfs" => Kind::Tmpfs,
            "mqueue" => Kind::Mqueue,
            "devpts" => Kind::Devpts,
            "cgroup" => Kind::Cgroup,
            other => return refuse(&format!("type {other}")),
        };
        let is_bind = matches!(kind, Kind::Bind { .. });
        let expected = match kind {
            Kind::Proc => "/proc",
            Kind::Sysfs => "/sys",
            Kind::Devpts => "/dev/pts",
            Kind::Mqueue => "/dev/mqueue",
            Kind::Cgroup => "/sys/fs/cgroup",
            Kind::Bind { .. } | Kind::Tmpfs => target,
        };
        if target != expected {
            return refuse("an unusual place for its type");
        }
        if is_bind && !mount.source.starts_with('/') {
            return refuse("a relative source");
        }
        if is_bind && target == "/dev" {
            return refuse("a foreign /dev");
        }
        let mut plan = Self {
            kind,
            source: mount.source.clone(),
            target: target.to_owned(),
            set: 0,
            clear: 0,
            all_read_only: false,
            private: None,
            flags: Vec::new(),
            data: Vec::new(),
        };
        for option in &mount.options {
            plan.option(option).map_err(|what| format!("mount at {target}: {what}"))?;
        }
        Ok(plan)
    }

    fn option(&mut self, option: &str) -> Result<(), String> {
        let is_bind = matches!(self.kind, Kind::Bind { .. });
        let (bit, on) = match option {
            "ro" => (RDONLY, true),
            "rw" => (RDONLY, false),
            "nosuid" => (NOSUID, true),
            "suid" => (NOSUID, false),
            "nodev" => (NODEV, true),
            "dev" => (NODEV, false),
            "noexec" => (NOEXEC, true),
            "exec" => (NOEXEC, false),
            "nodiratime" => (NODIRATIME, true),
            "diratime" => (NODIRATIME, false),
            "bind" | "rbind" | "defaults" => return Ok(()),
            "relatime" | "noatime" | "strictatime" => {
                let value = match option {
                    "noatime" => NOATIME,
                    "strictatime" => STRICTATIME,
                    _ => 0,
                };
                self.set = self.set & !ATIME | value;
                self.clear |= ATIME;
                return Ok(());
            }
            "rro" if is_bind => {
                self.all_read_only = true;
                return Ok(());
            }
            "private" | "rprivate" => {
                self.private = Some(option == "rprivate");
                return Ok(());
            }
            "newinstance" if self.kind == Kind::Devpts => {
                self.flags.push(option.to_owned());
                return Ok(());
            }
            _ => {
                let Some((key, value)) = option.split_once('=').filter(|(key, _)| self.kind.knows(key))
                else {
                    return Err(format!("option {option}"));
                };
                self.data.retain(|(k, _)| k != key);
                self.data.push((key.to_owned(), value.to_owned()));
                return Ok(());
            }
        };
        // The last word counts.
        let (to, from) = if on { (&mut self.set, &mut self.clear) } else { (&mut self.clear, &mut self.set) };
        *to |= bit;
        *from &= !bit;
        Ok(())
    }
}

/// Whether a path is absolute and has no `.`, `..` or empty parts.
pub(super) fn is_plain(path: &str) -> bool {
    path == "/"
        || path.strip_prefix('/').is_some_and(|rest| {
            !path.contains('\0') && rest.split('/').all(|part| !matches!(part, "" | "." | ".."))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(target: &str, kind: &str, options: &[&str]) -> Result<Plan, String> {
        Plan::new(&Mount {
            destination: target.into(),
            kind: kind.into(),
            source: "/source".into(),
            options: options.iter().map(|o| (*o).to_owned()).collect(),
        })
    }

    #[test]
    fn options_are_understood() {
        let bind = plan("/data", "bind", &["rbind", "ro", "nosuid", "rprivate"]).unwrap();
        assert_eq!(
            (bind.kind, bind.set, bind.private),
            (Kind::Bind { recursive: true }, RDONLY | NOSUID, Some(true))
        );
        let last = plan("/data", "bind", &["bind", "ro", "rw", "noexec"]).unwrap();
        assert_eq!((last.set, last.clear), (NOEXEC, RDONLY));
        assert!(plan("/data", "none", &["rbind", "rro"]).unwrap().all_read_only);
        let dev = plan("/dev", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]).unwrap();
        assert_eq!((dev.set, dev.clear), (NOSUID | STRICTATIME, ATIME));
        assert_eq!(dev.data[1], ("size".to_owned(), "65536k".to_owned()));
        assert_eq!(plan("/dev/pts", "devpts", &["newinstance", "gid=5"]).unwrap().flags, ["newinstance"]);
    }

    #[test]
    fn all_else_is_runcs() {
        for (target, kind, options) in [
            ("/data", "bind", &["rbind", "rshared"][..]),
            ("/data", "bind", &["rbind", "idmap"]),
            ("/data", "bind", &["rbind", "mode=700"]),
            ("/data", "bind", &[]),
            ("/data", "ext4", &[]),
            ("/data", "tmpfs", &["tmpcopyup"]),
            ("/data", "tmpfs", &["rro"]),
            ("/data", "proc", &[]),
            ("/proc", "proc", &["hidepid=2"]),
            ("/proc/sys", "bind", &["rbind"]),
            ("/a/../b", "tmpfs", &[]),
            ("a", "tmpfs", &[]),
            ("/", "bind", &["rbind"]),
            ("/dev", "bind", &["rbind"]),
        ] {
            assert!(plan(target, kind, options).is_err(), "{target} {kind} {options:?}");
        }
    }
}
