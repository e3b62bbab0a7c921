//! `builder history`: builds of the past, from BuildKit's own memory of them.

use super::Place;
use crate::api::docker::schema::Struct;
use crate::builder::{self, Past, Phase};
use crate::cli::build::{self, Mode};
use crate::cli::context::Context;
use crate::cli::error::{CommandError, Outcome};
use crate::cli::format::listing::{self, Columns, Row};
use crate::cli::format::{moment, status, table};
use crate::model::reference;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use std::time::Duration;
use tonic::transport::Channel;

/// List builds
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Format output: 'table', 'table TEMPLATE', 'json', or a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Do not truncate names
    #[arg(long)]
    no_trunc: bool,
}

/// Print the logs of a build
#[derive(Debug, clap::Args)]
pub(crate) struct LogsArgs {
    #[command(flatten)]
    place: Place,
    /// Set type of progress output ("plain", "rawjson", "tty")
    #[arg(
        long,
        value_name = "string",
        default_value = "plain",
        hide_default_value = true,
        hide_possible_values = true
    )]
    progress: Mode,
    /// The last build if none is given; ^1 is the one before the last
    #[arg(value_name = "BUILD")]
    build: Option<String>,
}

/// Inspect a build
#[derive(Debug, clap::Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    place: Place,
    /// Format output: 'json', or a Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
    /// The last build if none is given; ^1 is the one before the last
    #[arg(value_name = "BUILD")]
    build: Option<String>,
}

/// Remove builds from the history
#[derive(Debug, clap::Args)]
pub(crate) struct RemoveArgs {
    #[command(flatten)]
    place: Place,
    /// Remove all builds
    #[arg(long)]
    all: bool,
    #[arg(value_name = "BUILD")]
    builds: Vec<String>,
}

/// A row.
const ROW: Struct = Struct { name: "*history.lsContext", fields: &[] };

const TITLES: &[(&str, &str)] = &[
    ("Ref", "BUILD ID"),
    ("Name", "NAME"),
    ("Status", "STATUS"),
    ("CreatedAt", "CREATED AT"),
    ("Duration", "DURATION"),
];

/// Width of a name in the table.
const NAME: usize = 36;

/// Lists builds, the newest first.
pub(crate) async fn list(args: ListArgs, cx: &Context) -> Outcome {
    let builds = all(args.place.channel(cx).await?).await?;
    let now = Timestamp::now();
    let whole = args.no_trunc || args.format.as_deref().is_some_and(|f| !f.starts_with("table"));
    let columns = Columns {
        row: &ROW,
        titles: TITLES,
        shown: TITLES.iter().map(|(field, _)| *field).collect(),
        raw: Vec::new(),
    };
    let rows = builds.iter().map(|build| row(build, whole, now)).collect();
    let text = listing::render(&columns, args.format.as_deref(), rows).map_err(CommandError::failed)?;
    cx.ui.data(text.as_bytes())?;
    Ok(())
}

/// Prints what a build said to standard error, as the build itself did.
pub(crate) async fn logs(args: LogsArgs, cx: &Context) -> Outcome {
    let channel = args.place.channel(cx).await?;
    let build = one(channel.clone(), args.build.as_deref()).await?;
    let mut display = build::display(args.progress, false, &cx.ui, |name| std::env::var(name).ok())?;
    builder::logs(channel, &build, display.as_mut()).await.map_err(CommandError::failed)
}

/// Prints a table of what is known of a build, or its document.
pub(crate) async fn inspect(args: InspectArgs, cx: &Context) -> Outcome {
    let build = one(args.place.channel(cx).await?, args.build.as_deref()).await?;
    let text = match args.format.as_deref() {
        None | Some("") => details(&build, Timestamp::now(), &moment::zone()),
        Some(format) => {
            let columns = Columns { row: &ROW, titles: &[], shown: Vec::new(), raw: Vec::new() };
            let row = Row { fields: document(&build), labels: json!({}) };
            listing::render(&columns, Some(format), vec![row]).map_err(CommandError::failed)?
        }
    };
    cx.ui.data(text.as_bytes())?;
    Ok(())
}

