//! A table at the bottom of a terminal, drawn again and again.
//!
//! One picture is one write, and no line is cleared before it is written, so nothing flickers. Nothing wraps while it is
//! drawn, so text that is wider than it is thought to be moves nothing else. After a picture the cursor is below it and
//! all modes are the usual ones: whoever ends the build leaves a good terminal.

use super::colours::Colours;
use super::table::{Line, Size, Tone, picture};
use super::trace::{Form, Trace, nanos};
use super::{Display, table};
use crate::builder::text;
use crate::proto::moby::buildkit::v1::StatusResponse;
use std::io::Write;
use std::time::{Duration, Instant};

/// A little less often than it could.
const PERIOD: Duration = Duration::from_millis(100);
/// The terminal shows what comes between these at once (if it knows them), without a cursor, and wraps no line.
const BEGIN: &str = "\x1b[?2026h\x1b[?25l\x1b[?7l";
const END: &str = "\x1b[?7h\x1b[?25h\x1b[?2026l";

/// Progress as a table that is redrawn, for terminals that understand the usual sequences.
pub struct Tty<W, S> {
    out: W,
    size: S,
    /// None: the terminal's own colour for everything.
    colours: Option<Colours>,
    trace: Trace,
    drawn: Option<Instant>,
    /// Columns of each line of the last picture.
    widths: Vec<usize>,
    /// Nanoseconds that BuildKit's clock is behind ours.
    behind: Option<i64>,
}

impl<W: Write, S: Fn() -> Size> Tty<W, S> {
    /// Writes to `out`, which is as large as `size` says.
    pub fn new(out: W, size: S, colours: Option<Colours>) -> Self {
        Self { out, size, colours, trace: Trace::default(), drawn: None, widths: Vec::new(), behind: None }
    }

    fn draw(&mut self, last: bool) {
        let size = (self.size)();
        let now = clock() - self.behind.unwrap_or_default();
        let lines = picture(&self.trace, now, size, last);
        let mut out = BEGIN.to_owned();
        // A terminal that became narrower has made several lines of one.
        let columns = size.columns.max(1);
        let above: usize = self.widths.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        if above > 0 {
            out.push_str(&format!("\r\x1b[{above}A"));
        }
        for line in &lines {
            self.line(&mut out, line, columns);
        }
        out.push_str("\x1b[J");
        out.push_str(END);
        let width = |line: &Line| if line.time.is_empty() { text::width(&line.text) } else { columns - 1 };
        self.widths = lines.iter().map(width).collect();
        self.drawn = Some(Instant::now());
        let _ = self.out.write_all(out.as_bytes()).and_then(|()| self.out.flush());
    }

    fn line(&self, out: &mut String, line: &Line, columns: usize) {
        let code = self.code(line.tone);
        if let Some(code) = code {
            out.push_str(&format!("\x1b[{code}m"));
        }
        out.push_str(&line.text);
        out.push_str("\x1b[K");
        if !line.time.is_empty() {
            let at = columns.saturating_sub(line.time.len()).max(1);
            out.push_str(&format!("\x1b[{at}G{}", line.time));
        }
        out.push_str(if code.is_some() { "\x1b[0m\n" } else { "\n" });
    }

    fn code(&self, tone: Tone) -> Option<&str> {
        let colours = self.colours.as_ref()?;
        match tone {
            Tone::Usual => None,
            Tone::Said => colours.said.as_deref(),
            Tone::Done => colours.run.as_deref(),
            Tone::Stopped => colours.cancel.as_deref(),
            Tone::Failed => colours.error.as_deref(),
            Tone::Warning => colours.warning.as_deref(),
        }
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
        let form = if self.colours.is_some() { Form::Harmless } else { Form::Colourless };
        if failed {
            let _ = self.out.write_all(&self.trace.failures(form));
        }
        let warnings = self.trace.warnings.summary(self.code(table::Tone::Warning));
        let _ = self.out.write_all(warnings.as_bytes()).and_then(|()| self.out.flush());
    }
}

