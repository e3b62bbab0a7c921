//! A table at the bottom of a terminal, drawn again and again: a line for each step and its transfers, and under what
//! runs the last lines that it said.

use super::trace::{Line, Step, Trace, nanos};
use super::{Display, text};
use crate::proto::moby::buildkit::v1::StatusResponse;
use std::collections::VecDeque;
use std::io::Write;
use std::time::{Duration, Instant};
use unicode_width::UnicodeWidthStr;

/// A little less often than it could.
const PERIOD: Duration = Duration::from_millis(100);
/// Lines of output below a step that runs.
const WINDOW: usize = 6;
/// Columns below which nothing is drawn.
const NARROW: usize = 20;

/// The terminal's size in characters; asked for before each drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// Progress as a table that is redrawn, for terminals that understand the usual sequences.
pub struct Tty<W, S> {
    out: W,
    size: S,
    trace: Trace,
    drawn: Option<Instant>,
    lines: usize,
    /// Nanoseconds that BuildKit's clock is behind ours.
    behind: Option<i64>,
}

impl<W: Write, S: Fn() -> Size> Tty<W, S> {
    /// Writes to `out`, which is as large as `size` says.
    pub fn new(out: W, size: S) -> Self {
        Self { out, size, trace: Trace::default(), drawn: None, lines: 0, behind: None }
    }

    fn draw(&mut self, last: bool) {
        let size = (self.size)();
        let now = clock() - self.behind.unwrap_or_default();
        let frame = frame(&self.trace, now, size, last);
        let mut out = String::new();
        if self.lines > 0 {
            // Up to the first line of the old table, and away with all of it.
            out.push_str(&format!("\x1b[{}A\r\x1b[J", self.lines));
        }
        for line in &frame {
            out.push_str(line);
            out.push('\n');
        }
        self.lines = frame.len();
        self.drawn = Some(Instant::now());
        let _ = self.out.write_all(out.as_bytes()).and_then(|()| self.out.flush());
    }
}

impl<W: Write + Send, S: Fn() -> Size + Send> Display for Tty<W, S> {
    fn update(&mut self, status: StatusResponse) {
        self.trace.update(status);
        for step in &mut self.trace.steps {
            step.lines.clear();
        }
        if let (None, Some(started)) = (self.behind, self.trace.started) {
            self.behind = Some(clock() - started);
        }
        self.tick();
    }

    fn tick(&mut self) {
        if self.drawn.is_none_or(|drawn| drawn.elapsed() >= PERIOD) {
            self.draw(false);
        }
    }

    fn finish(&mut self, failed: bool) {
        self.draw(true);
        if failed {
            let _ = self.out.write_all(&self.trace.failures());
        }
        let _ = self.out.flush();
    }
}

fn clock() -> i64 {
    nanos(Some(&std::time::SystemTime::now().into())).unwrap_or_default()
}

/// A line of the table.
struct Row {
    name: String,
    nanos: i64,
    going: bool,
    /// The last lines of its log.
    said: Vec<String>,
}

/// The whole picture. The last one is not cut to the height of the terminal, so that nothing is missing afterwards.
fn frame(trace: &Trace, now: i64, size: Size, last: bool) -> Vec<String> {
    let (total, done) = trace.count();
    let finished = if last && total > 0 && total == done { " FINISHED" } else { "" };
    let taken = trace.started.map_or(0, |started| now - started);
    let head = format!("[+] Building {} ({done}/{total}){finished}", text::seconds(taken));
    let columns = size.columns.max(NARROW);
    let mut all = vec![text::fit(&head, columns - 1).to_owned()];
    let mut rows: Vec<Row> = trace.steps.iter().flat_map(|step| rows(step, now)).collect();
    if !last {
        rows = chosen(rows, size.rows.saturating_sub(2).max(1));
    }
    for row in rows {
        let time = format!(" {}", text::seconds(row.nanos));
        let room = columns.saturating_sub(1 + time.len());
        let name = text::harmless(&format!(" => {}", row.name));
        let name = text::fit(&name, room);
        all.push(format!("{name}{}{time}", " ".repeat(room - name.width())));
        if !last {
            let said = row.said.iter().map(|line| format!(" => => # {line}"));
            all.extend(said.map(|line| text::fit(&line, columns - 1).to_owned()));
        }
    }
    all
}

