//! System calls of a process that turns itself into a container's: they have no typed form elsewhere.
// UNSAFETY: raw system calls with integers and with pointers to values that outlive the call.
#![expect(unsafe_code, reason = "system calls without a typed form")]

use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::ffi::CStr;
use std::io;

/// Attributes of mount_setattr(2), which has more than mount(2): recursion, and single bits that leave the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MountAttr {
    /// `MOUNT_ATTR_*` to set.
    pub set: u64,
    /// `MOUNT_ATTR_*` to clear.
    pub clear: u64,
    /// `MS_PRIVATE` and its like, or 0.
    pub propagation: u64,
    /// Unused.
    pub userns: u64,
}

fn done(answer: i64) -> io::Result<i64> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// Changes the mount at a descriptor of its root, with all below when `recursive`.
///
/// # Errors
/// mount_setattr(2).
pub fn mount_setattr(mount: impl AsFd, attr: MountAttr, recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    let path: &CStr = c"";
    // SAFETY: `path` and `attr` are valid for the size that is given, and live until the call returns.
    let answer = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            path.as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    done(answer).map(drop)
}

/// `struct clone_args` of clone3(2), up to the field that Linux 5.7 added.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// The knowledge that this process has one thread, and that it will make no others.
#[derive(Debug)]
pub struct Alone(());

impl Alone {
    /// Asks /proc, which must be that of this process's own namespace: before another one is joined.
    ///
    /// # Errors
    /// There are other threads.
    pub fn check() -> io::Result<Self> {
        match std::fs::read_dir("/proc/self/task")?.count() {
            1 => Ok(Self(())),
            _ => Err(io::Error::other("this process has more than one thread")),
        }
    }
}

/// Makes a child as fork(2) does, in new namespaces (`CLONE_NEW*`), and in the cgroup whose folder is open as `cgroup`; with
/// `CLONE_PARENT` it is a child of the caller's parent. Answers 0 in the child and its process ID in the caller.
///
/// # Errors
/// clone3(2).
pub fn clone_into(_: &Alone, flags: u64, cgroup: Option<&OwnedFd>) -> io::Result<i32> {
    /// `CLONE_INTO_CGROUP`, which does not fit into libc's type.
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    // A sibling has the caller's own.
    let sibling = flags & u64::from(libc::CLONE_PARENT.cast_unsigned()) != 0;
    let exit_signal = if sibling { 0 } else { u64::from(libc::SIGCHLD.cast_unsigned()) };
    let mut args = CloneArgs { flags, exit_signal, ..CloneArgs::default() };
    if let Some(cgroup) = cgroup {
        args.flags |= INTO_CGROUP;
        args.cgroup = u64::try_from(cgroup.as_raw_fd()).map_err(io::Error::other)?;
    }
    // SAFETY: `args` has the size that is given. No memory is shared with the child (no CLONE_VM), and there is no other
    // thread (`Alone`) that could hold a lock which the child would need.
    let answer = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<CloneArgs>()) };
    i32::try_from(done(answer)?).map_err(io::Error::other)
}

/// Marks all descriptors from 3 on as close-on-exec.
///
/// # Errors
/// close_range(2).
pub fn close_on_exec() -> io::Result<()> {
    // SAFETY: three integers; no descriptor is closed now.
    let answer = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    done(answer).map(drop)
}

