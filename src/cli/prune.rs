//! `container prune`, `image prune`, `network prune`, `volume prune`, `system prune`

use super::builder;
use super::context::Context;
use super::error::{CommandError, Outcome};
use super::format::{moment, size};
use super::options::groups::Pruning;
use super::options::value;
use super::ui::typed_line;
use crate::builder::Pruning as Pruned;
use crate::model::image::Removed;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Remove all stopped containers
#[derive(Debug, clap::Args)]
pub(crate) struct ContainerArgs {
    #[command(flatten)]
    pruning: Pruning,
}

/// Remove unused images
#[derive(Debug, clap::Args)]
pub(crate) struct ImageArgs {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    pruning: Pruning,
}

/// Remove all unused networks
#[derive(Debug, clap::Args)]
pub(crate) struct NetworkArgs {
    #[command(flatten)]
    pruning: Pruning,
}

/// Remove unused local volumes
#[derive(Debug, clap::Args)]
#[command(mut_arg("filter", |arg| arg.help("Provide filter values (e.g. \"label=<label>\")")))]
pub(crate) struct VolumeArgs {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    pruning: Pruning,
}

/// Remove unused data
#[derive(Debug, clap::Args)]
#[command(mut_arg("filter", |arg| arg.help("Provide filter values (e.g. \"label=<key>=<value>\")")))]
pub(crate) struct SystemArgs {
    /// Remove all unused images not just dangling ones
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    pruning: Pruning,
    /// Prune anonymous volumes
    #[arg(long)]
    volumes: bool,
}

type Filters = BTreeMap<String, Vec<String>>;

/// Asks before anything goes. As in Docker, Ctrl-C is a no.
pub(super) async fn sure(warning: &str, force: bool, cx: &Context) -> Result<bool, CommandError> {
    if force {
        return Ok(true);
    }
    let answer = async {
        cx.ui.data(format!("{warning}\nAre you sure you want to continue? [y/N] ").as_bytes())?;
        Ok::<_, CommandError>(typed_line().await?)
    };
    match cx.signals.unless(answer).await? {
        Some(answer) => Ok(matches!(answer?.trim(), "y" | "Y")),
        None => {
            cx.ui.line("")?;
            Ok(false)
        }
    }
}

/// `until` as a point in time, whatever form it was given in.
pub(super) fn filters(pairs: &[(String, String)]) -> Result<Filters, CommandError> {
    let mut all = value::filters(pairs);
    for text in all.get_mut("until").into_iter().flatten() {
        *text = moment::parse(text, Timestamp::now(), &moment::zone())
            .ok_or_else(|| {
                CommandError::failed(format!("failed to parse value as time or duration: {text:?}"))
            })?
            .to_string();
    }
    Ok(all)
}

pub(super) fn total(bytes: i64) -> String {
    format!("Total reclaimed space: {}", size::reclaimed(bytes))
}

/// `container prune`
pub(crate) async fn containers(args: ContainerArgs, cx: &Context) -> Outcome {
    let filters = filters(&args.pruning.filter)?;
    if !sure("WARNING! This will remove all stopped containers.", args.pruning.force, cx).await? {
        return Ok(());
    }
    let bytes = containers_now(filters, cx).await?;
    cx.ui.line(&total(bytes))?;
    Ok(())
}

async fn containers_now(filters: Filters, cx: &Context) -> Result<i64, CommandError> {
    let pruned = cx.client().await?.prune_containers(filters).await?;
    listed("Deleted Containers:", &pruned.deleted, cx)?;
    Ok(pruned.reclaimed)
}

pub(super) fn listed(title: &str, lines: &[String], cx: &Context) -> Outcome {
    if !lines.is_empty() {
        cx.ui.line(&format!("{title}\n{}\n", lines.join("\n")))?;
    }
    Ok(())
}

/// `image prune`
pub(crate) async fn images(args: ImageArgs, cx: &Context) -> Outcome {
    let filters = filters(&args.pruning.filter)?;
    let warning = match args.all {
        true => "WARNING! This will remove all images without at least one container associated to them.",
        false => "WARNING! This will remove all dangling images.",
    };
    if !sure(warning, args.pruning.force, cx).await? {
        return Ok(());
    }
    let bytes = images_now(args.all, filters, cx).await?;
    cx.ui.line(&total(bytes))?;
    Ok(())
}

