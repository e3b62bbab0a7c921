//! One child: what to run, its states, and the task that goes through them.

use super::{Backoff, Spawner};
use crate::model::holder::{Exit, SpawnRequest};
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};

/// Answers whether a child does its work.
pub type Probe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// A child to be: what to run, when it is ready, how it is stopped.
#[derive(Clone)]
pub struct Spec {
    /// The child's name, and its key at the holder.
    pub name: String,
    /// Command lines: each is tried when the one before ended before it was ready.
    pub commands: Vec<Vec<String>>,
    /// Added to the environment.
    pub env: Vec<(String, String)>,
    /// The child's output is appended to this file.
    pub log: PathBuf,
    /// Asked until it says yes: the child is ready then.
    pub probe: Probe,
    /// Limit of the time from a start until the child is ready; later it is killed.
    pub ready_within: Duration,
    /// Time from SIGTERM to SIGKILL.
    pub grace: Duration,
}

/// A state of the machine that is drawn in [`crate::supervise`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// There is a process, not ready yet.
    Starting,
    /// The child does its work.
    Ready,
    /// The child ended for this reason, and will be started again.
    Waiting(String),
    /// The child was told to stop, and did.
    Stopped,
}

/// Handle of a supervised child. When the last one is dropped, the child goes on and is not watched any more.
#[derive(Clone)]
pub struct Service {
    state: watch::Receiver<State>,
    stop: mpsc::Sender<oneshot::Sender<()>>,
}

/// A child did not become ready in time.
#[derive(Debug, thiserror::Error)]
#[error("{name} did not become ready: {why}")]
pub struct NotReady {
    /// The child.
    pub name: String,
    /// The child's last state, or why it ended.
    pub why: String,
}

impl Service {
    /// Adopts or starts the child, and watches it from now on.
    pub fn start(spec: Spec, spawner: Arc<dyn Spawner>) -> Self {
        let (state_in, state) = watch::channel(State::Starting);
        let (stop, stops) = mpsc::channel(4);
        tokio::spawn(
            Watch { spec, spawner, state: state_in, stops, backoff: Backoff::default(), choice: 0 }.run(),
        );
        Self { state, stop }
    }

    /// Waits until the child is ready.
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

    /// The child's state.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// The child's state, from now on.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Ends the child: signal, grace, kill. Returns when it has ended.
    pub async fn stop(&self) {
        let (done, wait) = oneshot::channel();
        if self.stop.send(done).await.is_ok() {
            let _ = wait.await;
        }
    }
}

/// The task behind a [`Service`].
struct Watch {
    spec: Spec,
    spawner: Arc<dyn Spawner>,
    state: watch::Sender<State>,
    stops: mpsc::Receiver<oneshot::Sender<()>>,
    backoff: Backoff,
    /// Index of the command line that is tried.
    choice: usize,
}

/// The outcome of one run of a child.
enum Run {
    /// Ended by itself, or killed because it was not ready in time.
    Ended(Option<Exit>),
    /// Somebody wants it stopped.
    Stop(Option<oneshot::Sender<()>>),
}

impl Watch {
    async fn run(mut self) {
        let mut exits = self.spawner.exits(&self.spec.name);
        loop {
            self.state.send_replace(State::Starting);
            let began = Instant::now();
            if !self.spawner.runs(&self.spec.name) {
                while let Ok(exit) = exits.try_recv() {
                    tracing::warn!(child = self.spec.name, how = %exit, "ended while no engine watched it");
                    self.spawner.forget(&self.spec.name);
                }
                if let Err(error) = self.spawner.spawn(self.request()).await {
                    tracing::error!(child = self.spec.name, "{error}");
                    self.state.send_replace(State::Waiting(error.to_string()));
                    if self.pause(Duration::ZERO).await {
                        return;
                    }
                    continue;
                }
            }
            let why = match self.watch(began, &mut exits).await {
                Run::Ended(exit) => exit.map_or_else(|| "it ended".to_owned(), |exit| exit.to_string()),
                Run::Stop(done) => return self.end(&mut exits, done).await,
            };
            tracing::warn!(child = self.spec.name, how = why, "ended; it will be started again");
            self.spawner.forget(&self.spec.name);
            self.state.send_replace(State::Waiting(format!("{why}; see {}", self.spec.log.display())));
            if self.pause(began.elapsed()).await {
                return;
            }
        }
    }

