//! The records: the store, its copy in memory, and whatever keeps both in one order.
//!
//! ```text
//! commit(change) -> store (one transaction) -> copy -> waiters (changes) -> events
//! ```
//!
//! A commit that was begun is finished, even when its caller is dropped. The copy is a snapshot that is replaced as a
//! whole: a reader holds no lock and never sees half of a change.

use super::EngineError;
use super::blocking;
use super::locks::{Locks, held};
use crate::model::event::Event;
use crate::model::id::ContainerId;
use crate::model::name;
use crate::model::network::Network;
use crate::model::volume::Volume;
use crate::store::{Change, Exec, Record, Store, Tombstone};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, broadcast, watch};

/// Key of the instance's ID among the store's texts.
const INSTANCE: &str = "instance";

/// Records of containers, volumes and execs. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Records(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    /// ID of the data directory, for as long as there is one.
    instance: String,
    book: watch::Sender<Arc<Book>>,
    /// Held while a change is written, so that store, copy and events keep one order.
    writing: AsyncMutex<()>,
    events: broadcast::Sender<Event>,
    /// One per container and per exec: operations on one do not overlap.
    locks: Locks<ContainerId, AsyncMutex<()>>,
    reserved: Mutex<Reserved>,
    /// Events that are written with the next change of their containers' records.
    put_off: Mutex<BTreeMap<ContainerId, Vec<Event>>>,
}

/// Names and IDs of containers that are being made.
#[derive(Debug, Default)]
struct Reserved {
    names: HashSet<String>,
    ids: HashSet<ContainerId>,
}

/// Copy of the records, as of one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    pub(super) records: BTreeMap<ContainerId, Arc<Record>>,
    pub(super) volumes: BTreeMap<String, Arc<Volume>>,
    pub(super) networks: BTreeMap<String, Arc<Network>>,
    pub(super) execs: BTreeMap<ContainerId, Arc<Exec>>,
}

impl Book {
    /// Records whose containers have the volume mounted.
    pub(super) fn users_of<'a>(&'a self, volume: &'a str) -> impl Iterator<Item = &'a Arc<Record>> + 'a {
        self.records.values().filter(move |r| r.resolved.mounts.iter().any(|m| m.volume() == Some(volume)))
    }

    fn apply(&mut self, change: Change) {
        for record in change.records {
            self.records.insert(record.id.clone(), Arc::new(record));
        }
        for tombstone in &change.removed {
            self.records.remove(&tombstone.id);
            self.execs.retain(|_, exec| exec.container != tombstone.id);
        }
        for volume in change.volumes {
            self.volumes.insert(volume.name.clone(), Arc::new(volume));
        }
        for name in &change.removed_volumes {
            self.volumes.remove(name);
        }
        for network in change.networks {
            self.networks.insert(network.name.clone(), Arc::new(network));
        }
        for name in &change.removed_networks {
            self.networks.remove(name);
        }
        for exec in change.execs {
            self.execs.insert(exec.id.clone(), Arc::new(exec));
        }
        for id in &change.removed_execs {
            self.execs.remove(id);
        }
    }
}

impl Records {
    /// Opens the store and reads all of it. Blocks.
    ///
    /// # Errors
    /// [`EngineError::Store`] when the file is another engine's, newer than we are, or cannot be read.
    pub(super) fn open(path: &Path) -> Result<Self, EngineError> {
        let store = Store::open(path)?;
        let book = Book {
            records: store.records()?.into_iter().map(|r| (r.id.clone(), Arc::new(r))).collect(),
            volumes: store.volumes()?.into_iter().map(|(name, v)| (name, Arc::new(v))).collect(),
            networks: store.networks()?.into_iter().map(|(name, n)| (name, Arc::new(n))).collect(),
            execs: store.execs()?.into_iter().map(|e| (e.id.clone(), Arc::new(e))).collect(),
        };
        let instance = match store.text(INSTANCE)? {
            Some(instance) => instance,
            None => {
                let instance = uuid::Uuid::new_v4().to_string();
                store.apply(Change::new().text(INSTANCE, &instance))?;
                instance
            }
        };
        Ok(Self(Arc::new(Shared {
            store,
            instance,
            book: watch::channel(Arc::new(book)).0,
            writing: AsyncMutex::new(()),
            events: broadcast::channel(1024).0,
            locks: Locks::default(),
            reserved: Mutex::default(),
            put_off: Mutex::default(),
        })))
    }