/// Removes builds from the history; each that is not there is an error, and keeps no other.
pub(crate) async fn remove(args: RemoveArgs, cx: &Context) -> Outcome {
    let refused = match (args.all, args.builds.is_empty()) {
        (true, false) => Some("cannot specify builds when using --all"),
        (false, true) => Some("specify builds, or --all"),
        _ => None,
    };
    if let Some(why) = refused {
        return Err(CommandError::failed(format!("ERROR: {why}")));
    }
    let channel = args.place.channel(cx).await?;
    let builds = all(channel.clone()).await?;
    let mut failures = Vec::new();
    let mut chosen = Vec::new();
    if args.all {
        chosen.extend(builds.iter().filter(|build| build.phase != Phase::Running));
    }
    for name in &args.builds {
        match find(&builds, name) {
            Ok(build) => chosen.push(build),
            Err(error) => failures.push(error.to_string()),
        }
    }
    for build in chosen {
        match builder::forget(channel.clone(), &build.id).await {
            Ok(()) => cx.ui.line(&build.id)?,
            Err(error) => failures.push(error.to_string()),
        }
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(CommandError::failed(failures.join("\n"))),
    }
}

async fn all(channel: Channel) -> Result<Vec<Past>, CommandError> {
    builder::history(channel).await.map_err(CommandError::failed)
}

async fn one(channel: Channel, name: Option<&str>) -> Result<Past, CommandError> {
    find(&all(channel).await?, name.unwrap_or("^0")).cloned()
}

/// The build of an ID, of the beginning of one, or that many before the last: `^1`.
fn find<'a>(builds: &'a [Past], name: &str) -> Result<&'a Past, CommandError> {
    if let Some(back) = name.strip_prefix('^') {
        let back: usize = match back {
            "" => 1,
            number => number.parse().map_err(|_| {
                CommandError::failed(format!("ERROR: {name:?} is no number of builds to go back"))
            })?,
        };
        return builds.get(back).ok_or_else(|| {
            let kept = builds.len();
            CommandError::failed(format!("ERROR: there is no such build: {kept} are remembered"))
        });
    }
    let mut matching = builds.iter().filter(|build| !name.is_empty() && build.id.starts_with(name));
    match (matching.next(), matching.next()) {
        (Some(build), None) => Ok(build),
        (Some(_), Some(_)) => {
            Err(CommandError::failed(format!("ERROR: the IDs of several builds begin with {name:?}")))
        }
        (None, _) => Err(CommandError::failed(format!("ERROR: no build {name:?} in the history"))),
    }
}

/// A name for people: the context and what of it was built.
fn name(build: &Past) -> String {
    let attribute = |key: &str| build.attributes.get(key).map_or("", String::as_str);
    let context = match attribute("vcs:source") {
        "" => attribute("context"),
        source => source,
    };
    let context = match attribute("vcs:localdir:context") {
        "" => context,
        folder => folder,
    };
    let file = attribute("filename");
    let mut parts: Vec<&str> = Vec::new();
    parts
        .extend((!context.is_empty() && !context.starts_with("http://buildkit-session/")).then_some(context));
    parts.extend((!file.is_empty() && file != "Dockerfile").then_some(file));
    let target = attribute("target");
    let mut text = parts.join("/");
    if text.is_empty() {
        text = "Dockerfile".to_owned();
    }
    if !target.is_empty() {
        text.push_str(&format!(" ({target})"));
    }
    text
}

/// Names of the image that was made.
fn images(build: &Past) -> Vec<String> {
    let names = build.exporters.iter().filter_map(|(_, attributes)| attributes.get("name"));
    names.flat_map(|names| names.split(',')).map(str::to_owned).collect()
}

fn lasted(build: &Past, now: Timestamp) -> Duration {
    let end = build.completed.unwrap_or(now);
    status::elapsed(build.created, end)
}

/// `1.5s`, `2m 3s`
fn short(duration: Duration) -> String {
    match duration.as_secs() {
        0..60 => format!("{:.1}s", duration.as_secs_f64()),
        seconds => format!("{}m {}s", seconds / 60, seconds % 60),
    }
}

fn row(build: &Past, whole: bool, now: Timestamp) -> Row {
    let mut shown = match images(build).first() {
        Some(image) => reference::familiar(image),
        None => name(build),
    };
    if !whole && shown.chars().count() > NAME {
        shown = shown.chars().take(NAME - 1).chain(['…']).collect();
    }
    let created = build.created.map_or_else(String::new, |created| status::ago(Some(created), now));
    let fields = json!({
        "CreatedAt": created,
        "Duration": short(lasted(build, now)),
        "Name": shown,
        "Ref": build.id,
        "Status": build.phase.as_str(),
    });
    Row { fields, labels: json!({}) }
}

