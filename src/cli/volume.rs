//! `volume create`, `ls`, `inspect`, `rm`

use super::context::{Context, daemon_text, is_missing};
use super::error::{CommandError, Outcome};
use super::format::listing::{self, Columns, Row};
use super::format::size;
use super::inspect::{FormatFlag, Printer};
use super::options::value;
use super::parallel;
use crate::api::docker;
use crate::api::docker::schema::{Struct, Typed as _};
use crate::client::{Client, ClientError};
use crate::model::volume::VolumeSummary;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Create a volume
#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Specify volume driver name
    #[arg(short, long, value_name = "string", default_value = "local")]
    driver: String,
    /// Set metadata for a volume
    #[arg(long, value_name = "list", value_parser = value::label)]
    label: Vec<(String, String)>,
    /// Set driver specific options (the driver local has none here)
    #[arg(short, long, value_name = "map")]
    opt: Vec<String>,
    #[arg(value_name = "VOLUME")]
    name: Option<String>,
}

/// Prints its name.
pub(crate) async fn create(args: CreateArgs, cx: &Context) -> Outcome {
    if args.driver != "local" {
        return Err(CommandError::failed(format!(
            "create {}: error looking up volume plugin {}: plugin {:?} not found: only the driver local exists",
            args.name.unwrap_or_default(),
            args.driver,
            args.driver
        )));
    }
    if let Some(option) = args.opt.first() {
        return Err(CommandError::failed(format!(
            "create {}: option {option:?}: volumes are folders here and have no options; folders of the host, tmpfs and \
             images are mounted with --mount of `run`",
            args.name.unwrap_or_default(),
        )));
    }
    let labels = args.label.into_iter().collect();
    let volume = cx.client().await?.create_volume(args.name, labels).await?;
    cx.ui.line(&volume.volume.name)?;
    Ok(())
}

/// List volumes
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Provide filter values (e.g. "dangling=true")
    #[arg(short, long, value_name = "filter", value_parser = value::filter)]
    filter: Vec<(String, String)>,
    /// Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

/// A row.
const ROW: Struct = Struct { name: "*formatter.volumeContext", fields: &[] };

const TITLES: &[(&str, &str)] = &[
    ("Driver", "DRIVER"),
    ("Name", "VOLUME NAME"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Scope", "SCOPE"),
    ("Availability", "AVAILABILITY"),
    ("Group", "GROUP"),
    ("Status", "STATUS"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Size", "SIZE"),
];

/// Lists volumes by name.
pub(crate) async fn list(args: ListArgs, cx: &Context) -> Outcome {
    let size = args.format.as_deref().is_some_and(|f| f.contains(".Size"));
    let volumes = cx.client().await?.volumes(value::filters(&args.filter), size).await?;
    if args.quiet && args.format.is_none() {
        for volume in &volumes {
            cx.ui.line(&volume.volume.name)?;
        }
        return Ok(());
    }
    let rows = volumes.iter().map(row).collect();
    let columns = Columns {
        row: &ROW,
        titles: TITLES,
        shown: vec!["Driver", "Name"],
        raw: vec![("name", "Name"), ("driver", "Driver")],
    };
    let text = listing::render(&columns, args.format.as_deref(), rows).map_err(CommandError::failed)?;
    cx.ui.data(text.as_bytes())?;
    Ok(())
}

fn row(row: &VolumeSummary) -> Row {
    let labels = row.volume.shown_labels();
    // Without a cluster there is neither availability nor group nor status.
    let fields = json!({
        "Availability": "N/A",
        "Driver": "local",
        "Group": "N/A",
        "Labels": listing::labels(&labels),
        "Links": row.size.map_or_else(|| "N/A".to_owned(), |_| row.containers.to_string()),
        "Mountpoint": row.mountpoint,
        "Name": row.volume.name,
        "Scope": "local",
        "Size": row.size.map_or_else(|| "N/A".to_owned(), size::human),
        "Status": "N/A",
    });
    Row { fields, labels: json!(labels) }
}

/// Display detailed information on one or more volumes
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    format: FormatFlag,
    #[arg(required = true, value_name = "VOLUME")]
    names: Vec<String>,
}

/// Prints the volumes that were found, even when another one was not.
pub(crate) async fn inspect(args: InspectArgs, cx: &Context) -> Outcome {
    let mut printer = Printer::new(args.format.format.as_deref())?;
    let client = cx.client().await?;
    let mut failures = Vec::new();
    for name in &args.names {
        match document(client, name).await? {
            Some(document) => {
                if let Err(error) = printer.add(document, docker::Volume::SHAPE) {
                    failures.push(error.to_string());
                }
            }
            None => failures.push(format!("Error response from daemon: get {name}: no such volume")),
        }
    }
    printer.end(&failures, cx)
}

/// Docker's document of one volume.
pub(crate) async fn document(client: &Client, name: &str) -> Result<Option<Value>, ClientError> {
    let all = client.volumes(BTreeMap::new(), false).await?;
    let volume = all.into_iter().find(|row| row.volume.name == name).map(docker::Volume::from);
    Ok(volume.map(|volume| docker::value(&volume)))
}

/// Remove one or more volumes
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    /// Force the removal of one or more volumes
    #[arg(short, long)]
    force: bool,
    #[arg(required = true, value_name = "VOLUME")]
    names: Vec<String>,
}

/// Removes all named volumes.
pub(crate) async fn remove(args: RemoveArgs, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    parallel::each(&cx.ui, &args.names, |name| async move {
        match client.remove_volume(&name, args.force).await {
            Ok(()) => Ok(Some(name)),
            Err(error) if is_missing(&error) && args.force => Ok(Some(name)),
            Err(error) => Err(CommandError::failed(daemon_text(&error))),
        }
    })
    .await
}
