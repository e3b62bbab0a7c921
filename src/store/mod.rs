//! The records: what people asked for, in one redb file. One transaction per change; values are JSON.
//!
//! A disk may be full. The file owns some room beyond its end, so that an exit or a removal can be written down still; a
//! second file keeps room for what containerd writes when something is removed. And redb does not go on after a failed
//! write, so the file is opened again: what was committed is there.
//!
//! Nothing in here decides anything. A file of a newer schema is refused; redb locks the file, so a second engine waits a
//! little for a first one that is still dying.

mod exec;
mod migrate;
mod record;

pub use exec::{Exec, ExecState};
pub use record::{
    Attempt, Desired, Endpoint, Exit, HealthLog, Probe, Record, Removal, Resolved, Stopping, Tombstone,
};

use crate::model::event::Event;
use crate::model::id::ContainerId;
use crate::model::network::Network;
use crate::model::volume::Volume;
use crate::sys::disk;
use jiff::Timestamp;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// Number of the schema, raised when an older engine could no longer read the file.
const SCHEMA: u64 = 2;
/// Number of events that are kept.
const EVENTS: u64 = 10_000;
/// Time for which a removed container's exit code is kept, for calls that wait for it.
const TOMBSTONE: Duration = Duration::from_secs(600);
/// Room that the file owns beyond its end, in bytes.
const BEYOND: u64 = 1 << 20;
/// Room that is kept in a second file, and free room that there must be to make it, in bytes.
const RESERVE: u64 = 4 << 20;
const PLENTY: u64 = 16 << 20;
/// Name of that second file, beside the records.
const RESERVE_FILE: &str = "reserve";
/// Longest wait for another engine to let go of the file.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const TEXTS: TableDefinition<'_, &str, &str> = TableDefinition::new("texts");
const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("containers");
const VOLUMES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("volumes");
const NETWORKS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("networks");
const EXECS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("execs");
const TOMBSTONES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("tombstones");
const EVENT_RING: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

/// A table of values in JSON.
type Table<'t> = redb::Table<'t, &'static str, &'static [u8]>;

/// Memory for pages of the file, in bytes; all records are in the engine's own copy anyway.
const CACHE: usize = 1 << 20;

/// Failures of the file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another engine holds the file.
    #[error("the records {} are in use by another engine", .0.display())]
    InUse(PathBuf),
    /// The file is of a newer schema.
    #[error(
        "the records {} were written by a newer k3c (schema {found}, this one knows {SCHEMA}): use that one, or another data directory",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The file's schema.
        found: u64,
    },
    /// The file cannot be opened or made.
    #[error("cannot open the records {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// redb's error.
        #[source]
        source: Box<redb::Error>,
    },
    /// The disk has no room.
    #[error("cannot write the records: no space left on device")]
    Full,
    /// A call of redb's failed while reading or writing.
    #[error("cannot use the records")]
    Database(#[source] Box<redb::Error>),
    /// A value is not what its type should be.
    #[error("a record cannot be read: {0}")]
    Value(#[from] serde_json::Error),
}

impl StoreError {
    /// True when the file itself failed, after which redb does not use it any more.
    fn is_below(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo))
    }

    fn is_full(&self) -> bool {
        let (Self::Database(error) | Self::Open { source: error, .. }) = self else {
            return matches!(self, Self::Full);
        };
        matches!(&**error, redb::Error::Io(error) if error.kind() == std::io::ErrorKind::StorageFull)
    }
}

macro_rules! from_redb {
    ($($kind:ident)*) => {
        $(impl From<redb::$kind> for StoreError {
            fn from(error: redb::$kind) -> Self {
                Self::Database(Box::new(error.into()))
            }
        })*
    };
}
from_redb!(TransactionError TableError StorageError CommitError);

