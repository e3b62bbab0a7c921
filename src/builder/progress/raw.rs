//! What BuildKit tells, as it tells it: a line of JSON for each message, with the names that its own clients have.

use super::Display;
use crate::proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::io::Write;

/// Progress for programs.
pub struct Raw<W>(W);

impl<W: Write> Raw<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self(out)
    }
}

impl<W: Write + Send> Display for Raw<W> {
    fn update(&mut self, status: StatusResponse) {
        let line = format!("{}\n", message(&status));
        let _ = self.0.write_all(line.as_bytes());
    }

    fn tick(&mut self) {}

    fn finish(&mut self, _: bool) {
        let _ = self.0.flush();
    }
}

/// Without what is empty.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(on) => !on,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Number(number) => number.as_i64() == Some(0),
        Value::Object(_) => false,
    };
    let kept = fields.into_iter().filter(|(_, value)| !is_empty(value));
    Value::Object(kept.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn message(status: &StatusResponse) -> Value {
    object([
        ("vertexes", status.vertexes.iter().map(vertex).collect()),
        ("statuses", status.statuses.iter().map(detail).collect()),
        ("logs", status.logs.iter().map(log).collect()),
        ("warnings", status.warnings.iter().map(warning).collect()),
    ])
}

fn vertex(vertex: &Vertex) -> Value {
    let group = vertex.progress_group.as_ref();
    object([
        ("digest", json!(vertex.digest)),
        ("inputs", json!(vertex.inputs)),
        ("name", json!(vertex.name)),
        ("started", time(vertex.started.as_ref())),
        ("completed", time(vertex.completed.as_ref())),
        ("cached", json!(vertex.cached)),
        ("error", json!(vertex.error)),
        (
            "progressGroup",
            group.map_or(Value::Null, |group| {
                object([("id", json!(group.id)), ("name", json!(group.name)), ("weak", json!(group.weak))])
            }),
        ),
    ])
}

fn detail(status: &VertexStatus) -> Value {
    object([
        ("id", json!(status.id)),
        ("vertex", json!(status.vertex)),
        ("name", json!(status.name)),
        ("total", json!(status.total)),
        // Its own clients have it even if it is 0.
        ("current", Value::Number(status.current.into())),
        ("timestamp", time(status.timestamp.as_ref())),
        ("started", time(status.started.as_ref())),
        ("completed", time(status.completed.as_ref())),
    ])
}

fn log(log: &VertexLog) -> Value {
    object([
        ("vertex", json!(log.vertex)),
        ("stream", json!(log.stream)),
        ("data", json!(STANDARD.encode(&log.msg))),
        ("timestamp", time(log.timestamp.as_ref())),
    ])
}

fn warning(warning: &VertexWarning) -> Value {
    let detail: Vec<String> = warning.detail.iter().map(|line| STANDARD.encode(line)).collect();
    object([
        ("vertex", json!(warning.vertex)),
        ("level", json!(warning.level)),
        ("short", json!(STANDARD.encode(&warning.short))),
        ("detail", json!(detail)),
        ("url", json!(warning.url)),
    ])
}

/// RFC 3339, to the nanosecond.
fn time(time: Option<&prost_types::Timestamp>) -> Value {
    let stamp = time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
    stamp.map_or(Value::Null, |stamp| Value::String(stamp.to_string()))
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::{log, transfer, vertex, vertexes};
    use super::*;

    #[test]
    fn lines_of_json() {
        let mut out = Vec::new();
        let mut raw = Raw::new(&mut out);
        raw.update(vertexes(vec![vertex("a", 0, Some(1500))]));
        raw.update(transfer("a", 10, 20, 5, false));
        raw.update(log("a", 7, "said\n"));
        raw.finish(false);
        let expected = r#"{"vertexes":[{"digest":"a","name":"[a] RUN a","started":"1970-01-01T00:16:40Z","completed":"1970-01-01T00:16:41.5Z"}]}
{"statuses":[{"id":"transferring context:","vertex":"a","total":20,"current":10,"timestamp":"1970-01-01T00:16:40.005Z","started":"1970-01-01T00:16:40Z"}]}
{"logs":[{"vertex":"a","stream":1,"data":"c2FpZAo=","timestamp":"1970-01-01T00:16:40.007Z"}]}
"#;
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
