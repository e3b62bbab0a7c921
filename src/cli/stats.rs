//! `stats`

use super::context::Context;
use super::error::Outcome;
use super::format::listing::{self, Columns, Row};
use super::format::size;
use crate::api::docker::schema::Struct;
use crate::cli::error::CommandError;
use crate::model::container::Stats;
use futures::StreamExt;
use serde_json::json;
use std::time::Duration;

/// Display a live stream of container(s) resource usage statistics
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// A row.
const ROW: Struct = Struct { name: "*container.statsContext", fields: &[] };

const TITLES: &[(&str, &str)] = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

/// Rows that belong together come within this time of each other.
const TOGETHER: Duration = Duration::from_millis(150);

/// A table that is written anew each second, or once.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    let mut figures = client.stats(&args.containers, args.all, !args.no_stream).await?;
    let mut round: Vec<Stats> = Vec::new();
    loop {
        let next = match round.is_empty() {
            true => Some(figures.next().await),
            false => tokio::time::timeout(TOGETHER, figures.next()).await.ok(),
        };
        match next {
            Some(Some(stats)) => round.push(stats?),
            Some(None) => {
                if !round.is_empty() || args.no_stream {
                    show(&args, std::mem::take(&mut round), cx)?;
                }
                return Ok(());
            }
            None => show(&args, std::mem::take(&mut round), cx)?,
        }
    }
}

fn show(args: &Args, round: Vec<Stats>, cx: &Context) -> Outcome {
    let shown = vec!["ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs"];
    let rows = round.iter().map(|stats| row(stats, typed(stats, &args.containers), args.no_trunc)).collect();
    let text = listing::render(
        &Columns { row: &ROW, titles: TITLES, shown, raw: Vec::new() },
        args.format.as_deref(),
        rows,
    )
    .map_err(CommandError::failed)?;
    if !args.no_stream && cx.ui.terminals().stdout {
        // The cursor goes to the upper left, and the screen and its history are cleared.
        cx.ui.data(b"\x1b[H\x1b[2J\x1b[3J")?;
    }
    cx.ui.data(text.as_bytes())?;
    Ok(())
}

/// The name by which the user asked for this container.
fn typed<'a>(stats: &Stats, names: &'a [String]) -> Option<&'a str> {
    let exact = |name: &&String| name.trim_start_matches('/') == stats.name || **name == stats.id;
    let found = names.iter().find(exact).or_else(|| names.iter().find(|name| stats.id.starts_with(*name)));
    found.map(String::as_str)
}

fn row(stats: &Stats, typed: Option<&str>, no_trunc: bool) -> Row {
    let known = |text: String| if stats.known { text } else { "--".to_owned() };
    let both = |a: String, b: String| match stats.known {
        true => format!("{a} / {b}"),
        false => "-- / --".to_owned(),
    };
    let id = if no_trunc { stats.id.as_str() } else { stats.id.get(..12).unwrap_or(&stats.id) };
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let share = match stats.memory_limit {
        0 => 0.0,
        limit => stats.memory_usage as f64 / limit as f64 * 100.0,
    };
    let decimal = |n: u64| size::human(i64::try_from(n).unwrap_or(i64::MAX));
    let fields = json!({
        "BlockIO": both(decimal(stats.block.0), decimal(stats.block.1)),
        "CPUPerc": known(format!("{:.2}%", stats.cpu_percent)),
        "Container": typed.unwrap_or(id),
        "ID": id,
        "MemPerc": known(format!("{share:.2}%")),
        "MemUsage": both(size::binary(stats.memory_usage), size::binary(stats.memory_limit)),
        "Name": stats.name,
        "NetIO": both(decimal(stats.net.0), decimal(stats.net.1)),
        "PIDs": known(stats.pids.to_string()),
    });
    Row { fields, labels: json!({}) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let stats = Stats {
            id: "ab".repeat(32),
            name: "web".into(),
            known: true,
            cpu_percent: 12.345,
            memory_usage: 64 << 20,
            memory_limit: 1 << 30,
            pids: 3,
            net: (1500, 0),
            ..Stats::default()
        };
        let fields = row(&stats, typed(&stats, &["/web".into()]), false).fields;
        assert_eq!(fields["Container"], "/web");
        assert_eq!(typed(&stats, &["a".into(), "aba".into()]), Some("a"));
        assert_eq!(typed(&stats, &[]), None);
        assert_eq!(fields["CPUPerc"], "12.35%");
        assert_eq!(fields["MemUsage"], "64MiB / 1GiB");
        assert_eq!(fields["MemPerc"], "6.25%");
        assert_eq!(fields["NetIO"], "1.5kB / 0B");
        assert_eq!(fields["ID"], "abababababab");
        let unknown = row(&Stats { known: false, ..stats }, None, true).fields;
        assert_eq!(
            (unknown["CPUPerc"].as_str(), unknown["MemUsage"].as_str()),
            (Some("--"), Some("-- / --"))
        );
    }
}
