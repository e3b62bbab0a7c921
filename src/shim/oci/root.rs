//! A container's view of files: what it sees is opened while the host's files can be named, then the root is exchanged, and
//! only then is everything put into its place, so that no link in an image or a volume can lead out of the container.

use super::mounts::{Kind, Plan, RDONLY};
use super::process::is_null;
use super::spec::{self, Spec};
use crate::sys::stage::{MountAttr, mount_setattr};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Uid, fstat, mkdirat, openat, openat2,
};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};
use std::io;
use std::path::Path;

/// Devices that every container has (OCI runtime specification, config-linux.md).
const DEVICES: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

/// A device of a container's.
enum Device {
    /// The host's node, to be bound: nobody can make one in a user namespace.
    Bound(OwnedFd),
    /// A node to make.
    Made(Node),
}

/// A node to make (mknod(2)), and whose it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Node {
    kind: FileType,
    mode: u32,
    number: u64,
    owner: (u32, u32),
}

/// Reads what root makes a node of. The error says what is not done here.
pub(super) fn node(device: &spec::Device) -> Result<Node, String> {
    let refuse = || format!("device {}", device.path);
    let kind = match device.kind.as_str() {
        "c" | "u" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        _ => return Err(refuse()),
    };
    // CRI's modes have the type, too.
    let mode = device.file_mode.unwrap_or(0o666) & !0o170_000;
    if mode & !0o777 != 0 {
        return Err(refuse());
    }
    let part = |number: i64| u32::try_from(number).map_err(|_| refuse());
    let number = rustix::fs::makedev(part(device.major)?, part(device.minor)?);
    Ok(Node { kind, mode, number, owner: (device.uid.unwrap_or(0), device.gid.unwrap_or(0)) })
}

/// A step that failed, and on what.
pub(super) fn at<T, E: Into<io::Error>>(what: &str, path: &str, outcome: Result<T, E>) -> Result<T, String> {
    outcome.map_err(|error| format!("{what} {path}: {}", error.into()))
}

/// Everything that was opened before the root was exchanged.
pub(super) struct Sources {
    plans: Vec<(Plan, Option<OwnedFd>)>,
    /// Devices, the null device first.
    devices: Vec<(String, Device)>,
}

/// The new root, from inside.
pub(super) struct Root {
    fd: OwnedFd,
    /// The null device as it is mounted in the container.
    null: Option<OwnedFd>,
    /// The pseudo-terminals of the container.
    terminals: Option<OwnedFd>,
    /// Mounts that become read-only when all is in place.
    late: Vec<OwnedFd>,
}

fn clone(path: &str, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, path, flags)
}

/// A second mount of what is mounted or found at a descriptor.
fn again(fd: impl AsFd, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(fd, "", flags)
}

fn put(from: impl AsFd, to: impl AsFd) -> rustix::io::Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(from, "", to, "", flags)
}

/// A fresh file system, not yet in any place.
fn fresh(plan: &Plan, data: &[(String, String)]) -> rustix::io::Result<OwnedFd> {
    let context = fsopen(plan.kind.name(), FsOpenFlags::FSOPEN_CLOEXEC)?;
    if !plan.source.is_empty() {
        fsconfig_set_string(context.as_fd(), "source", plan.source.as_str())?;
    }
    // As with mount(2), the file system itself is read-only, not only the mount.
    if plan.read_only() && plan.kind != Kind::Tmpfs {
        fsconfig_set_flag(context.as_fd(), "ro")?;
    }
    for flag in &plan.flags {
        fsconfig_set_flag(context.as_fd(), flag.as_str())?;
    }
    for (key, value) in data {
        fsconfig_set_string(context.as_fd(), key.as_str(), value.as_str())?;
    }
    fsconfig_create(context.as_fd())?;
    let mut attr = plan.set;
    if plan.kind == Kind::Tmpfs {
        attr &= !RDONLY;
    }
    let attr = MountAttrFlags::from_bits_retain(u32::try_from(attr).unwrap_or(0));
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attr)
}

impl Sources {
    /// Opens all sources, as the host names them, in the container's namespaces.
    pub(super) fn open(spec: &Spec, plans: Vec<Plan>, rootless: bool) -> Result<Self, String> {
        let mut opened = Vec::new();
        for plan in plans {
            let source = match plan.kind {
                Kind::Bind { recursive } => at("open", &plan.source, bind(&plan, recursive))?,
                // Its mode is that of the folder that it covers.
                Kind::Tmpfs if !plan.has_mode() => {
                    opened.push((plan, None));
                    continue;
                }
                // The kernel lets a user namespace have /proc and /sys only where it sees them whole, which is here. All are
                // made here, because mounts are listed in the order in which they were made.
                _ => at("mount", &plan.target, fresh(&plan, &plan.data))?,
            };
            opened.push((plan, Some(source)));
        }
        let devices = if rootless { bound(spec)? } else { made(spec)? };
        Ok(Self { plans: opened, devices })
    }
}

