//! The process that becomes a container's: what `mod.rs` draws.

use super::devices::Rules;
use super::mounts::Plan;
use super::process::{Becoming, is_null, words};
use super::root::{Root, Sources, at, detach_propagation, open_terminal, pivot};
use super::spec::Process;
use super::{Request, cgroup, message};
use crate::sys::bpf;
use crate::sys::inherit::take_number;
use crate::sys::stage::{self, Alone};
use nix::sched::{CloneFlags, unshare};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, send, sendmsg};
use rustix::process::DumpableBehavior;
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};
use std::ffi::{CStr, CString, OsString};
use std::io::{self, IoSlice, Read};
use std::mem::MaybeUninit;
use std::path::Path;

/// The exit code of a process that could not become its program, as runc's.
const FAILED: i32 = 255;

/// Runs the stage. Arguments: numbers of the control socket, of the file with the request, and for an exec of the pidfd of
/// the container's first process, or else of the door, if it has one.
pub(super) fn run(args: &[OsString]) -> i32 {
    let number = |at: usize| args.get(at)?.to_str()?.parse().ok().and_then(take_number);
    let (Some(control), Some(request)) = (number(0), number(1)) else { return FAILED };
    let more = number(2);
    match stage(&control, request, more) {
        Ok(code) => code,
        Err(error) => {
            tell(&control, message::FAILED, error.as_bytes());
            FAILED
        }
    }
}

fn tell(control: &OwnedFd, kind: u8, text: &[u8]) {
    let mut all = vec![kind];
    all.extend_from_slice(&text[..text.len().min(message::LONGEST - 1)]);
    // Without a shim nobody waits for it.
    let _ = send(control, &all, SendFlags::NOSIGNAL);
}

fn stage(control: &OwnedFd, request: OwnedFd, more: Option<OwnedFd>) -> Result<i32, String> {
    at("close", "descriptors", stage::close_on_exec())?;
    at("reset", "signals", stage::reset_signals())?;
    let mut text = Vec::new();
    at("read", "the request", std::fs::File::from(request).read_to_end(&mut text))?;
    let request: Request = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    own_program_is_safe()?;
    let process = request.process();
    // As with runc, score and mask are the container's, also for an added process, whatever that one's words are.
    let container = &request.spec.process;
    if let Some(score) = container.oom_score_adj {
        // Later this file is not ours any more.
        let path = "/proc/self/oom_score_adj";
        at("write", path, std::fs::write(path, score.to_string()))?;
    }
    // Nobody inside may look into this process or follow its links (CVE-2016-9962).
    at("protect", "the process", rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable))?;
    let groups = std::fs::read_to_string("/proc/self/setgroups").map_or(true, |t| t.trim() != "deny");
    stay(control, &request, c"begun");
    let alone = at("begin", "alone", Alone::check())?;
    let umask = container.user.umask.or(request.exec.is_none().then_some(0o022));
    let becoming = Becoming { process, filter: request.filter.as_ref(), groups, umask };
    match (&request.exec, more) {
        (None, door) => create(&alone, Ends { control, door: door.as_ref() }, &request, &becoming),
        (Some(_), Some(first)) => exec(&alone, control, &request, &becoming, &first),
        (Some(_), None) => Err("no process to join".to_owned()),
    }
}

/// Stays at a point if a test wants that, under its name, until it is killed or its shim is gone.
fn stay(control: &OwnedFd, request: &Request, point: &CStr) {
    if request.stays.is_empty() || request.stays.as_bytes() != point.to_bytes() {
        return;
    }
    let _ = rustix::thread::set_name(point);
    loop {
        let mut polled = [PollFd::new(control, PollFlags::empty())];
        match rustix::event::poll(&mut polled, None) {
            Ok(_) if polled[0].revents().contains(PollFlags::HUP) => return,
            _ => {}
        }
    }
}

/// Refuses to go on when this program's file could be written through /proc/self/exe (CVE-2019-5736).
fn own_program_is_safe() -> Result<(), String> {
    let own = at("open", "/proc/self/exe", rustix::fs::open("/proc/self/exe", OFlags::PATH, Mode::empty()))?;
    let flags = at("look at", "/proc/self/exe", rustix::fs::fstatvfs(&own))?.f_flag;
    match flags.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        true => Ok(()),
        false => Err("the stage's own program can be written".to_owned()),
    }
}

