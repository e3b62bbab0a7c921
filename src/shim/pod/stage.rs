//! The stage that becomes the keeper of a pod's namespaces: a sibling of it, in the namespaces, with nothing that a
//! container of the pod could use.

use super::settings;
use super::wanted::{Network, Range, Users, Wanted};
use crate::sys::inherit::take_number;
use crate::sys::link::loopback_up;
use crate::sys::netns;
use crate::sys::stage::{self, Alone};
use nix::fcntl::AtFlags;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::signal::Signal;
use nix::unistd::{execveat, setgroups, setresgid, setresuid};
use rustix::fd::{AsFd, OwnedFd};
use rustix::thread::{CapabilitySet, LinkNameSpaceType, move_into_link_name_space};
use std::ffi::{CStr, OsString};
use std::fmt::Display;
use std::io::{self, Read, Write};

/// The hidden stage, as the first argument.
pub const STAGE: &str = "__pod";

/// The exit code of a failure.
const FAILED: i32 = 255;

/// Where the empty root is mounted at first: a folder that each host has.
const PLACE: &str = "/proc";

fn at<T, E: Display>(what: &str, result: Result<T, E>) -> Result<T, String> {
    result.map_err(|error| format!("cannot {what}: {error}"))
}

/// Runs the stage. Standard input has the request, standard output takes `pid NUMBER` and `error WHY`; the argument is
/// the number of the descriptor of the program to become.
pub fn run(args: &[OsString]) -> i32 {
    let program = args.first().and_then(|a| a.to_str()?.parse().ok()).and_then(take_number);
    let Some(program) = program else { return FAILED };
    match prepare(&program) {
        Ok(code) => code,
        Err(why) => {
            let _ = writeln!(io::stdout(), "error {why}");
            FAILED
        }
    }
}

/// Answers the exit code, also in the process that it makes, when that could not become its program.
fn prepare(program: &OwnedFd) -> Result<i32, String> {
    at("close descriptors", stage::close_on_exec())?;
    at("reset signals", stage::reset_signals())?;
    let mut text = Vec::new();
    at("read the request", io::stdin().lock().read_to_end(&mut text))?;
    let wanted: Wanted = serde_json::from_slice(&text).map_err(|e| e.to_string())?;
    let alone = at("begin", Alone::check())?;
    let network = match &wanted.network {
        Network::At(path) => Some(at(&format!("open {}", path.display()), std::fs::File::open(path))?),
        Network::Hosts | Network::Alone => None,
    };
    let mut flags = libc::CLONE_PARENT | libc::CLONE_NEWNS;
    for (own, flag) in [
        (wanted.network == Network::Alone, libc::CLONE_NEWNET),
        (wanted.ipc, libc::CLONE_NEWIPC),
        (wanted.uts, libc::CLONE_NEWUTS),
        (wanted.pid, libc::CLONE_NEWPID),
    ] {
        flags |= if own { flag } else { 0 };
    }
    match (&wanted.users, &network) {
        (None, _) => {}
        // CRI made the network in the pod's user namespace.
        (Some(_), Some(network)) => {
            let owner = at("find the pod's user namespace", netns::owner(network))?;
            let joined = move_into_link_name_space(owner.as_fd(), Some(LinkNameSpaceType::User));
            at("join the pod's user namespace", joined)?;
        }
        (Some(_), None) => flags |= libc::CLONE_NEWUSER,
    }
    if let Some(network) = network {
        at("join the network namespace", netns::enter(&network))?;
    }
    let (mapped, map) = at("make a pipe", io::pipe())?;
    let flags = u64::from(flags.cast_unsigned());
    match at("make the process", stage::clone_into(&alone, flags, None))? {
        0 => {
            drop(map);
            become_keeper(&wanted, mapped, program)
        }
        pid => {
            let _ = writeln!(io::stdout(), "pid {pid}");
            if let (Some(users), Network::Hosts | Network::Alone) = (&wanted.users, &wanted.network) {
                write_maps(pid, users)?;
            }
            let mut map = map;
            at("go on", map.write_all(b"m")).map(|()| 0)
        }
    }
}

