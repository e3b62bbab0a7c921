//! Any child as a state machine, on the engine's side. The process itself belongs to the holder.
//!
//! ```text
//!            spawn or adopt          probe says yes
//!  (start) ───────────────▶ Starting ──────────────▶ Ready
//!                              ▲  │ exit, or not ready    │ exit
//!                              │  ▼ in time               ▼
//!                              └─ Waiting (back-off) ◀────┘
//!  stop: signal, grace, kill ─▶ Stopped
//! ```

pub mod identity;
mod keeper;
mod policy;

pub use keeper::{Keeper, Order};
pub use policy::{Backoff, Step};

use crate::model::holder::{Exit, SpawnRequest};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Answers whether a child does its work.
pub type Probe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// What to run.
#[derive(Clone)]
pub struct Spec {
    /// Its name, and its key at the holder.
    pub name: String,
    /// Command lines: each is tried when the one before ended before it was ready.
    pub commands: Vec<Vec<String>>,
    /// Added to the environment.
    pub env: Vec<(String, String)>,
    /// Its output.
    pub log: PathBuf,
    /// When it is ready.
    pub probe: Probe,
    /// How long that may take.
    pub ready_within: Duration,
    /// How long it may take to stop.
    pub grace: Duration,
}

/// A state of the machine above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is a process, not ready yet.
    Starting,
    /// It does its work.
    Ready,
    /// It ended, and will be started again.
    Waiting(String),
    /// It was told to stop, and did.
    Stopped,
}

/// Handle of a supervised child. Dropping it changes nothing: the child goes on, watched.
#[derive(Clone)]
pub struct Service {
    state: watch::Receiver<State>,
    stop: mpsc::Sender<oneshot::Sender<()>>,
}

/// It did not become ready in time.
#[derive(Debug, thiserror::Error)]
#[error("{name} did not become ready: {why}")]
pub struct NotReady {
    /// The child.
    pub name: String,
    /// What its last state was.
    pub why: String,
}

impl Service {
    /// Adopts or starts the child, and watches it from now on.
    pub fn start(spec: Spec, keeper: Keeper) -> Self {
        let (state_in, state) = watch::channel(State::Starting);
        let (stop, stopped) = mpsc::channel(4);
        tokio::spawn(run(spec, keeper, state_in, stopped));
        Self { state, stop }
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// Not in time, or stopped.
    pub async fn ready(&self, name: &str, within: Duration) -> Result<(), NotReady> {
        let mut state = self.state.clone();
        let outcome =
            tokio::time::timeout(within, state.wait_for(|s| matches!(s, State::Ready | State::Stopped)))
                .await;
        match outcome {
            Ok(Ok(s)) if *s == State::Ready => Ok(()),
            _ => {
                let why = match &*self.state.borrow() {
                    State::Waiting(why) => why.clone(),
                    other => format!("{other:?}").to_lowercase(),
                };
                Err(NotReady { name: name.into(), why })
            }
        }
    }

    /// Its state.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Signal, grace, kill; returns when it has ended.
    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            let _ = wait.await;
        }
    }
}

async fn run(
    spec: Spec,
    keeper: Keeper,
    state: watch::Sender<State>,
    mut stops: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut backoff = Backoff::default();
    let mut choice = 0;
    let mut exits = keeper.exits(&spec.name);
    loop {
        state.send_replace(State::Starting);
        let began = Instant::now();
        if !keeper.runs(&spec.name) {
            exits = keeper.exits(&spec.name);
            let request = SpawnRequest {
                key: spec.name.clone(),
                argv: spec.commands[choice].clone(),
                env: spec.env.clone(),
                log: spec.log.clone(),
            };
            if let Err(message) = keeper.spawn(request).await {
                tracing::error!(child = spec.name, "{message}");
                state.send_replace(State::Waiting(message));
                if rest(backoff.next(Duration::ZERO), &mut stops, &state).await {
                    return;
                }
                continue;
            }
        }
        let mut ready = false;
        let ended = tokio::select! {
            exit = exits.recv() => exit,
            () = until_ready(&spec) => { ready = true; None }
            done = stops.recv() => { end(&spec, &keeper, &mut exits, &state, done).await; return; }
            () = tokio::time::sleep(spec.ready_within) => {
                tracing::warn!(child = spec.name, "not ready in time; killed");
                keeper.signal(&spec.name, libc::SIGKILL).await;
                exits.recv().await
            }
        };
        let ended = if ready {
            tracing::info!(child = spec.name, after = ?began.elapsed(), "ready");
            state.send_replace(State::Ready);
            tokio::select! {
                exit = exits.recv() => exit,
                done = stops.recv() => { end(&spec, &keeper, &mut exits, &state, done).await; return; }
            }
        } else {
            // The next command line may suit this host better.
            choice = (choice + 1).min(spec.commands.len() - 1);
            ended
        };
        let why = ended.map_or_else(|| "it ended".to_owned(), |exit| exit.to_string());
        tracing::warn!(child = spec.name, how = why, "ended; it will be started again");
        keeper.forget(&spec.name).await;
        state.send_replace(State::Waiting(format!("{why}; see {}", spec.log.display())));
        if rest(backoff.next(began.elapsed()), &mut stops, &state).await {
            return;
        }
    }
}

/// Waits between two attempts; true if it was told to stop meanwhile.
async fn rest(
    step: Step,
    stops: &mut mpsc::Receiver<oneshot::Sender<()>>,
    state: &watch::Sender<State>,
) -> bool {
    tokio::select! {
        () = tokio::time::sleep(step.delay) => false,
        done = stops.recv() => {
            state.send_replace(State::Stopped);
            if let Some(done) = done { let _ = done.send(()); }
            true
        }
    }
}

async fn until_ready(spec: &Spec) {
    while !(spec.probe)().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn end(
    spec: &Spec,
    keeper: &Keeper,
    exits: &mut mpsc::Receiver<Exit>,
    state: &watch::Sender<State>,
    done: Option<oneshot::Sender<()>>,
) {
    let Some(done) = done else { return };
    keeper.signal(&spec.name, libc::SIGTERM).await;
    if tokio::time::timeout(spec.grace, exits.recv()).await.is_err() {
        keeper.signal(&spec.name, libc::SIGKILL).await;
        let _ = tokio::time::timeout(Duration::from_secs(2), exits.recv()).await;
    }
    keeper.forget(&spec.name).await;
    state.send_replace(State::Stopped);
    let _ = done.send(());
}
