//! `push`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::options::value;
use super::pull::{transferred, without_trust};
use crate::client::Client;
use crate::model::image::Compression;
use crate::model::reference::Reference;
use clap::ArgAction;

/// Upload an image to a registry
#[derive(Debug, clap::Args)]
#[command(mut_arg("disable_content_trust", value::switch))]
pub(crate) struct Args {
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Compression of layers that have none ("gzip", "zstd", "none")
    #[arg(long, value_name = "string", default_value = "gzip", value_parser = compression)]
    compression_format: Compression,
    /// Skip image signing (there is none: false is refused)
    #[arg(long, action = ArgAction::Set)]
    disable_content_trust: bool,
    /// Push a platform-specific manifest as a single-platform image to the registry
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true, value_name = "NAME[:TAG]")]
    image: String,
}

fn compression(text: &str) -> Result<Compression, String> {
    Compression::parse(text).ok_or_else(|| format!("{text:?} is not one of gzip, zstd, none"))
}

/// Prints the progress, and what the registry calls each tag.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    without_trust(args.disable_content_trust)?;
    let reference = Reference::parse(&args.image).map_err(CommandError::failed)?;
    let alone = Reference::is_name_only(&args.image);
    if args.all_tags && !alone {
        return Err(CommandError::failed("tag can't be used with --all-tags/-a"));
    }
    let client = cx.client().await?;
    if args.all_tags {
        for tag in tags(client, &reference).await? {
            let name = format!("{}:{tag}", reference.repository());
            push(client, &Reference::parse(&name).map_err(CommandError::failed)?, &args, cx).await?;
        }
    } else {
        if alone && !args.quiet {
            cx.ui.line("Using default tag: latest")?;
        }
        push(client, &reference, &args, cx).await?;
    }
    if args.quiet {
        let shown = if args.all_tags { reference.repository() } else { reference.to_string() };
        cx.ui.line(&shown)?;
    }
    Ok(())
}

async fn push(client: &Client, reference: &Reference, args: &Args, cx: &Context) -> Outcome {
    let outcomes =
        client.push(&reference.to_string(), args.platform.clone(), args.compression_format).await?;
    let done = transferred(outcomes, reference, args.quiet, cx).await?;
    if !args.quiet {
        let tag = reference.tag.as_deref().unwrap_or_default();
        cx.ui.line(&format!("{tag}: digest: {} size: {}", done.id, done.size))?;
    }
    Ok(())
}

/// The tags of a repository that are here, in their order.
async fn tags(client: &Client, reference: &Reference) -> Result<Vec<String>, CommandError> {
    let (images, _) = client.images(true, Default::default()).await?;
    let front = format!("{}:", reference.familiar_repository());
    let names = images.iter().flat_map(|image| &image.repo_tags);
    let mut tags: Vec<String> =
        names.filter_map(|name| name.strip_prefix(&front).map(str::to_owned)).collect();
    tags.sort();
    match tags.is_empty() {
        true => Err(CommandError::failed(format!(
            "An image does not exist locally with the tag: {}",
            reference.familiar_repository()
        ))),
        false => Ok(tags),
    }
}
