//! The engine stage: what the holder starts inside the namespaces. Children first, then the engine, then the API.

mod buildkit;
mod children;
mod config;
mod error;
mod files;
mod parts;
mod serve;
mod snapshotter;

use crate::children::bundle::Bundle;
use crate::config::{Instance, env as names};
use crate::model::holder::EngineToHolder;
use crate::model::reason::chain;
use crate::supervise::Holder;
use crate::sys::inherit;
use error::StageError;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

/// The stage; it returns when the engine has ended.
pub fn stage() -> i32 {
    crate::telemetry::start();
    match start() {
        Ok(()) => 0,
        Err(e) => {
            tracing::error!("{}", chain(&e));
            1
        }
    }
}

/// The most threads for what blocks and is short; what waits for a client has threads of its own (`engine::apart`).
const BLOCKING: usize = 32;

fn start() -> Result<(), StageError> {
    let inherited =
        |name| inherit::take(name).map_err(StageError::step("take over a descriptor of the holder"));
    let listener = UnixListener::from(inherited(names::LISTEN_FD)?);
    // First of all: what else a holder of another version hands on might not be understood.
    let (holder, orders) = Holder::connect(inherited(names::CONTROL_FD)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING)
        .enable_all()
        .build()
        .map_err(StageError::step("start the runtime"))?;
    let outcome =
        instance().and_then(|instance| runtime.block_on(serve::serve(instance, &holder, orders, listener)));
    if let Err(e) = &outcome {
        holder.report(&EngineToHolder::Failed { message: chain(e) });
    }
    outcome
}

fn instance() -> Result<Instance, StageError> {
    let text = std::env::var(names::INSTANCE).map_err(io::Error::other);
    let instance: Instance = text
        .and_then(|text| Ok(serde_json::from_str(&text)?))
        .map_err(StageError::step("read the instance"))?;
    Ok(Instance { bundle: own_bundle().unwrap_or(instance.bundle), ..instance })
}

/// The bundle that this engine is started from: the configurations that it writes are for the programs in there. After a
/// reload the holder's is an older one.
fn own_bundle() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    Some(Bundle::open(own.parent()?.parent()?).ok()?.dir)
}
