//! The picture of a build: a line for each step and its transfers, and under what runs the last lines that it said.

use super::trace::{Step, Trace};
use crate::builder::text;
use std::collections::VecDeque;

/// Lines of output below a step that runs.
const WINDOW: usize = 6;
/// Columns below which nothing is drawn.
const NARROW: usize = 20;
/// Columns of a name that are left when its figures take their place.
const NAME: usize = 16;
/// In front of what a step says.
const SAID: &str = " => => # ";

/// The terminal's size in characters; asked for before each drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
}

/// What a line is about, which gives it its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Tone {
    #[default]
    Usual,
    Said,
    Done,
    Stopped,
    Failed,
    Warning,
}

/// A line of the picture: text at its start, a time at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) time: String,
    pub(super) tone: Tone,
}

/// A line of the table, of any length.
struct Row {
    name: String,
    /// Bytes done and in all.
    amount: String,
    nanos: i64,
    going: bool,
    tone: Tone,
    /// The last lines of its log, each no longer than the terminal.
    said: Vec<String>,
}

/// The whole picture. The last one is not cut to the height of the terminal, so that nothing is missing afterwards.
pub(super) fn picture(trace: &Trace, now: i64, size: Size, last: bool) -> Vec<Line> {
    let (total, done) = trace.count();
    let finished = if last && total > 0 && total == done { " FINISHED" } else { "" };
    let taken = trace.started.map_or(0, |started| now - started);
    let head = format!("[+] Building {} ({done}/{total}){finished}", text::seconds(taken));
    // The last column stays free: what is written there may move the cursor to the next line.
    let columns = size.columns.max(NARROW) - 1;
    let mut all = vec![Line { text: text::fit(&head, columns), ..Line::default() }];
    let mut rows: Vec<Row> = trace.steps.iter().flat_map(|step| rows(step, now, columns)).collect();
    if !last {
        rows = chosen(rows, size.rows.saturating_sub(2).max(1));
    }
    for row in rows {
        let time = text::seconds(row.nanos);
        let room = columns.saturating_sub(time.len() + 1);
        let amount = if row.amount.len() + NAME <= room { row.amount.as_str() } else { "" };
        let name = text::fit(&text::harmless(&row.name), room - amount.len());
        all.push(Line { text: format!("{name}{amount}"), time, tone: row.tone });
        if !last {
            let said = row.said.into_iter();
            all.extend(said.map(|text| Line { text, tone: Tone::Said, ..Line::default() }));
        }
    }
    all
}

fn rows(step: &Step, now: i64, columns: usize) -> Vec<Row> {
    let going = !step.is_completed();
    let (mark, tone) = match (step.error.as_str(), step.cached) {
        ("", _) if going => ("", Tone::Usual),
        ("", true) => ("CACHED ", Tone::Done),
        ("", false) => ("", Tone::Done),
        _ if step.is_canceled() => ("CANCELED ", Tone::Stopped),
        _ => ("ERROR ", Tone::Failed),
    };
    let said = if going { said(step, columns) } else { Vec::new() };
    let nanos = step.duration(now);
    let name = format!(" => {mark}{}", step.name);
    let own = Row { name, amount: String::new(), nanos, going, tone, said };
    let details = step.details.iter().map(|detail| {
        let going = going && detail.completed.is_none();
        Row {
            name: format!(" => => {}", detail.id),
            amount: text::amount(detail.current, detail.total),
            nanos: detail.completed.unwrap_or(now) - detail.started.unwrap_or(now),
            going,
            tone: if going { Tone::Usual } else { Tone::Done },
            said: Vec::new(),
        }
    });
    let warnings = step.warnings.iter().map(|warning| Row {
        name: format!(" => WARN: {warning}"),
        amount: String::new(),
        nanos: 0,
        going: false,
        tone: Tone::Warning,
        said: Vec::new(),
    });
    std::iter::once(own).chain(details).chain(warnings).collect()
}

/// The end of a step's log, as so many lines of a terminal.
fn said(step: &Step, columns: usize) -> Vec<String> {
    let room = columns.saturating_sub(SAID.len()).max(1);
    let mut last = VecDeque::new();
    for line in step.tail.iter().chain(&step.partial).rev() {
        let line = line.harmless(false);
        if line.trim().is_empty() {
            continue;
        }
        for piece in text::wrapped(&line, room).into_iter().rev() {
            if last.len() == WINDOW {
                return last.into();
            }
            last.push_front(format!("{SAID}{piece}"));
        }
    }
    last.into()
}