/// One change, applied as a whole. Built by the engine, applied by [`Store::apply`].
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Records to write.
    pub records: Vec<Record>,
    /// Records to remove.
    pub removed: Vec<Tombstone>,
    /// Volumes to write.
    pub volumes: Vec<Volume>,
    /// Volumes to remove.
    pub removed_volumes: Vec<String>,
    /// Networks to write.
    pub networks: Vec<Network>,
    /// Networks to remove, by their names.
    pub removed_networks: Vec<String>,
    /// Execs to write.
    pub execs: Vec<Exec>,
    /// Execs to remove.
    pub removed_execs: Vec<ContainerId>,
    /// Events to add.
    pub events: Vec<Event>,
    /// Named texts to write.
    pub texts: Vec<(String, String)>,
}

impl Change {
    /// An empty change.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a record.
    pub fn put(mut self, record: &Record) -> Self {
        self.records.push(record.clone());
        self
    }

    /// Removes a record and keeps its exit code for a while.
    pub fn bury(mut self, tombstone: Tombstone) -> Self {
        self.removed.push(tombstone);
        self
    }

    /// Writes a volume.
    pub fn put_volume(mut self, volume: Volume) -> Self {
        self.volumes.push(volume);
        self
    }

    /// Removes a volume.
    pub fn remove_volume(mut self, name: &str) -> Self {
        self.removed_volumes.push(name.to_owned());
        self
    }

    /// Writes a network.
    pub fn put_network(mut self, network: Network) -> Self {
        self.networks.push(network);
        self
    }

    /// Removes a network.
    pub fn remove_network(mut self, name: &str) -> Self {
        self.removed_networks.push(name.to_owned());
        self
    }

    /// Writes an exec.
    pub fn put_exec(mut self, exec: &Exec) -> Self {
        self.execs.push(exec.clone());
        self
    }

    /// Removes an exec.
    pub fn remove_exec(mut self, id: &ContainerId) -> Self {
        self.removed_execs.push(id.clone());
        self
    }

