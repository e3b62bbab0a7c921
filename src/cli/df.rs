//! `system df`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::format::listing::{self, Columns, Row};
use super::format::{quote, size, status, table};
use crate::api::docker::schema::Struct;
use crate::builder::{self, CacheRecord};
use crate::model::system::{DiskUsage, UsageRow};
use jiff::Timestamp;
use serde_json::json;

/// Show disk usage of the engine
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show detailed information on space usage
    #[arg(short, long)]
    verbose: bool,
}

/// A row.
const ROW: Struct = Struct { name: "*formatter.diskUsageContext", fields: &[] };

const TITLES: &[(&str, &str)] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

/// A line for images, containers, volumes and BuildKit's cache.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    let usage = client.disk_usage().await?;
    usage.warnings.iter().for_each(|warning| cx.ui.warning(warning));
    let cache = builder::usage(client.channel(), Vec::new()).await.map_err(CommandError::failed)?;
    if args.verbose {
        if args.format.is_some() {
            return Err(CommandError::failed("the verbose option is not supported with --format"));
        }
        cx.ui.data(details(&usage, &cache, Timestamp::now()).as_bytes())?;
        return Ok(());
    }
    let shown = vec!["Type", "TotalCount", "Active", "Size", "Reclaimable"];
    let text = listing::render(
        &Columns { row: &ROW, titles: TITLES, shown, raw: Vec::new() },
        args.format.as_deref(),
        summary(&usage, &cache),
    )
    .map_err(CommandError::failed)?;
    cx.ui.data(text.as_bytes())?;
    Ok(())
}

fn summary(usage: &DiskUsage, cache: &[CacheRecord]) -> Vec<Row> {
    let sum = |rows: &[UsageRow], active: bool| -> i64 {
        rows.iter().filter(|r| r.active || !active).map(|r| r.size).sum()
    };
    let row = |kind: &str, total: usize, active: usize, bytes: i64, free: i64, percent: bool| {
        let mut reclaimable = size::human(free.max(0));
        if percent && bytes > 0 {
            reclaimable.push_str(&format!(" ({}%)", free.max(0) * 100 / bytes));
        }
        let fields = json!({
            "Active": active.to_string(),
            "Reclaimable": reclaimable,
            "Size": size::human(bytes),
            "TotalCount": total.to_string(),
            "Type": kind,
        });
        Row { fields, labels: json!({}) }
    };
    let active = |rows: &[UsageRow]| rows.iter().filter(|r| r.active).count();
    let of = |kind: &str, rows: &[UsageRow]| {
        let bytes = sum(rows, false);
        row(kind, rows.len(), active(rows), bytes, bytes - sum(rows, true), true)
    };
    let cached: i64 = cache.iter().map(|r| r.size).sum();
    let free: i64 = cache.iter().filter(|r| !r.in_use && !r.shared).map(|r| r.size).sum();
    let busy = cache.iter().filter(|r| r.in_use).count();
    vec![
        row(
            "Images",
            usage.images.len(),
            active(&usage.images),
            usage.layers_size,
            usage.layers_size - usage.layers_used,
            true,
        ),
        of("Containers", &usage.containers),
        of("Local Volumes", &usage.volumes),
        row("Build Cache", cache.len(), busy, cached, free, false),
    ]
}

fn details(usage: &DiskUsage, cache: &[CacheRecord], now: Timestamp) -> String {
    let age = |row: &UsageRow| status::ago(row.created, now);
    let section = |title: &str, head: &str, rows: Vec<String>| {
        let lines = std::iter::once(head.to_owned()).chain(rows).collect::<Vec<_>>().join("\n");
        format!("{title}\n\n{}\n", table::align(&(lines + "\n")))
    };
    let images = usage.images.iter().map(|r| {
        let (name, tag) = r.name.rsplit_once(':').unwrap_or(("<none>", "<none>"));
        let size = size::human(r.size);
        let (shared, unique) = (size::human(r.shared_size), size::human((r.size - r.shared_size).max(0)));
        let id = quote::short_id(&r.id);
        format!("{name}\t{tag}\t{id}\t{}\t{size}\t{shared}\t{unique}\t{}", age(r), r.containers)
    });
    let containers = usage.containers.iter().map(|r| {
        let (id, size) = (quote::short_id(&r.id), size::human(r.size));
        format!("{id}\t{}\t{size}\t{}\t{}", r.more, age(r), r.name)
    });
    let volumes =
        usage.volumes.iter().map(|r| format!("{}\t{}\t{}", r.name, r.containers, size::human(r.size)));
    let caches = cache.iter().map(|r| {
        let id: String = r.id.chars().take(12).collect();
        format!("{id}\t{}\t{}\t{}\t{}", r.kind, size::human(r.size), r.in_use, r.shared)
    });
    [
        section(
            "Images space usage:",
            "REPOSITORY\tTAG\tIMAGE ID\tCREATED\tSIZE\tSHARED SIZE\tUNIQUE SIZE\tCONTAINERS",
            images.collect(),
        ),
        section("Containers space usage:", "CONTAINER ID\tIMAGE\tSIZE\tCREATED\tNAMES", containers.collect()),
        section("Local Volumes space usage:", "VOLUME NAME\tLINKS\tSIZE", volumes.collect()),
        section("Build cache usage:", "CACHE ID\tCACHE TYPE\tSIZE\tIN USE\tSHARED", caches.collect()),
    ]
    .concat()
}