/// The rows that there is room for: first those that go on, then what they say, every step as much as any other, then
/// those that were done last.
fn chosen(mut rows: Vec<Row>, room: usize) -> Vec<Row> {
    let going = rows.iter().filter(|row| row.going).count();
    let mut left = room.saturating_sub(going);
    let mut given = vec![0; rows.len()];
    for _ in 0..WINDOW {
        for (row, given) in rows.iter().zip(&mut given) {
            if *given < row.said.len() && left > 0 {
                *given += 1;
                left -= 1;
            }
        }
    }
    for (row, given) in rows.iter_mut().zip(given) {
        row.said.drain(..row.said.len() - given);
    }
    let mut surplus = (rows.len() - going).saturating_sub(left);
    rows.retain(|row| {
        let keep = row.going || surplus == 0;
        surplus -= usize::from(!keep);
        keep
    });
    rows.drain(..going.saturating_sub(room));
    rows
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::{log, transfer, vertex, vertexes};
    use super::*;
    use crate::proto::moby::buildkit::v1::{StatusResponse, Vertex};

    const SECOND: i64 = 1_000_000_000;

    fn trace(all: Vec<StatusResponse>) -> Trace {
        let mut trace = Trace::default();
        all.into_iter().for_each(|status| trace.update(status));
        trace
    }

    fn shown(trace: &Trace, rows: usize, columns: usize) -> Vec<String> {
        let lines = picture(trace, 1002 * SECOND, Size { rows, columns }, false);
        lines.into_iter().map(|line| format!("{}|{}", line.text, line.time)).collect()
    }

    #[test]
    fn the_picture() {
        let trace = trace(vec![
            vertexes(vec![vertex("load", 0, Some(150)), vertex("run", 200, None)]),
            transfer("load", 1000, 1000, 150, true),
            vertexes(vec![Vertex { cached: true, ..vertex("base", 150, Some(150)) }]),
            log("run", 323, "hello\n\n\x1b[31m10%\r100% of a line that is far too long for this\n50%\r60%"),
        ]);
        let expected = [
            "[+] Building 2.0s (2/3)|",
            " => [load] RUN load|0.2s",
            " => => transferri… 1.00kB / 1.00kB|0.2s",
            " => [run] RUN run|1.8s",
            " => => # hello|",
            " => => # 100% of a line that is far too|",
            " => => #  long for this|",
            " => => # 60%|",
            " => CACHED [base] RUN base|0.0s",
        ];
        assert_eq!(shown(&trace, 20, 40), expected);
        assert_eq!(shown(&trace, 20, 25)[2], " => => transferrin…|0.2s");
        let tones = picture(&trace, 1002 * SECOND, Size { rows: 8, columns: 40 }, false);
        let tones: Vec<Tone> = tones.iter().map(|line| line.tone).collect();
        let said = [Tone::Said; 4];
        assert_eq!(tones, [&[Tone::Usual; 2][..], &said, &[Tone::Done]].concat());
    }

    #[test]
    fn what_goes_on_is_never_cut() {
        let mut all: Vec<Vertex> = (0..8).map(|n| vertex(&format!("d{n}"), n, Some(n + 1))).collect();
        all.insert(0, vertex("first", 0, None));
        let trace = trace(vec![vertexes(all), log("first", 1, "said\n")]);
        let lines = shown(&trace, 5, 60);
        let starts: Vec<&str> = lines.iter().map(|line| line.split("] ").next().unwrap()).collect();
        assert_eq!(starts, ["[+", " => [first", " => => # said|", " => [d7"]);
        assert_eq!(picture(&trace, 0, Size { rows: 5, columns: 60 }, true).len(), 10);
        assert_eq!(shown(&trace, 0, 0).len(), 2);
    }

    #[test]
    fn room_for_output_is_shared() {
        let steps = ["a", "b", "c"];
        let mut all = vec![vertexes(steps.map(|step| vertex(step, 0, None)).to_vec())];
        all.extend(steps.map(|step| log(step, 1, &"line\n".repeat(9))));
        let trace = trace(all);
        for (rows, expected) in [(5, [0, 0, 0]), (9, [2, 1, 1]), (40, [6, 6, 6])] {
            let lines = shown(&trace, rows, 60);
            let counts: Vec<usize> =
                lines.split(|line| line.contains("RUN")).skip(1).map(<[String]>::len).collect();
            assert_eq!(counts, expected, "{lines:?}");
        }
    }
}