fn write_maps(pid: i32, users: &Users) -> Result<(), String> {
    for (file, ranges) in [("uid_map", &users.uids), ("gid_map", &users.gids)] {
        let line = |r: &Range| format!("{} {} {}\n", r.inside, r.outside, r.length);
        let text: String = ranges.iter().map(line).collect();
        at("map the pod's users", std::fs::write(format!("/proc/{pid}/{file}"), text))?;
    }
    Ok(())
}

fn become_keeper(wanted: &Wanted, mut mapped: io::PipeReader, program: &OwnedFd) -> Result<i32, String> {
    let mut word = [0];
    at("be mapped", mapped.read_exact(&mut word))?;
    drop(mapped);
    at("begin a session", rustix::process::setsid())?;
    if wanted.users.is_some() {
        let root = 0.into();
        at("leave all groups", setgroups(&[]))?;
        at("become root's group", setresgid(root, root, root))?;
        let root = 0.into();
        at("become root", setresuid(root, root, root))?;
    }
    inside(wanted)?;
    empty_root()?;
    at("die with the shim", nix::sys::prctl::set_pdeathsig(Signal::SIGKILL))?;
    at("give up privileges", nix::sys::prctl::set_no_new_privs())?;
    give_up_capabilities()?;
    // The shim may have died before it could take this process along.
    let mut out = io::stdout();
    at("say that it is ready", writeln!(out, "ready"))?;
    let told = at("keep standard output", rustix::io::fcntl_dupfd_cloexec(out.as_fd(), 3))?;
    let null = io::stderr();
    at("leave standard input", rustix::stdio::dup2_stdin(&null))?;
    at("leave standard output", rustix::stdio::dup2_stdout(&null))?;
    let none: [&CStr; 0] = [];
    let Err(error) = execveat(program, c"", &[c"k3c-reaper"], &none, AtFlags::AT_EMPTY_PATH);
    let why = format!("error cannot execute the keeper of the pod's namespaces: {error}\n");
    let _ = rustix::io::write(&told, why.as_bytes());
    Ok(FAILED)
}

/// Leaves nothing that a program could get, whoever executes it.
fn give_up_capabilities() -> Result<(), String> {
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match rustix::thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // The kernel has no more.
            Err(rustix::io::Errno::INVAL) => break,
            Err(error) => return at("give up capabilities", Err(error)),
        }
    }
    Ok(())
}

/// Sets up the namespaces that were made.
pub(super) fn inside(wanted: &Wanted) -> Result<(), String> {
    if wanted.network == Network::Alone {
        at("bring the loopback device up", loopback_up())?;
    }
    name(wanted)?;
    settings::write(wanted)
}

/// Sets the host name and the domain name.
fn name(wanted: &Wanted) -> Result<(), String> {
    if !wanted.hostname.is_empty() {
        at("set the host name", rustix::system::sethostname(wanted.hostname.as_bytes()))?;
    }
    if !wanted.domainname.is_empty() {
        at("set the domain name", rustix::system::setdomainname(wanted.domainname.as_bytes()))?;
    }
    Ok(())
}

/// Leaves the host's files for an empty folder that nobody can write.
fn empty_root() -> Result<(), String> {
    let none = None::<&str>;
    at("detach from the host's mounts", mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_SLAVE, none))?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let options = Some("mode=555,size=4k");
    at("mount an empty root", mount(Some("tmpfs"), PLACE, Some("tmpfs"), flags, options))?;
    at("enter the empty root", rustix::process::chdir(PLACE))?;
    at("pivot to the empty root", rustix::process::pivot_root(".", "."))?;
    // The old root lies over the new one now (pivot_root(2)).
    at("leave the host's root", umount2(".", MntFlags::MNT_DETACH))?;
    at("enter the empty root", rustix::process::chdir("/"))?;
    let again = flags | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    at("close the empty root", mount(none, "/", none, again, none))
}
