//! The process that writes images' layers into snapshots: containerd's differ, beside its own.
//!
//! containerd alone inflates, hashes and writes a layer one after another in one thread, and in a user namespace writes
//! through an overlay, whose end waits for the disk. Here three threads do it, and files go into the snapshot's folder
//! itself (`flow.rs`, [`crate::sys::layer`]).
//!
//! ```text
//! pull, load ─> containerd's transfer service ──────────┐
//! build, ctr ─> containerd's diff service ─ "k3c" ──────┴─ socket ─> service ── plan ── flow ── archive ── sys::layer
//!                                        └ "walking", when this one says Unimplemented: other mounts, Compare
//! ```
//!
//! It is a child like containerd, so that a pull outlives the engine, and memory for it is not the engine's. When it is
//! killed, containerd takes the half-written snapshot back and the caller gets an error; it is started again at once.

mod archive;
mod flow;
mod plan;
mod records;
mod service;

use crate::sys::{memory, process};
use nix::sys::signal::SigSet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use service::Differ;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use tokio_stream::wrappers::UnixListenerStream;

/// The hidden stage's name; its arguments are the socket and the folder of containerd's content.
pub const STAGE: &str = "__differ";
/// The differ's key among the children, and its name in containerd.
pub const NAME: &str = "differ";

/// The stage; it returns when it cannot serve.
pub fn stage(arguments: &[OsString]) -> i32 {
    crate::telemetry::start();
    let [socket, content] = arguments else {
        tracing::error!("{STAGE} takes a socket and a folder");
        return 2;
    };
    match serve(Path::new(socket), content.into()) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!("cannot serve on {}: {error}", Path::new(socket).display());
            1
        }
    }
}

fn serve(socket: &Path, content: PathBuf) -> io::Result<()> {
    // The holder blocks the signals that it reads itself; SIGTERM ends this process.
    SigSet::empty().thread_set_mask()?;
    // A folder of a path is a descriptor.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(service::MOST)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let _ = std::fs::remove_file(socket);
        let listener = tokio::net::UnixListener::bind(socket)?;
        tokio::spawn(memory::rest());
        tonic::transport::Server::builder()
            .add_service(Differ::new(content, process::in_user_namespace()))
            .serve_with_incoming(UnixListenerStream::new(listener))
            .await
            .map_err(io::Error::other)
    })
}
