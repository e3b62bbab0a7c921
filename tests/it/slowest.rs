//! Times of the tests: the slowest are reported before the runner's own summary, with what `.ci/run` measured before.

use crate::report;
use anyhow::{Result, ensure};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The number of tests that are reported.
const TOLD: usize = 10;

/// The environment variable with lines about the time before the tests.
const BEFORE: &str = "K3C_TEST_BEFORE";

/// Durations by test. Each test that is to run holds it; it reports when the last one lets go of it.
#[derive(Default)]
pub(crate) struct Durations(Mutex<Vec<(Duration, &'static str)>>);

impl Durations {
    /// Runs a test and notes how long it takes.
    pub(crate) fn measure<T>(&self, name: &'static str, run: impl FnOnce() -> T) -> T {
        let since = Instant::now();
        let outcome = run();
        self.0.lock().expect("durations").push((since.elapsed(), name));
        outcome
    }
}

impl Drop for Durations {
    fn drop(&mut self) {
        let all = std::mem::take(self.0.get_mut().expect("durations"));
        if all.len() > 1 {
            report(&text(std::env::var(BEFORE).unwrap_or_default().trim_end(), all));
        }
    }
}

/// `before`, and a line for each of the slowest.
fn text(before: &str, mut all: Vec<(Duration, &str)>) -> String {
    all.sort_by(|a, b| b.cmp(a));
    let mut text = String::from("\ntimes:\n");
    for line in before.lines() {
        let _ = writeln!(text, "{line}");
    }
    let sum: Duration = all.iter().map(|(duration, _)| *duration).sum();
    let _ = writeln!(
        text,
        "{:7.1} s all {} tests, one after the other; the slowest:",
        sum.as_secs_f64(),
        all.len()
    );
    for (duration, name) in all.iter().take(TOLD) {
        let _ = writeln!(text, "{:7.1} s {name}", duration.as_secs_f64());
    }
    text
}

/// The slowest come first, and no more than ten.
pub(crate) fn ten_at_most() -> Result<()> {
    let seconds = |n| Duration::from_secs(n);
    let all = (0..30).map(|n| (seconds(n * 7 % 30), "one")).chain([(seconds(100), "slow")]).collect();
    let text = text("     70 s make lint", all);
    let lines: Vec<&str> = text.trim().lines().collect();
    ensure!(lines.len() == 3 + TOLD && lines[1] == "     70 s make lint", "{text}");
    ensure!(lines[2] == "  535.0 s all 31 tests, one after the other; the slowest:", "{text}");
    ensure!(lines[3] == "  100.0 s slow" && lines[4] == "   29.0 s one", "{text}");
    Ok(())
}
