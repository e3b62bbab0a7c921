//! Events.

use super::{Invalid, filters_from, filters_to, time};
use crate::model::event::{Event, EventFilter};
use crate::model::filter::EventMatch;
use crate::proto::k3c::v1 as wire;

impl From<Event> for wire::Event {
    fn from(event: Event) -> Self {
        Self {
            time: Some(time::to(event.time)),
            r#type: event.kind,
            action: event.action,
            actor_id: event.actor,
            attributes: event.attributes.into_iter().collect(),
            sequence: event.sequence,
        }
    }
}

impl TryFrom<wire::Event> for Event {
    type Error = Invalid;

    fn try_from(event: wire::Event) -> Result<Self, Invalid> {
        Ok(Self {
            sequence: event.sequence,
            time: time::required("time", event.time)?,
            kind: event.r#type,
            action: event.action,
            actor: event.actor_id,
            attributes: event.attributes.into_iter().collect(),
        })
    }
}

impl From<EventFilter> for wire::SubscribeEventsRequest {
    fn from(filter: EventFilter) -> Self {
        Self {
            since: filter.since.map(time::to),
            until: filter.until.map(time::to),
            filters: filters_to(filter.filters),
            after: filter.after.unwrap_or(0),
        }
    }
}

impl TryFrom<wire::SubscribeEventsRequest> for EventFilter<EventMatch> {
    type Error = Invalid;

    fn try_from(request: wire::SubscribeEventsRequest) -> Result<Self, Invalid> {
        Ok(Self {
            since: time::from("since", request.since)?,
            until: time::from("until", request.until)?,
            filters: EventMatch::parse(filters_from(request.filters)),
            after: Some(request.after).filter(|after| *after > 0),
        })
    }
}