fn details(build: &Past, now: Timestamp, zone: &TimeZone) -> String {
    let time = |time: Option<Timestamp>| time.map_or_else(String::new, |time| moment::long(time, zone));
    let mut lines = vec![
        ("Build ID".to_owned(), build.id.clone()),
        ("Name".to_owned(), name(build)),
        ("Status".to_owned(), build.phase.as_str().to_owned()),
        ("Started".to_owned(), time(build.created)),
        ("Duration".to_owned(), short(lasted(build, now))),
        (
            "Build steps".to_owned(),
            format!("{}/{} ({} cached)", build.steps_done, build.steps, build.steps_cached),
        ),
    ];
    let images = images(build);
    if !images.is_empty() {
        lines.push(("Images".to_owned(), images.join(", ")));
    }
    lines.extend(build.digest.iter().map(|digest| ("Digest".to_owned(), digest.clone())));
    if build.warnings > 0 {
        lines.push(("Warnings".to_owned(), build.warnings.to_string()));
    }
    if !build.error.is_empty() {
        lines.push(("Error".to_owned(), build.error.replace('\n', " ")));
    }
    let plain: Vec<_> = build.attributes.iter().filter(|(key, _)| !key.starts_with("vcs:")).collect();
    for (key, value) in plain {
        let label = match key.split_once(':') {
            Some(("build-arg", name)) => format!("Build arg {name}"),
            Some(("label", name)) => format!("Label {name}"),
            _ => key.clone(),
        };
        lines.push((label, value.replace('\n', " ")));
    }
    let text: String = lines.iter().map(|(name, value)| format!("{name}:\t{value}\n")).collect();
    table::align(&text)
}

fn document(build: &Past) -> Value {
    let time = |time: Option<Timestamp>| time.map(moment::rfc3339_nano);
    let error = (!build.error.is_empty()).then_some(&build.error);
    json!({
        "Ref": build.id,
        "Name": name(build),
        "Status": build.phase.as_str(),
        "StartedAt": time(build.created),
        "CompletedAt": time(build.completed),
        "NumTotalSteps": build.steps,
        "NumCompletedSteps": build.steps_done,
        "NumCachedSteps": build.steps_cached,
        "NumWarnings": build.warnings,
        "Images": images(build),
        "Digest": build.digest,
        "Error": error,
        "Attributes": build.attributes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(id: &str) -> Past {
        let at = |second| Some(Timestamp::from_second(second).unwrap());
        Past {
            id: id.to_owned(),
            phase: Phase::Completed,
            error: String::new(),
            created: at(1_000),
            completed: at(1_002),
            attributes: [("build-arg:A", "1\n2"), ("filename", "Other"), ("target", "t")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            exporters: vec![(
                "image".to_owned(),
                [("name".to_owned(), "docker.io/library/x:1,y:2".to_owned())].into(),
            )],
            digest: Some("sha256:d".to_owned()),
            steps: 3,
            steps_done: 3,
            steps_cached: 1,
            warnings: 0,
        }
    }

    #[test]
    fn builds_are_found() {
        let builds = [past("abc"), past("abd"), past("x")];
        let of = |name: &str| {
            find(&builds, name).map(|build| build.id.as_str()).map_err(|error| error.to_string())
        };
        for (name, id) in
            [("^0", "abc"), ("^1", "abd"), ("^", "abd"), ("^2", "x"), ("abd", "abd"), ("x", "x")]
        {
            assert_eq!(of(name), Ok(id), "{name}");
        }
        for (name, why) in [
            ("^3", "3 are remembered"),
            ("^y", "no number"),
            ("ab", "several"),
            ("z", "no build \"z\""),
            ("", "no build"),
        ] {
            assert!(of(name).unwrap_err().contains(why), "{name}");
        }
    }

    #[test]
    fn shown() {
        let now = Timestamp::from_second(1_010).unwrap();
        let fields = row(&past("a"), false, now).fields;
        assert_eq!(
            fields,
            json!({"CreatedAt": "10 seconds ago", "Duration": "2.0s", "Name": "x:1", "Ref": "a", "Status": "Completed"})
        );
        let mut nameless = Past { exporters: Vec::new(), ..past("a") };
        assert_eq!(row(&nameless, false, now).fields["Name"], "Other (t)");
        nameless.attributes.insert("vcs:localdir:context".to_owned(), "app".to_owned());
        assert_eq!(row(&nameless, false, now).fields["Name"], "app/Other (t)");
        let text = details(&past("a"), now, &TimeZone::UTC);
        for line in ["Build steps:", "3/3 (1 cached)", "docker.io/library/x:1, y:2", "Build arg A:", "1 2"] {
            assert!(text.contains(line), "{text}");
        }
        assert_eq!(short(Duration::from_secs(125)), "2m 5s");
    }
}
