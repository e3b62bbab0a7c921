//! Progress of long operations: bars on a terminal, one line for each change of status without one.

use super::Ui;
use crate::model::image::Progress as Step;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::HashMap;

/// Ends (on the screen) when dropped.
pub(crate) struct Progress<'a> {
    ui: &'a Ui,
    place: Place,
    form: Form,
}

/// What progress is among the output of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Messages; bars go away.
    Messages,
    /// Results: the last state of each bar stays.
    Results,
}

enum Form {
    Quiet,
    Lines(HashMap<String, String>),
    Bars(MultiProgress, HashMap<String, ProgressBar>),
}

impl<'a> Progress<'a> {
    pub(super) fn new(ui: &'a Ui, quiet: bool, place: Place) -> Self {
        let (terminal, target) = match place {
            Place::Messages => (ui.terminals().stderr, ProgressDrawTarget::stderr()),
            Place::Results => (ui.terminals().stdout, ProgressDrawTarget::stdout()),
        };
        let form = match (quiet, terminal) {
            (true, _) => Form::Quiet,
            (false, true) => Form::Bars(MultiProgress::with_draw_target(target), HashMap::new()),
            (false, false) => Form::Lines(HashMap::new()),
        };
        Self { ui, place, form }
    }

    /// Shows a step.
    pub(crate) fn step(&mut self, step: &Step) {
        match &mut self.form {
            Form::Quiet => {}
            Form::Lines(seen) => {
                if seen.insert(step.id.clone(), step.status.clone()).as_ref() != Some(&step.status) {
                    match self.place {
                        Place::Messages => self.ui.message(&line(step)),
                        // The result that follows says so when nobody reads it.
                        Place::Results => drop(self.ui.line(&line(step))),
                    }
                }
            }
            Form::Bars(all, bars) => {
                let bar = bars.entry(step.id.clone()).or_insert_with(|| {
                    let bar = all.add(ProgressBar::no_length());
                    bar.set_prefix(front(step));
                    bar
                });
                // What is over has no bar.
                let moves = step.current < step.total;
                let total = if moves { u64::try_from(step.total).unwrap_or(0) } else { 0 };
                let template = match total {
                    0 => "{prefix}{msg}",
                    _ => "{prefix}{msg} [{bar:50}] {decimal_bytes}/{decimal_total_bytes}",
                };
                if let Ok(style) = ProgressStyle::with_template(template) {
                    bar.set_style(style.progress_chars("=> "));
                }
                bar.set_message(step.status.clone());
                if total > 0 {
                    bar.set_length(total);
                    bar.set_position(u64::try_from(step.current).unwrap_or(0));
                }
                bar.tick();
            }
        }
    }

    /// A line of results in the middle of it.
    pub(crate) fn line(&self, text: &str) -> std::io::Result<()> {
        match &self.form {
            Form::Bars(all, _) => all.suspend(|| self.ui.line(text)),
            Form::Quiet | Form::Lines(_) => self.ui.line(text),
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        let Form::Bars(all, bars) = &self.form else { return };
        match self.place {
            // A terminal that is gone needs no cleaning.
            Place::Messages => drop(all.clear()),
            Place::Results => bars.values().for_each(ProgressBar::abandon),
        }
    }
}

fn line(step: &Step) -> String {
    front(step) + &step.status
}

/// The front of a step's line: what it is about, if that has a name.
fn front(step: &Step) -> String {
    match step.id.is_empty() {
        true => String::new(),
        false => format!("{}: ", step.id),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Terminals, Ui, tests::Buffer};
    use super::*;

    #[test]
    fn a_line_for_each_status() {
        let (out, err) = (Buffer::default(), Buffer::default());
        let ui = Ui::new(Box::new(out.clone()), Box::new(err.clone()), Terminals::default());
        let step =
            |status: &str, current| Step { id: "abc".into(), status: status.into(), current, total: 10 };
        let mut progress = ui.progress(false);
        for (status, current) in [("Downloading", 0), ("Downloading", 5), ("Complete", 10)] {
            progress.step(&step(status, current));
        }
        assert_eq!(err.text(), "abc: Downloading\nabc: Complete\n");
        ui.progress(true).step(&step("Downloading", 1));
        assert_eq!((err.text().lines().count(), out.text().as_str()), (2, ""));
        ui.progress_of_results(false).step(&step("Downloading", 1));
        assert_eq!((err.text().lines().count(), out.text().as_str()), (2, "abc: Downloading\n"));
    }
}
