//! `rmi`

use super::context::{Context, daemon_text, is_missing};
use super::error::{CommandError, Outcome};
use crate::model::image::Removed;

/// Remove one or more images
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents
    #[arg(long)]
    no_prune: bool,
    /// Remove only the given platform variant (e.g., "linux/amd64")
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    platform: Vec<String>,
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<String>,
}

/// Removes images one after the other: one may be the last name of another one's content.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    let mut failures = Vec::new();
    let mut fatal = false;
    for image in &args.images {
        match client.remove_image(image, args.force, args.no_prune, args.platform.clone()).await {
            Ok(lines) => {
                for line in lines {
                    match line {
                        Removed::Untagged(name) => cx.ui.line(&format!("Untagged: {name}"))?,
                        Removed::Deleted(digest) => cx.ui.line(&format!("Deleted: {digest}"))?,
                    }
                }
            }
            Err(error) => {
                fatal |= !is_missing(&error);
                failures.push(daemon_text(&error));
            }
        }
    }
    let text = failures.join("\n");
    match (text.is_empty(), args.force && !fatal) {
        (true, _) => Ok(()),
        (false, true) => {
            cx.ui.message(&text);
            Ok(())
        }
        (false, false) => Err(CommandError::failed(text)),
    }
}