    /// Adds an event; its sequence number is given when it is applied.
    pub fn event(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    /// Writes a named text (a choice made once).
    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.texts.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// The open file. Cheap to clone; closed with the last clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Open>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    /// The open database; `None`: it could not be opened again.
    database: RwLock<Option<Database>>,
}

impl Store {
    /// Opens or makes the file. Blocks up to a few seconds while another engine holds it.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = match open(path) {
            // Nothing works without the records, so the kept room is given away for them.
            Err(error) if error.is_full() && remove_reserve(path) => open(path)?,
            other => other?,
        };
        let store = Self(Arc::new(Open { path: path.to_owned(), database: RwLock::new(Some(database)) }));
        store.with(|database| prepare(database, path))?;
        store.keep_room();
        Ok(store)
    }

    /// Frees the room that is kept for a full disk, when there is hardly any other.
    pub fn make_room(&self) {
        if self.free() < RESERVE / 4 && remove_reserve(&self.0.path) {
            tracing::warn!("the disk is full: the room that was kept is given away");
        }
    }

    fn keep_room(&self) {
        if let Err(error) = disk::own_beyond(&self.0.path, BEYOND) {
            tracing::debug!(%error, "the records own no room beyond their end");
        }
        let reserve = self.0.path.with_file_name(RESERVE_FILE);
        if !reserve.exists()
            && self.free() > PLENTY
            && let Err(error) = disk::take(&reserve, RESERVE)
        {
            tracing::debug!(%error, "no room is kept for a full disk");
        }
    }

    fn free(&self) -> u64 {
        disk::free(self.0.path.parent().unwrap_or(&self.0.path)).unwrap_or(u64::MAX)
    }

    /// Runs `work` on the open file, and once more on the file opened again, if it failed below redb.
    fn with<T>(&self, work: impl Fn(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let attempt = || {
            let database = self.0.database.read().unwrap_or_else(PoisonError::into_inner);
            database.as_ref().map(&work)
        };
        match attempt() {
            Some(Err(error)) if error.is_below() => tracing::warn!(?error, "the records are opened again"),
            Some(answer) => return answer,
            None => {}
        }
        {
            let mut database = self.0.database.write().unwrap_or_else(PoisonError::into_inner);
            // The database that is open holds the file, so it is closed first.
            *database = None;
            *database = Some(open(&self.0.path)?);
        }
        match attempt() {
            Some(Err(error)) if error.is_full() => Err(StoreError::Full),
            Some(answer) => answer,
            None => Err(StoreError::InUse(self.0.path.clone())),
        }
    }

    /// Applies a change as a whole; returns its events with their sequence numbers.
    pub fn apply(&self, change: Change) -> Result<Vec<Event>, StoreError> {
        let events = self.with(|database| apply(database, &change))?;
        self.keep_room();
        Ok(events)
    }

    /// Every container's record.
    pub fn records(&self) -> Result<Vec<Record>, StoreError> {
        self.all(RECORDS)
    }

    /// Every volume by name.
    pub fn volumes(&self) -> Result<BTreeMap<String, Volume>, StoreError> {
        Ok(self.all::<Volume>(VOLUMES)?.into_iter().map(|v| (v.name.clone(), v)).collect())
    }

    /// Every network by name.
    pub fn networks(&self) -> Result<BTreeMap<String, Network>, StoreError> {
        Ok(self.all::<Network>(NETWORKS)?.into_iter().map(|n| (n.name.clone(), n)).collect())
    }

    /// Every exec that is remembered.
    pub fn execs(&self) -> Result<Vec<Exec>, StoreError> {
        self.all(EXECS)
    }

    /// Tombstone of a removed container, by its ID or name; the latest of that name.
    pub fn tombstone(&self, who: &str) -> Result<Option<Tombstone>, StoreError> {
        let mut found: Vec<Tombstone> = self.all(TOMBSTONES)?;
        found.retain(|t| {
            t.id.as_str() == who || t.name == who || (who.len() >= 12 && t.id.as_str().starts_with(who))
        });
        found.retain(|t| fresh(t.removed));
        found.sort_by_key(|t| t.removed);
        Ok(found.pop())
    }

    /// A named text: a choice made once.
    pub fn text(&self, key: &str) -> Result<Option<String>, StoreError> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            Ok(transaction.open_table(TEXTS)?.get(key)?.map(|v| v.value().to_owned()))
        })
    }

    /// The events that are kept, oldest first, with a sequence number above `after`.
    pub fn events(&self, after: u64) -> Result<Vec<Event>, StoreError> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let ring = transaction.open_table(EVENT_RING)?;
            let mut events = Vec::new();
            for entry in ring.range(after + 1..)? {
                events.push(serde_json::from_slice(entry?.1.value())?);
            }
            Ok(events)
        })
    }

    fn all<T: DeserializeOwned + Serialize>(
        &self,
        table: TableDefinition<'_, &'static str, &'static [u8]>,
    ) -> Result<Vec<T>, StoreError> {
        self.with(|database| {
            let transaction = database.begin_read()?;
            let table = transaction.open_table(table)?;
            let mut values = Vec::new();
            for entry in table.iter()? {
                values.push(serde_json::from_slice(entry?.1.value())?);
            }
            Ok(values)
        })
    }
}

fn remove_reserve(path: &Path) -> bool {
    std::fs::remove_file(path.with_file_name(RESERVE_FILE)).is_ok()
}

fn open(path: &Path) -> Result<Database, StoreError> {
    let patience = Instant::now() + LOCK_PATIENCE;
    loop {
        match Database::builder().set_cache_size(CACHE).create(path) {
            Ok(database) => return Ok(database),
            Err(DatabaseError::DatabaseAlreadyOpen) if Instant::now() < patience => {
                crate::sys::patience::pause(Duration::from_millis(50));
            }
            Err(DatabaseError::DatabaseAlreadyOpen) => return Err(StoreError::InUse(path.to_owned())),
            Err(error) => {
                return Err(StoreError::Open { path: path.to_owned(), source: Box::new(error.into()) });
            }
        }
    }
}

