//! The shim's side of the stage: starts it, hears how far it is, and lets it go on.

use super::accept::Accepted;
use super::seccomp::{Filter, Kept};
use super::spec::Spec;
use super::{Request, STAGE, accept, message};
use crate::config::env;
use crate::shim::adapt::{self, Host};
use crate::shim::reaper::Reaper;
use crate::shim::runc::Stdio3;
use crate::sys::inherit::{keep_private, pass_on};
use crate::sys::poll::asynchronous;
use crate::sys::stage::{MountAttr, mount_setattr};
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::fs::{MemfdFlags, Mode, OFlags, memfd_create};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, SocketFlags, SocketType,
    recvmsg, send, socketpair,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, IoSliceMut, Write};
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The time for all that a stage does.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time for the last word of a stage that is over.
const LAST_WORD: Duration = Duration::from_secs(1);

/// The program of stages: our own, through a mount that nobody can write through.
#[derive(Debug)]
pub(in crate::shim) struct Stage {
    program: OwnedFd,
    rootless: bool,
    kept: Kept,
    reaper: Reaper,
}

/// A process that waits for the word to become its program.
#[derive(Debug)]
pub(in crate::shim) struct Waiting {
    pub(in crate::shim) pid: i32,
    pub(in crate::shim) terminal: Option<OwnedFd>,
    control: AsyncFd<OwnedFd>,
}

/// A container that the stage made.
#[derive(Debug)]
pub(in crate::shim) struct Ours {
    pub(super) made: Made,
    pub(super) id: String,
    /// Its first process, which this number means for ever.
    pub(super) first: OwnedFd,
}

/// What a container was made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::shim) struct Made {
    pub(super) spec: Spec,
    pub(super) filter: Option<Filter>,
}

/// What is done when the process has its namespaces, and its number is known.
pub(super) type Hook<'a> =
    Box<dyn FnOnce(i32) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>> + Send + 'a>;

/// What only the command line asks for.
#[derive(Default)]
pub(super) struct More<'a> {
    /// The socket at which the process listens for the word to start.
    pub(super) door: Option<OwnedFd>,
    pub(super) hook: Option<Hook<'a>>,
}

enum Word {
    Process(i32),
    Terminal(OwnedFd),
    Born,
    Ready,
    Failed(String),
    End,
}