fn namespace(kind: &str) -> (u64, Option<LinkNameSpaceType>) {
    let number = |flag: i32| u64::from(flag.cast_unsigned());
    match kind {
        "mount" => (number(libc::CLONE_NEWNS), None),
        "pid" => (number(libc::CLONE_NEWPID), Some(LinkNameSpaceType::ProcessID)),
        "ipc" => (number(libc::CLONE_NEWIPC), Some(LinkNameSpaceType::InterProcessCommunication)),
        "uts" => (number(libc::CLONE_NEWUTS), Some(LinkNameSpaceType::HostNameAndNISDomainName)),
        "network" => (number(libc::CLONE_NEWNET), Some(LinkNameSpaceType::Network)),
        _ => (0, None),
    }
}

/// How this process is spoken to.
#[derive(Clone, Copy)]
struct Ends<'a> {
    control: &'a OwnedFd,
    /// A socket that listens for who starts the container.
    door: Option<&'a OwnedFd>,
}

fn create(alone: &Alone, ends: Ends<'_>, request: &Request, becoming: &Becoming<'_>) -> Result<i32, String> {
    let control = ends.control;
    let spec = &request.spec;
    let mut flags = 0;
    let mut joins = Vec::new();
    for wanted in &spec.linux.namespaces {
        let (new, join) = namespace(&wanted.kind);
        match (wanted.path.is_empty(), join) {
            (true, _) => flags |= new,
            (false, Some(kind)) => {
                let opened = OFlags::RDONLY | OFlags::CLOEXEC;
                joins.push((
                    &wanted.path,
                    kind,
                    at("open", &wanted.path, rustix::fs::open(&wanted.path, opened, Mode::empty()))?,
                ));
            }
            (false, None) => return Err(format!("cannot join {}", wanted.path)),
        }
    }
    let plans: Vec<Plan> = spec.mounts.iter().map(Plan::new).collect::<Result<_, _>>()?;
    let cgroup = match cgroup::folder(&spec.linux.cgroups_path) {
        Some(folder) => {
            let files = cgroup::files(&spec.linux.resources)?;
            let made = at("make", "the cgroup", cgroup::create(&folder, &files))?;
            if !request.rootless {
                let rules = Rules::new(&spec.linux.resources.devices, &spec.linux.devices)?;
                at("rule", "its devices", bpf::attach_to_devices(&rules.program(), &made))?;
            }
            Some(made)
        }
        None => None,
    };
    stay(control, request, c"cgroup");
    for (path, kind, fd) in joins {
        at("join", path, move_into_link_name_space(fd.as_fd(), Some(kind)))?;
    }
    match at("make", "the process", stage::clone_into(alone, flags, cgroup.as_ref()))? {
        0 => {
            // Nobody inside has any use for it.
            drop(cgroup);
            Ok(become_first(ends, request, becoming, plans))
        }
        pid => {
            stay(control, request, c"cloned");
            tell(control, message::PROCESS, pid.to_string().as_bytes());
            Ok(0)
        }
    }
}

/// Ends as the container's program, or with a code.
fn become_first(ends: Ends<'_>, request: &Request, becoming: &Becoming<'_>, plans: Vec<Plan>) -> i32 {
    match first(ends.control, request, plans).and_then(|()| becoming.prepare()) {
        Ok(program) => finish(ends, request, becoming, &program),
        Err(error) => {
            tell(ends.control, message::FAILED, error.as_bytes());
            FAILED
        }
    }
}