    fn request(&self) -> SpawnRequest {
        SpawnRequest {
            key: self.spec.name.clone(),
            argv: self.spec.commands[self.choice].clone(),
            env: self.spec.env.clone(),
            log: self.spec.log.clone(),
        }
    }

    /// From the start of a child to its end.
    async fn watch(&mut self, began: Instant, exits: &mut mpsc::UnboundedReceiver<Exit>) -> Run {
        let early = tokio::select! {
            exit = exits.recv() => Some(exit),
            () = until_ready(&self.spec) => None,
            done = self.stops.recv() => return Run::Stop(done),
            () = tokio::time::sleep(self.spec.ready_within) => {
                tracing::warn!(child = self.spec.name, "not ready in time; killed");
                self.spawner.signal(&self.spec.name, libc::SIGKILL);
                Some(exits.recv().await)
            }
        };
        if let Some(exit) = early {
            // The next command line may suit this host better.
            self.choice = (self.choice + 1).min(self.spec.commands.len() - 1);
            return Run::Ended(exit);
        }
        tracing::info!(child = self.spec.name, after = ?began.elapsed(), "ready");
        self.state.send_replace(State::Ready);
        tokio::select! {
            exit = exits.recv() => Run::Ended(exit),
            done = self.stops.recv() => Run::Stop(done),
        }
    }

    /// Waits between two runs, the longer the more of them failed; true if the child is to stay stopped.
    async fn pause(&mut self, ran: Duration) -> bool {
        tokio::select! {
            () = tokio::time::sleep(self.backoff.next(ran)) => false,
            done = self.stops.recv() => {
                self.state.send_replace(State::Stopped);
                if let Some(done) = done { let _ = done.send(()); }
                true
            }
        }
    }

    /// Signal, grace, kill. Without `done` every handle is gone, and the child goes on unwatched.
    async fn end(self, exits: &mut mpsc::UnboundedReceiver<Exit>, done: Option<oneshot::Sender<()>>) {
        let Some(done) = done else { return };
        let name = &self.spec.name;
        self.spawner.signal(name, libc::SIGTERM);
        if tokio::time::timeout(self.spec.grace, exits.recv()).await.is_err() {
            self.spawner.signal(name, libc::SIGKILL);
            let _ = tokio::time::timeout(Duration::from_secs(2), exits.recv()).await;
        }
        self.spawner.forget(name);
        self.state.send_replace(State::Stopped);
        let _ = done.send(());
    }
}

