//! Line after line, as BuildKit's own plain printer has them: steps are numbered, one is shown at a time, and another
//! comes in between only when it is done or the current one has had its time.

use super::Display;
use super::trace::{Form, Step, Trace};
use crate::builder::text;
use crate::proto::moby::buildkit::v1::StatusResponse;
use std::io::Write;
use std::time::{Duration, Instant};

/// Time that one step is shown before another one that has something to say, too.
const TURN: Duration = Duration::from_secs(5);
/// A transfer is shown again when this much of it was done, or so many nanoseconds have passed.
const SHARE: i64 = 20;
const PAUSE: i64 = 5_000_000_000;
/// Changes within this time are shown together: a transfer that is done by then takes one line.
const PERIOD: Duration = Duration::from_millis(100);

/// Progress in lines, for files, pipes and continuous integration.
pub struct Plain<W> {
    out: W,
    trace: Trace,
    /// By step: what of it was shown.
    shown: Vec<Shown>,
    numbered: usize,
    current: Option<(usize, Instant)>,
    printed: Option<Instant>,
    begun: bool,
}

#[derive(Default)]
struct Shown {
    number: Option<usize>,
    warnings: usize,
    /// Amount and time of each detail, as last shown.
    details: Vec<Option<(i64, i64)>>,
}

impl<W: Write> Plain<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self {
            out,
            trace: Trace::default(),
            shown: Vec::new(),
            numbered: 0,
            current: None,
            printed: None,
            begun: false,
        }
    }

    fn print(&mut self, now: Instant) {
        self.shown.resize_with(self.trace.steps.len(), Shown::default);
        let is_current = |this: &Self, at: usize| this.current.is_some_and(|(current, _)| current == at);
        let (mut done, mut going): (Vec<usize>, Vec<usize>) = (0..self.trace.steps.len())
            .filter(|at| self.trace.steps[*at].changed)
            .partition(|at| self.trace.steps[*at].is_completed());
        done.sort_by_key(|at| (!is_current(self, *at), self.trace.steps[*at].ended()));
        for at in done {
            self.step(at, now);
        }
        // The current one goes on; then whoever waits, if it is free or has been shown long enough.
        if let Some(place) = going.iter().position(|at| is_current(self, *at)) {
            let at = going.remove(place);
            self.step(at, now);
        }
        let may_switch = self.current.is_none_or(|(_, since)| now.duration_since(since) >= TURN);
        if may_switch && let Some(at) = going.first() {
            self.step(*at, now);
        }
    }

    fn step(&mut self, at: usize, now: Instant) {
        let mut out = Vec::new();
        let number = *self.shown[at].number.get_or_insert_with(|| {
            self.numbered += 1;
            self.numbered
        });
        if self.current.is_none_or(|(current, _)| current != at) {
            if let Some((other, _)) = self.current
                && let Some(other) = self.shown[other].number
            {
                out.extend_from_slice(format!("#{other} ...\n").as_bytes());
            }
            if self.begun {
                out.push(b'\n');
            }
            self.begun = true;
            out.extend_from_slice(format!("#{number} {}\n", self.trace.steps[at].name).as_bytes());
            self.current = Some((at, now));
        }
        let step = &mut self.trace.steps[at];
        step.changed = false;
        let shown = &mut self.shown[at];
        let open = details(&mut out, number, step, shown);
        for warning in &step.warnings[shown.warnings..] {
            out.extend_from_slice(format!("#{number} WARN: {warning}\n").as_bytes());
        }
        shown.warnings = step.warnings.len();
        for line in step.lines.drain(..) {
            out.extend_from_slice(format!("#{number} {} ", text::stamp(line.time)).as_bytes());
            out.extend_from_slice(&line.text);
            out.push(b'\n');
        }
        if step.is_completed() && !open {
            let end = match (step.error.as_str(), step.cached) {
                ("", true) => "CACHED".to_owned(),
                ("", false) => format!("DONE {}", text::seconds(step.duration(0))),
                _ if step.is_canceled() => "CANCELED".to_owned(),
                (error, _) => format!("ERROR: {error}"),
            };
            out.extend_from_slice(format!("#{number} {end}\n").as_bytes());
            self.current = None;
        }
        let _ = self.out.write_all(&out);
    }
}