impl Stage {
    /// Opens our own program so that it cannot be written (CVE-2019-5736): the mount is read-only, and in no namespace in
    /// which that could be changed.
    pub(in crate::shim) fn new(reaper: Reaper) -> io::Result<Self> {
        let own = rustix::fs::open("/proc/self/exe", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        let flags =
            OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
        let program = open_tree(&own, "", flags)?;
        let attr = MountAttr { set: super::mounts::RDONLY, ..MountAttr::default() };
        mount_setattr(&program, attr, false)?;
        Ok(Self { program, rootless: adapt::probe().rootless, kept: Kept::default(), reaper })
    }

    /// Whose a specification is: the stage's, as it reads it, or with the reason runc's.
    pub(in crate::shim) fn read(&self, spec: &Value, host: &Host) -> Result<Accepted, String> {
        accept::specification(spec, host, &self.kept)
    }

    /// Makes a container's first process; the error says why it is to be tried with runc.
    pub(in crate::shim) async fn create(
        &self,
        id: &str,
        bundle: &Path,
        accepted: Accepted,
        stdio: Stdio3,
    ) -> Result<(Waiting, Ours), String> {
        self.create_with(id, bundle, accepted, stdio, More::default()).await
    }

    /// The same, with more.
    pub(super) async fn create_with(
        &self,
        id: &str,
        bundle: &Path,
        accepted: Accepted,
        stdio: Stdio3,
        more: More<'_>,
    ) -> Result<(Waiting, Ours), String> {
        let Accepted { spec, filter } = accepted;
        let mut request = Request {
            id: id.to_owned(),
            spec,
            filter,
            exec: None,
            rootless: self.rootless,
            cgroups: Vec::new(),
            hooks: more.hook.is_some(),
            stays: stays(),
        };
        // A path of the bundle's.
        let root = bundle.join(&request.spec.root.path);
        request.spec.root.path = root.to_str().ok_or("the bundle's name")?.to_owned();
        let waiting = self.start(&request, more.door.as_ref(), stdio, more.hook).await?;
        let first = crate::sys::process::pin(waiting.pid).ok().flatten();
        match first {
            Some(first) => {
                let Request { spec, filter, .. } = request;
                Ok((waiting, Ours { made: Made { spec, filter }, id: id.to_owned(), first }))
            }
            None => Err("its process is gone".to_owned()),
        }
    }

    /// Makes one more process. `cgroups`: the container's, and where its first process is.
    pub(in crate::shim) async fn exec(
        &self,
        ours: &Ours,
        process: &Value,
        cgroups: Vec<PathBuf>,
        stdio: Stdio3,
    ) -> Result<Waiting, String> {
        let exec = Some(accept::added(process)?);
        let request = Request {
            id: ours.id.clone(),
            spec: ours.made.spec.clone(),
            filter: ours.made.filter.clone(),
            exec,
            rootless: self.rootless,
            cgroups,
            hooks: false,
            stays: stays(),
        };
        self.start(&request, Some(&ours.first), stdio, None).await
    }

    /// Starts the stage. `more`: the first process that an added one joins, or the door of a new one.
    async fn start(
        &self,
        request: &Request,
        more: Option<&OwnedFd>,
        stdio: Stdio3,
        mut hook: Option<Hook<'_>>,
    ) -> Result<Waiting, String> {
        let text = |error: io::Error| format!("cannot start the stage: {error}");
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(|e| text(e.into()))?;
        let words = memory(&serde_json::to_vec(request).map_err(|e| e.to_string())?).map_err(text)?;
        let control = asynchronous(ours).map_err(text)?;
        let mut passed = vec![&theirs, &words];
        passed.extend(more);
        let or_null = |fd: Option<OwnedFd>| fd.map_or_else(Stdio::null, Stdio::from);
        #[expect(clippy::disallowed_methods, reason = "the shim is the parent of its containers' processes")]
        let mut program = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        program
            .arg0("k3c")
            .arg(STAGE)
            .env_clear()
            .stdin(or_null(stdio.stdin))
            .stdout(or_null(stdio.stdout))
            .stderr(or_null(stdio.stderr));
        for fd in &passed {
            program.arg(pass_on(fd).map_err(text)?.to_string());
        }
        // Nothing else is executed meanwhile: we are one thread.
        let started = self.reaper.spawn(&mut program);
        if let Some(more) = more {
            keep_private(more).map_err(text)?;
        }
        let mut ended = started.map_err(text)?;
        drop((program, theirs, words));
        let mut waiting = Waiting { pid: 0, terminal: None, control };
        let ready = async {
            let (mut ready, mut over, mut born) = (false, false, false);
            while !ready || waiting.pid == 0 {
                let word = tokio::select! {
                    biased;
                    word = hear(&waiting.control) => word,
                    _ = &mut ended, if !over => { over = true; continue }
                    // What a stage that is over had to say is on its way, at most.
                    () = tokio::time::sleep(LAST_WORD), if over && waiting.pid == 0 => return Err("it ended early".to_owned()),
                };
                match word.map_err(text)? {
                    Word::Process(pid) => waiting.pid = pid,
                    Word::Terminal(terminal) => waiting.terminal = Some(terminal),
                    Word::Ready => ready = true,
                    Word::Born => born = true,
                    Word::Failed(why) => return Err(why),
                    Word::End => return Err("it ended without a word".to_owned()),
                }
                if born
                    && waiting.pid != 0
                    && let Some(hook) = hook.take()
                {
                    hook(waiting.pid).await?;
                    waiting.tell(message::GO).map_err(text)?;
                }
            }
            Ok(())
        };
        let outcome = tokio::time::timeout(PATIENCE, ready).await;
        match outcome.unwrap_or_else(|_| Err("it took too long".to_owned())) {
            Ok(()) => Ok(waiting),
            Err(why) => {
                if waiting.pid > 0 {
                    let end = self.reaper.watch(waiting.pid);
                    let _ = crate::shim::process::raw_kill(waiting.pid, 9);
                    let _ = tokio::time::timeout(PATIENCE, end).await;
                }
                Err(why)
            }
        }
    }
}

impl Waiting {
    /// Lets the process become its program, and waits until it has, or has ended.
    pub(in crate::shim) async fn go(&self) -> io::Result<()> {
        self.tell(message::GO)?;
        let mut goes = false;
        // The program closes its end; so does a process that is killed.
        loop {
            match hear(&self.control).await? {
                Word::End if goes => return Ok(()),
                Word::End => return Err(io::Error::other("it ended early")),
                Word::Failed(why) => return Err(io::Error::other(why)),
                Word::Ready => goes = true,
                Word::Process(_) | Word::Terminal(_) | Word::Born => {}
            }
        }
    }