    /// Writes a change, brings the copy up to date, and tells everybody. It is finished even when the caller is dropped.
    pub(super) async fn commit(&self, change: Change) -> Result<(), EngineError> {
        let records = self.clone();
        tokio::spawn(async move { records.write(change).await })
            .await
            .map_err(|e| EngineError::Broken(format!("a commit died: {e}")))?
    }

    /// Adds an event to the next change of a container's record, which is to come soon: a commit of its own is a wait for
    /// the disk.
    pub(super) fn put_off(&self, id: &ContainerId, event: Event) {
        held(&self.0.put_off).entry(id.clone()).or_default().push(event);
    }

    async fn write(&self, mut change: Change) -> Result<(), EngineError> {
        let shared = &self.0;
        let _one = shared.writing.lock().await;
        let ids: Vec<&ContainerId> =
            change.records.iter().map(|r| &r.id).chain(change.removed.iter().map(|t| &t.id)).collect();
        let earlier: Vec<Event> = {
            let mut put_off = held(&shared.put_off);
            ids.iter().filter_map(|id| put_off.remove(id)).flatten().collect()
        };
        change.events.splice(0..0, earlier);
        let store = shared.store.clone();
        let copy = change.clone();
        let events = blocking(move || store.apply(change)).await??;
        shared.book.send_modify(|book| {
            let mut next = Book::clone(book);
            next.apply(copy);
            *book = Arc::new(next);
        });
        for event in events {
            shared.events.send(event).ok();
        }
        Ok(())
    }

    /// ID of the data directory.
    pub(super) fn instance(&self) -> &str {
        &self.0.instance
    }

    /// Copy of all records as of now.
    pub(super) fn book(&self) -> Arc<Book> {
        self.0.book.borrow().clone()
    }

    /// Receiver that wakes after each commit.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Book>> {
        self.0.book.subscribe()
    }

    /// Events of commits from here on.
    pub(super) fn live_events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }

    /// Kept events with a sequence number above `after`, oldest first.
    pub(super) async fn past_events(&self, after: u64) -> Result<Vec<Event>, EngineError> {
        let store = self.0.store.clone();
        Ok(blocking(move || store.events(after)).await??)
    }

    /// Every container's record, in no order that matters.
    pub(super) fn all(&self) -> Vec<Record> {
        self.book().records.values().map(|r| Record::clone(r)).collect()
    }

    /// A container's record by its full ID.
    pub(super) fn get(&self, id: &ContainerId) -> Result<Record, EngineError> {
        let book = self.0.book.borrow();
        let record = book.records.get(id).map(|r| Record::clone(r));
        record.ok_or_else(|| EngineError::NoSuchContainer(id.to_string()))
    }

    /// The record whose current attempt is this CRI container.
    pub(super) fn of_container(&self, container: &str) -> Option<Record> {
        let book = self.0.book.borrow();
        book.records.values().find(|r| r.attempt.container == container).map(|r| Record::clone(r))
    }

    /// Finds a record: full ID, then name, then a unique prefix of an ID, then CRI's own ID.
    pub(super) fn find(&self, who: &str) -> Result<Record, EngineError> {
        let missing = || EngineError::NoSuchContainer(who.to_owned());
        if who.is_empty() {
            return Err(missing());
        }
        let book = self.book();
        let name = who.strip_prefix('/').unwrap_or(who);
        let all = || book.records.values();
        if let Some(record) = all().find(|r| r.id.as_str() == who).or_else(|| all().find(|r| r.name == name))
        {
            return Ok(Record::clone(record));
        }
        let mut begins = all().filter(|r| r.id.as_str().starts_with(who));
        match (begins.next(), begins.next()) {
            (Some(record), None) => Ok(Record::clone(record)),
            (Some(_), Some(_)) => Err(EngineError::AmbiguousPrefix(who.to_owned())),
            (None, _) => all()
                .find(|r| {
                    let attempt = &r.attempt;
                    who.len() >= 12 && (attempt.container.starts_with(who) || attempt.pod.starts_with(who))
                })
                .map(|r| Record::clone(r))
                .ok_or_else(missing),
        }
    }

    /// Tombstone of a removed container, by its ID or name.
    pub(super) fn tombstone(&self, who: &str) -> Result<Option<Tombstone>, EngineError> {
        Ok(self.0.store.tombstone(who)?)
    }

    /// A named text: a choice that was made once.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>, EngineError> {
        Ok(self.0.store.text(key)?)
    }

    /// Frees the room that is kept for a full disk, when there is hardly any other.
    pub(super) fn make_room(&self) {
        self.0.store.make_room();
    }

    /// Waits for other operations on this container or exec to be over, and keeps them off.
    pub(super) async fn lock(&self, id: &ContainerId) -> OwnedMutexGuard<()> {
        self.0.locks.of(id).lock_owned().await
    }

    /// Takes a name for a container that is being made or renamed: the wanted one, or a random one.
    ///
    /// # Errors
    /// [`EngineError::NameTaken`], or [`EngineError::Refused`] for a name that is none.
    pub(super) fn reserve(
        &self,
        id: &ContainerId,
        wanted: Option<String>,
    ) -> Result<Reservation, EngineError> {
        let mut reserved = held(&self.0.reserved);
        // Read under the lock: a reservation ends only after its name is in the book.
        let book = self.book();
        let owner = |name: &str| book.records.values().find(|r| r.name == name).map(|r| r.id.to_string());
        let name = if let Some(wanted) = wanted {
            let name = name::container(&wanted)?;
            if let Some(id) = owner(&name) {
                return Err(EngineError::NameTaken { name, id });
            }
            if reserved.names.contains(&name) {
                return Err(EngineError::NameTaken { name, id: "being created".to_owned() });
            }
            name
        } else {
            (0..6)
                .map(|attempt| {
                    name::random(rand::random_range(0..1_000_000), rand::random_range(0..1_000_000), attempt)
                })
                .find(|n| owner(n).is_none() && !reserved.names.contains(n))
                .unwrap_or_else(|| id.short().to_owned())
        };
        reserved.names.insert(name.clone());
        reserved.ids.insert(id.clone());
        Ok(Reservation { records: self.clone(), name, id: id.clone() })
    }

    /// True while a container with this ID is being made: its CRI objects are no leftovers.
    pub(super) fn is_being_made(&self, id: &ContainerId) -> bool {
        held(&self.0.reserved).ids.contains(id)
    }
}

