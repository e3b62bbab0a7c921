//! `ps`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::format::listing::{self, Columns, Row};
use super::format::{moment, quote, size, status};
use super::options::value;
use crate::api::docker::schema::Struct;
use crate::credentials;
use crate::model::container::{ContainerSummary, Health, ListFilter, Mount, MountKind};
use crate::model::port;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

/// List containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    filter: Vec<(String, String)>,
    /// Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Show n last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "int", default_value = "-1", hide_default_value = true, value_parser = value::integer)]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

/// A row.
const ROW: Struct = Struct { name: "*formatter.ContainerContext", fields: &[] };

const TITLES: &[(&str, &str)] = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
    ("HealthStatus", "HEALTH STATUS"),
];

/// Newest first.
pub(crate) async fn run(mut args: Args, cx: &Context) -> Outcome {
    if args.quiet && args.format.is_some() {
        cx.ui.warning("Ignoring custom format, because both --format and --quiet are set.");
    }
    args.format = args.format.or_else(|| credentials::setting("psFormat"));
    let size = args.size || args.format.as_deref().is_some_and(|f| f.contains(".Size"));
    let limit = if args.latest { Some(1) } else { usize::try_from(args.last).ok().filter(|n| *n > 0) };
    let filter = ListFilter { all: args.all, filters: value::filters(&args.filter), limit, size };
    let containers = cx.client().await?.list(filter).await?;
    let text = render(&args, &containers, Timestamp::now(), &moment::zone())?;
    cx.ui.data(text.as_bytes())?;
    Ok(())
}

fn render(
    args: &Args,
    containers: &[ContainerSummary],
    now: Timestamp,
    zone: &TimeZone,
) -> Result<String, CommandError> {
    if args.quiet {
        let id = |c: &ContainerSummary| if args.no_trunc { c.id.as_str() } else { c.id.short() }.to_owned();
        return Ok(containers.iter().map(|c| id(c) + "\n").collect());
    }
    let mut shown = vec!["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"];
    let mut raw = vec![
        ("container_id", "ID"),
        ("image", "Image"),
        ("command", "Command"),
        ("created_at", "CreatedAt"),
        ("state", "State"),
        ("status", "Status"),
        ("names", "Names"),
        ("labels", "Labels"),
        ("ports", "Ports"),
    ];
    if args.size {
        shown.push("Size");
        raw.push(("size", "Size"));
    }
    let rows = containers.iter().map(|c| row(c, args.no_trunc, now, zone)).collect();
    listing::render(&Columns { row: &ROW, titles: TITLES, shown, raw }, args.format.as_deref(), rows)
        .map_err(CommandError::failed)
}

fn row(container: &ContainerSummary, no_trunc: bool, now: Timestamp, zone: &TimeZone) -> Row {
    let command = match no_trunc {
        true => container.command.clone(),
        false => quote::ellipsis(&container.command, 20),
    };
    let image = match (container.image.as_str(), no_trunc) {
        ("", _) => "<no image>",
        (digest, false) if digest.starts_with("sha256:") => quote::short_id(digest),
        (image, _) => image,
    };
    let size = container.size.map_or_else(
        || "0B".to_owned(),
        |(written, all)| match all > 0 {
            true => format!("{} (virtual {})", size::human(written), size::human(all)),
            false => size::human(written),
        },
    );
    let mounts: Vec<String> = container.mounts.iter().map(|m| mount(m, no_trunc)).collect();
    let volumes = container.mounts.iter().filter(|m| matches!(m.kind, MountKind::Volume { .. })).count();
    let fields = json!({
        "Command": quote::go(&command),
        "CreatedAt": moment::long(container.created, zone),
        "HealthStatus": container.state.health.map_or("", Health::as_str),
        "ID": if no_trunc { container.id.as_str() } else { container.id.short() },
        "Image": image,
        "Labels": listing::labels(&container.labels),
        "LocalVolumes": volumes.to_string(),
        "Mounts": mounts.join(","),
        "Names": container.names.join(","),
        "Networks": container.network,
        "Platform": null,
        "Ports": port::line(&container.ports),
        "RunningFor": status::ago(Some(container.created), now),
        "Size": size,
        "State": container.state.status.as_str(),
        "Status": status::status(&container.state, now),
    });
    Row { fields, labels: json!(container.labels) }
}

fn mount(mount: &Mount, no_trunc: bool) -> String {
    let name = match &mount.kind {
        MountKind::Bind { source, .. } => source,
        MountKind::Volume { name, .. } => name,
        MountKind::Image { reference } => reference,
        MountKind::Tmpfs { .. } => &mount.target,
    };
    if no_trunc { name.clone() } else { quote::ellipsis(name, 15) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;
    use crate::model::container::{ContainerState, Status};
    use crate::model::id::ContainerId;

    fn containers() -> Vec<ContainerSummary> {
        vec![ContainerSummary {
            id: ContainerId::from_bytes([0xab; 32]),
            names: vec!["web".into()],
            image: "alpine:latest".into(),
            image_id: format!("sha256:{}", "1".repeat(64)),
            command: "sh -c \"sleep 1000000\"".into(),
            created: Timestamp::from_second(1000).unwrap(),
            state: ContainerState {
                status: Status::Running,
                pid: 7,
                exit_code: 0,
                error: String::new(),
                oom_killed: false,
                started_at: Timestamp::from_second(1000).ok(),
                finished_at: None,
                attempt: 0,
                restart_count: 0,
                health: None,
            },
            labels: [("team".to_owned(), "x".to_owned())].into(),
            mounts: vec![Mount::new(
                MountKind::Volume { name: "a-volume-with-a-name".into(), no_copy: false },
                "/v",
            )],
            size: Some((2, 21_470_000)),
            network: "bridge".into(),
            ports: port::shown(&["80/tcp".into()], &[]),
            foreign: false,
        }]
    }

    fn ps(line: &str) -> String {
        let args = command::parse_as::<Args>(line).unwrap();
        render(&args, &containers(), Timestamp::from_second(1300).unwrap(), &TimeZone::UTC).unwrap()
    }

    #[test]
    fn tables_and_templates() {
        let id = "ab".repeat(32);
        let cases = [
            (
                "",
                "CONTAINER ID   IMAGE           COMMAND                   CREATED         STATUS         PORTS     NAMES\n\
                 abababababab   alpine:latest   \"sh -c \\\"sleep 100000…\"   5 minutes ago   Up 5 minutes   80/tcp    web\n"
                    .to_owned(),
            ),
            ("-q", "abababababab\n".to_owned()),
            ("-q --no-trunc", format!("{id}\n")),
            ("--format {{.Names}}:{{.State}}:{{.Size}}", "web:running:2B (virtual 21.5MB)\n".to_owned()),
            ("--format {{.Mounts}},{{.LocalVolumes}},{{.Labels}}", "a-volume-with-…,1,team=x\n".to_owned()),
            ("--format {{.CreatedAt}}", "1970-01-01 00:16:40 +0000 UTC\n".to_owned()),
            ("--format {{.Command}} --no-trunc", "\"sh -c \\\"sleep 1000000\\\"\"\n".to_owned()),
        ];
        for (line, expected) in cases {
            assert_eq!(ps(line), expected, "{line}");
        }
        assert!(ps("-s").contains("NAMES     SIZE\n"));
        assert!(ps("--format json").starts_with("{\"Command\":"));
    }
}
