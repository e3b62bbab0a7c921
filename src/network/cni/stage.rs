//! The plugin (`k3c-cni`): one command of CNI, from the environment and standard input, answered on standard output. It is
//! a process of one thread, which goes into namespaces.

use super::error::{Code, Refusal};
use super::request::{Config, Pod, VERSION, VERSIONS};
use super::{LOOPBACK, attach, check, detach, loopback};
use crate::config::env;
use crate::sys::{behind, netns};
use nix::sys::signal::{Signal, raise};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

/// Work that nobody waits for.
pub(super) type Afterwards = Box<dyn FnOnce() + Send>;

/// A command's outcome.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) answer: Option<Value>,
    pub(super) afterwards: Option<Afterwards>,
}

/// Runs the plugin that is called by that name; errors go to standard output in CNI's form. Returns the exit code.
pub fn run(name: &str) -> i32 {
    let mut text = Vec::new();
    let read = io::stdin().read_to_end(&mut text).map_err(Refusal::io("read the network's configuration"));
    let command = std::env::var("CNI_COMMAND").unwrap_or_default();
    let config = read.and_then(|_| Config::parse(&text));
    let version = config.as_ref().map_or(VERSION, Config::version).to_owned();
    let obey = if name == LOOPBACK { loopback::obey } else { obey };
    match config.and_then(|config| obey(&command, &config)) {
        Ok(Outcome { answer, afterwards }) => {
            point("answer");
            if let Some(answer) = answer {
                let _ = writeln!(io::stdout(), "{answer}");
            }
            if let Some(afterwards) = afterwards {
                let _ = behind::run(afterwards);
            }
            0
        }
        Err(refusal) => {
            let _ = writeln!(io::stdout(), "{}", refusal.document(&version));
            1
        }
    }
}

fn obey(command: &str, config: &Config) -> Result<Outcome, Refusal> {
    let pod = || Pod::read(|name| std::env::var(name).ok());
    match command {
        "ADD" => attach::add(config, &pod()?),
        "DEL" => detach::del(config, &pod()?),
        "CHECK" => check::check(config, &pod()?),
        "GC" => detach::gc(config),
        "STATUS" => check::status(config),
        "VERSION" => Ok(versions(config)),
        other => Err(no_command(other)),
    }
}

/// The answer to VERSION.
pub(super) fn versions(config: &Config) -> Outcome {
    let answer = json!({ "cniVersion": config.version(), "supportedVersions": VERSIONS });
    Outcome { answer: Some(answer), afterwards: None }
}

/// The answer to a command that there is not.
pub(super) fn no_command(command: &str) -> Refusal {
    Refusal::new(Code::Environment, format!("CNI_COMMAND: {command:?} is no command"))
}

/// Goes to where the bridge is.
pub(super) fn enter(config: &Config) -> Result<(), Refusal> {
    match &config.detached_netns {
        Some(path) => open(path, Code::NotAvailable).and_then(|namespace| go(&namespace, path)),
        None => Ok(()),
    }
}

/// Opens a namespace.
pub(super) fn open(path: &Path, code: Code) -> Result<File, Refusal> {
    File::open(path)
        .map_err(|e| Refusal::new(code, format!("cannot open the network namespace {}: {e}", path.display())))
}

/// Goes into a namespace.
pub(super) fn go(namespace: &File, path: &Path) -> Result<(), Refusal> {
    netns::enter(namespace)
        .map_err(Refusal::kernel(format!("go into the network namespace {}", path.display())))
}

/// A point at which tests kill the plugin.
pub(super) fn point(name: &str) {
    if std::env::var_os(env::TEST_CNI_DIES).is_some_and(|at| at == name) {
        let _ = raise(Signal::SIGKILL);
    }
}
