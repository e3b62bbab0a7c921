//! `run` in the foreground: the container's output becomes ours, its exit code too, our signals become its.
//!
//! ```text
//! logs (from the first byte) ─ wait ─ start ─ output until the end ─ exit code [─ gone, with --rm]
//! ```
//!
//! The engine may be replaced meanwhile: the stream is then opened again, and what was shown is skipped.

use super::super::context::{Context, is_away, is_missing};
use super::super::error::{CommandError, Outcome};
use super::super::logs::Writer;
use super::super::signals::Forwarded;
use super::{engine_refused, not_started};
use crate::client::Client;
use crate::model::container::{ExitStatus, LogEntry, LogsOptions, Stream, WaitCondition};
use crate::model::id::ContainerId;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::time::Duration;

/// How to follow.
pub(super) struct Options {
    /// Wait until it is gone.
    pub(super) remove: bool,
    /// Our signals are the container's.
    pub(super) forward_signals: bool,
}

/// How long an engine may be away.
const RETRIES: u32 = 150;
const PAUSE: Duration = Duration::from_millis(200);

/// Starts it and stays with it until its end.
pub(super) async fn run(id: &ContainerId, options: &Options, client: &Client, cx: &Context) -> Outcome {
    // What comes before the start is kept and sent after it.
    let mut signals = match options.forward_signals {
        true => Some(cx.signals.forward()?),
        false => None,
    };
    let condition = if options.remove { WaitCondition::Removed } else { WaitCondition::NextExit };
    let mut output = std::pin::pin!(output(id, client, cx));
    let mut wait = std::pin::pin!(ended(id, condition, client));
    let mut start = std::pin::pin!(client.start(id.as_str()));
    let mut open = true;
    let mut status = None;
    // In this order, so that the engine is asked for output and exit code before it starts anything.
    let mut shown_all = Ok(());
    let started = loop {
        tokio::select! {
            biased;
            shown = &mut output, if open => {
                shown_all = shown;
                open = false;
            }
            answer = &mut wait, if status.is_none() => status = Some(answer),
            started = &mut start => break started,
        }
    };
    match started {
        Ok(_) => {}
        Err(error) => return Err(not_started(id, options.remove, error, client).await),
    }
    shown_all?;
    // For an exit that the engine did not tell about because it was not asked early enough.
    let mut late = std::pin::pin!(ended(id, WaitCondition::NotRunning, client));
    let mut deliveries = FuturesUnordered::new();
    while open || status.is_none() {
        tokio::select! {
            shown = &mut output, if open => {
                shown?;
                open = false;
            }
            answer = &mut wait, if status.is_none() => status = Some(answer),
            answer = &mut late, if status.is_none() && !open && !options.remove => status = Some(answer),
            Some(signal) = next(&mut signals) => deliveries.push(client.kill(id.as_str(), signal)),
            // A container that is ending needs no signal any more: as in Docker, nobody is told.
            Some(_) = deliveries.next(), if !deliveries.is_empty() => {}
        }
    }
    let code = match status {
        Some(status) => status?.code & 0xff,
        None => 0,
    };
    match u8::try_from(code).unwrap_or(u8::MAX) {
        0 => Ok(()),
        code => Err(CommandError::exit(code)),
    }
}

fn wanted() -> LogsOptions {
    LogsOptions { follow: true, stdout: true, stderr: true, current_attempt: true, ..LogsOptions::default() }
}

async fn next(signals: &mut Option<Forwarded>) -> Option<&'static str> {
    match signals {
        Some(signals) => signals.next().await,
        None => std::future::pending().await,
    }
}

/// Asks again when the engine went away.
async fn ended(
    id: &ContainerId,
    condition: WaitCondition,
    client: &Client,
) -> Result<ExitStatus, CommandError> {
    let mut condition = condition;
    let mut tries = 0;
    loop {
        match client.wait(id.as_str(), condition).await {
            Ok(status) => return Ok(status),
            Err(error) if is_away(&error) && tries < RETRIES => {
                tries += 1;
                // It may have ended while nobody counted.
                if condition == WaitCondition::NextExit {
                    condition = WaitCondition::NotRunning;
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(engine_refused(&error)),
        }
    }
}

/// Shows what the container writes, until its end.
async fn output(id: &ContainerId, client: &Client, cx: &Context) -> Result<(), CommandError> {
    let mut writer = Writer::new(false);
    let mut seen = Seen::default();
    let mut tries = 0;
    loop {
        let error = match client.logs(id.as_str(), wanted()).await {
            Ok(mut entries) => loop {
                // A container that never stops writing must not keep us from its signals.
                tokio::task::consume_budget().await;
                match entries.next().await {
                    None => return Ok(()),
                    Some(Err(error)) => break error,
                    Some(Ok(mut entry)) => {
                        tries = 0;
                        if seen.fresh(&mut entry) {
                            writer.write(&cx.ui, &entry)?;
                        }
                    }
                }
            },
            Err(error) => error,
        };
        match error {
            // Ended and removed while the engine was away.
            gone if is_missing(&gone) && tries > 0 => return Ok(()),
            away if is_away(&away) && tries < RETRIES => {}
            error => return Err(engine_refused(&error)),
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
        seen.rewind();
    }
}

/// How many bytes of each stream were shown, and how many of them come again.
#[derive(Default)]
struct Seen {
    shown: [usize; 2],
    again: [usize; 2],
}

impl Seen {
    fn rewind(&mut self) {
        self.again = self.shown;
    }

    /// Cuts off what was shown; is anything left?
    fn fresh(&mut self, entry: &mut LogEntry) -> bool {
        let stream = match entry.stream {
            Stream::Stdout => 0,
            Stream::Stderr => 1,
        };
        let known = self.again[stream].min(entry.data.len());
        self.again[stream] -= known;
        entry.data.drain(..known);
        self.shown[stream] += entry.data.len();
        !entry.data.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn nothing_is_shown_twice() {
        let entry = |stream, text: &str| LogEntry {
            stream,
            time: Timestamp::UNIX_EPOCH,
            data: text.into(),
            partial: false,
        };
        let mut seen = Seen::default();
        let show = |seen: &mut Seen, stream, text| {
            let mut entry = entry(stream, text);
            seen.fresh(&mut entry);
            String::from_utf8(entry.data).unwrap()
        };
        assert_eq!(show(&mut seen, Stream::Stdout, "one\n"), "one\n");
        assert_eq!(show(&mut seen, Stream::Stderr, "x\n"), "x\n");
        seen.rewind();
        assert_eq!(show(&mut seen, Stream::Stdout, "one\ntwo\n"), "two\n");
        assert_eq!(show(&mut seen, Stream::Stderr, "x\n"), "");
        seen.rewind();
        assert_eq!(show(&mut seen, Stream::Stdout, "one\n"), "");
        assert_eq!(show(&mut seen, Stream::Stdout, "two\n"), "");
        assert_eq!(show(&mut seen, Stream::Stdout, "three\n"), "three\n");
    }
}
