//! The last steps to a container's program: limits, user, capabilities, filter, folder, and the program itself.

use super::seccomp::Filter;
use super::spec::{Capabilities, Process, User};
use crate::model::capability::NAMES;
use crate::sys::stage;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{Access, AtFlags, Mode, OFlags, ResolveFlags, Uid, fchown, fstat, openat2};
use rustix::thread::{CapabilitySet, CapabilitySets};
use std::ffi::CString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Names of resource limits by number (`<asm-generic/resource.h>`).
const LIMITS: [&str; 16] = [
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
];

/// The number of a resource limit.
pub(super) fn resource(name: &str) -> Option<u32> {
    let name = name.strip_prefix("RLIMIT_")?;
    LIMITS.iter().position(|known| *known == name).and_then(|at| u32::try_from(at).ok())
}

/// What a process becomes.
pub(super) struct Becoming<'a> {
    pub(super) process: &'a Process,
    pub(super) filter: Option<&'a Filter>,
    /// Whether supplementary groups can be set.
    pub(super) groups: bool,
    /// The mask for files that it makes; without one it keeps that of who starts it.
    pub(super) umask: Option<u32>,
}

/// A program that is found, with its words, ready to be executed.
pub(super) struct Program {
    name: String,
    path: CString,
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Becoming<'_> {
    /// Becomes the container's user with its capabilities, and finds its program. The error has runc's words.
    pub(super) fn prepare(&self) -> Result<Program, String> {
        let process = self.process;
        let failed = |what: &'static str| move |e: rustix::io::Errno| format!("{what}: {}", words(&e.into()));
        if process.rlimits.iter().any(|limit| limit.kind == "RLIMIT_STACK") {
            deepen();
        }
        for limit in &process.rlimits {
            let number = resource(&limit.kind).ok_or("an unknown limit")?;
            stage::set_limit(number, limit.soft, limit.hard)
                .map_err(|e| format!("error setting rlimit type {number}: {}", words(&e)))?;
        }
        if process.no_new_privileges {
            rustix::thread::set_no_new_privs(true).map_err(failed("no_new_privs"))?;
        }
        if let Some(mask) = self.umask {
            rustix::process::umask(Mode::from_raw_mode(mask & 0o777));
        }
        // Without no_new_privs a filter needs a capability that is given up below (seccomp(2)).
        if !process.no_new_privileges {
            self.load()?;
        }
        let entered = enter(&process.cwd);
        let again = match entered {
            Err(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => true,
            Err(error) => return Err(folder(&process.cwd, error)),
            Ok(()) => false,
        };
        let env = environment(&process.env, process.user.uid);
        let capabilities = process.capabilities.as_ref().ok_or("no capabilities")?;
        bound(capabilities).map_err(failed("unable to apply bounding set"))?;
        rustix::thread::set_keep_capabilities(true).map_err(failed("unable to set keep caps"))?;
        own_streams(process.user.uid);
        identity(&process.user, self.groups)?;
        if again {
            enter(&process.cwd).map_err(|error| folder(&process.cwd, error))?;
        }
        let here = stage::working_directory().map_err(|e| format!("working directory: {e}"))?;
        if !here.starts_with(b"/") {
            return Err("current working directory is outside of container mount namespace root".to_owned());
        }
        rustix::thread::set_keep_capabilities(false).map_err(failed("unable to clear keep caps"))?;
        hold(capabilities).map_err(failed("unable to apply caps"))?;
        let name = find(&process.args[0], &env)?;
        let text = |text: &String| CString::new(text.as_str()).map_err(|e| e.to_string());
        Ok(Program {
            path: text(&name)?,
            args: process.args.iter().map(text).collect::<Result<_, _>>()?,
            env: env.iter().map(text).collect::<Result<_, _>>()?,
            name,
        })
    }

    fn load(&self) -> Result<(), String> {
        self.filter.map_or(Ok(()), |filter| {
            stage::load_filter(&filter.program, filter.flags)
                .map_err(|e| format!("error loading seccomp filter into kernel: {e}"))
        })
    }

    /// Becomes the program. Returns only with an error, which the process's own standard error gets, too.
    pub(super) fn execute(&self, program: &Program) -> String {
        if self.process.no_new_privileges
            && let Err(error) = self.load()
        {
            return error;
        }
        let error = nix::unistd::execve(&program.path, &program.args, &program.env)
            .map_or_else(io::Error::from, |never| match never {});
        format!("exec {}: {}", program.name, words(&error))
    }
}

/// Lets the stack grow to all that the rest of the stage needs: a limit that is meant for the program would end the stage
/// with SIGSEGV.
#[inline(never)]
fn deepen() {
    const ENOUGH: usize = 512 << 10;
    std::hint::black_box(&mut [0_u8; ENOUGH]);
}

/// An error as Go says it: without the number.
pub(super) fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn folder(cwd: &str, error: rustix::io::Errno) -> String {
    format!("chdir to cwd ({cwd:?}) set in config.json failed: {}", words(&error.into()))
}

/// Changes into a folder; never through the links of /proc, which may lead out of the container (CVE-2024-21626).
fn enter(cwd: &str) -> rustix::io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_MAGICLINKS;
    rustix::process::fchdir(openat2(rustix::fs::CWD, cwd, flags, Mode::empty(), resolve)?)
}

