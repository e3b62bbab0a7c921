//! `builder du`

use super::filters;
use crate::api::docker::schema::Struct;
use crate::builder::{self, CacheRecord};
use crate::cli::context::Context;
use crate::cli::error::{CommandError, Outcome};
use crate::cli::format::listing::{self, Columns, Row};
use crate::cli::format::{moment, size, status, table};
use crate::cli::options::value;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

/// Disk usage of the build cache
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    place: super::Place,
    /// Provide filter values (e.g. "type=exec.cachemount")
    #[arg(long, value_name = "filter", value_parser = value::filter)]
    filter: Vec<(String, String)>,
    /// Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string", conflicts_with = "verbose")]
    format: Option<String>,
    /// Provide a more verbose output
    #[arg(long)]
    verbose: bool,
}

/// A row.
const ROW: Struct = Struct { name: "*commands.duContext", fields: &[] };

const TITLES: &[(&str, &str)] = &[
    ("ID", "ID"),
    ("Reclaimable", "RECLAIMABLE"),
    ("Size", "SIZE"),
    ("LastUsedAt", "LAST ACCESSED"),
    ("CreatedAt", "CREATED"),
    ("Description", "DESCRIPTION"),
    ("Mutable", "MUTABLE"),
    ("Parents", "PARENTS"),
    ("Shared", "SHARED"),
    ("Type", "TYPE"),
    ("UsageCount", "USAGE COUNT"),
];

/// Lists the records, the largest first, and sums them up.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let filters = filters(&args.filter, |_, _| Ok(false))?;
    let channel = args.place.channel(cx).await?;
    let mut records = builder::usage(channel, filters).await.map_err(CommandError::failed)?;
    records.sort_by_key(|record| std::cmp::Reverse(record.size));
    let now = Timestamp::now();
    let text = match (args.verbose, args.format.as_deref()) {
        (true, _) => {
            let all: Vec<String> = records.iter().map(|r| verbose(r, now, &moment::zone())).collect();
            all.concat() + &sums(&records)
        }
        (false, format) => {
            let columns = Columns {
                row: &ROW,
                titles: TITLES,
                shown: vec!["ID", "Reclaimable", "Size", "LastUsedAt"],
                raw: Vec::new(),
            };
            let rows = records.iter().map(|r| row(r, now)).collect();
            let list = listing::render(&columns, format, rows).map_err(CommandError::failed)?;
            match format {
                None | Some("" | "table") => list + &sums(&records),
                Some(_) => list,
            }
        }
    };
    cx.ui.data(text.as_bytes())?;
    Ok(())
}

/// A time as its distance from now; empty: never.
fn ago(time: Option<Timestamp>, now: Timestamp) -> String {
    time.map_or_else(String::new, |time| status::ago(Some(time), now))
}

fn row(record: &CacheRecord, now: Timestamp) -> Row {
    let marked = |text: String, mark: bool| if mark { text + "*" } else { text };
    let fields = json!({
        "CreatedAt": ago(record.created, now),
        "Description": record.description,
        "ID": marked(record.id.clone(), record.mutable),
        "LastUsedAt": ago(record.last_used, now),
        "Mutable": record.mutable.to_string(),
        "Parents": record.parents.join(", "),
        "Reclaimable": (!record.in_use).to_string(),
        "Shared": record.shared.to_string(),
        "Size": marked(size::human(record.size), record.shared),
        "Type": record.kind,
        "UsageCount": record.uses.to_string(),
    });
    Row { fields, labels: json!({}) }
}

fn verbose(record: &CacheRecord, now: Timestamp, zone: &TimeZone) -> String {
    let mut lines = vec![("ID", record.id.clone())];
    if !record.parents.is_empty() {
        lines.push(("Parents", record.parents.join(", ")));
    }
    lines.extend([
        ("Created at", record.created.map_or_else(String::new, |time| moment::long(time, zone))),
        ("Mutable", record.mutable.to_string()),
        ("Reclaimable", (!record.in_use).to_string()),
        ("Shared", record.shared.to_string()),
        ("Size", size::human(record.size)),
    ]);
    if !record.description.is_empty() {
        lines.push(("Description", record.description.replace('\n', " ")));
    }
    lines.push(("Usage count", record.uses.to_string()));
    if record.last_used.is_some() {
        lines.push(("Last used", ago(record.last_used, now)));
    }
    if !record.kind.is_empty() {
        lines.push(("Type", record.kind.clone()));
    }
    let text: String = lines.iter().map(|(name, value)| format!("{name}:\t{value}\n")).collect();
    table::align(&text) + "\n"
}

/// Totals, as lines below the list.
fn sums(records: &[CacheRecord]) -> String {
    let of = |counts: fn(&CacheRecord) -> bool| -> i64 {
        records.iter().filter(|record| counts(record)).map(|record| record.size).sum()
    };
    let shared = of(|record| record.shared);
    let mut lines = Vec::new();
    if shared > 0 {
        lines.push(("Shared", shared));
        lines.push(("Private", of(|record| !record.shared)));
    }
    lines.push(("Reclaimable", of(|record| !record.in_use)));
    lines.push(("Total", of(|_| true)));
    let text: String =
        lines.iter().map(|(name, bytes)| format!("{name}:\t{}\n", size::human(*bytes))).collect();
    table::align(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str, size: i64) -> CacheRecord {
        CacheRecord { id: id.to_owned(), size, ..CacheRecord::default() }
    }

    #[test]
    fn marks_and_sums() {
        let now = Timestamp::from_second(10_000).unwrap();
        let shared = CacheRecord {
            shared: true,
            mutable: true,
            last_used: Some(Timestamp::from_second(9_000).unwrap()),
            ..record("a", 2_000)
        };
        let busy = CacheRecord { in_use: true, ..record("b", 3_000) };
        let fields = row(&shared, now).fields;
        assert_eq!((&fields["ID"], &fields["Size"]), (&json!("a*"), &json!("2kB*")));
        assert_eq!(fields["LastUsedAt"], "16 minutes ago");
        assert_eq!(row(&busy, now).fields["LastUsedAt"], "");
        assert_eq!(
            sums(&[shared.clone(), busy.clone()]),
            "Shared:        2kB\nPrivate:       3kB\nReclaimable:   2kB\nTotal:         5kB\n"
        );
        assert!(sums(&[busy]).starts_with("Reclaimable:   0B\n"));
        let text = verbose(&shared, now, &TimeZone::UTC);
        assert!(text.contains("Last used:") && !text.contains("Parents") && text.ends_with("\n\n"), "{text}");
    }
}