fn first(control: &OwnedFd, request: &Request, plans: Vec<Plan>) -> Result<(), String> {
    let spec = &request.spec;
    stay(control, request, c"born");
    at("begin", "a session", rustix::process::setsid())?;
    if spec.linux.namespaces.iter().any(|n| n.kind == "cgroup") {
        // Not before we are in the cgroup that shall be its root.
        at("make", "a cgroup namespace", unshare(CloneFlags::CLONE_NEWCGROUP))?;
    }
    if spec.linux.namespaces.iter().any(|n| n.kind == "network" && n.path.is_empty()) {
        at("raise", "the loopback", crate::sys::link::loopback_up())?;
    }
    if request.hooks {
        tell(control, message::BORN, b"");
        if word(control) != Some(message::GO) {
            return Err("nobody waits for it".to_owned());
        }
    }
    keyring(&request.id, true)?;
    let proc = open_proc()?;
    detach_propagation()?;
    let sources = Sources::open(spec, plans, request.rootless)?;
    let root = pivot(Path::new(&spec.root.path))?;
    stay(control, request, c"pivoted");
    let mut root = Root::fill(root, sources)?;
    stay(control, request, c"filled");
    reopen_null(&root)?;
    make_folder(&spec.process.cwd)?;
    if spec.process.terminal {
        let (master, peer) = root.terminal()?;
        take_terminal(control, &spec.process, &master, &peer)?;
    }
    root.close(spec)?;
    if !spec.hostname.is_empty() {
        at("set", "the host name", rustix::system::sethostname(spec.hostname.as_bytes()))?;
    }
    if !spec.domainname.is_empty() {
        at("set", "the domain name", rustix::system::setdomainname(spec.domainname.as_bytes()))?;
    }
    for (key, value) in &spec.linux.sysctl {
        let path = format!("sys/{}", key.replace('.', "/"));
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let file = at("open", key, openat2(&proc, path, flags, Mode::empty(), resolve))?;
        at("write", key, rustix::io::write(&file, value.as_bytes()))?;
    }
    Ok(())
}

/// The host's own /proc, which no container can touch (CVE-2025-52881).
fn open_proc() -> Result<OwnedFd, String> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let proc = at("open", "/proc", rustix::fs::open("/proc", flags, Mode::empty()))?;
    match at("look at", "/proc", rustix::fs::fstatfs(&proc))?.f_type {
        rustix::fs::PROC_SUPER_MAGIC => Ok(proc),
        _ => Err("/proc is no procfs".to_owned()),
    }
}

fn keyring(id: &str, searchable: bool) -> Result<(), String> {
    let name = CString::new(format!("_ses.{id}")).map_err(|e| e.to_string())?;
    at("join", "the session keyring", stage::join_keyring(&name, searchable))
}

/// Makes the working directory, inside of the container.
fn make_folder(path: &str) -> Result<(), String> {
    match std::fs::create_dir_all(path) {
        Err(error) => Err(format!("mkdir {path}: {}", words(&error))),
        Ok(()) => Ok(()),
    }
}

fn reopen_null(root: &Root) -> Result<(), String> {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let nulls = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].map(is_null);
    if nulls.contains(&true) {
        let null = root.open_null()?;
        set_streams(&null, nulls)?;
    }
    Ok(())
}

fn set_streams(fd: &OwnedFd, which: [bool; 3]) -> Result<(), String> {
    if which[0] {
        at("set", "standard input", rustix::stdio::dup2_stdin(fd))?;
    }
    if which[1] {
        at("set", "standard output", rustix::stdio::dup2_stdout(fd))?;
    }
    if which[2] {
        at("set", "standard error", rustix::stdio::dup2_stderr(fd))?;
    }
    Ok(())
}