/// The host's nodes.
fn bound(spec: &Spec) -> Result<Vec<(String, Device)>, String> {
    let more = spec.linux.devices.iter().map(|device| device.path.as_str());
    let mut all: Vec<(String, Device)> = Vec::new();
    for path in DEVICES.into_iter().map(|(path, ..)| path).chain(more) {
        if path == "/dev/ptmx" || all.iter().any(|(known, _)| known == path) {
            continue;
        }
        let device = at("open", path, clone(path, false))?;
        if path == "/dev/null" && !is_null(device.as_fd()) {
            return Err("/dev/null is not the null device".to_owned());
        }
        all.push((path.to_owned(), Device::Bound(device)));
    }
    Ok(all)
}

/// The nodes to make. One of the specification's takes the place of a usual one.
fn made(spec: &Spec) -> Result<Vec<(String, Device)>, String> {
    let mut all: Vec<(String, Device)> = Vec::new();
    for (path, major, minor) in DEVICES {
        if !spec.linux.devices.iter().any(|device| device.path == path) {
            let number = rustix::fs::makedev(major, minor);
            let node = Node { kind: FileType::CharacterDevice, mode: 0o666, number, owner: (0, 0) };
            all.push((path.to_owned(), Device::Made(node)));
        }
    }
    for device in spec.linux.devices.iter().filter(|device| device.path != "/dev/ptmx") {
        all.push((device.path.clone(), Device::Made(node(device)?)));
    }
    Ok(all)
}

fn bind(plan: &Plan, recursive: bool) -> rustix::io::Result<OwnedFd> {
    let tree = clone(&plan.source, recursive)?;
    let attr = MountAttr { set: plan.set, clear: plan.clear, ..MountAttr::default() };
    let changed = |attr, recursive| {
        mount_setattr(&tree, attr, recursive)
            .map_err(|e| e.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
    };
    if attr.set | attr.clear != 0 {
        changed(attr, false)?;
    }
    if plan.all_read_only {
        changed(MountAttr { set: RDONLY, ..MountAttr::default() }, true)?;
    }
    if let Some(all) = plan.private {
        changed(MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() }, all)?;
    }
    Ok(tree)
}

/// Exchanges the root. `rootfs` is a folder of the host's.
pub(super) fn pivot(rootfs: &Path) -> Result<OwnedFd, String> {
    let name = rootfs.display().to_string();
    let tree = at("open", &name, clone(&name, true))?;
    at("mount", &name, move_mount(&tree, "", CWD, rootfs, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH))?;
    at("enter", &name, rustix::process::fchdir(&tree))?;
    at("pivot to", &name, rustix::process::pivot_root(".", "."))?;
    // The old root lies over the new one now (pivot_root(2)).
    at("leave", "the host's root", umount2(".", MntFlags::MNT_DETACH))?;
    at("enter", "/", rustix::process::chdir("/"))?;
    Ok(tree)
}

/// Keeps what is mounted here from the host.
pub(super) fn detach_propagation() -> Result<(), String> {
    let flags = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    at("detach", "/", mount(None::<&str>, "/", None::<&str>, flags, None::<&str>))
}

impl Root {
    /// Puts everything into its place.
    pub(super) fn fill(fd: OwnedFd, sources: Sources) -> Result<Self, String> {
        let mut root = Self { fd, null: None, terminals: None, late: Vec::new() };
        for (plan, source) in sources.plans {
            root.place(&plan, source)?;
        }
        for (path, device) in sources.devices {
            root.place_device(&path, device)?;
        }
        root.links()?;
        Ok(root)
    }

    fn look(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.fd, path, flags | OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// The folder at `path`, made with those above it where there is none.
    fn folder(&self, path: &str) -> Result<OwnedFd, String> {
        let mut so_far = String::new();
        let mut above = at("open", "/", self.look("/", OFlags::DIRECTORY))?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            so_far.push('/');
            so_far.push_str(part);
            above = match self.look(&so_far, OFlags::DIRECTORY) {
                Err(Errno::NOENT) => {
                    at("make", &so_far, mkdirat(&above, part, Mode::from_raw_mode(0o755)))?;
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                    at("open", &so_far, openat(&above, part, flags, Mode::empty()))?
                }
                found => at("open", &so_far, found)?,
            };
        }
        Ok(above)
    }

