//! A build's steps, from what BuildKit has told of them so far. Of a step's log only the end is kept.

use super::warnings::Warnings;
use crate::builder::text;
use crate::proto::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog, VertexStatus};
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Lines of a step's log that are kept for when it fails.
const TAIL: usize = 10;
/// A line that does not end is taken as one.
const LINE: usize = 64 << 10;

/// All steps, in the order in which they started.
#[derive(Debug, Default)]
pub(super) struct Trace {
    pub(super) steps: Vec<Step>,
    /// Places in `steps` by digest; `None` for a step that has not started.
    numbers: HashMap<String, Option<usize>>,
    /// Names of groups, whose members are shown as one step.
    groups: HashMap<String, usize>,
    /// All that were given, for the end.
    pub(super) warnings: Warnings,
    /// Time of the first start, in nanoseconds of BuildKit's clock.
    pub(super) started: Option<i64>,
}

/// A step of the build.
#[derive(Debug, Default)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) cached: bool,
    pub(super) error: String,
    /// Parts of the step (transfers), in the order in which they began.
    pub(super) details: Vec<Detail>,
    pub(super) warnings: Vec<String>,
    /// Whole lines that were not shown yet, with their time.
    pub(super) lines: Vec<Line>,
    /// The last ones, shown or not.
    pub(super) tail: VecDeque<Line>,
    /// Set by a change, cleared by the display that has shown it.
    pub(super) changed: bool,
    /// The start of a line whose end did not come yet: a prompt, a bar that is drawn over and over.
    pub(super) partial: Option<Line>,
    /// Starts with their ends. A step can run several times.
    runs: BTreeMap<i64, Option<i64>>,
}

/// A line of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Nanoseconds since the step started.
    pub(super) time: i64,
    pub(super) text: Vec<u8>,
}

impl Line {
    /// As text that a terminal shows in one place.
    pub(super) fn harmless(&self, with_colours: bool) -> String {
        let text = String::from_utf8_lossy(&self.text);
        if with_colours { text::harmless_in_colours(&text) } else { text::harmless(&text) }
    }
}

/// How the log of a step that failed is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As it came.
    Raw,
    /// With its colours, but without what moves the cursor.
    Harmless,
    /// As mere text.
    Colourless,
}

/// A part of a step.
#[derive(Debug, Default)]
pub(super) struct Detail {
    pub(super) id: String,
    pub(super) current: i64,
    pub(super) total: i64,
    pub(super) started: Option<i64>,
    pub(super) completed: Option<i64>,
    /// Time of the last word about it, in nanoseconds.
    pub(super) time: i64,
    pub(super) changed: bool,
}

impl Trace {
    /// Takes in what happened.
    pub(super) fn update(&mut self, status: StatusResponse) {
        for vertex in status.vertexes {
            self.vertex(vertex);
        }
        for detail in status.statuses {
            self.detail(detail);
        }
        for warning in status.warnings {
            self.warnings.add(&warning);
            if let Some(step) = self.step(&warning.vertex) {
                step.warnings.push(String::from_utf8_lossy(&warning.short).into_owned());
                step.changed = true;
            }
        }
        for log in status.logs {
            self.log(log);
        }
    }

    fn step(&mut self, digest: &str) -> Option<&mut Step> {
        let number = (*self.numbers.get(digest)?)?;
        self.steps.get_mut(number)
    }

    fn vertex(&mut self, vertex: Vertex) {
        let group = vertex.progress_group.filter(|group| !group.id.is_empty());
        let known = self.numbers.entry(vertex.digest.clone()).or_default();
        let Some(started) = nanos(vertex.started.as_ref()) else { return };
        self.started.get_or_insert(started);
        let number = match (*known, &group) {
            (Some(number), _) => number,
            (None, Some(group)) => *self.groups.entry(group.id.clone()).or_insert(self.steps.len()),
            (None, None) => self.steps.len(),
        };
        *known = Some(number);
        if number == self.steps.len() {
            let name = group.as_ref().map_or(vertex.name.as_str(), |group| group.name.as_str());
            let name = name.replace(['\t', '\n', '\r'], " ");
            self.steps.push(Step { name, changed: true, ..Step::default() });
        }
        let Some(step) = self.steps.get_mut(number) else { return };
        let completed = nanos(vertex.completed.as_ref());
        let news = step.runs.get(&started) != Some(&completed)
            || step.cached != vertex.cached
            || step.error != vertex.error;
        if news {
            step.runs.insert(started, completed);
            // A group is cached if all of it is.
            step.cached = vertex.cached && (group.is_none() || step.runs.len() == 1 || step.cached);
            if group.is_none() || !vertex.error.is_empty() {
                step.error = vertex.error;
            }
            step.changed = true;
            if step.is_completed() {
                step.end_line();
            }
        }
    }

