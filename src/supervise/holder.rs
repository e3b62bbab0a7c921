//! The engine's end of the socket to the holder, which spawns for it.

use super::greeting::{self, GreetingError};
use super::{SpawnError, Spawner};
use crate::model::holder::{EngineToHolder, Exit, HolderToEngine, SpawnRequest};
use crate::sys::packet;
use futures::future::BoxFuture;
use rustix::fd::OwnedFd;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// The holder's orders to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop everything with grace.
    Drain,
    /// Stop everything at once.
    Hurry,
    /// The holder is gone, and with it the namespaces.
    Gone,
}

/// Why there is no connection to the holder.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The holder is gone or of another version.
    #[error("the holder that started this engine cannot be understood")]
    Greeting(#[from] GreetingError),
    /// The holder said something else than hello.
    #[error("the holder did not say hello")]
    Hello(#[source] io::Error),
    /// The listener's thread.
    #[error("cannot start the thread that listens to the holder")]
    Thread(#[source] io::Error),
}

/// The connection to the holder. Cloning shares it.
#[derive(Clone)]
pub struct Holder {
    inner: Arc<Inner>,
}

struct Inner {
    socket: OwnedFd,
    table: Mutex<Table>,
}

/// The engine's copy of what the holder knows of the children.
#[derive(Default)]
struct Table {
    running: BTreeMap<String, i32>,
    /// Exits that nobody has listened for yet.
    exited: BTreeMap<String, Exit>,
    spawning: HashMap<String, oneshot::Sender<Result<i32, SpawnError>>>,
    watchers: HashMap<String, mpsc::UnboundedSender<Exit>>,
}

impl Table {
    fn exited(&mut self, key: String, exit: Exit) {
        self.running.remove(&key);
        match self.watchers.get(&key) {
            Some(watcher) if watcher.send(exit).is_ok() => {}
            _ => drop(self.exited.insert(key, exit)),
        }
    }

    fn answered(&mut self, key: &str, answer: Result<i32, SpawnError>) {
        if let Ok(pid) = answer {
            self.running.insert(key.to_owned(), pid);
        }
        if let Some(asked) = self.spawning.remove(key) {
            let _ = asked.send(answer);
        }
    }
}

impl Holder {
    /// Greets, takes the holder's hello, and listens from then on in a thread of its own.
    ///
    /// # Errors
    /// The holder is gone, of another version, or says something unexpected.
    pub fn connect(socket: OwnedFd) -> Result<(Self, mpsc::UnboundedReceiver<Order>), ConnectError> {
        greeting::exchange(&socket, None)?;
        let (running, exited) = match packet::read::<HolderToEngine>(&socket).map_err(ConnectError::Hello)? {
            Some(HolderToEngine::Hello { running, exited }) => (running, exited),
            other => return Err(ConnectError::Hello(io::Error::other(format!("{other:?}")))),
        };
        let table = Table {
            running: running.into_iter().map(|child| (child.key, child.pid)).collect(),
            exited: exited.into_iter().collect(),
            ..Table::default()
        };
        let holder = Self { inner: Arc::new(Inner { socket, table: Mutex::new(table) }) };
        let (orders, received) = mpsc::unbounded_channel();
        let listener = holder.clone();
        std::thread::Builder::new()
            .name("holder".into())
            .spawn(move || listener.listen(&orders))
            .map_err(ConnectError::Thread)?;
        Ok((holder, received))
    }

    fn listen(&self, orders: &mpsc::UnboundedSender<Order>) {
        while let Ok(Some(message)) = packet::read::<HolderToEngine>(&self.inner.socket) {
            match message {
                HolderToEngine::Hello { .. } => {}
                HolderToEngine::Spawned { key, pid } => self.table(|t| t.answered(&key, Ok(pid))),
                HolderToEngine::SpawnFailed { key, message } => {
                    self.table(|t| t.answered(&key, Err(SpawnError(message))));
                }
                HolderToEngine::Exited { key, exit } => self.table(|t| t.exited(key, exit)),
                HolderToEngine::Drain => drop(orders.send(Order::Drain)),
                HolderToEngine::Hurry => drop(orders.send(Order::Hurry)),
            }
        }
        // Nobody will answer any more.
        self.table(|t| t.spawning.clear());
        let _ = orders.send(Order::Gone);
    }

    fn table<T>(&self, change: impl FnOnce(&mut Table) -> T) -> T {
        change(&mut self.inner.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends news of the engine itself. A holder that is gone is noticed by the listener.
    pub fn report(&self, news: &EngineToHolder) {
        let _ = packet::write(&self.inner.socket, news);
    }
}

impl Spawner for Holder {
    fn runs(&self, name: &str) -> bool {
        self.table(|t| t.running.contains_key(name))
    }

    fn exits(&self, name: &str) -> mpsc::UnboundedReceiver<Exit> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.table(|t| {
            if let Some(exit) = t.exited.remove(name) {
                let _ = sender.send(exit);
            }
            t.watchers.insert(name.to_owned(), sender);
        });
        receiver
    }

    fn spawn(&self, request: SpawnRequest) -> BoxFuture<'_, Result<i32, SpawnError>> {
        Box::pin(async move {
            let (asked, answer) = oneshot::channel();
            self.table(|t| t.spawning.insert(request.key.clone(), asked));
            packet::write(&self.inner.socket, &EngineToHolder::Spawn(request))
                .map_err(|e| SpawnError(format!("the holder does not answer: {e}")))?;
            answer.await.map_err(|_| SpawnError("the holder is gone".to_owned()))?
        })
    }

    fn signal(&self, name: &str, signal: i32) {
        self.report(&EngineToHolder::Signal { key: name.to_owned(), signal });
    }

    fn forget(&self, name: &str) {
        self.report(&EngineToHolder::Forget { key: name.to_owned() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::holder::{Child, Greeting};

    /// A holder that has said what it says first.
    fn holder(
        running: &[&str],
        exited: &[(&str, Exit)],
    ) -> (OwnedFd, Holder, mpsc::UnboundedReceiver<Order>) {
        let (ours, theirs) = packet::pair().unwrap();
        greeting::give(&ours).unwrap();
        let running =
            running.iter().map(|key| Child { key: (*key).into(), pid: 7, argv: Vec::new() }).collect();
        let exited = exited.iter().map(|(key, exit)| ((*key).to_owned(), *exit)).collect();
        packet::write(&ours, &HolderToEngine::Hello { running, exited }).unwrap();
        let (holder, orders) = Holder::connect(theirs).unwrap();
        greeting::take(&ours).unwrap();
        (ours, holder, orders)
    }

    #[tokio::test]
    async fn an_exit_reaches_its_watcher_whenever_it_was() {
        let (ours, holder, mut orders) = holder(&["runs"], &[("ended", Exit::Signal(9))]);
        assert!(holder.runs("runs") && !holder.runs("ended"));
        // Before this engine began, before somebody listens, and while somebody listens.
        assert_eq!(holder.exits("ended").recv().await, Some(Exit::Signal(9)));
        for (key, code) in [("runs", 1), ("runs", 2)] {
            packet::write(&ours, &HolderToEngine::Exited { key: key.into(), exit: Exit::Code(code) })
                .unwrap();
        }
        packet::write(&ours, &HolderToEngine::Drain).unwrap();
        assert_eq!(orders.recv().await, Some(Order::Drain));
        assert!(!holder.runs("runs"));
        let mut exits = holder.exits("runs");
        assert_eq!(exits.recv().await, Some(Exit::Code(2)));
        packet::write(&ours, &HolderToEngine::Exited { key: "runs".into(), exit: Exit::Code(3) }).unwrap();
        assert_eq!(exits.recv().await, Some(Exit::Code(3)));
    }

    #[tokio::test]
    async fn a_holder_that_goes_leaves_nobody_waiting() {
        let (ours, holder, mut orders) = holder(&[], &[]);
        let request = SpawnRequest { key: "x".into(), argv: vec!["x".into()], env: vec![], log: "/x".into() };
        let asking = holder.spawn(request);
        let (answer, ()) = tokio::join!(asking, async { drop(ours) });
        assert!(answer.is_err());
        assert_eq!(orders.recv().await, Some(Order::Gone));
    }

    #[test]
    fn a_holder_of_another_version_is_refused_in_words() {
        let (ours, theirs) = packet::pair().unwrap();
        packet::write(&ours, &Greeting { protocol: 99, version: "7.1".into() }).unwrap();
        let refused = Holder::connect(theirs).map(drop).unwrap_err();
        let words = crate::model::reason::chain(&refused);
        assert!(words.contains("k3c 7.1 (version 99 of the holder's protocol)"), "{words}");
        assert_eq!(packet::read::<Greeting>(&ours).unwrap(), Some(Greeting::own()));
    }
}