    fn tell(&self, word: u8) -> io::Result<()> {
        send(self.control.get_ref(), &[word], SendFlags::NOSIGNAL)?;
        Ok(())
    }

    /// Leaves the process at its door, where whoever knocks says that it shall go on.
    pub(super) fn leave(self) -> io::Result<()> {
        self.tell(message::WAIT)
    }

    /// Takes a connection to a process's door for one that waits.
    pub(super) fn at_door(pid: i32, connection: OwnedFd) -> io::Result<Self> {
        Ok(Self { pid, terminal: None, control: asynchronous(connection)? })
    }
}

/// The point at which tests want a stage to stay.
fn stays() -> String {
    let file = std::env::var_os(env::TEST_OCI_STAYS).unwrap_or_default();
    std::fs::read_to_string(file).unwrap_or_default()
}

/// A file in memory.
fn memory(text: &[u8]) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(memfd_create("k3c-request", MemfdFlags::CLOEXEC)?);
    file.write_all(text)?;
    io::Seek::rewind(&mut file)?;
    Ok(file.into())
}

async fn hear(control: &AsyncFd<OwnedFd>) -> io::Result<Word> {
    control
        .async_io(Interest::READABLE, |control| {
            let mut text = vec![0_u8; message::LONGEST];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                control.as_fd(),
                &mut [IoSliceMut::new(&mut text)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            let length = match received {
                Ok(received) => received.bytes,
                Err(rustix::io::Errno::CONNRESET) => 0,
                Err(error) => return Err(error.into()),
            };
            let rest = || String::from_utf8_lossy(&text[1..length.max(1)]).into_owned();
            let unexpected = || io::Error::new(io::ErrorKind::InvalidData, "an unexpected word of the stage");
            if length == 0 {
                return Ok(Word::End);
            }
            match text[0] {
                message::PROCESS => rest().parse().map(Word::Process).map_err(|_| unexpected()),
                message::READY => Ok(Word::Ready),
                message::BORN => Ok(Word::Born),
                message::FAILED => Ok(Word::Failed(rest())),
                message::TERMINAL => ancillary
                    .drain()
                    .find_map(|message| match message {
                        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
                        _ => None,
                    })
                    .map(Word::Terminal)
                    .ok_or_else(unexpected),
                _ => Err(unexpected()),
            }
        })
        .await
}

/// Limits of a running container, changed in its cgroup. `resources` is OCI's.
pub(in crate::shim) fn update(cgroup: &Path, resources: &Value) -> Result<(), String> {
    let read = Deserialize::deserialize(resources).map_err(|e: serde_json::Error| e.to_string())?;
    let files = super::cgroup::files(&read)?;
    super::cgroup::apply(cgroup, &files).map_err(|e| e.to_string())
}

/// The folder of a specification's cgroup.
pub(in crate::shim) fn cgroup_folder(path: &str) -> Option<PathBuf> {
    super::cgroup::folder(path)
}