    fn detail(&mut self, status: VertexStatus) {
        let Some(step) = self.step(&status.vertex) else { return };
        step.changed = true;
        let at = step.details.iter().position(|detail| detail.id == status.id).unwrap_or_else(|| {
            step.details.push(Detail { id: status.id, ..Detail::default() });
            step.details.len() - 1
        });
        let detail = &mut step.details[at];
        (detail.current, detail.total) = (status.current, status.total);
        detail.started = nanos(status.started.as_ref()).or(detail.started);
        detail.completed = nanos(status.completed.as_ref());
        detail.time = nanos(status.timestamp.as_ref()).unwrap_or_default();
        detail.changed = true;
    }

    fn log(&mut self, log: VertexLog) {
        let Some(step) = self.step(&log.vertex) else { return };
        let start = step.runs.keys().next_back().copied().unwrap_or_default();
        let time = nanos(log.timestamp.as_ref()).map_or(0, |now| now.saturating_sub(start));
        step.changed = true;
        for piece in log.msg.split_inclusive(|byte| *byte == b'\n') {
            let line = step.partial.get_or_insert(Line { time, text: Vec::new() });
            line.text.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
            if piece.ends_with(b"\n") || line.text.len() > LINE {
                step.end_line();
            }
        }
    }

    /// Numbers of steps: all, and those that are done.
    pub(super) fn count(&self) -> (usize, usize) {
        let waiting = self.numbers.values().filter(|number| number.is_none()).count();
        let done = self.steps.iter().filter(|step| step.is_completed()).count();
        (waiting + self.steps.len(), done)
    }

    /// The steps that failed, with the ends of their logs.
    pub(super) fn failures(&self, form: Form) -> Vec<u8> {
        let mut out = Vec::new();
        for step in self.steps.iter().filter(|step| !step.error.is_empty() && !step.is_canceled()) {
            out.extend_from_slice(format!("------\n > {}:\n", step.name).as_bytes());
            for line in &step.tail {
                out.extend_from_slice(format!("{} ", text::stamp(line.time)).as_bytes());
                match form {
                    Form::Raw => out.extend_from_slice(&line.text),
                    Form::Harmless => out.extend_from_slice(line.harmless(true).as_bytes()),
                    Form::Colourless => out.extend_from_slice(line.harmless(false).as_bytes()),
                }
                out.push(b'\n');
            }
            out.extend_from_slice(b"------\n");
        }
        out
    }
}

impl Step {
    /// True when the step has run, and nothing of it runs any more.
    pub(super) fn is_completed(&self) -> bool {
        !self.runs.is_empty() && self.runs.values().all(Option::is_some)
    }

    /// True when the step was stopped because another one failed.
    pub(super) fn is_canceled(&self) -> bool {
        self.error.ends_with("context canceled")
    }

    /// Time of its last end, in nanoseconds.
    pub(super) fn ended(&self) -> Option<i64> {
        self.runs.values().copied().flatten().max()
    }

    /// Nanoseconds that it ran until now; time in which it ran twice counts once.
    pub(super) fn duration(&self, now: i64) -> i64 {
        let (mut sum, mut until) = (0i64, i64::MIN);
        for (start, stop) in &self.runs {
            let stop = stop.unwrap_or(now);
            sum += (stop - (*start).max(until)).max(0);
            until = until.max(stop);
        }
        sum
    }

    fn end_line(&mut self) {
        if let Some(line) = self.partial.take() {
            if self.tail.len() == TAIL {
                self.tail.pop_front();
            }
            self.tail.push_back(line.clone());
            self.lines.push(line);
        }
    }
}

