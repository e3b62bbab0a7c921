//! The one way to end everything of an instance: for its holder on the way out, and for a daemon that finds what a killed
//! holder left.

use crate::sys::{patience, process};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time for all processes to die. Only a process in the middle of an uninterruptible system call takes long.
const LONGEST: Duration = Duration::from_secs(10);

/// The processes of an instance: all in its user namespace, all in its cgroup and below.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Realm {
    /// Inode of the user namespace.
    pub user_namespace: Option<u64>,
    /// The cgroup, as the caller sees it.
    pub cgroup: Option<PathBuf>,
}

impl Realm {
    /// IDs of all processes in the realm.
    pub fn processes(&self) -> Vec<i32> {
        let mut found = self.cgroup.as_deref().map(process::in_cgroup).unwrap_or_default();
        if let Some(namespace) = self.user_namespace {
            found.extend(process::find(|pid| is_in(pid, namespace)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Kills every process of the realm and every one of `children`, which reaps what has ended, until none is left, for at
    /// most ten seconds. `spare` is the caller, when it is in the realm itself.
    pub fn end(&self, spare: Option<i32>, mut children: impl FnMut() -> Vec<i32>) {
        patience::until(LONGEST, Duration::from_millis(20), || {
            let mut left = self.processes();
            left.extend(children());
            left.retain(|pid| *pid > 0 && Some(*pid) != spare && !process::is_zombie(*pid));
            if left.is_empty() {
                return true;
            }
            if let (None, Some(folder)) = (spare, &self.cgroup) {
                let _ = fs::write(folder.join("cgroup.kill"), "1");
            }
            for pid in left {
                let _ = process::signal(pid, Signal::KILL);
            }
            false
        });
    }

    /// Without the user namespace, if its number is not this instance's any more: once the last process of a namespace has
    /// ended, the kernel gives its inode to the next namespace that anybody makes. `private` is the folder that is mounted
    /// inside only, `data` the one that containers' file systems are in.
    #[must_use]
    pub fn proven(mut self, private: &Path, data: &Path) -> Self {
        self.user_namespace = self.user_namespace.filter(|namespace| {
            process::find(|pid| is_in(pid, *namespace)).into_iter().any(|pid| {
                fs::read_to_string(format!("/proc/{pid}/mountinfo"))
                    .is_ok_and(|text| is_inside(&text, private, data))
            })
        });
        self
    }
}

fn is_in(pid: i32, namespace: u64) -> bool {
    process::user_namespace(pid).is_ok_and(|inode| inode == namespace)
}

/// Whether a process with these mounts (proc_pid_mountinfo(5)) is the instance's: it sees the private folder, or its root
/// is an overlay of the instance's data.
fn is_inside(mountinfo: &str, private: &Path, data: &Path) -> bool {
    let (private, data) = (escaped(private), escaped(data));
    mountinfo.lines().any(|line| {
        let Some((mount, source)) = line.split_once(" - ") else { return false };
        let mut source = source.split(' ');
        let (kind, options) = (source.next().unwrap_or_default(), source.next_back().unwrap_or_default());
        let of_data = |option: &str| {
            let layers = option.strip_prefix("upperdir=").or_else(|| option.strip_prefix("lowerdir="));
            layers
                .is_some_and(|layers| layers.strip_prefix(&data).is_some_and(|below| below.starts_with('/')))
        };
        let point = mount.split(' ').nth(4);
        (kind == "tmpfs" && point == Some(&private)) || (kind == "overlay" && options.split(',').any(of_data))
    })
}

/// A path as the kernel writes it into mountinfo.
fn escaped(path: &Path) -> String {
    let mut text = path.display().to_string().replace('\\', "\\134");
    for (character, escape) in [(' ', "\\040"), ('\t', "\\011"), ('\n', "\\012")] {
        text = text.replace(character, escape);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_by_what_only_the_instance_mounts() {
        let private = Path::new("/run/user/1/a b/k3c/private");
        let data = Path::new("/home/u/.local/share/k3c");
        for (line, inside) in [
            ("9 1 0:5 / /run/user/1/a\\040b/k3c/private rw,nosuid - tmpfs tmpfs rw,mode=700", true),
            (
                "9 1 0:5 / / rw shared:1 - overlay overlay rw,lowerdir=/x,upperdir=/home/u/.local/share/k3c/containerd/7/fs",
                true,
            ),
            (
                "9 1 0:5 / / ro - overlay overlay ro,lowerdir=/home/u/.local/share/k3c/containerd/7/fs:/y",
                true,
            ),
            // Another program of the same user, whatever of ours it shows or stands on.
            ("9 1 0:5 /k3c /x rw - tmpfs tmpfs rw", false),
            ("9 1 8:1 / /home/u/.local/share/k3c rw - ext4 /dev/sda rw", false),
            ("9 1 0:5 / / rw - overlay overlay rw,upperdir=/home/u/.local/share/k3c2/fs", false),
            ("9 1 0:5 / /run/user/1/k3c/private rw - tmpfs tmpfs rw", false),
            ("9 1 0:5 / /run/user/1/a\\040b/k3c/private rw - ext4 /dev/sda rw", false),
            ("", false),
        ] {
            assert_eq!(is_inside(line, private, data), inside, "{line}");
        }
    }

    #[test]
    fn a_namespace_without_a_sign_of_ours_is_not_ours() {
        let own = process::user_namespace(i32::try_from(std::process::id()).unwrap()).unwrap();
        let realm = Realm { user_namespace: Some(own), cgroup: Some("/no/such".into()) };
        assert!(realm.processes().contains(&i32::try_from(std::process::id()).unwrap()));
        let proven = realm.proven(Path::new("/no/private"), Path::new("/no/data"));
        assert_eq!(proven, Realm { user_namespace: None, cgroup: Some("/no/such".into()) });
        assert!(proven.processes().is_empty());
    }
}