fn prepare(database: &Database, path: &Path) -> Result<(), StoreError> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        let found = meta.get("schema")?.map(|v| v.value());
        match found {
            Some(found) if found > SCHEMA => {
                return Err(StoreError::Newer { path: path.to_owned(), found });
            }
            Some(SCHEMA) => {}
            older => {
                if let Some(1) = older {
                    migrate::attempts(&mut transaction.open_table(RECORDS)?)?;
                }
                meta.insert("schema", SCHEMA)?;
            }
        }
        transaction.open_table(TEXTS)?;
        transaction.open_table(RECORDS)?;
        transaction.open_table(VOLUMES)?;
        transaction.open_table(NETWORKS)?;
        transaction.open_table(EXECS)?;
        transaction.open_table(TOMBSTONES)?;
        transaction.open_table(EVENT_RING)?;
    }
    transaction.commit()?;
    Ok(())
}

fn apply(database: &Database, change: &Change) -> Result<Vec<Event>, StoreError> {
    let transaction = database.begin_write()?;
    let mut events = Vec::new();
    {
        let mut records = transaction.open_table(RECORDS)?;
        for record in &change.records {
            records.insert(record.id.as_str(), serde_json::to_vec(record)?.as_slice())?;
        }
        apply_execs(&mut transaction.open_table(EXECS)?, change)?;
        if !change.removed.is_empty() {
            let mut tombstones = transaction.open_table(TOMBSTONES)?;
            for tombstone in &change.removed {
                records.remove(tombstone.id.as_str())?;
                tombstones.insert(tombstone.id.as_str(), serde_json::to_vec(tombstone)?.as_slice())?;
            }
            drop_old(&mut tombstones)?;
        }
        let mut volumes = transaction.open_table(VOLUMES)?;
        for volume in &change.volumes {
            volumes.insert(volume.name.as_str(), serde_json::to_vec(volume)?.as_slice())?;
        }
        for name in &change.removed_volumes {
            volumes.remove(name.as_str())?;
        }
        apply_networks(&mut transaction.open_table(NETWORKS)?, change)?;
        let mut texts = transaction.open_table(TEXTS)?;
        for (key, value) in &change.texts {
            texts.insert(key.as_str(), value.as_str())?;
        }
        let mut ring = transaction.open_table(EVENT_RING)?;
        let next = ring.last()?.map_or(1, |(last, _)| last.value() + 1);
        for (sequence, mut event) in (next..).zip(change.events.iter().cloned()) {
            event.sequence = sequence;
            ring.insert(sequence, serde_json::to_vec(&event)?.as_slice())?;
            events.push(event);
        }
        while ring.len()? > EVENTS {
            ring.pop_first()?;
        }
    }
    transaction.commit()?;
    Ok(events)
}

fn apply_networks(networks: &mut Table<'_>, change: &Change) -> Result<(), StoreError> {
    for network in &change.networks {
        networks.insert(network.name.as_str(), serde_json::to_vec(network)?.as_slice())?;
    }
    for name in &change.removed_networks {
        networks.remove(name.as_str())?;
    }
    Ok(())
}

/// Execs that are written and removed, and those whose container goes.
fn apply_execs(execs: &mut Table<'_>, change: &Change) -> Result<(), StoreError> {
    for exec in &change.execs {
        execs.insert(exec.id.as_str(), serde_json::to_vec(exec)?.as_slice())?;
    }
    for id in &change.removed_execs {
        execs.remove(id.as_str())?;
    }
    if change.removed.is_empty() {
        return Ok(());
    }
    let mut gone = Vec::new();
    for entry in execs.iter()? {
        let exec: Exec = serde_json::from_slice(entry?.1.value())?;
        if change.removed.iter().any(|t| t.id == exec.container) {
            gone.push(exec.id);
        }
    }
    for id in gone {
        execs.remove(id.as_str())?;
    }
    Ok(())
}

