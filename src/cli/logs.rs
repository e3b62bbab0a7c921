//! `logs`, and how entries of a log are written.

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::format::moment;
use super::ui::Ui;
use crate::model::container::{LogEntry, LogsOptions, Stream};
use futures::StreamExt;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::collections::BTreeMap;
use std::io;

/// Fetch the logs of a container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show extra details provided to logs
    #[arg(long)]
    details: bool,
    /// Follow log output
    #[arg(short, long)]
    follow: bool,
    /// Show logs since timestamp (e.g. "2026-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    since: Option<String>,
    /// Number of lines to show from the end of the logs
    #[arg(short = 'n', long, value_name = "string", default_value = "all")]
    tail: String,
    /// Show timestamps
    #[arg(short, long)]
    timestamps: bool,
    /// Show logs before a timestamp (e.g. "2026-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)
    #[arg(long, value_name = "string")]
    until: Option<String>,
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

/// Standard output and standard error stay apart.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let options = options(&args, Timestamp::now(), &moment::zone())?;
    let mut entries = cx.client().await?.logs(&args.container, options).await?;
    let mut writer = Writer::new(args.timestamps, args.details);
    while let Some(entry) = entries.next().await {
        writer.write(&cx.ui, &entry?)?;
    }
    Ok(())
}

fn options(args: &Args, now: Timestamp, zone: &TimeZone) -> Result<LogsOptions, CommandError> {
    let time = |name: &str, text: &Option<String>| match text.as_deref() {
        None | Some("" | "0") => Ok(None),
        Some(text) => match moment::parse(text, now, zone) {
            Some(moment) => Ok(Some(moment)),
            None => Err(CommandError::failed(format!(
                "invalid value for \"{name}\": failed to parse value as time or duration: {text:?}"
            ))),
        },
    };
    // A tail that is no number of lines means all of them, as in Docker.
    let tail = args.tail.parse().ok();
    Ok(LogsOptions {
        follow: args.follow,
        tail,
        since: time("since", &args.since)?,
        until: time("until", &args.until)?,
        stdout: true,
        stderr: true,
        current_attempt: false,
        after: None,
        details: args.details,
    })
}

/// Writes entries to where they belong, with times and details in front of lines when wanted.
pub(crate) struct Writer {
    timestamps: bool,
    /// Attributes of the entries; where there are none, the space that ends them stays, as in Docker.
    details: bool,
    /// The stream is in the middle of a line.
    inside: [bool; 2],
}

impl Writer {
    /// A writer that is at the start of a line on both streams.
    pub(crate) fn new(timestamps: bool, details: bool) -> Self {
        Self { timestamps, details, inside: [false; 2] }
    }

    /// Writes an entry.
    pub(crate) fn write(&mut self, ui: &Ui, entry: &LogEntry) -> io::Result<()> {
        let inside = match entry.stream {
            Stream::Stdout => &mut self.inside[0],
            Stream::Stderr => &mut self.inside[1],
        };
        let mut front = String::new();
        if self.timestamps && !*inside {
            front = moment::rfc3339_nano(entry.time) + " ";
        }
        if self.details && !*inside {
            front.push_str(&details(&entry.attributes));
            front.push(' ');
        }
        let bytes = &[front.as_bytes(), &entry.data].concat();
        *inside = entry.partial;
        match entry.stream {
            Stream::Stdout => ui.data(bytes),
            Stream::Stderr => ui.error_data(bytes),
        }
    }
}

/// `name=value,name=value`, escaped as in an address, so that no comma is a value's.
fn details(attributes: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> =
        attributes.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
    pairs.join(",")
}

/// Text as Go's `url.QueryEscape` writes it.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;
    use crate::cli::ui::{Terminals, tests::Buffer};

    #[test]
    fn flags() {
        let now = Timestamp::from_second(1000).unwrap();
        let parse = |line: &str| options(&command::parse_as::<Args>(line).unwrap(), now, &TimeZone::UTC);
        let all = parse("web").unwrap();
        assert_eq!(
            (all.follow, all.tail, all.since, all.stdout, all.stderr),
            (false, None, None, true, true)
        );
        let some = parse("-fn 5 --since 10m --until 999 web").unwrap();
        assert_eq!((some.follow, some.tail), (true, Some(5)));
        assert_eq!(some.since, Timestamp::from_second(400).ok());
        assert_eq!(some.until, Timestamp::from_second(999).ok());
        let error = parse("--since then web").unwrap_err().to_string();
        assert_eq!(error, "invalid value for \"since\": failed to parse value as time or duration: \"then\"");
    }

    #[test]
    fn times_and_details_only_at_the_start_of_lines() {
        let (out, err) = (Buffer::default(), Buffer::default());
        let ui = Ui::new(Box::new(out.clone()), Box::new(err.clone()), Terminals::default());
        let mut writer = Writer::new(true, true);
        let entries = [
            (Stream::Stdout, "one ", true),
            (Stream::Stderr, "oops\n", false),
            (Stream::Stdout, "line\n", false),
            (Stream::Stdout, "two\n", false),
        ];
        for (stream, text, partial) in entries {
            let time = Timestamp::from_second(0).unwrap();
            writer
                .write(
                    &ui,
                    &LogEntry {
                        stream,
                        time,
                        data: text.into(),
                        partial,
                        position: Default::default(),
                        attributes: BTreeMap::new(),
                    },
                )
                .unwrap();
        }
        let stamp = "1970-01-01T00:00:00.000000000Z";
        assert_eq!(out.text(), format!("{stamp}  one line\n{stamp}  two\n"));
        assert_eq!(err.text(), format!("{stamp}  oops\n"));
    }

    #[test]
    fn details_are_escaped() {
        let all = [("a b", "1,2=3"), ("com.x/y", "ü~")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        assert_eq!(details(&all), "a+b=1%2C2%3D3,com.x%2Fy=%C3%BC~");
        assert_eq!(details(&BTreeMap::new()), "");
    }
}
