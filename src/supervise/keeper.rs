//! The engine's end of the socket to the holder.

use crate::model::holder::{Exit, FromKeeper, SpawnRequest, ToKeeper};
use crate::sys::packet;
use rustix::fd::OwnedFd;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// What the holder wants of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Stop everything with grace.
    Drain,
    /// At once.
    Hurry,
    /// The holder is gone, and with it the namespaces.
    Gone,
}

/// The holder, as a spawner. Cloning shares the connection.
#[derive(Clone)]
pub struct Keeper {
    inner: Arc<Inner>,
}

struct Inner {
    socket: OwnedFd,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    running: BTreeMap<String, i32>,
    spawning: HashMap<String, oneshot::Sender<Result<i32, String>>>,
    exits: HashMap<String, mpsc::Sender<Exit>>,
}

impl Keeper {
    /// Takes the greeting, and listens from then on in a thread of its own.
    ///
    /// # Errors
    /// The holder is gone, or says something unexpected.
    pub fn connect(socket: OwnedFd) -> io::Result<(Self, mpsc::UnboundedReceiver<Order>)> {
        let running = match packet::read::<FromKeeper>(&socket)? {
            Some(FromKeeper::Hello { running, .. }) => running,
            other => return Err(io::Error::other(format!("the holder said {other:?} instead of hello"))),
        };
        let table =
            Table { running: running.into_iter().map(|c| (c.key, c.pid)).collect(), ..Table::default() };
        let keeper = Self { inner: Arc::new(Inner { socket, table: Mutex::new(table) }) };
        let (orders, received) = mpsc::unbounded_channel();
        let listener = keeper.clone();
        std::thread::Builder::new().name("holder".into()).spawn(move || listener.listen(&orders))?;
        Ok((keeper, received))
    }

    fn listen(&self, orders: &mpsc::UnboundedSender<Order>) {
        while let Ok(Some(message)) = packet::read::<FromKeeper>(&self.inner.socket) {
            match message {
                FromKeeper::Hello { .. } => {}
                FromKeeper::Spawned { key, pid } => {
                    self.table(|t| {
                        t.running.insert(key.clone(), pid);
                        t.spawning.remove(&key).map(|done| done.send(Ok(pid)))
                    });
                }
                FromKeeper::SpawnFailed { key, message } => {
                    self.table(|t| t.spawning.remove(&key).map(|done| done.send(Err(message))));
                }
                FromKeeper::Exited { key, exit } => self.table(|t| {
                    t.running.remove(&key);
                    if let Some(watcher) = t.exits.get(&key) {
                        let _ = watcher.try_send(exit);
                    }
                }),
                FromKeeper::Drain => drop(orders.send(Order::Drain)),
                FromKeeper::Hurry => drop(orders.send(Order::Hurry)),
            }
        }
        let _ = orders.send(Order::Gone);
    }

    fn table<T>(&self, what: impl FnOnce(&mut Table) -> T) -> T {
        what(&mut self.inner.table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn say(&self, message: &ToKeeper) -> io::Result<()> {
        packet::write(&self.inner.socket, message)
    }

    /// Whether a child of that name runs.
    pub fn runs(&self, name: &str) -> bool {
        self.table(|t| t.running.contains_key(name))
    }

    /// Exits of that child from now on; one listener a name.
    pub fn exits(&self, name: &str) -> mpsc::Receiver<Exit> {
        let (sender, receiver) = mpsc::channel(4);
        self.table(|t| t.exits.insert(name.to_owned(), sender));
        receiver
    }

    /// Starts a child; its process ID.
    ///
    /// # Errors
    /// The holder's words.
    pub async fn spawn(&self, request: SpawnRequest) -> Result<i32, String> {
        let (done, wait) = oneshot::channel();
        self.table(|t| t.spawning.insert(request.key.clone(), done));
        self.say(&ToKeeper::Spawn(request)).map_err(|e| format!("the holder does not answer: {e}"))?;
        wait.await.map_err(|_| "the holder is gone".to_owned())?
    }

    /// Sends a signal, by number.
    #[expect(
        clippy::unused_async,
        reason = "the socket's buffer makes waiting unlikely; callers need not know"
    )]
    pub async fn signal(&self, name: &str, signal: i32) {
        let _ = self.say(&ToKeeper::Signal { key: name.to_owned(), signal });
    }

    /// The exit was dealt with.
    #[expect(clippy::unused_async, reason = "as `signal`")]
    pub async fn forget(&self, name: &str) {
        let _ = self.say(&ToKeeper::Forget { key: name.to_owned() });
    }

    /// Anything else that the engine has to say.
    pub fn tell(&self, message: &ToKeeper) {
        let _ = self.say(message);
    }
}
