//! A container that a client attaches to or a process is added to: one of ours, or one that another client of CRI's made,
//! of which nothing is stored.

use crate::engine::error::EngineError;
use crate::engine::{Inner, events};
use crate::model::container::Status;
use crate::model::event::Event;
use crate::model::id::ContainerId;
use crate::store::{Change, Record};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// A container to attach to or to add a process to.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// ID of its record, or CRI's where it has none.
    pub(super) id: ContainerId,
    pub(super) status: Status,
    /// CRI's ID of its pod.
    pub(super) pod: String,
    /// CRI's ID of the container: the attempt, for one of ours.
    pub(super) container: String,
    /// True when its first process has a standard input.
    pub(super) open_stdin: bool,
    pub(super) stdin_once: bool,
    /// Groups that its user was added to, by name or number.
    pub(super) more_groups: Vec<String>,
    /// Attributes that its events have while it has no record.
    pub(super) attributes: BTreeMap<String, String>,
}

impl From<&Record> for Target {
    fn from(record: &Record) -> Self {
        Self {
            id: record.id.clone(),
            status: record.status,
            pod: record.attempt.pod.clone(),
            container: record.attempt.container.clone(),
            open_stdin: record.spec.open_stdin,
            stdin_once: record.spec.stdin_once,
            more_groups: record.spec.group_add.clone(),
            attributes: events::attributes(record),
        }
    }
}

impl Inner {
    /// Finds a container of ours, or a foreign one.
    pub(super) async fn target(&self, who: &str) -> Result<Target, EngineError> {
        match self.records.find(who) {
            Ok(record) => Ok(Target::from(&record)),
            Err(missing) => self.foreign_target(who, missing).await,
        }
    }

    /// An event of a container that may have no record. One of ours may have another name by now.
    pub(super) fn target_event(
        &self,
        id: &ContainerId,
        attributes: &BTreeMap<String, String>,
        action: &str,
        more: &[(&str, String)],
    ) -> Event {
        match self.records.get(id) {
            Ok(record) => events::container(&record, action, Timestamp::now(), more),
            Err(_) => events::of(id, attributes.clone(), action, Timestamp::now(), more),
        }
    }

    /// Records an event of something that changes nothing else.
    pub(super) async fn note_event(&self, target: &Target, action: &str, more: &[(&str, String)]) {
        let event = self.target_event(&target.id, &target.attributes, action, more);
        if let Err(error) = self.records.commit(Change::new().event(event)).await {
            tracing::warn!(%error, container = %target.id, "cannot record an event");
        }
    }
}
