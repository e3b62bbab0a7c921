//! The document of an event.

use super::schema::document;
use crate::model::event::Event as Noun;
use std::collections::BTreeMap;

document! {
    /// One event. The first three are older than `Actor`, and only containers and images have them.
    Event is "events.Message" {
        status: String = "status" / "Status", omit;
        id: String = "id" / "ID", omit;
        from: String = "from" / "From", omit;
        kind: String = "Type";
        action: String = "Action";
        actor: Actor = "Actor";
        scope: String = "scope" / "Scope", omit;
        time: i64 = "time" / "Time", omit;
        time_nano: i64 = "timeNano" / "TimeNano", omit;
    }
}

document! {
    /// The thing that an event happened to.
    Actor is "events.Actor" {
        id: String = "ID";
        attributes: BTreeMap<String, String> = "Attributes";
    }
}

impl From<Noun> for Event {
    fn from(event: Noun) -> Self {
        let old = matches!(event.kind.as_str(), "container" | "image");
        let only_old = |text: Option<&String>| text.filter(|_| old).cloned().unwrap_or_default();
        Self {
            status: only_old(Some(&event.action)),
            id: only_old(Some(&event.actor)),
            from: only_old(event.attributes.get("image")),
            kind: event.kind,
            action: event.action,
            actor: Actor { id: event.actor, attributes: event.attributes },
            scope: "local".to_owned(),
            time: event.time.as_second(),
            time_nano: i64::try_from(event.time.as_nanosecond()).unwrap_or(i64::MAX),
        }
    }
}
