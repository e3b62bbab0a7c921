//! Filters of `events`.

use super::{LabelFilter, RawFilters, any};
use crate::model::event::Event;
use crate::model::reference;

/// Filter of the events in a subscription.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventMatch {
    kinds: Vec<String>,
    actions: Vec<String>,
    containers: Vec<String>,
    volumes: Vec<String>,
    images: Vec<String>,
    labels: LabelFilter,
    scopes: Vec<String>,
    /// Something is asked for that never happens here.
    never: bool,
}

impl EventMatch {
    /// Parses a filter. A key that there is not filters nothing, as in Docker.
    pub fn parse(filters: RawFilters) -> Self {
        let mut wanted = Self::default();
        for (key, values) in filters {
            match key.as_str() {
                "type" => wanted.kinds.extend(values),
                "event" => wanted.actions.extend(values),
                "container" => wanted.containers.extend(values),
                "volume" => wanted.volumes.extend(values),
                "image" => wanted.images.extend(values),
                "label" => values.iter().for_each(|value| wanted.labels.add(value)),
                "scope" => wanted.scopes.extend(values),
                "daemon" | "network" | "plugin" => wanted.never |= !values.is_empty(),
                _ => {}
            }
        }
        wanted
    }

    /// Is this event told of?
    pub fn matches(&self, event: &Event) -> bool {
        let attribute = |key: &str| event.attributes.get(key).map(String::as_str);
        let actor = |value: &str, kind: &str| {
            event.kind == kind
                && (event.actor == value
                    || attribute("name") == Some(value)
                    || (!value.is_empty() && event.actor.starts_with(value)))
        };
        let image = |value: &str| {
            let shown = reference::familiar(value);
            let is = |key| attribute(key).is_some_and(|name| reference::familiar(name) == shown);
            actor(value, "image") || is("image") || is("name")
        };
        !self.never
            && any(&self.kinds, |kind| *kind == event.kind)
            && any(&self.actions, |a| event.action == *a || event.action.starts_with(&format!("{a}:")))
            && any(&self.containers, |value| actor(value, "container"))
            && any(&self.volumes, |value| actor(value, "volume"))
            && any(&self.images, |value| image(value))
            && any(&self.scopes, |scope| scope == "local")
            && self.labels.matches(&event.attributes)
    }
}