fn clock() -> i64 {
    nanos(Some(&std::time::SystemTime::now().into())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::trace::tests::{log, vertex, vertexes};
    use super::super::warnings::tests::warning;
    use super::*;
    use crate::proto::moby::buildkit::v1::Vertex;
    use std::sync::{Arc, Mutex};

    /// A terminal with its lines above, and a size that a test may change.
    #[derive(Clone)]
    struct Screen(Arc<Mutex<(vt100::Parser, usize)>>);

    impl Screen {
        fn new(rows: u16, columns: u16) -> Self {
            let of = |count| std::num::NonZeroU16::new(count).unwrap();
            let mut parser = vt100::Parser::new(of(rows), of(columns), 1000);
            parser.process(b"$ k3c build\r\n");
            Self(Arc::new(Mutex::new((parser, 0))))
        }

        fn size(&self) -> Size {
            let (rows, columns) = self.0.lock().unwrap().0.screen().size();
            Size { rows: rows.get().into(), columns: columns.get().into() }
        }

        fn tty(&self, colours: Option<Colours>) -> Tty<Self, impl Fn() -> Size + Send + use<>> {
            let screen = self.clone();
            Tty::new(self.clone(), move || screen.size(), colours)
        }

        fn text(&self) -> String {
            let text = self.0.lock().unwrap().0.screen().contents();
            let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
            lines.join("\n").trim_end().to_owned()
        }

        fn with<T>(&self, look: impl FnOnce(&vt100::Screen) -> T) -> T {
            look(self.0.lock().unwrap().0.screen())
        }
    }

    impl Write for Screen {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let (parser, writes) = &mut *self.0.lock().unwrap();
            *writes += 1;
            // As the terminal's driver does.
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                parser.process(line.strip_suffix(b"\n").unwrap_or(line));
                if line.ends_with(b"\n") {
                    parser.process(b"\r\n");
                }
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// The whole log of a step, with everything that confuses terminals.
    const GARBAGE: &str = "\x1b[2J\x1b[H\x1b[?25l\x1b[31mred 日本語の長い行がここにあります、とても長い行です\n\
        10%\r20%\r30%\n\x1b]0;title\x07\ttab\x08\x08\n\u{1f469}\u{200d}\u{1f4bb}❤\u{fe0f} emoji\n";

    #[test]
    fn nothing_is_left_of_the_picture_before() {
        let screen = Screen::new(12, 40);
        let mut tty = screen.tty(Some(Colours::new("").0));
        tty.behind = Some(clock() - 1_000_000_000_000);
        for number in 0..5 {
            tty.trace.update(vertexes(vec![vertex(&format!("s{number}"), 0, None)]));
            tty.trace.update(log(&format!("s{number}"), 1, GARBAGE));
            tty.draw(false);
            let all = screen.text();
            let lines: Vec<&str> = all.lines().collect();
            assert!(lines.iter().filter(|line| line.starts_with("[+]")).count() == 1, "{all}");
            assert!(lines.iter().all(|line| ["$", "[", " =>"].iter().any(|p| line.starts_with(p))), "{all}");
            let steps = lines.iter().filter(|line| line.contains("RUN")).count();
            assert_eq!(steps, number + 1, "{all}");
            // The time is in its place, whatever is before it.
            assert!(
                lines.iter().filter(|line| line.contains("RUN")).all(|l| l.len() == 39 && l.ends_with('s'))
            );
            screen.with(|shown| assert!(!shown.hide_cursor() && shown.cursor_position().1 == 0));
        }
        assert!(screen.0.lock().unwrap().1 <= 5, "a picture is one write");
        let all: Vec<Vertex> = (0..5).map(|n| vertex(&format!("s{n}"), 0, Some(100))).collect();
        tty.trace.update(vertexes(all));
        tty.finish(false);
        let text = screen.text();
        assert_eq!(text.lines().count(), 6, "{text}");
        assert!(text.starts_with("[+] Building ") && text.contains("(5/5) FINISHED\n"), "{text}");
    }

    #[test]
    fn colours_say_what_became_of_a_step() {
        let screen = Screen::new(12, 60);
        let mut tty = screen.tty(Some(Colours::new("run=green").0));
        let failed = Vertex { error: "exit code: 1".into(), ..vertex("bad", 0, Some(9)) };
        let stopped = Vertex { error: "context canceled".into(), ..vertex("stopped", 0, Some(9)) };
        tty.update(vertexes(vec![vertex("done", 0, Some(5)), failed, stopped, vertex("going", 0, None)]));
        tty.trace.update(log("bad", 1, "\x1b[32mgreen\x1b[2J\n"));
        tty.finish(true);
        let colour = |row, column| screen.with(|shown| shown.cell(row, column).unwrap().fgcolor());
        let of = [2, 3, 4, 5].map(|row| colour(row, 4));
        let indexes = [2, 1, 3].map(vt100::Color::Idx);
        assert_eq!(of, [indexes[0], indexes[1], indexes[2], vt100::Color::Default]);
        // The failed step's own colours are kept, its commands are not obeyed.
        assert!(
            screen.text().ends_with("------\n > [bad] RUN bad:\n0.001 green\n------"),
            "{}",
            screen.text()
        );
        assert_eq!((colour(8, 6), colour(9, 0)), (vt100::Color::Idx(2), vt100::Color::Default));
        let mut bytes = Vec::new();
        let mut tty = Tty::new(&mut bytes, || Size { rows: 10, columns: 60 }, None);
        let failed = Vertex { error: "exit code: 1".into(), ..vertex("bad", 0, Some(9)) };
        tty.update(vertexes(vec![failed]));
        tty.trace.update(log("bad", 1, "\x1b[32mgreen\n"));
        tty.finish(true);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(" green\n") && !text.contains('m'), "{text:?}");
    }

    #[test]
    fn a_terminal_that_becomes_narrower() {
        let mut out = Vec::new();
        let columns = std::sync::atomic::AtomicUsize::new(60);
        let size = || Size { rows: 20, columns: columns.load(std::sync::atomic::Ordering::Relaxed) };
        let mut tty = Tty::new(&mut out, size, None);
        tty.update(vertexes(vec![vertex("a", 0, Some(5))]));
        columns.store(25, std::sync::atomic::Ordering::Relaxed);
        tty.draw(false);
        let text = String::from_utf8(out).unwrap();
        // The heading is 23 columns wide, the step's line has 59 of 60.
        assert!(text.contains("\r\x1b[4A[+] Building "), "{text:?}");
    }

    #[test]
    fn warnings_come_last() {
        let screen = Screen::new(20, 60);
        let mut tty = screen.tty(Some(Colours::new("").0));
        tty.update(vertexes(vec![vertex("a", 0, Some(5))]));
        tty.trace.update(StatusResponse { warnings: vec![warning("a", 2)], ..StatusResponse::default() });
        tty.finish(false);
        let text = screen.text();
        assert!(text.contains(" => WARN: Casing: bad (line 2)"), "{text}");
        assert!(text.contains("\n\n 1 warning found:\n - Casing: bad (line 2)\n"), "{text}");
        assert!(text.ends_with("   2 | >>> run x\n   3 |     run y\n--------------------"), "{text}");
    }
}
