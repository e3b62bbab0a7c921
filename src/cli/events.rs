//! `events`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::format::moment;
use super::format::template::{Data, Template};
use super::options::value;
use crate::api::docker;
use crate::api::docker::schema::Typed as _;
use crate::model::event::{Event, EventFilter};
use futures::StreamExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;

/// Get real time events from the engine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    filter: Vec<(String, String)>,
    /// Format output: 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show all events created since timestamp
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Stream events until this timestamp
    #[arg(long, value_name = "string")]
    until: Option<String>,
}

/// Shows events until `--until`, or for ever.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let zone = moment::zone();
    let now = Timestamp::now();
    let time = |text: &Option<String>| match text.as_deref().filter(|t| !t.is_empty()) {
        None => Ok(None),
        Some(text) => moment::parse(text, now, &zone).map(Some).ok_or_else(|| {
            CommandError::failed(format!("failed to parse value as time or duration: {text:?}"))
        }),
    };
    let filter = EventFilter {
        since: time(&args.since)?,
        until: time(&args.until)?,
        filters: value::filters(&args.filter),
        after: None,
    };
    let template = match args.format.as_deref() {
        None | Some("" | "json") => None,
        Some(text) => Some(Template::parse(text)?),
    };
    let as_json = args.format.as_deref() == Some("json");
    let mut events = cx.client().await?.events(filter).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        let line = match &template {
            Some(template) => template.render(&Data::new(&document(&event), docker::Event::SHAPE))?,
            None if as_json => document(&event).to_string(),
            None => text(&event, &zone),
        };
        cx.ui.line(&line)?;
    }
    Ok(())
}

fn text(event: &Event, zone: &TimeZone) -> String {
    let time = moment::rfc3339_nano_in(event.time, zone);
    let attributes: Vec<String> = event.attributes.iter().map(|(k, v)| format!("{k}={v}")).collect();
    let attributes = match attributes.is_empty() {
        true => String::new(),
        false => format!(" ({})", attributes.join(", ")),
    };
    format!("{time} {} {} {}{attributes}", event.kind, event.action, event.actor)
}

fn document(event: &Event) -> Value {
    docker::value(&docker::Event::from(event.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let event = Event {
            sequence: 1,
            time: Timestamp::new(1, 5).unwrap(),
            kind: "container".into(),
            action: "start".into(),
            actor: "abc".into(),
            attributes: [("name", "web"), ("image", "alpine")].map(|(k, v)| (k.into(), v.into())).into(),
        };
        assert_eq!(
            text(&event, &TimeZone::UTC),
            "1970-01-01T00:00:01.000000005Z container start abc (image=alpine, name=web)"
        );
        assert_eq!(
            document(&event).to_string(),
            "{\"status\":\"start\",\"id\":\"abc\",\"from\":\"alpine\",\"Type\":\"container\",\"Action\":\"start\",\
             \"Actor\":{\"ID\":\"abc\",\"Attributes\":{\"image\":\"alpine\",\"name\":\"web\"}},\"scope\":\"local\",\
             \"time\":1,\"timeNano\":1000000005}"
        );
    }
}