async fn images_now(all: bool, mut filters: Filters, cx: &Context) -> Result<i64, CommandError> {
    if all {
        filters.insert("dangling".to_owned(), vec!["false".to_owned()]);
    }
    let (removed, bytes) = cx.client().await?.prune_images(filters).await?;
    let lines: Vec<String> = removed
        .into_iter()
        .map(|line| match line {
            Removed::Untagged(name) => format!("untagged: {name}"),
            Removed::Deleted(digest) => format!("deleted: {digest}"),
        })
        .collect();
    listed("Deleted Images:", &lines, cx)?;
    Ok(bytes)
}

/// `network prune`
pub(crate) async fn networks(args: NetworkArgs, cx: &Context) -> Outcome {
    let filters = filters(&args.pruning.filter)?;
    let warning = "WARNING! This will remove all custom networks not used by at least one container.";
    if !sure(warning, args.pruning.force, cx).await? {
        return Ok(());
    }
    networks_now(filters, cx).await
}

async fn networks_now(filters: Filters, cx: &Context) -> Outcome {
    let pruned = cx.client().await?.prune_networks(filters).await?;
    listed("Deleted Networks:", &pruned.deleted, cx)
}

/// `volume prune`
pub(crate) async fn volumes(args: VolumeArgs, cx: &Context) -> Outcome {
    let mut filters = filters(&args.pruning.filter)?;
    if args.all && filters.contains_key("all") {
        return Err(CommandError::failed(
            "conflicting options: cannot specify both --all and --filter all=1",
        ));
    }
    if args.all {
        filters.insert("all".to_owned(), vec!["true".to_owned()]);
    }
    let warning = match args.all {
        true => "WARNING! This will remove all local volumes not used by at least one container.",
        false => "WARNING! This will remove anonymous local volumes not used by at least one container.",
    };
    if !sure(warning, args.pruning.force, cx).await? {
        return Ok(());
    }
    let bytes = volumes_now(filters, cx).await?;
    cx.ui.line(&total(bytes))?;
    Ok(())
}

async fn volumes_now(filters: Filters, cx: &Context) -> Result<i64, CommandError> {
    let pruned = cx.client().await?.prune_volumes(filters).await?;
    listed("Deleted Volumes:", &pruned.deleted, cx)?;
    Ok(pruned.reclaimed)
}

/// `system prune`
pub(crate) async fn system(args: SystemArgs, cx: &Context) -> Outcome {
    let filters = filters(&args.pruning.filter)?;
    if args.volumes && filters.contains_key("until") {
        return Err(CommandError::failed("ERROR: The \"until\" filter is not supported with \"--volumes\""));
    }
    let mut warning =
        "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at \
                       least one container\n"
            .to_owned();
    if args.volumes {
        warning.push_str("  - all anonymous volumes not used by at least one container\n");
    }
    warning.push_str(match args.all {
        true => "  - all images without at least one container associated to them\n  - all build cache\n",
        false => "  - all dangling images\n  - unused build cache\n",
    });
    if !sure(&warning, args.pruning.force, cx).await? {
        return Ok(());
    }
    let mut bytes = containers_now(filters.clone(), cx).await?;
    networks_now(filters.clone(), cx).await?;
    if args.volumes {
        bytes += volumes_now(filters.clone(), cx).await?;
    }
    bytes += images_now(args.all, filters.clone(), cx).await?;
    // BuildKit's cache has no labels.
    if !filters.contains_key("label") && !filters.contains_key("label!") {
        let age = filters.get("until").and_then(|v| v.first()?.parse::<Timestamp>().ok());
        let age = age.and_then(|t| Duration::try_from(Timestamp::now().duration_since(t)).ok());
        let channel = cx.client().await?.channel();
        let pruned = Pruned { all: args.all, unused_for: age, ..Pruned::default() };
        match builder::prune::now(channel, pruned, cx).await {
            Ok(more) => bytes += more,
            Err(error) => cx.ui.warning(&error.to_string()),
        }
    }
    cx.ui.line(&total(bytes))?;
    Ok(())
}
