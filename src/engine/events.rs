//! Events: written with the change they tell of, kept in the store, and handed to the listeners.

use super::error::EngineError;
use super::{Engine, Inner};
use crate::model::event::{Event, EventFilter};
use crate::model::filter::EventMatch;
use crate::model::id::ContainerId;
use crate::store::{Change, Record};
use jiff::Timestamp;
use std::collections::BTreeMap;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// An event of a container, with Docker's attributes: its labels, its image and its name.
pub(super) fn container(record: &Record, action: &str, time: Timestamp, more: &[(&str, String)]) -> Event {
    of(&record.id, attributes(record), action, time, more)
}

/// Attributes that every event of a container has.
pub(super) fn attributes(record: &Record) -> BTreeMap<String, String> {
    let mut attributes = record.resolved.labels.clone();
    attributes.insert("image".to_owned(), record.spec.image.clone());
    attributes.insert("name".to_owned(), record.name.clone());
    attributes
}

/// An event of a container of which only these attributes are known.
pub(super) fn of(
    container: &ContainerId,
    mut attributes: BTreeMap<String, String>,
    action: &str,
    time: Timestamp,
    more: &[(&str, String)],
) -> Event {
    for (key, value) in more {
        attributes.insert((*key).to_owned(), value.clone());
    }
    Event {
        sequence: 0,
        time,
        kind: "container".to_owned(),
        action: action.to_owned(),
        actor: container.to_string(),
        attributes,
    }
}

/// An event of a volume.
pub(super) fn volume(name: &str, action: &str) -> Event {
    Event {
        sequence: 0,
        time: Timestamp::now(),
        kind: "volume".to_owned(),
        action: action.to_owned(),
        actor: name.to_owned(),
        attributes: BTreeMap::from([("driver".to_owned(), "local".to_owned())]),
    }
}

/// An event of a network.
pub(super) fn network(id: &str, name: &str, action: &str, more: &[(&str, String)]) -> Event {
    let own = [("name", name.to_owned()), ("type", "bridge".to_owned())];
    Event {
        sequence: 0,
        time: Timestamp::now(),
        kind: "network".to_owned(),
        action: action.to_owned(),
        actor: id.to_owned(),
        attributes: own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
    }
}

impl Inner {
    /// Writes an event of an image; it is worth a line in the log if that fails, no more.
    pub(super) async fn image_event(&self, action: &str, actor: &str, name: &str) {
        let event = Event {
            sequence: 0,
            time: Timestamp::now(),
            kind: "image".to_owned(),
            action: action.to_owned(),
            actor: actor.to_owned(),
            attributes: BTreeMap::from([("name".to_owned(), name.to_owned())]),
        };
        if let Err(error) = self.records.commit(Change::new().event(event)).await {
            tracing::warn!(%error, action, actor, "cannot record an event");
        }
    }
}

impl Engine {
    /// Events from `since` on (without it: from now on), until `until`. The stream ends with an `Internal` error when
    /// events were lost because they were read too slowly, or kept ones cannot be read.
    pub async fn events(
        &self,
        filter: EventFilter<EventMatch>,
    ) -> ReceiverStream<Result<Event, EngineError>> {
        let (sender, receiver) = mpsc::channel(256);
        // Listening begins before the past is read: nothing falls between.
        let mut live = self.inner().records.live_events();
        let records = self.inner().records.clone();
        let after = filter.after.unwrap_or(0);
        let past = after > 0 || filter.since.is_some() || filter.until.is_some_and(|u| u <= Timestamp::now());
        let read = if past { records.past_events(after).await } else { Ok(Vec::new()) };
        tokio::spawn(async move {
            let mut last = after;
            let mut known = read;
            loop {
                let past = match std::mem::replace(&mut known, Ok(Vec::new())) {
                    Ok(past) => past,
                    Err(error) => return drop(sender.send(Err(error)).await),
                };
                for event in past {
                    last = event.sequence;
                    if in_time(&filter, &event)
                        && filter.filters.matches(&event)
                        && sender.send(Ok(event)).await.is_err()
                    {
                        return;
                    }
                }
                let end = filter.until.map(|until| {
                    let left = until.duration_since(Timestamp::now());
                    if left.is_negative() { std::time::Duration::ZERO } else { left.unsigned_abs() }
                });
                let over = async {
                    match end {
                        Some(left) => tokio::time::sleep(left).await,
                        None => std::future::pending().await,
                    }
                };
                let event = tokio::select! {
                    event = live.recv() => event,
                    () = over => return,
                    () = sender.closed() => return,
                };
                match event {
                    Ok(event) if event.sequence <= last => {}
                    Ok(event) => {
                        last = event.sequence;
                        if filter.filters.matches(&event) && sender.send(Ok(event)).await.is_err() {
                            return;
                        }
                    }
                    Err(RecvError::Closed) => return,
                    // More events came than the channel holds: they are in the store.
                    Err(RecvError::Lagged(_)) if last > 0 => known = records.past_events(last).await,
                    Err(RecvError::Lagged(count)) => {
                        let text = format!("events were lost: {count} came faster than they were read");
                        return drop(sender.send(Err(EngineError::Broken(text))).await);
                    }
                }
            }
        });
        ReceiverStream::new(receiver)
    }
}

fn in_time(filter: &EventFilter<EventMatch>, event: &Event) -> bool {
    filter.since.is_none_or(|s| event.time >= s) && filter.until.is_none_or(|u| event.time <= u)
}