/// Shows the details that have gone on enough; says whether one is not done.
fn details(out: &mut Vec<u8>, number: usize, step: &mut Step, shown: &mut Shown) -> bool {
    let mut open = false;
    shown.details.resize(step.details.len(), None);
    for (detail, last) in step.details.iter_mut().zip(&mut shown.details) {
        if !std::mem::take(&mut detail.changed) {
            continue;
        }
        open |= detail.completed.is_none();
        if let (Some((amount, time)), None) = (*last, detail.completed) {
            let little = (detail.current - amount).saturating_mul(SHARE) < detail.total.max(1);
            if (little || detail.total == 0) && detail.time - time < PAUSE {
                continue;
            }
        }
        *last = Some((detail.current, detail.time));
        let taken = detail.completed.unwrap_or(detail.time) - detail.started.unwrap_or(i64::MAX);
        let time = if taken > 10_000_000 { format!(" {}", text::seconds(taken)) } else { String::new() };
        let done = if detail.completed.is_some() { " done" } else { "" };
        let amount = text::amount(detail.current, detail.total);
        out.extend_from_slice(format!("#{number} {}{amount}{time}{done}\n", detail.id).as_bytes());
    }
    open
}

impl<W: Write + Send> Display for Plain<W> {
    fn update(&mut self, status: StatusResponse) {
        self.trace.update(status);
        self.tick();
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if self.printed.is_none_or(|printed| now.duration_since(printed) >= PERIOD) {
            self.printed = Some(now);
            self.print(now);
        }
    }

    fn finish(&mut self, failed: bool) {
        // A transfer that was never told to be done does not keep its step open for ever.
        if let Some((at, _)) = self.current {
            self.trace.steps[at].changed |= self.trace.steps[at].is_completed();
        }
        self.print(Instant::now());
        if failed {
            let _ = self.out.write_all(&self.trace.failures(Form::Raw));
        }
        let _ = self.out.write_all(self.trace.warnings.summary(None).as_bytes());
        let _ = self.out.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::{log, transfer, vertex, vertexes};
    use super::*;
    use crate::proto::moby::buildkit::v1::Vertex;

    fn shown(all: Vec<StatusResponse>) -> String {
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out);
        for status in all {
            plain.trace.update(status);
            plain.print(Instant::now());
        }
        plain.finish(true);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_small_build() {
        let text = shown(vec![
            vertexes(vec![vertex("load", 0, None)]),
            transfer("load", 10, 1000, 10, false),
            transfer("load", 20, 1000, 11, false),
            transfer("load", 1000, 1000, 150, true),
            vertexes(vec![vertex("load", 0, Some(150))]),
            vertexes(vec![Vertex { cached: true, ..vertex("base", 150, Some(150)) }]),
            vertexes(vec![vertex("run", 200, None)]),
            log("run", 323, "hello\nwor"),
            log("run", 400, "ld\n"),
            vertexes(vec![vertex("run", 200, Some(1500))]),
        ]);
        let expected = "\
#1 [load] RUN load
#1 transferring context: 10B / 1.00kB
#1 transferring context: 1.00kB / 1.00kB 0.2s done
#1 DONE 0.2s

#2 [base] RUN base
#2 CACHED

#3 [run] RUN run
#3 0.123 hello
#3 0.123 world
#3 DONE 1.3s
";
        assert_eq!(text, expected);
    }

    #[test]
    fn one_at_a_time_and_failures_last() {
        let text = shown(vec![
            vertexes(vec![vertex("a", 0, None), vertex("b", 0, None)]),
            log("a", 100, "a1\n"),
            log("b", 100, "b1\n"),
            log("a", 200, "a2\n"),
            vertexes(vec![
                Vertex { error: "exit code: 2".into(), ..vertex("b", 0, Some(1000)) },
                Vertex { error: "context canceled".into(), ..vertex("a", 0, Some(1100)) },
            ]),
        ]);
        let expected = "\
#1 [a] RUN a
#1 0.100 a1
#1 0.200 a2
#1 CANCELED

#2 [b] RUN b
#2 0.100 b1
#2 ERROR: exit code: 2
------
 > [b] RUN b:
0.100 b1
------
";
        assert_eq!(text, expected);
    }

    #[test]
    fn turns() {
        let mut out = Vec::new();
        let mut plain = Plain::new(&mut out);
        plain.trace.update(vertexes(vec![vertex("a", 0, None), vertex("b", 0, None)]));
        let start = Instant::now();
        plain.print(start);
        plain.trace.update(log("b", 1, "b1\n"));
        plain.print(start + Duration::from_secs(4));
        plain.print(start + Duration::from_secs(5));
        assert_eq!(String::from_utf8(out).unwrap(), "#1 [a] RUN a\n#1 ...\n\n#2 [b] RUN b\n#2 0.001 b1\n");
    }
}