fn fresh(removed: Timestamp) -> bool {
    Timestamp::now().duration_since(removed).unsigned_abs() < TOMBSTONE
}

fn drop_old(tombstones: &mut Table<'_>) -> Result<(), StoreError> {
    let mut old: Vec<ContainerId> = Vec::new();
    for entry in tombstones.iter()? {
        let tombstone: Tombstone = serde_json::from_slice(entry?.1.value())?;
        if !fresh(tombstone.removed) {
            old.push(tombstone.id);
        }
    }
    for id in old {
        tombstones.remove(id.as_str())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str) -> Event {
        Event {
            sequence: 0,
            time: Timestamp::now(),
            kind: "container".into(),
            action: action.into(),
            actor: "x".into(),
            attributes: BTreeMap::new(),
        }
    }

    #[test]
    fn changes_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k3c.redb");
        let store = Store::open(&path).unwrap();
        let volume = Volume {
            name: "v1".into(),
            created: Timestamp::now(),
            labels: BTreeMap::new(),
            anonymous: false,
        };
        let events = store
            .apply(Change::new().put_volume(volume).event(event("a")).event(event("b")).text("k", "v"))
            .unwrap();
        assert_eq!(events.iter().map(|e| e.sequence).collect::<Vec<_>>(), [1, 2]);
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.volumes().unwrap().len(), 1);
        assert_eq!(store.events(1).unwrap().len(), 1);
        assert_eq!(store.text("k").unwrap().as_deref(), Some("v"));
        store.apply(Change::new().remove_volume("v1")).unwrap();
        assert!(store.volumes().unwrap().is_empty());
    }

    #[test]
    fn refuses_a_newer_schema() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k3c.redb");
        let store = Store::open(&path).unwrap();
        store
            .with(|database| {
                let transaction = database.begin_write()?;
                transaction.open_table(META)?.insert("schema", SCHEMA + 1)?;
                Ok(transaction.commit()?)
            })
            .unwrap();
        drop(store);
        assert!(matches!(Store::open(&path), Err(StoreError::Newer { .. })));
    }

    #[test]
    fn the_last_ten_thousand_events_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("k3c.redb")).unwrap();
        let many = |count: u64| (0..count).fold(Change::new(), |change, _| change.event(event("a")));
        store.apply(many(EVENTS)).unwrap();
        assert_eq!(store.events(0).unwrap().first().map(|e| e.sequence), Some(1));
        store.apply(many(5)).unwrap();
        let kept: Vec<u64> = store.events(0).unwrap().iter().map(|e| e.sequence).collect();
        assert_eq!(kept, (6..=EVENTS + 5).collect::<Vec<_>>());
    }

    #[test]
    fn goes_on_after_the_file_failed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("k3c.redb");
        let store = Store::open(&path).unwrap();
        store.apply(Change::new().text("k", "v")).unwrap();
        // A full disk, as far as a file can play one: nothing beyond its end can be written or read.
        let failed = std::cell::Cell::new(false);
        let answer = store.with(|database| {
            if !failed.replace(true) {
                return Err(StoreError::from(redb::StorageError::Io(std::io::Error::from_raw_os_error(28))));
            }
            apply(database, &Change::new().text("k", "w"))
        });
        answer.unwrap();
        assert_eq!(store.text("k").unwrap().as_deref(), Some("w"));
        let answer = store.with(|_| -> Result<(), _> {
            Err(StoreError::from(redb::StorageError::Io(std::io::Error::from_raw_os_error(28))))
        });
        assert!(matches!(answer, Err(StoreError::Full)));
        store.apply(Change::new()).unwrap();
    }
}
