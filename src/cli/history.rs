//! `history`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::format::listing::{self, Columns, Row};
use super::format::{moment, quote, size, status};
use super::options::value;
use crate::api::docker::schema::Struct;
use crate::model::image::HistoryEntry;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

/// Show the history of an image
#[derive(Debug, clap::Args)]
#[command(mut_arg("human", value::switch))]
pub(crate) struct Args {
    /// Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Print sizes and dates in human readable format
    #[arg(short = 'H', long, action = clap::ArgAction::Set)]
    human: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Show history for the given platform (e.g., "linux/amd64")
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Only show image IDs
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true, value_name = "IMAGE")]
    image: String,
}

/// A row.
const ROW: Struct = Struct { name: "*image.historyContext", fields: &[] };

const TITLES: &[(&str, &str)] = &[
    ("ID", "IMAGE"),
    ("CreatedSince", "CREATED"),
    ("CreatedAt", "CREATED AT"),
    ("CreatedBy", "CREATED BY"),
    ("Size", "SIZE"),
    ("Comment", "COMMENT"),
];

/// Display columns of what a step was made by.
const CREATED_BY: usize = 45;

/// Newest first, one row for each step.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let entries = cx.client().await?.history(&args.image, args.platform.clone()).await?;
    let text = render(&args, &entries, Timestamp::now(), &moment::zone())?;
    cx.ui.data(text.as_bytes())?;
    Ok(())
}

fn render(
    args: &Args,
    entries: &[HistoryEntry],
    now: Timestamp,
    zone: &TimeZone,
) -> Result<String, CommandError> {
    let row = |entry: &HistoryEntry| {
        let id = match (entry.id.is_empty(), args.no_trunc) {
            (true, _) => "<missing>",
            (false, true) => &entry.id,
            (false, false) => quote::short_id(&entry.id),
        };
        // Builders that want the same image each time say that it was made at the beginning of time.
        let created = entry.created.filter(|created| created.as_second() > 0);
        let at = created.map_or_else(|| "N/A".to_owned(), |t| moment::rfc3339(t, zone));
        let since = created.map_or_else(|| "N/A".to_owned(), |t| status::ago(Some(t), now));
        let by = entry.created_by.replace('\t', " ");
        let fields = json!({
            "Comment": entry.comment,
            "CreatedAt": at,
            "CreatedBy": if args.no_trunc { by } else { quote::ellipsis(&by, CREATED_BY) },
            "CreatedSince": if args.human { since } else { at },
            "ID": id,
            "Size": if args.human { size::human(entry.size) } else { entry.size.to_string() },
        });
        Row { fields, labels: json!({}) }
    };
    let rows: Vec<Row> = entries.iter().map(row).collect();
    if args.quiet && args.format.as_deref().is_none_or(|format| format == "table") {
        let ids = rows.iter().map(|row| format!("{}\n", row.fields["ID"].as_str().unwrap_or_default()));
        return Ok(ids.collect());
    }
    let created = if args.human { "CreatedSince" } else { "CreatedAt" };
    let shown = vec!["ID", created, "CreatedBy", "Size", "Comment"];
    listing::render(
        &Columns { row: &ROW, titles: TITLES, shown, raw: Vec::new() },
        args.format.as_deref(),
        rows,
    )
    .map_err(CommandError::failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    fn history(line: &str) -> String {
        let args = command::parse_as::<Args>(&format!("{line} image")).unwrap();
        let entries = [
            HistoryEntry {
                id: format!("sha256:{}", "ab".repeat(32)),
                created: Timestamp::from_second(86_400).ok(),
                created_by: "CMD [\"/bin/sh\"]".into(),
                comment: "buildkit.dockerfile.v0".into(),
                ..HistoryEntry::default()
            },
            HistoryEntry {
                created: Timestamp::from_second(0).ok(),
                created_by: "/bin/sh -c #(nop) ADD\tfile:0123456789abcdef in / and more".into(),
                size: 7_800_000,
                ..HistoryEntry::default()
            },
        ];
        let text = render(&args, &entries, Timestamp::from_second(86_400 * 4).unwrap(), &TimeZone::UTC);
        text.unwrap().lines().map(|line| line.trim_end().to_owned() + "\n").collect()
    }

    #[test]
    fn tables() {
        let table = "\
IMAGE          CREATED      CREATED BY                                      SIZE      COMMENT
abababababab   3 days ago   CMD [\"/bin/sh\"]                                 0B        buildkit.dockerfile.v0
<missing>      N/A          /bin/sh -c #(nop) ADD file:0123456789abcdef …   7.8MB
";
        assert_eq!(history(""), table);
        let table = "\
IMAGE          CREATED AT             CREATED BY                                      SIZE      COMMENT
abababababab   1970-01-02T00:00:00Z   CMD [\"/bin/sh\"]                                 0         buildkit.dockerfile.v0
<missing>      N/A                    /bin/sh -c #(nop) ADD file:0123456789abcdef …   7800000
";
        assert_eq!(history("-H=false"), table);
        assert_eq!(history("-q"), "abababababab\n<missing>\n");
        let long = history("--no-trunc --format {{.ID}}@{{.CreatedBy}}");
        assert!(long.starts_with(&format!("sha256:{}@CMD", "ab".repeat(32))) && long.contains(" and more"));
    }
}
