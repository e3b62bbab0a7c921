//! The OCI runtime command line, `k3c-oci`: the stage for who calls a runtime as a program (containerd's own shim, podman,
//! suites of tests). It has runc's verbs, flags and words.
//!
//! ```text
//! create ── makes ROOT/ID, starts the stage, runs hooks ──> first process, which waits at its door (ROOT/ID/door)
//! start  ── knocks ───────────────────────────────────────> it becomes its program
//! exec   ── the stage again, from what `create` kept (ROOT/ID/made.json)
//! delete ── ends what is left; cgroup and folder go
//! ```
//!
//! What the stage does not do is refused in words (`accept`), never ignored and never given to another runtime. Whether a
//! container waits, runs or has stopped is asked of the kernel each time; only who it is, is kept.

mod args;
mod console;
mod end;
mod exec;
mod folder;
mod hooks;
mod log;
mod make;
mod tell;

use args::{Line, Verb};
use clap::Parser;
use log::Log;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// The name under which this program is the runtime.
pub const NAME: &str = "k3c-oci";

/// The version of the specification that is spoken.
const VERSION: &str = "1.3.0";

/// A verb that cannot be done, in runc's words where it has some.
#[derive(Debug, Error)]
enum Refusal {
    #[error("container does not exist")]
    Missing,
    #[error("container with given ID already exists")]
    Exists,
    #[error("container not running")]
    NotRunning,
    #[error("this runtime does not do that: {0}")]
    Undone(String),
    #[error("unable to start container process: {0}")]
    Process(String),
    #[error("{0}")]
    Said(String),
    #[error("cannot {what} {path}: {source}", path = path.display())]
    File { what: &'static str, path: PathBuf, source: io::Error },
}

fn at(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Refusal {
    let path = path.into();
    move |source| Refusal::File { what, path, source }
}

/// Runs a command; answers its exit code.
pub fn run(args: &[OsString]) -> i32 {
    let line = match Line::try_parse_from(args) {
        Ok(line) => line,
        Err(error) => {
            let _ = error.print();
            return i32::from(error.use_stderr());
        }
    };
    let log = match Log::new(line.log, line.log_format) {
        Ok(log) => log,
        Err(error) => {
            let _ = io::Write::write_fmt(&mut io::stderr(), format_args!("{NAME}: {error}\n"));
            return 1;
        }
    };
    let root = line.root.unwrap_or_else(folder::usual_root);
    // Not before: whoever is executed inherits it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (prefix, code) = match &line.verb {
        Verb::Create(_) => (format!("{NAME} create failed: "), 1),
        Verb::Run(_) => (format!("{NAME} run failed: "), 1),
        Verb::Exec(_) => ("exec failed: ".to_owned(), 255),
        _ => (String::new(), 1),
    };
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(obey(line.verb, &root, &log));
            // Whoever still reads the terminal's keys is not waited for.
            runtime.shutdown_background();
            outcome
        }
        Err(error) => Err(Refusal::Said(error.to_string())),
    };
    outcome.unwrap_or_else(|refusal| {
        log.error(&format!("{prefix}{refusal}"));
        code
    })
}

async fn obey(verb: Verb, root: &std::path::Path, log: &Log) -> Result<i32, Refusal> {
    match verb {
        Verb::Create(asked) => make::create(root, &asked, log).await.map(|()| 0),
        Verb::Run(asked) => make::run(root, &asked, log).await,
        Verb::Start { id } => make::start(root, &id, log).await.map(|()| 0),
        Verb::Exec(asked) => exec::exec(root, &asked).await,
        Verb::State { id } => tell::state(root, &id).map(|()| 0),
        Verb::List { format, quiet } => tell::list(root, format, quiet).map(|()| 0),
        Verb::Ps { format, id } => tell::processes(root, &id, format).map(|()| 0),
        Verb::Features => tell::features().map(|()| 0),
        Verb::Kill { all, id, signal } => end::kill(root, &id, &signal, all).map(|()| 0),
        Verb::Delete { force, id } => end::delete(root, &id, force, log).await.map(|()| 0),
        Verb::Pause { id } => end::freeze(root, &id, true).await.map(|()| 0),
        Verb::Resume { id } => end::freeze(root, &id, false).await.map(|()| 0),
        Verb::Update { resources, id } => end::update(root, &id, &resources).map(|()| 0),
    }
}
