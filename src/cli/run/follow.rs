//! `run` in the foreground: the container's output becomes ours, its exit code too, our signals become its.
//!
//! ```text
//! logs (from the first byte) ─ wait ─ start ─ output until the end ─ exit code [─ gone, with --rm]
//! ```
//!
//! The engine may be replaced meanwhile: the stream is then opened again, and what was shown is skipped.

use super::super::context::Context;
use super::super::error::{CommandError, Outcome};
use super::super::logs::Writer;
use super::super::signals::Forwarded;
use super::{engine_refused, not_started};
use crate::client::{Client, ClientError};
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
    let mut signals = match options.forward_signals {
        true => Some(cx.signals.forward()?),
        false => None,
    };
    let entries = client.logs(id.as_str(), wanted()).await.map_err(|e| engine_refused(&e))?;
    let condition = if options.remove { WaitCondition::Removed } else { WaitCondition::NextExit };
    let mut wait = std::pin::pin!(ended(id, condition, client));
    let mut status = None;
    // Polled first, so that the engine is asked before it starts anything.
    let started = tokio::select! {
        biased;
        answer = &mut wait => {
            status = Some(answer?);
            Ok(Vec::new())
        }
        started = client.start(id.as_str()) => started,
    };
    match started {
        Ok(warnings) => warnings.iter().for_each(|w| cx.ui.warning(w)),
        Err(error) => return Err(not_started(id, options.remove, error, client).await),
    }
    let mut output = std::pin::pin!(output(id, entries, client, cx));
    let mut deliveries = FuturesUnordered::new();
    let mut open = true;
    // For an exit that the engine did not tell about because it was not asked early enough.
    let mut late = std::pin::pin!(ended(id, WaitCondition::NotRunning, client));
    while open || status.is_none() {
        tokio::select! {
            ended = &mut output, if open => {
                ended?;
                open = false;
            }
            answer = &mut wait, if status.is_none() => status = Some(answer?),
            answer = &mut late, if status.is_none() && !open && !options.remove => status = Some(answer?),
            Some(signal) = next(&mut signals) => deliveries.push(client.kill(id.as_str(), signal)),
            // A container that is ending needs no signal any more: as in Docker, nobody is told.
            Some(_) = deliveries.next(), if !deliveries.is_empty() => {}
        }
    }
    match status.map(|status| u8::try_from(status.code & 0xff).unwrap_or(u8::MAX)) {
        None | Some(0) => Ok(()),
        Some(code) => Err(CommandError::exit(code)),
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
            Err(error) if error.is_unavailable() && tries < RETRIES => {
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

async fn output<S>(id: &ContainerId, first: S, client: &Client, cx: &Context) -> Result<(), CommandError>
where
    S: futures::Stream<Item = Result<LogEntry, ClientError>> + Send + Unpin + 'static,
{
    let mut entries: futures::stream::BoxStream<'static, _> = first.boxed();
    let mut writer = Writer::new(false);
    let mut seen = Seen::default();
    let mut tries = 0;
    loop {
        let error = match entries.next().await {
            None => return Ok(()),
            Some(Ok(mut entry)) => {
                tries = 0;
                if seen.fresh(&mut entry) {
                    writer.write(&cx.ui, &entry)?;
                }
                continue;
            }
            Some(Err(error)) => error,
        };
        let mut error = error;
        entries = loop {
            if !error.is_unavailable() || tries >= RETRIES {
                return Err(engine_refused(&error));
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
            match client.logs(id.as_str(), wanted()).await {
                Ok(again) => break again.boxed(),
                // Ended and removed meanwhile.
                Err(gone) if gone.is_not_found() => return Ok(()),
                Err(next) => error = next,
            }
        };
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