/// Gives the shim the controlling side of a terminal, and this process the other one.
fn take_terminal(
    control: &OwnedFd,
    process: &Process,
    master: &OwnedFd,
    peer: &OwnedFd,
) -> Result<(), String> {
    if let Some(size) = &process.console_size
        && size.height != 0
        && size.width != 0
    {
        let size =
            rustix::termios::Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
        at("size", "the terminal", rustix::termios::tcsetwinsize(master, size))?;
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [master.as_fd()];
    ancillary.push(SendAncillaryMessage::ScmRights(&fds));
    let text = [message::TERMINAL];
    at(
        "send",
        "the terminal",
        sendmsg(control, &[IoSlice::new(&text)], &mut ancillary, SendFlags::NOSIGNAL),
    )?;
    set_streams(peer, [true; 3])?;
    at("take", "the terminal", stage::set_controlling(peer))
}

/// The next word from the other side, if there is one.
fn word(from: &OwnedFd) -> Option<u8> {
    let mut word = [0_u8; 1];
    loop {
        match recv(from, &mut word[..], RecvFlags::empty()) {
            Ok((1.., _)) => return Some(word[0]),
            Err(rustix::io::Errno::INTR) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}

/// Waits until somebody comes to the door and says to go on. Others only look whether it is there.
fn knocked(door: &OwnedFd) -> Option<OwnedFd> {
    loop {
        match rustix::net::accept_with(door, rustix::net::SocketFlags::CLOEXEC) {
            Ok(connection) if word(&connection) == Some(message::GO) => return Some(connection),
            Ok(_) | Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
            Err(_) => return None,
        }
    }
}

/// Waits for the word to go on, and becomes the program.
fn finish(
    ends: Ends<'_>,
    request: &Request,
    becoming: &Becoming<'_>,
    program: &super::process::Program,
) -> i32 {
    let control = ends.control;
    stay(control, request, c"ready");
    tell(control, message::READY, b"");
    // It is closed when this is the program.
    let connection = match (word(control), ends.door) {
        (Some(message::GO), _) => None,
        (Some(message::WAIT), Some(door)) => match knocked(door) {
            Some(connection) => Some(connection),
            None => return FAILED,
        },
        // There is no shim any more.
        _ => return FAILED,
    };
    stay(connection.as_ref().unwrap_or(control), request, c"go");
    // Who is killed before this did not become its program.
    tell(connection.as_ref().unwrap_or(control), message::READY, b"");
    let error = becoming.execute(program);
    let _ = rustix::io::write(io::stderr().as_fd(), format!("{error}\n").as_bytes());
    FAILED
}

fn exec(
    alone: &Alone,
    control: &OwnedFd,
    request: &Request,
    becoming: &Becoming<'_>,
    first: &OwnedFd,
) -> Result<i32, String> {
    let open = |folder: &std::path::PathBuf| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(folder, flags, Mode::empty())
    };
    let cgroups: Vec<OwnedFd> = request.cgroups.iter().filter_map(|folder| open(folder).ok()).collect();
    if cgroups.is_empty() && !request.cgroups.is_empty() {
        return Err("the container's cgroup is gone".to_owned());
    }
    let mut kinds = ThreadNameSpaceType::empty();
    let mut later = ThreadNameSpaceType::empty();
    for namespace in &request.spec.linux.namespaces {
        kinds |= match namespace.kind.as_str() {
            "mount" => ThreadNameSpaceType::MOUNT,
            "pid" => ThreadNameSpaceType::PROCESS_ID,
            "ipc" => ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION,
            "uts" => ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME,
            "network" => ThreadNameSpaceType::NETWORK,
            // From a cgroup namespace that the own cgroup is not in, nobody gets into another cgroup (`nsdelegate`).
            "cgroup" => {
                later = ThreadNameSpaceType::CONTROL_GROUP;
                continue;
            }
            other => return Err(format!("cannot join a namespace {other}")),
        };
    }
    at("join", "the container's namespaces", move_into_thread_name_spaces(first.as_fd(), kinds))?;
    stay(control, request, c"joined");
    let mut made = stage::clone_into(alone, 0, cgroups.first());
    if let (Err(error), Some(second)) = (&made, cgroups.get(1))
        && error.raw_os_error() == Some(libc::EBUSY)
    {
        // The container has divided its cgroup: its first process shows where processes are.
        made = stage::clone_into(alone, 0, Some(second));
    }
    match at("make", "the process", made)? {
        0 => {
            drop(cgroups);
            let joined = match later.is_empty() {
                true => Ok(()),
                false => {
                    let joined = move_into_thread_name_spaces(first.as_fd(), later);
                    at("join", "the container's cgroup namespace", joined)
                }
            };
            Ok(become_other(control, request, becoming, joined))
        }
        pid => {
            stay(control, request, c"cloned");
            tell(control, message::PROCESS, pid.to_string().as_bytes());
            Ok(0)
        }
    }
}

fn become_other(
    control: &OwnedFd,
    request: &Request,
    becoming: &Becoming<'_>,
    joined: Result<(), String>,
) -> i32 {
    stay(control, request, c"born");
    match joined
        .and_then(|()| other(control, &request.id, becoming.process))
        .and_then(|()| becoming.prepare())
    {
        Ok(program) => finish(Ends { control, door: None }, request, becoming, &program),
        Err(error) => {
            tell(control, message::FAILED, error.as_bytes());
            FAILED
        }
    }
}

fn other(control: &OwnedFd, id: &str, process: &Process) -> Result<(), String> {
    at("begin", "a session", rustix::process::setsid())?;
    keyring(id, false)?;
    if process.terminal {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat2(CWD, "/dev/pts", flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        let terminals = at("open", "/dev/pts", opened)?;
        let (master, peer) = open_terminal(terminals.as_fd())?;
        take_terminal(control, process, &master, &peer)?;
    }
    Ok(())
}
