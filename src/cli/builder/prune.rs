//! `builder prune`

use super::{connected, filters};
use crate::builder::{self, Pruning};
use crate::cli::context::Context;
use crate::cli::error::{CommandError, Outcome};
use crate::cli::format::duration;
use crate::cli::options::{groups, value};
use crate::cli::prune::{listed, sure, total};
use std::time::Duration;
use tonic::transport::Channel;

/// Remove build cache
#[derive(Debug, clap::Args)]
#[command(mut_arg("filter", |arg| arg.help("Provide filter values (e.g. \"until=24h\")")))]
pub(crate) struct Args {
    #[command(flatten)]
    place: super::Place,
    /// Remove all unused build cache, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Amount of disk space to keep for cache
    #[arg(long, alias = "keep-storage", value_name = "bytes", value_parser = value::bytes)]
    reserved_space: Option<i64>,
    /// Maximum amount of disk space allowed to keep for cache
    #[arg(long, value_name = "bytes", value_parser = value::bytes)]
    max_used_space: Option<i64>,
    /// Target amount of free disk space after pruning
    #[arg(long, value_name = "bytes", value_parser = value::bytes)]
    min_free_space: Option<i64>,
    #[command(flatten)]
    pruning: groups::Pruning,
}

/// Asks, prunes, and says what went.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let mut unused_for = None;
    let filters = filters(&args.pruning.filter, |key, text| {
        let is_age = matches!(key, "until" | "unused-for");
        if is_age {
            unused_for = Some(age(text)?);
        }
        Ok(is_age)
    })?;
    let warning = match args.all {
        true => "WARNING! This will remove all build cache.",
        false => "WARNING! This will remove all dangling build cache.",
    };
    let remote = args.place.remote(cx)?;
    if !sure(warning, args.pruning.force, cx).await? {
        return Ok(());
    }
    let pruning = Pruning {
        all: args.all,
        unused_for,
        filters,
        reserved: args.reserved_space.unwrap_or_default(),
        most: args.max_used_space.unwrap_or_default(),
        free: args.min_free_space.unwrap_or_default(),
    };
    let channel = match remote {
        None => cx.client().await?.channel(),
        Some(remote) => connected(&remote).await?,
    };
    let bytes = now(channel, pruning, cx).await?;
    cx.ui.line(&total(bytes))?;
    Ok(())
}

fn age(text: &str) -> Result<Duration, CommandError> {
    let nanos = duration::parse_go(text).and_then(|n| u64::try_from(n).ok());
    let bad = || CommandError::failed(format!("invalid duration {text:?} in filter"));
    nanos.map(Duration::from_nanos).ok_or_else(bad)
}

/// Prunes, lists what went, and answers its bytes.
pub(crate) async fn now(channel: Channel, pruning: Pruning, cx: &Context) -> Result<i64, CommandError> {
    let gone = builder::prune(channel, pruning).await.map_err(CommandError::failed)?;
    let ids: Vec<String> = gone.iter().map(|r| r.id.clone()).collect();
    listed("Deleted build cache objects:", &ids, cx)?;
    Ok(gone.iter().map(|r| r.size).sum())
}