/// Gives every signal its default action, and blocks none.
///
/// # Errors
/// rt_sigprocmask(2).
pub fn reset_signals() -> io::Result<()> {
    // `struct sigaction` of the kernel, all zero: SIG_DFL. C libraries keep two of the signals from their own call.
    let default = [0_u64; 4];
    let old: *mut u64 = std::ptr::null_mut();
    for signal in 1..=64 {
        // SAFETY: the kernel reads a handler, flags, a restorer and a mask of 8 bytes, which `default` has, and writes
        // nothing to a null pointer. Signals that cannot be set are refused.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, 8) };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask().map_err(Into::into)
}

/// Leaves the caller's session keyring for the one called `name`, which is made when there is none; `searchable` lets its
/// user search it. A kernel without keyrings is no error.
///
/// # Errors
/// keyctl(2).
pub fn join_keyring(name: &CStr, searchable: bool) -> io::Result<()> {
    const JOIN_SESSION_KEYRING: i32 = 1;
    const SETPERM: i32 = 5;
    const DESCRIBE: i32 = 6;
    const USER_SEARCH: u32 = 0x0008_0000;
    // SAFETY: `name` ends with a zero and outlives the call.
    let key = unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, name.as_ptr()) };
    let key = match done(key) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => return Ok(()),
        other => other?,
    };
    if !searchable {
        return Ok(());
    }
    let mut text = [0_u8; 256];
    // SAFETY: the kernel writes at most `text.len()` bytes.
    let length =
        done(unsafe { libc::syscall(libc::SYS_keyctl, DESCRIBE, key, text.as_mut_ptr(), text.len()) })?;
    // keyring;uid;gid;permissions;name
    let length = usize::try_from(length).unwrap_or(0).min(text.len());
    let text = String::from_utf8_lossy(&text[..length]).into_owned();
    let now = text
        .split(';')
        .nth(3)
        .and_then(|field| u32::from_str_radix(field, 16).ok())
        .ok_or_else(|| io::Error::other("keyctl: unexpected description"))?;
    // SAFETY: integers only.
    done(unsafe { libc::syscall(libc::SYS_keyctl, SETPERM, key, now | USER_SEARCH) }).map(drop)
}

/// One instruction of classic BPF (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// Instructions to skip when true.
    pub jt: u8,
    /// Instructions to skip when false.
    pub jf: u8,
    /// Its operand.
    pub k: u32,
}

/// Filters this process's system calls from now on.
///
/// # Errors
/// seccomp(2).
pub fn load_filter(program: &[Instruction], flags: u32) -> io::Result<()> {
    #[repr(C)]
    struct Program {
        length: u16,
        first: *const Instruction,
    }
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = Program { length, first: program.as_ptr() };
    // SAFETY: `program` points to `length` instructions, which the kernel copies and checks before the call returns.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program) };
    done(answer).map(drop)
}

/// The number of a pseudo-terminal, and the process's side of it, opened without a path (ioctl_tty(2), `TIOCGPTPEER`).
///
/// # Errors
/// ioctl(2).
pub fn open_peer(master: &OwnedFd) -> io::Result<OwnedFd> {
    let unlock: i32 = 0;
    // SAFETY: TIOCSPTLCK reads one int.
    done(i64::from(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlock) }))?;
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes an integer, and answers a new descriptor.
    let peer = done(i64::from(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) }))?;
    let peer = i32::try_from(peer).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made it for us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(peer) })
}

/// Makes a terminal the controlling one of this session.
///
/// # Errors
/// ioctl(2).
pub fn set_controlling(terminal: impl AsFd) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes an integer.
    done(i64::from(unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) })).map(drop)
}

/// The path of the working directory as the kernel says it, `(unreachable)` included (getcwd(2)).
///
/// # Errors
/// getcwd(2).
pub fn working_directory() -> io::Result<Vec<u8>> {
    let mut text = vec![0_u8; 4096];
    // SAFETY: the kernel writes at most `text.len()` bytes.
    let length = done(unsafe { libc::syscall(libc::SYS_getcwd, text.as_mut_ptr(), text.len()) })?;
    text.truncate(usize::try_from(length).unwrap_or(0).saturating_sub(1));
    Ok(text)
}

/// Sets a resource limit by its number (getrlimit(2)).
///
/// # Errors
/// prlimit(2).
pub fn set_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let none: *mut libc::rlimit64 = std::ptr::null_mut();
    // SAFETY: the kernel reads one `rlimit64`, and writes nothing to a null pointer.
    done(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, none) }).map(drop)
}