fn rows(step: &Step, now: i64) -> Vec<Row> {
    let mark = match (step.error.as_str(), step.cached) {
        ("", true) => "CACHED ",
        ("", false) => "",
        _ if step.is_canceled() => "CANCELED ",
        _ => "ERROR ",
    };
    let going = !step.is_completed();
    let said = if going { said(&step.tail) } else { Vec::new() };
    let own = Row { name: format!("{mark}{}", step.name), nanos: step.duration(now), going, said };
    let details = step.details.iter().map(|detail| Row {
        name: format!("=> {}{}", detail.id, text::amount(detail.current, detail.total)),
        nanos: detail.completed.unwrap_or(now) - detail.started.unwrap_or(now),
        going: going && detail.completed.is_none(),
        said: Vec::new(),
    });
    let warnings = step.warnings.iter().map(|warning| Row {
        name: format!("WARN: {warning}"),
        nanos: 0,
        going: false,
        said: Vec::new(),
    });
    std::iter::once(own).chain(details).chain(warnings).collect()
}

fn said(tail: &VecDeque<Line>) -> Vec<String> {
    let lines = tail.iter().skip(tail.len().saturating_sub(WINDOW));
    lines.map(|line| text::harmless(&String::from_utf8_lossy(&line.text))).collect()
}

/// The rows that there is room for: first those that go on, then those that were done last; output if there is room left.
fn chosen(mut rows: Vec<Row>, room: usize) -> Vec<Row> {
    let mut surplus = rows.len().saturating_sub(room);
    rows.retain(|row| {
        let keep = row.going || surplus == 0;
        surplus -= usize::from(!keep);
        keep
    });
    let drop = rows.len().saturating_sub(room);
    rows.drain(..drop);
    let mut left = room - rows.len();
    for row in &mut rows {
        if row.said.len() > left {
            row.said.drain(..row.said.len() - left);
        }
        left -= row.said.len();
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::{log, transfer, vertex, vertexes};
    use super::*;
    use crate::proto::moby::buildkit::v1::Vertex;

    const SECOND: i64 = 1_000_000_000;

    fn trace(all: Vec<StatusResponse>) -> Trace {
        let mut trace = Trace::default();
        all.into_iter().for_each(|status| trace.update(status));
        trace
    }

    #[test]
    fn the_picture() {
        let trace = trace(vec![
            vertexes(vec![vertex("load", 0, Some(150)), vertex("run", 200, None)]),
            transfer("load", 1000, 1000, 150, true),
            vertexes(vec![Vertex { cached: true, ..vertex("base", 150, Some(150)) }]),
            log("run", 323, "hello\n\x1b[31m10%\r100% of a line that is far too long for this\n"),
        ]);
        let size = Size { rows: 20, columns: 40 };
        let expected = "\
[+] Building 2.0s (2/3)
 => [load] RUN load                0.2s
 => => transferring context: 1.00k 0.2s
 => [run] RUN run                  1.8s
 => => # hello
 => => # 100% of a line that is far too
 => CACHED [base] RUN base         0.0s";
        assert_eq!(frame(&trace, 1002 * SECOND, size, false).join("\n"), expected);
    }

    #[test]
    fn what_goes_on_is_never_cut() {
        let mut all: Vec<Vertex> = (0..8).map(|n| vertex(&format!("d{n}"), n, Some(n + 1))).collect();
        all.insert(0, vertex("first", 0, None));
        let trace = trace(vec![vertexes(all), log("first", 1, "said\n")]);
        let size = Size { rows: 5, columns: 60 };
        let lines = frame(&trace, 1002 * SECOND, size, false);
        let starts: Vec<&str> = lines.iter().map(|line| line.split("] ").next().unwrap()).collect();
        assert_eq!(starts, ["[+", " => [first", " => [d6", " => [d7"]);
        assert_eq!(frame(&trace, 1002 * SECOND, size, true).len(), 10);
        let tiny = Size { rows: 0, columns: 0 };
        assert_eq!(frame(&trace, 1002 * SECOND, tiny, false).len(), 2);
    }

    #[test]
    fn it_is_drawn_over() {
        let mut out = Vec::new();
        let mut tty = Tty::new(&mut out, || Size { rows: 10, columns: 40 });
        tty.update(vertexes(vec![vertex("a", 0, Some(5))]));
        tty.finish(false);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\x1b[2A\r\x1b[J[+] Building "), "{text:?}");
        assert!(text.contains("(1/1) FINISHED\n"), "{text:?}");
    }
}