    /// An empty file at `path`, which is not there.
    fn file(&self, path: &str, mode: u32) -> Result<OwnedFd, String> {
        let (above, name) = path.rsplit_once('/').ok_or("no path")?;
        let above = self.folder(above)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
        at("make", path, openat(&above, name, flags, Mode::from_raw_mode(mode)))
    }

    fn place(&mut self, plan: &Plan, source: Option<OwnedFd>) -> Result<(), String> {
        let place = plan.target.as_str();
        let found = match plan.kind {
            // An image must not lead these elsewhere, not even inside (CVE-2019-19921).
            Kind::Proc | Kind::Sysfs => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
                openat2(&self.fd, place, flags, Mode::empty(), resolve)
            }
            _ => self.look(place, OFlags::empty()),
        };
        let (to, mode) = match found {
            Ok(found) => {
                let stat = at("look at", place, fstat(&found))?;
                // A link of a volume's may lead here, where only the kernel's files belong (CVE-2019-16884).
                if at("look at", place, rustix::fs::fstatfs(&found))?.f_type == rustix::fs::PROC_SUPER_MAGIC {
                    return Err(format!("{place} is inside of /proc"));
                }
                (found, Some(stat.st_mode & 0o7777))
            }
            Err(Errno::NOENT) => {
                let is_file = source.as_ref().is_some_and(|source| {
                    fstat(source).is_ok_and(|s| FileType::from_raw_mode(s.st_mode) != FileType::Directory)
                });
                let made = if is_file { self.file(place, 0o644)? } else { self.folder(place)? };
                (made, None)
            }
            Err(error) => return at("open", place, Err(error)),
        };
        let mounted = match source {
            Some(source) => source,
            None => {
                let mut data = plan.data.clone();
                data.extend(mode.map(|mode| ("mode".to_owned(), format!("{mode:04o}"))));
                at("mount", place, fresh(plan, &data))?
            }
        };
        at("mount at", place, put(&mounted, &to))?;
        match plan.kind {
            Kind::Devpts => self.terminals = Some(mounted),
            Kind::Tmpfs if plan.read_only() => self.late.push(mounted),
            _ => {}
        }
        Ok(())
    }

    fn place_device(&mut self, path: &str, device: Device) -> Result<(), String> {
        let device = match device {
            Device::Made(node) => {
                let made = self.make(path, &node)?;
                if path == "/dev/null" && is_null(made.as_fd()) {
                    self.null = Some(made);
                }
                return Ok(());
            }
            Device::Bound(device) => device,
        };
        let to = match self.file(path, 0) {
            Ok(made) => made,
            // runc binds over what is there, if it is a file.
            Err(_) => at("open", path, self.look(path, OFlags::NOFOLLOW))?,
        };
        at("mount at", path, put(&device, to))?;
        if path == "/dev/null" {
            self.null = Some(device);
        }
        Ok(())
    }

    /// Makes a node. What is there already stays, as with runc.
    fn make(&self, path: &str, node: &Node) -> Result<OwnedFd, String> {
        let (above, name) = path.rsplit_once('/').ok_or("no path")?;
        let above = self.folder(above)?;
        let mask = rustix::process::umask(Mode::empty());
        let made = rustix::fs::mknodat(&above, name, node.kind, Mode::from_raw_mode(node.mode), node.number);
        rustix::process::umask(mask);
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || at("open", path, openat(&above, name, flags, Mode::empty()));
        match made {
            Err(Errno::EXIST) => return open(),
            made => at("make", path, made)?,
        }
        let fd = open()?;
        let found = at("look at", path, fstat(&fd))?;
        if FileType::from_raw_mode(found.st_mode) != node.kind || found.st_rdev != node.number {
            return Err(format!("{path} was exchanged"));
        }
        let (uid, gid) = (Uid::from_raw(node.owner.0), Gid::from_raw(node.owner.1));
        at("own", path, rustix::fs::chownat(&fd, "", Some(uid), Some(gid), AtFlags::EMPTY_PATH))?;
        Ok(fd)
    }

    fn links(&self) -> Result<(), String> {
        let dev = at("open", "/dev", self.look("/dev", OFlags::DIRECTORY))?;
        let mut links = vec![
            ("fd", "/proc/self/fd"),
            ("stdin", "/proc/self/fd/0"),
            ("stdout", "/proc/self/fd/1"),
            ("stderr", "/proc/self/fd/2"),
        ];
        if self.look("/proc/kcore", OFlags::NOFOLLOW).is_ok() {
            links.push(("core", "/proc/kcore"));
        }
        let _ = rustix::fs::unlinkat(&dev, "ptmx", rustix::fs::AtFlags::empty());
        links.push(("ptmx", "pts/ptmx"));
        for (name, to) in links {
            match rustix::fs::symlinkat(to, &dev, name) {
                Err(Errno::EXIST) => {}
                other => at("link", name, other)?,
            }
        }
        Ok(())
    }

    /// The null device, opened for reading and writing, for streams that have nothing else.
    pub(super) fn open_null(&self) -> Result<OwnedFd, String> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let null = at("open", "/dev/null", openat2(&self.fd, "/dev/null", flags, Mode::empty(), resolve))?;
        if is_null(null.as_fd()) { Ok(null) } else { Err("/dev/null is not the null device".to_owned()) }
    }

    /// Makes a terminal: its controlling side, and the process's, which is also at /dev/console.
    pub(super) fn terminal(&self) -> Result<(OwnedFd, OwnedFd), String> {
        let terminals = self.terminals.as_ref().ok_or("a terminal without /dev/pts")?;
        let (master, peer) = open_terminal(terminals.as_fd())?;
        let to = match self.file("/dev/console", 0o666) {
            Ok(made) => made,
            Err(_) => at("open", "/dev/console", self.look("/dev/console", OFlags::NOFOLLOW))?,
        };
        let mounted = at("mount", "/dev/console", again(&peer, false))?;
        at("mount at", "/dev/console", put(mounted, to))?;
        Ok((master, peer))
    }

    /// Makes read-only what shall be, and masks what shall not be seen.
    pub(super) fn close(&mut self, spec: &Spec) -> Result<(), String> {
        let read_only = MountAttr { set: RDONLY, ..MountAttr::default() };
        for mounted in self.late.drain(..) {
            at("protect", "a mount", mount_setattr(&mounted, read_only, false))?;
        }
        if spec.root.readonly {
            at("protect", "/", mount_setattr(&self.fd, read_only, false))?;
        }
        for path in &spec.linux.readonly_paths {
            let Some(found) = self.existing(path)? else { continue };
            let tree = at("open", path, again(&found, true))?;
            at("protect", path, mount_setattr(&tree, read_only, false))?;
            at("mount at", path, put(&tree, &found))?;
        }
        let mut empty: Option<OwnedFd> = None;
        let mut masked: Vec<&str> = Vec::new();
        for path in &spec.linux.masked_paths {
            if masked.contains(&path.as_str()) {
                continue;
            }
            let Some(found) = self.existing(path)? else { continue };
            masked.push(path);
            let stat = at("look at", path, fstat(&found))?;
            let mask = match (FileType::from_raw_mode(stat.st_mode), &empty) {
                (FileType::Directory, Some(empty)) => at("mask", path, again(empty, false))?,
                (FileType::Directory, None) => at("mask", path, nothing())?,
                _ => at("mask", path, again(self.null.as_ref().ok_or("no null device")?, false))?,
            };
            at("mask", path, put(&mask, &found))?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory && empty.is_none() {
                empty = Some(mask);
            }
        }
        Ok(())
    }

    fn existing(&self, path: &str) -> Result<Option<OwnedFd>, String> {
        match self.look(path, OFlags::empty()) {
            Err(Errno::NOENT) => Ok(None),
            found => at("open", path, found).map(Some),
        }
    }
}