/// Since 1970.
pub(super) fn nanos(time: Option<&prost_types::Timestamp>) -> Option<i64> {
    time.map(|time| time.seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(time.nanos)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::proto::pb::ProgressGroup;
    use prost_types::Timestamp;

    fn at(millis: i64) -> Option<Timestamp> {
        let nanos = i32::try_from(millis % 1000 * 1_000_000).unwrap();
        Some(Timestamp { seconds: 1000 + millis / 1000, nanos })
    }

    /// A vertex that started and, perhaps, ended, in milliseconds.
    pub(in crate::builder::progress) fn vertex(digest: &str, started: i64, completed: Option<i64>) -> Vertex {
        Vertex {
            digest: digest.to_owned(),
            name: format!("[{digest}] RUN {digest}"),
            started: at(started),
            completed: completed.and_then(at),
            ..Vertex::default()
        }
    }

    pub(in crate::builder::progress) fn vertexes(all: Vec<Vertex>) -> StatusResponse {
        StatusResponse { vertexes: all, ..StatusResponse::default() }
    }

    pub(in crate::builder::progress) fn log(digest: &str, time: i64, text: &str) -> StatusResponse {
        let log = VertexLog { vertex: digest.to_owned(), timestamp: at(time), stream: 1, msg: text.into() };
        StatusResponse { logs: vec![log], ..StatusResponse::default() }
    }

    pub(in crate::builder::progress) fn transfer(
        digest: &str,
        current: i64,
        total: i64,
        time: i64,
        done: bool,
    ) -> StatusResponse {
        let status = VertexStatus {
            id: "transferring context:".to_owned(),
            vertex: digest.to_owned(),
            current,
            total,
            timestamp: at(time),
            started: at(0),
            completed: if done { at(time) } else { None },
            ..VertexStatus::default()
        };
        StatusResponse { statuses: vec![status], ..StatusResponse::default() }
    }

    #[test]
    fn time_is_counted_once() {
        let mut trace = Trace::default();
        trace.update(vertexes(vec![vertex("a", 0, Some(1000)), vertex("a", 500, Some(1500))]));
        trace.update(vertexes(vec![vertex("a", 3000, None)]));
        let step = &trace.steps[0];
        assert!(!step.is_completed());
        assert_eq!(step.duration(nanos(at(4000).as_ref()).unwrap()), 2_500_000_000);
        trace.update(vertexes(vec![Vertex { digest: "b".into(), ..Vertex::default() }]));
        assert_eq!(trace.count(), (2, 0));
    }

    #[test]
    fn a_log_keeps_its_end() {
        let mut trace = Trace::default();
        trace.update(vertexes(vec![vertex("a", 0, None)]));
        trace.update(log("a", 10, "be"));
        trace.update(log("a", 20, "gin\n"));
        for n in 0..20 {
            trace.update(log("a", 100 * n, &format!("line {n}\n")));
        }
        trace.update(log("a", 5000, "no end"));
        let mut failed = vertex("a", 0, Some(6000));
        failed.error = "exit code: 1".into();
        trace.update(vertexes(vec![failed]));
        let step = &trace.steps[0];
        assert_eq!((step.lines.len(), step.lines[0].time), (22, 10_000_000));
        assert_eq!(step.lines[0].text, b"begin");
        let text = String::from_utf8(trace.failures(Form::Raw)).unwrap();
        assert!(text.starts_with("------\n > [a] RUN a:\n1.100 line 11\n"), "{text}");
        assert!(text.ends_with("5.000 no end\n------\n"), "{text}");
    }

    #[test]
    fn a_group_is_one_step() {
        let mut trace = Trace::default();
        let member = |digest, from, to| Vertex {
            progress_group: Some(ProgressGroup { id: "g".into(), name: "COPY x".into(), weak: false }),
            ..vertex(digest, from, to)
        };
        trace.update(vertexes(vec![member("a", 0, Some(100)), member("b", 50, None)]));
        assert_eq!((trace.steps.len(), trace.steps[0].name.as_str()), (1, "COPY x"));
        assert!(!trace.steps[0].is_completed());
        trace.update(vertexes(vec![member("b", 50, Some(200))]));
        assert!(trace.steps[0].is_completed());
    }
}
