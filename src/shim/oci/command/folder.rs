//! What is kept of a container between two commands: a folder below the root, locked by who changes it.

use super::hooks::Hooks;
use super::{Refusal, at};
use crate::config::env;
use crate::shim::oci::client::{Made, Ours, Waiting};
use crate::sys::process;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

const STATE: &str = "state.json";
const MADE: &str = "made.json";
const DOOR: &str = "door";

/// The place of states when none is named.
pub(super) fn usual_root() -> PathBuf {
    match std::env::var_os(env::XDG_RUNTIME_DIR).filter(|_| process::in_user_namespace()) {
        Some(dir) => PathBuf::from(dir).join(super::NAME),
        None => Path::new("/run").join(super::NAME),
    }
}

/// Stages of a container's life, by OCI's names and runc's one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Status {
    Created,
    Running,
    Paused,
    Stopped,
}

impl Status {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container as its folder says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) pid: i32,
    /// The time of its first process's start, which tells it from a later one of that number.
    pub(super) start: u64,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    pub(super) created: String,
    pub(super) annotations: BTreeMap<String, String>,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) hooks: Hooks,
}

impl Record {
    fn lives(&self) -> bool {
        self.pid > 0
            && process::start_time(self.pid).is_ok_and(|now| now == self.start)
            && !process::is_zombie(self.pid)
    }

    /// A descriptor of the first process, if that lives.
    pub(super) fn pin(&self) -> Option<OwnedFd> {
        let pinned = process::pin(self.pid).ok().flatten()?;
        // Asked afterwards: that number cannot come round any more.
        self.lives().then_some(pinned)
    }
}

/// A container's folder.
pub(super) struct Folder {
    path: PathBuf,
    folder: File,
}

/// Refuses what is no name for a folder.
fn check(id: &str) -> Result<(), Refusal> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"_+-.".contains(&b);
    match !id.is_empty() && id.bytes().all(good) && ![".", ".."].contains(&id) {
        true => Ok(()),
        false => Err(Refusal::Said("invalid container ID format".to_owned())),
    }
}

impl Folder {
    /// Makes the folder of a new container, and locks it.
    pub(super) fn make(root: &Path, id: &str) -> Result<Self, Refusal> {
        check(id)?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(at("make", root))?;
        let path = root.join(id);
        match fs::DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(Refusal::Exists),
            made => made.map_err(at("make", &path))?,
        }
        Self::open(root, id)
    }

    /// The folder of a container, once nobody else has it.
    pub(super) fn open(root: &Path, id: &str) -> Result<Self, Refusal> {
        let found = Self::look(root, id)?;
        found.folder.lock().map_err(at("lock", &found.path))?;
        match fs::metadata(&found.path) {
            // It was deleted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Refusal::Missing),
            _ => Ok(found),
        }
    }

    /// The folder of a container, whoever has it.
    pub(super) fn look(root: &Path, id: &str) -> Result<Self, Refusal> {
        check(id)?;
        let path = root.join(id);
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Refusal::Missing),
            opened => Ok(Self { folder: opened.map_err(at("open", &path))?, path }),
        }
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T, Refusal> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Refusal::Missing),
            text => serde_json::from_slice(&text.map_err(at("read", &path))?)
                .map_err(|e| at("read", &path)(e.into())),
        }
    }

    fn write(&self, name: &str, what: &impl Serialize) -> Result<(), Refusal> {
        let (path, new) = (self.path.join(name), self.path.join("new"));
        let text = serde_json::to_vec(what).map_err(|e| at("write", &path)(e.into()))?;
        fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(at("write", &path))
    }

    pub(super) fn record(&self) -> Result<Record, Refusal> {
        self.read(STATE)
    }

    pub(super) fn keep(&self, record: &Record) -> Result<(), Refusal> {
        self.write(STATE, record)
    }

    /// Keeps what the container was made from.
    pub(super) fn keep_made(&self, made: &Made) -> Result<(), Refusal> {
        self.write(MADE, made)
    }

    /// A container that lives, for one more process.
    pub(super) fn ours(&self, record: &Record) -> Result<Ours, Refusal> {
        let made = self.read(MADE)?;
        let first = record.pin().ok_or(Refusal::NotRunning)?;
        Ok(Ours { made, id: record.id.clone(), first })
    }

    /// The name of its door, which is short, however long the folder's is.
    fn door_name(&self) -> io::Result<SocketAddrUnix> {
        Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/{DOOR}", self.folder.as_raw_fd()))?)
    }

    /// Makes the door.
    pub(super) fn door(&self) -> Result<OwnedFd, Refusal> {
        let made = || -> io::Result<OwnedFd> {
            let flags = SocketFlags::CLOEXEC;
            let door = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
            bind(&door, &self.door_name()?)?;
            listen(&door, 16)?;
            Ok(door)
        };
        made().map_err(at("make", self.path.join(DOOR)))
    }

    /// Goes to the door; nobody is there when the container was started, or has ended.
    fn knock(&self) -> io::Result<Option<OwnedFd>> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let knocking = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        match connect(&knocking, &self.door_name()?) {
            Ok(()) => Ok(Some(knocking)),
            Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The first process, if it waits at its door.
    pub(super) fn waiting(&self, record: &Record) -> Result<Option<Waiting>, Refusal> {
        let path = self.path.join(DOOR);
        let Some(connection) = self.knock().map_err(at("open", &path))? else { return Ok(None) };
        Waiting::at_door(record.pid, connection).map(Some).map_err(at("open", &path))
    }

    pub(super) fn status(&self, record: &Record) -> Status {
        let frozen = |cgroup: &PathBuf| {
            fs::read_to_string(cgroup.join("cgroup.freeze")).is_ok_and(|text| text.trim() == "1")
        };
        if !record.lives() {
            Status::Stopped
        } else if record.cgroup.as_ref().is_some_and(frozen) {
            Status::Paused
        } else if self.knock().map_or(true, |found| found.is_some()) {
            // A queue that is full is one of a process that waits, too.
            Status::Created
        } else {
            Status::Running
        }
    }

    pub(super) fn remove(self) -> Result<(), Refusal> {
        fs::remove_dir_all(&self.path).map_err(at("remove", &self.path))
    }
}

/// IDs of all containers.
pub(super) fn all(root: &Path) -> Vec<String> {
    let folders = fs::read_dir(root).into_iter().flatten().flatten();
    let mut all: Vec<String> = folders.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    all.sort();
    all
}