/// A name that nobody else can take until this is dropped.
pub(super) struct Reservation {
    records: Records,
    name: String,
    id: ContainerId,
}

impl Reservation {
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = held(&self.records.0.reserved);
        reserved.names.remove(&self.name);
        reserved.ids.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str) -> Volume {
        let (created, labels) = (jiff::Timestamp::now(), BTreeMap::new());
        Volume { name: name.into(), created, labels, anonymous: false }
    }

    #[tokio::test]
    async fn a_commit_is_finished_when_its_caller_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(&dir.path().join("k3c.redb")).unwrap();
        let mut changes = records.changes();
        let mut commit = Box::pin(records.commit(Change::new().put_volume(volume("v1"))));
        // Polled once and dropped: the change is under way.
        assert!(futures::poll!(&mut commit).is_pending());
        drop(commit);
        changes.changed().await.unwrap();
        assert!(records.book().volumes.contains_key("v1"));
        assert_eq!(records.0.store.volumes().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn an_event_that_was_put_off_comes_with_the_next_change() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(&dir.path().join("k3c.redb")).unwrap();
        let record = crate::engine::lifecycle::tests::record(crate::model::container::Status::Created);
        let event = |action| crate::engine::events::container(&record, action, record.created, &[]);
        records.put_off(&record.id, event("attach"));
        records.commit(Change::new().event(event("other"))).await.unwrap();
        records.commit(Change::new().put(&record).event(event("start"))).await.unwrap();
        records.commit(Change::new().put(&record).event(event("die"))).await.unwrap();
        let actions: Vec<String> =
            records.past_events(0).await.unwrap().into_iter().map(|event| event.action).collect();
        assert_eq!(actions, ["other", "attach", "start", "die"]);
    }

    #[tokio::test]
    async fn a_name_is_taken_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::open(&dir.path().join("k3c.redb")).unwrap();
        let [one, two] = [1, 2].map(|n| ContainerId::from_bytes([n; 32]));
        let reservation = records.reserve(&one, Some("web".into())).unwrap();
        assert!(records.is_being_made(&one) && !records.is_being_made(&two));
        let taken = records.reserve(&two, Some("web".into()));
        assert!(matches!(taken, Err(EngineError::NameTaken { .. })));
        drop(reservation);
        assert!(!records.is_being_made(&one));
        assert_eq!(records.reserve(&two, Some("web".into())).unwrap().name(), "web");
    }
}
