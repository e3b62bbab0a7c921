//! `commit`

use super::context::Context;
use super::error::Outcome;
use crate::model::container::CommitOptions;

/// Create a new image from a container's changes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    author: String,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "list")]
    change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    message: String,
    /// Disable pausing container during commit
    #[arg(long)]
    no_pause: bool,
    /// Pause container during commit
    #[arg(
        short,
        long,
        value_name = "bool",
        default_value = "true",
        default_missing_value = "true",
        num_args = 0..=1,
        hide_possible_values = true,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    pause: bool,
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    #[arg(value_name = "REPOSITORY[:TAG]")]
    repository: Option<String>,
}

/// Prints the image's ID.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let options = CommitOptions {
        reference: args.repository.unwrap_or_default(),
        author: args.author,
        comment: args.message,
        changes: args.change,
        no_pause: args.no_pause || !args.pause,
    };
    let id = cx.client().await?.commit(&args.container, options).await?;
    cx.ui.line(&id)?;
    Ok(())
}
