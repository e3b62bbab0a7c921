//! `search`, which is not there.

use super::error::{CommandError, Outcome};

/// Say where images can be searched for: registries have no search in common
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(required = true, value_name = "TERM")]
    term: String,
}

/// Refuses in words.
pub(crate) fn run(args: &Args) -> Outcome {
    Err(CommandError::failed(format!(
        "k3c cannot search for {:?}: registries have no search in common. Search on the registry's website \
         (Docker Hub's is hub.docker.com), then: k3c pull NAME",
        args.term
    )))
}