async fn until_ready(spec: &Spec) {
    while !(spec.probe)().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervise::SpawnError;
    use futures::future::BoxFuture;
    use std::collections::HashMap;
    use std::os::unix::process::ExitStatusExt;
    use std::sync::Mutex;

    /// Children of this very process: what there is without a holder.
    #[derive(Default)]
    struct Own {
        pids: Mutex<HashMap<String, i32>>,
        watchers: Mutex<HashMap<String, mpsc::UnboundedSender<Exit>>>,
        argvs: Mutex<Vec<Vec<String>>>,
        forgotten: Mutex<Vec<String>>,
    }

    struct OwnSpawner(Arc<Own>);

    impl Spawner for OwnSpawner {
        fn runs(&self, name: &str) -> bool {
            self.0.pids.lock().unwrap().contains_key(name)
        }

        fn exits(&self, name: &str) -> mpsc::UnboundedReceiver<Exit> {
            let (sender, receiver) = mpsc::unbounded_channel();
            self.0.watchers.lock().unwrap().insert(name.to_owned(), sender);
            receiver
        }

        fn spawn(&self, request: SpawnRequest) -> BoxFuture<'_, Result<i32, SpawnError>> {
            let mut command = tokio::process::Command::new(&request.argv[0]);
            let spawned = command.args(&request.argv[1..]).kill_on_drop(true).spawn();
            self.0.argvs.lock().unwrap().push(request.argv);
            let own = Arc::clone(&self.0);
            Box::pin(async move {
                let mut child = spawned.map_err(|e| SpawnError(e.to_string()))?;
                let pid = i32::try_from(child.id().unwrap()).unwrap();
                own.pids.lock().unwrap().insert(request.key.clone(), pid);
                tokio::spawn(async move {
                    let status = child.wait().await.unwrap();
                    own.pids.lock().unwrap().remove(&request.key);
                    let exit =
                        status.code().map_or_else(|| Exit::Signal(status.signal().unwrap()), Exit::Code);
                    let _ = own.watchers.lock().unwrap()[&request.key].send(exit);
                });
                Ok(pid)
            })
        }

        fn signal(&self, name: &str, signal: i32) {
            if let Some(pid) = self.0.pids.lock().unwrap().get(name) {
                crate::sys::process::kill_raw(*pid, signal).unwrap();
            }
        }

        fn forget(&self, name: &str) {
            self.0.forgotten.lock().unwrap().push(name.to_owned());
        }
    }

    fn spec(commands: &[&str], ready: &std::path::Path) -> Spec {
        let ready = ready.to_path_buf();
        Spec {
            name: "child".into(),
            commands: commands.iter().map(|c| ["sh", "-c", c].map(str::to_owned).to_vec()).collect(),
            env: Vec::new(),
            log: "/dev/null".into(),
            probe: Arc::new(move || {
                let ready = ready.clone();
                Box::pin(async move { ready.exists() })
            }),
            ready_within: Duration::from_secs(60),
            grace: Duration::from_secs(60),
        }
    }

    #[tokio::test]
    async fn a_command_line_that_ends_at_once_is_followed_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let works = format!("touch {}; exec sleep 1000", ready.display());
        let own = Arc::new(Own::default());
        let service = Service::start(spec(&["exit 3", &works], &ready), Arc::new(OwnSpawner(own.clone())));
        service.ready("child", Duration::from_secs(60)).await.unwrap();
        assert_eq!(service.state(), State::Ready);
        let tried: Vec<String> = own.argvs.lock().unwrap().iter().map(|argv| argv[2].clone()).collect();
        assert_eq!(tried, ["exit 3", &works]);
        assert_eq!(*own.forgotten.lock().unwrap(), ["child"]);
        service.stop().await;
        assert_eq!(service.state(), State::Stopped);
        assert!(own.pids.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_child_that_ends_is_started_again() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        std::fs::write(&ready, "").unwrap();
        let own = Arc::new(Own::default());
        let service = Service::start(spec(&["exec sleep 1000"], &ready), Arc::new(OwnSpawner(own.clone())));
        service.ready("child", Duration::from_secs(60)).await.unwrap();
        OwnSpawner(own.clone()).signal("child", libc::SIGKILL);
        let mut state = service.state.clone();
        let seen = state.wait_for(|s| matches!(s, State::Waiting(why) if why.contains("signal 9"))).await;
        drop(seen.unwrap());
        service.ready("child", Duration::from_secs(60)).await.unwrap();
        assert_eq!(own.argvs.lock().unwrap().len(), 2);
        service.stop().await;
    }

    #[tokio::test]
    async fn a_child_that_does_not_become_ready_is_killed_and_says_why() {
        let own = Arc::new(Own::default());
        let mut never = spec(&["exec sleep 1000"], std::path::Path::new("/no/such"));
        never.ready_within = Duration::from_millis(10);
        let service = Service::start(never, Arc::new(OwnSpawner(own.clone())));
        let mut state = service.state.clone();
        let seen = state.wait_for(|s| matches!(s, State::Waiting(why) if why.contains("signal 9"))).await;
        drop(seen.unwrap());
        service.stop().await;
        assert_eq!(service.state(), State::Stopped);
    }
}
