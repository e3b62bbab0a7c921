//! The start of a shim by containerd (docs/runtime-v2.md): `start` says where the pod's shim listens and starts it when
//! there is none, `delete` tidies up after one that died, `-info` says what the runtime can do.

use super::pod::Sandbox;
use super::publisher::Publisher;
use super::reaper::Reaper;
use super::runc::{self, Runc};
use super::service::Service;
use super::{Shared, attach, delete, log, oci};
use crate::config::{OciRuntime, env};
use crate::model::attach::socket_name;
use crate::sys::stage::{self, Alone};
use containerd_shim_protos::TASK_API_VERSION;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::sandbox_async::create_sandbox;
use containerd_shim_protos::shim_async::create_task;
use containerd_shim_protos::ttrpc::asynchronous::Server;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use containerd_shim_protos::types::introspection::RuntimeInfo;
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The names under which the shim is executed: our own runtime's, and the one that other clients ask for.
pub const NAMES: [&str; 2] = ["containerd-shim-k3c-v1", "containerd-shim-runc-v2"];
/// The name of the runtime in containerd.
pub(super) const RUNTIME_TYPE: &str = "io.containerd.k3c.v1";
/// The time after which a shim without containers looks whether anybody knows of it still.
const LOOK: Duration = Duration::from_secs(5);
/// The pod that a container belongs to, in CRI's specifications.
pub(super) const SANDBOX: &str = "io.kubernetes.cri.sandbox-id";

/// Whether this process was executed as the shim.
pub fn is_named(program: &OsStr) -> bool {
    Path::new(program).file_name().is_some_and(|name| NAMES.iter().any(|n| name == *n))
}

#[derive(Debug, Default)]
pub(super) struct Flags {
    pub(super) namespace: String,
    pub(super) id: String,
    pub(super) bundle: String,
    pub(super) info: bool,
    pub(super) version: bool,
    pub(super) action: String,
}

/// Reads Go's flags: one hyphen or two, the value after `=` or as the next word.
fn flags(args: &[OsString]) -> Flags {
    let mut flags = Flags::default();
    let mut args = args.iter().map(|a| a.to_string_lossy().into_owned());
    while let Some(arg) = args.next() {
        let Some(name) = arg.strip_prefix('-') else {
            flags.action = arg;
            continue;
        };
        let name = name.strip_prefix('-').unwrap_or(name);
        let (name, value) = name.split_once('=').map_or((name, None), |(n, v)| (n, Some(v.to_owned())));
        match name {
            "info" => flags.info = true,
            "v" | "version" => flags.version = true,
            "debug" => {}
            _ => {
                let value = value.or_else(|| args.next()).unwrap_or_default();
                match name {
                    "namespace" => flags.namespace = value,
                    "id" => flags.id = value,
                    "bundle" => flags.bundle = value,
                    _ => {}
                }
            }
        }
    }
    flags
}

/// Runs the stage; answers its exit code.
pub fn run(args: &[OsString]) -> i32 {
    let flags = flags(args);
    let outcome = match flags.action.as_str() {
        _ if flags.info => info(),
        _ if flags.version => {
            let text = format!("containerd-shim-k3c-v1:\n  Version: {}\n", env!("CARGO_PKG_VERSION"));
            io::stdout().write_all(text.as_bytes())
        }
        "start" => start(&flags),
        "delete" => delete::delete(&flags),
        other => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("unknown action {other:?}"))),
    };
    match outcome {
        Ok(()) => 0,
        Err(error) => {
            log(&error.to_string());
            1
        }
    }
}

/// The folder of sockets and of runc's states.
pub(super) fn directory() -> io::Result<PathBuf> {
    let dir = std::env::var_os(env::SHIM_DIR).map_or_else(|| "/run/k3c/shim".into(), PathBuf::from);
    std::fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// The folder of runc's states for a namespace: containers of two namespaces may have one ID.
pub(super) fn runc_root(dir: &Path, namespace: &str) -> PathBuf {
    dir.join("runc").join(namespace)
}

/// The socket at which a pod's shim serves containerd.
pub(super) fn task_socket(dir: &Path, namespace: &str, group: &str) -> PathBuf {
    let name = format!("{:x}", Sha256::digest(format!("{namespace}/{group}")));
    dir.join(format!("{}.ttrpc", &name[..24]))
}

fn start(flags: &Flags) -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().lock().take(10 << 20).read_to_end(&mut input)?;
    let params = BootstrapParams::parse_from_bytes(&input).unwrap_or_default();
    let modern = params.instance_id == flags.id && params.namespace == flags.namespace;
    let ttrpc = match modern {
        true => params.containerd_ttrpc_address,
        false => std::env::var(env::TTRPC_ADDRESS).unwrap_or_default(),
    };
    let group = sandbox_of(Path::new("config.json")).unwrap_or_else(|| flags.id.clone());
    let dir = directory()?;
    let path = task_socket(&dir, &flags.namespace, &group);
    if UnixStream::connect(&path).is_err() {
        let (mut listens, say) = io::pipe()?;
        if stage::clone_into(&Alone::check()?, 0, None)? == 0 {
            drop(listens);
            return become_shim(&group, &flags.namespace, &ttrpc, &path, say);
        }
        drop(say);
        let mut why = String::new();
        listens.read_to_string(&mut why)?;
        if !why.is_empty() {
            return Err(io::Error::other(why));
        }
    }
    let address = format!("unix://{}", path.display());
    let answer = match modern {
        true => BootstrapResult {
            version: TASK_API_VERSION,
            address,
            protocol: "ttrpc".to_owned(),
            ..Default::default()
        }
        .write_to_bytes()
        .map_err(io::Error::other)?,
        false => serde_json::json!({ "version": TASK_API_VERSION, "address": address, "protocol": "ttrpc" })
            .to_string()
            .into_bytes(),
    };
    io::stdout().write_all(&answer)
}