/// The variables: the last of one name counts; a home is looked up when none is named.
fn environment(given: &[String], uid: u32) -> Vec<String> {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let mut seen: Vec<String> = Vec::new();
    let mut all: Vec<String> = Vec::new();
    for entry in given.iter().rev() {
        let name = name(entry);
        if !seen.contains(&name) {
            if entry != "HOME=" {
                all.push(entry.clone());
            }
            seen.push(name);
        }
    }
    all.reverse();
    if !all.iter().any(|entry| entry.starts_with("HOME=")) {
        let passwd = read_small("/etc/passwd").unwrap_or_default();
        all.push(format!("HOME={}", home(&passwd, uid).unwrap_or_else(|| "/".to_owned())));
    }
    all
}

/// A file of the container's, if it is an ordinary one of at most 10 MiB.
fn read_small(path: &str) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat2(rustix::fs::CWD, path, flags, Mode::empty(), ResolveFlags::NO_MAGICLINKS).ok()?;
    let file = std::fs::File::from(file);
    file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let mut text = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, 10 << 20), &mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

/// The home of a user in the text of passwd(5).
fn home(passwd: &str, uid: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.trim().split(':').collect();
        (fields.get(2)?.parse::<u32>().ok()? == uid).then(|| fields.get(5).map(|home| (*home).to_owned()))?
    })
}

fn bits(names: &[String]) -> u64 {
    let bit = |name: &String| {
        let name = name.strip_prefix("CAP_").unwrap_or(name);
        NAMES.iter().position(|known| *known == name).map_or(0, |at| 1_u64 << at)
    };
    names.iter().map(bit).fold(0, |all, bit| all | bit)
}

/// Drops all but the capabilities that may ever be had.
fn bound(sets: &Capabilities) -> rustix::io::Result<()> {
    let keep = bits(&sets.bounding);
    for at in 0..64_u32 {
        let set = CapabilitySet::from_bits_retain(1 << at);
        if keep & (1 << at) == 0 {
            match rustix::thread::remove_capability_from_bounding_set(set) {
                // The kernel has no more.
                Err(rustix::io::Errno::INVAL) if at >= 32 => return Ok(()),
                other => other?,
            }
        }
    }
    Ok(())
}

fn hold(sets: &Capabilities) -> rustix::io::Result<()> {
    let set = |names: &[String]| CapabilitySet::from_bits_retain(bits(names));
    rustix::thread::set_capabilities(
        None,
        CapabilitySets {
            effective: set(&sets.effective),
            permitted: set(&sets.permitted),
            inheritable: set(&sets.inheritable),
        },
    )?;
    rustix::thread::clear_ambient_capability_set()?;
    for at in 0..64_u32 {
        if bits(&sets.ambient) & (1 << at) != 0 {
            // One that is not permitted and inheritable cannot be raised, which runc warns of, too.
            let one = CapabilitySet::from_bits_retain(1 << at);
            let _ = rustix::thread::configure_capability_in_ambient_set(one, true);
        }
    }
    Ok(())
}

/// Gives a process's streams to its user, so that /dev/stdout can be opened. What cannot be given stays.
fn own_streams(uid: u32) {
    let streams = [
        io::stdin().as_fd().try_clone_to_owned(),
        io::stdout().as_fd().try_clone_to_owned(),
        io::stderr().as_fd().try_clone_to_owned(),
    ];
    for stream in streams.into_iter().flatten() {
        if let Ok(found) = fstat(&stream)
            && found.st_uid != uid
            && !is_null(stream.as_fd())
        {
            let _ = fchown(&stream, Some(Uid::from_raw(uid)), None);
        }
    }
}

/// Whether a descriptor is the null device.
pub(super) fn is_null(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|found| {
        rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::CharacterDevice
            && found.st_rdev == rustix::fs::makedev(1, 3)
    })
}