/// An empty folder that nobody can write.
fn nothing() -> rustix::io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(context.as_fd(), "source", "tmpfs")?;
    fsconfig_set_string(context.as_fd(), "nr_blocks", "1")?;
    fsconfig_set_string(context.as_fd(), "nr_inodes", "1")?;
    fsconfig_set_flag(context.as_fd(), "ro")?;
    fsconfig_create(context.as_fd())?;
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_RDONLY)
}

/// A terminal of the pseudo-terminals whose root is open. Whoever could have put something else there is found out
/// (CVE-2025-52565).
pub(super) fn open_terminal(terminals: BorrowedFd<'_>) -> Result<(OwnedFd, OwnedFd), String> {
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
    let path = "/dev/pts/ptmx";
    // Opened as a path first: to open a device may do something.
    let node =
        at("open", path, openat2(terminals, "ptmx", OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve))?;
    let kind = at("look at", path, fstat(&node))?;
    let magic = at("look at", path, rustix::fs::fstatfs(&node))?.f_type;
    if magic != DEVPTS || kind.st_rdev != rustix::fs::makedev(5, 2) {
        return Err(format!("{path} makes no terminals"));
    }
    let master = at("open", path, openat2(terminals, "ptmx", flags, Mode::empty(), resolve))?;
    let peer = at("open", "a terminal", crate::sys::stage::open_peer(&master))?;
    Ok((master, peer))
}

/// `DEVPTS_SUPER_MAGIC`
const DEVPTS: rustix::fs::FsWord = 0x1cd1;
