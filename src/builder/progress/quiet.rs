//! The quiet display: shows nothing, unless the build fails.

use super::Display;
use super::trace::{Form, Trace};
use crate::proto::moby::buildkit::v1::StatusResponse;
use std::io::Write;

/// Keeps what it would show of a failure.
pub struct Quiet<W> {
    out: W,
    trace: Trace,
}

impl<W: Write> Quiet<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Self {
        Self { out, trace: Trace::default() }
    }
}

impl<W: Write + Send> Display for Quiet<W> {
    fn update(&mut self, status: StatusResponse) {
        self.trace.update(status);
        for step in &mut self.trace.steps {
            step.lines.clear();
        }
    }

    fn tick(&mut self) {}

    fn finish(&mut self, failed: bool) {
        if failed {
            let _ = self.out.write_all(&self.trace.failures(Form::Raw));
        }
    }
}