fn identity(user: &User, groups: bool) -> Result<(), String> {
    let (uid, gid) = (user.uid, user.gid);
    let failed = |what: String| {
        move |e: nix::errno::Errno| match e {
            nix::errno::Errno::EINVAL => format!("unable to setup user: cannot {what} in user namespace"),
            other => format!("unable to setup user: {what}: {}", words(&other.into())),
        }
    };
    if groups {
        let all: Vec<nix::unistd::Gid> =
            user.additional_gids.iter().map(|gid| nix::unistd::Gid::from_raw(*gid)).collect();
        nix::unistd::setgroups(&all).map_err(failed("setgroups".to_owned()))?;
    }
    nix::unistd::setgid(nix::unistd::Gid::from_raw(gid))
        .map_err(failed(format!("setgid to unmapped gid {gid}")))?;
    nix::unistd::setuid(nix::unistd::Uid::from_raw(uid))
        .map_err(failed(format!("setuid to unmapped uid {uid}")))?;
    Ok(())
}

/// Finds a program as Go's `exec.LookPath` does, with its words.
fn find(name: &str, env: &[String]) -> Result<String, String> {
    if name.contains('/') {
        return executable(name).map(|()| name.to_owned()).map_err(|why| format!("exec: {name:?}: {why}"));
    }
    let path = env.iter().find_map(|entry| entry.strip_prefix("PATH=")).unwrap_or_default();
    let folders = path.split(':').filter(|_| !path.is_empty());
    for folder in folders {
        let full = match folder {
            "" | "." => name.to_owned(),
            folder => format!("{}/{name}", folder.trim_end_matches('/')),
        };
        if executable(&full).is_ok() {
            return match full.starts_with('/') {
                true => Ok(full),
                false => {
                    Err(format!("exec: {name:?}: cannot run executable found relative to current directory"))
                }
            };
        }
    }
    Err(format!("exec: {name:?}: executable file not found in $PATH"))
}

fn executable(path: &str) -> Result<(), String> {
    let found = Path::new(path).metadata().map_err(|e| format!("stat {path}: {}", words(&e)))?;
    if found.is_dir() {
        return Err("is a directory".to_owned());
    }
    match rustix::fs::accessat(rustix::fs::CWD, path, Access::EXEC_OK, AtFlags::EACCESS) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::PERM | rustix::io::Errno::NOSYS)
            if found.permissions().mode() & 0o111 != 0 =>
        {
            Ok(())
        }
        Err(error) => Err(words(&error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables() {
        let env = |given: &[&str]| {
            let given: Vec<String> = given.iter().map(|e| (*e).to_owned()).collect();
            environment(&given, u32::MAX).join(" ")
        };
        assert_eq!(env(&["A=1", "HOME=/h", "B=2", "A=3"]), "HOME=/h B=2 A=3");
        assert_eq!(env(&["HOME=", "A="]), "A= HOME=/");
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nu:x:5:5::/home/u:/bin/sh\n";
        assert_eq!(home(passwd, 5).as_deref(), Some("/home/u"));
        assert_eq!(home(passwd, 6), None);
    }

    #[test]
    fn programs_are_found_with_gos_words() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        let env = [format!("PATH=/no/such:{path}")];
        std::fs::write(dir.path().join("plain"), "").unwrap();
        let full = format!("{path}/plain");
        assert_eq!(find(&full, &[]).unwrap_err(), format!("exec: {full:?}: permission denied"));
        assert_eq!(find("plain", &env).unwrap_err(), "exec: \"plain\": executable file not found in $PATH");
        std::fs::set_permissions(&full, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("plain", &env).unwrap(), full);
        assert_eq!(find("plain", &[]).unwrap_err(), "exec: \"plain\": executable file not found in $PATH");
        assert_eq!(find(&path, &[]).unwrap_err(), format!("exec: {path:?}: is a directory"));
        let missing = "exec: \"/no/such\": stat /no/such: no such file or directory";
        assert_eq!(find("/no/such", &[]).unwrap_err(), missing);
    }

    #[test]
    fn numbers() {
        assert_eq!(resource("RLIMIT_NOFILE"), Some(7));
        assert_eq!(resource("RLIMIT_RTTIME"), Some(15));
        assert_eq!((resource("NOFILE"), resource("RLIMIT_X")), (None, None));
        assert_eq!(bits(&["CAP_CHOWN".into(), "CAP_CHECKPOINT_RESTORE".into()]), 1 | 1 << 40);
    }
}