fn sandbox_of(config: &Path) -> Option<String> {
    let spec: serde_json::Value = serde_json::from_slice(&std::fs::read(config).ok()?).ok()?;
    spec["annotations"][SANDBOX].as_str().map(str::to_owned)
}

/// Becomes the pod's shim: what forked needs no second execution, and has read its program. It makes the socket itself, so
/// that none is left when `start` is killed. `say` takes the reason why it does not listen, and ends when it does. The
/// working directory is the bundle.
fn become_shim(
    id: &str,
    namespace: &str,
    ttrpc: &str,
    socket: &Path,
    mut say: io::PipeWriter,
) -> io::Result<()> {
    let begin = || {
        rustix::process::setpgid(None, None)?;
        let _ = std::fs::remove_file(socket);
        UnixListener::bind(socket)
    };
    let listener = match begin() {
        Ok(listener) => listener,
        Err(error) => return say.write_all(error.to_string().as_bytes()),
    };
    drop(say);
    // containerd waits for the end of both streams.
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    let null = std::fs::OpenOptions::new().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(&null)?;
    // The FIFO that containerd reads our messages from. Opened for both directions, it never breaks.
    let messages = rustix::fs::open(
        "log",
        rustix::fs::OFlags::RDWR | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC,
        rustix::fs::Mode::empty(),
    );
    match messages {
        Ok(messages) => rustix::stdio::dup2_stderr(messages)?,
        Err(_) => rustix::stdio::dup2_stderr(&null)?,
    }
    drop(null);
    let served = serve(id, namespace, ttrpc, listener);
    let _ = std::fs::remove_file(socket);
    served
}

fn serve(id: &str, namespace: &str, ttrpc: &str, listener: UnixListener) -> io::Result<()> {
    nix::sys::prctl::set_child_subreaper(true)?;
    let dir = directory()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let reaper = Reaper::start()?;
        let root = runc_root(&dir, namespace);
        let socket = dir.join(socket_name(id));
        let own = listener.local_addr()?.as_pathname().map(Path::to_path_buf).unwrap_or_default();
        let shared = Arc::new(Shared {
            runc: Runc::new(root, reaper.clone())?,
            stage: oci_stage(&reaper),
            dir,
            socket: own,
            pod: std::sync::Mutex::default(),
            reaper,
            publisher: Publisher::start(ttrpc.to_owned(), namespace.to_owned()),
            hubs: std::sync::Mutex::default(),
            sessions: attach::Sessions::default(),
            shutdown: CancellationToken::new(),
        });
        attach::serve(&shared, &socket)?;
        let listener = Listener::try_from(listener)?;
        let tasks = Arc::new(Service::new(shared.clone()));
        let sandbox = Arc::new(Sandbox { shared: shared.clone(), tasks: tasks.clone() });
        let mut server = Server::new()
            .add_listener(listener)
            .register_service(create_task(tasks.clone()))
            .register_service(create_sandbox(sandbox));
        server.start().await.map_err(io::Error::other)?;
        tokio::spawn(end_unknown(tasks));
        shared.shutdown.cancelled().await;
        shared.publisher.flush().await;
        let _ = std::fs::remove_file(&shared.socket);
        // Attached clients have time for the rest.
        for _ in 0..200 {
            if !shared.has_sessions() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        let _ = std::fs::remove_file(socket);
        let _ = server.shutdown().await;
        Ok(())
    })
}

/// Ends a shim that containerd has given up before it had a container: a call that is cancelled takes the bundle away, and
/// tells the shim nothing.
async fn end_unknown(tasks: Arc<Service>) {
    loop {
        tokio::time::sleep(LOOK).await;
        if tasks.has_containers() {
            return;
        }
        let removed = |found: std::fs::Metadata| found.nlink() == 0;
        if std::fs::metadata(".").map_or(true, removed) {
            log("containerd knows nothing of this shim: it ends");
            if tasks.close().await.is_ok() {
                return;
            }
        }
    }
}

/// Our own runtime, unless the daemon was told otherwise, or the kernel is too old.
fn oci_stage(reaper: &Reaper) -> Option<oci::Stage> {
    let made = match OciRuntime::of_environment() {
        Ok(OciRuntime::Runc) => return None,
        Ok(OciRuntime::Own) => oci::Stage::new(reaper.clone()).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    made.map_err(|error| log(&format!("all containers are runc's: {error}"))).ok()
}

/// Tells containerd the features of runc, which are ours, too.
fn info() -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "runc's runs are short, and the shim waits for them")]
    let features = Command::new(runc::program()?).arg("features").stdin(Stdio::null()).output()?;
    let mut info = RuntimeInfo { name: RUNTIME_TYPE.to_owned(), ..Default::default() };
    if features.status.success() {
        info.features = Some(Any {
            type_url: "types.containerd.io/opencontainers/runtime-spec/1/features/Features".to_owned(),
            value: features.stdout,
            ..Default::default()
        })
        .into();
    }
    io::stdout().write_all(&info.write_to_bytes().map_err(io::Error::other)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_containerd() {
        let args = "-namespace k8s.io -address /a.sock -publish-binary /c -id x -bundle=/b delete";
        let args: Vec<OsString> = args.split(' ').map(OsString::from).collect();
        let flags = flags(&args);
        assert_eq!(
            (flags.namespace.as_str(), flags.id.as_str(), flags.bundle.as_str(), flags.action.as_str()),
            ("k8s.io", "x", "/b", "delete")
        );
    }

    #[test]
    fn names() {
        assert!(is_named(OsStr::new("/x/containerd-shim-k3c-v1")));
        assert!(!is_named(OsStr::new("k3c")));
    }
}
