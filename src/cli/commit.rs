//! `commit`

use super::context::Context;
use super::error::Outcome;
use super::options::value;
use crate::model::container::CommitOptions;
use clap::ArgAction;

/// Create a new image from a container's changes
#[derive(Debug, clap::Args)]
#[command(mut_arg("pause", value::switch))]
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
    #[arg(short, long, action = ArgAction::Set)]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command::parse_as;

    #[test]
    fn paused_unless_turned_off() {
        for (line, expected) in
            [("c", true), ("--pause c", true), ("-p=true c", true), ("--pause=false c", false)]
        {
            assert_eq!(parse_as::<Args>(line).unwrap().pause, expected, "{line}");
        }
    }
}
