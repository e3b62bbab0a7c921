//! `rm`

use super::context::{Context, is_missing};
use super::error::Outcome;
use super::parallel;

/// Remove one or more containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Removes them; a missing one is no mistake with `--force`.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    let (force, volumes) = (args.force, args.volumes);
    parallel::each(&cx.ui, &args.containers, |name| async move {
        let bare = name.trim_matches('/');
        if bare.is_empty() {
            return Err(super::error::CommandError::failed("container name cannot be empty"));
        }
        match client.remove(bare, force, volumes).await {
            Ok(()) => Ok(Some(name)),
            Err(error) if force && is_missing(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    })
    .await
}
