//! `pull`

use super::context::{Context, PROGRAM};
use super::error::{CommandError, Outcome};
use super::options::value;
use crate::client::ClientError;
use crate::config::env;
use crate::model::image::{TransferOutcome, Transferred};
use crate::model::reason::Reason;
use crate::model::reference::{self, Reference};
use clap::ArgAction;
use futures::StreamExt;
use futures::stream::BoxStream;

/// Download an image from a registry
#[derive(Debug, clap::Args)]
#[command(mut_arg("disable_content_trust", value::switch))]
pub(crate) struct Args {
    /// Download all tagged images in the repository (refused: the engine cannot list a registry's tags)
    #[arg(short, long)]
    all_tags: bool,
    /// Skip image verification (there is none: false is refused)
    #[arg(long, action = ArgAction::Set)]
    disable_content_trust: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "string")]
    platform: Option<String>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[arg(required = true, value_name = "NAME[:TAG|@DIGEST]")]
    image: String,
}

/// Refuses to verify what nobody verifies any more; Docker's content trust is gone, too.
pub(crate) fn without_trust(disabled: bool) -> Outcome {
    match disabled {
        true => Ok(()),
        false => Err(CommandError::failed(
            "--disable-content-trust=false is not supported: there is no content trust to enable",
        )),
    }
}

/// Prints the progress, what became of it, and last the canonical reference.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    without_trust(args.disable_content_trust)?;
    if args.all_tags {
        return Err(CommandError::failed(
            "--all-tags is not supported: the engine cannot list a registry's tags; name each with NAME:TAG",
        ));
    }
    let reference = Reference::parse(&args.image).map_err(CommandError::failed)?;
    if !args.quiet && Reference::is_name_only(&args.image) {
        cx.ui.line("Using default tag: latest")?;
    }
    let platform = args.platform.or_else(default_platform);
    let outcomes = cx.client().await?.pull(&args.image, platform).await?;
    let done = transferred(outcomes, &reference, args.quiet, cx).await?;
    if !args.quiet {
        let shown = reference::familiar(&done.reference);
        let status = match done.unchanged {
            true => format!("Image is up to date for {shown}"),
            false => format!("Downloaded newer image for {shown}"),
        };
        cx.ui.line(&format!("Digest: {}\nStatus: {status}", done.id))?;
    }
    Ok(cx.ui.line(&done.reference)?)
}

/// Shows the progress of a pull or a push, to its end.
pub(crate) async fn transferred(
    mut outcomes: BoxStream<'static, Result<TransferOutcome, ClientError>>,
    reference: &Reference,
    quiet: bool,
    cx: &Context,
) -> Result<Transferred, CommandError> {
    let mut progress = cx.ui.progress_of_results(quiet);
    while let Some(outcome) = outcomes.next().await {
        let outcome = outcome.map_err(|error| {
            let unauthorized = error.reason == Reason::Unauthorized;
            let error = CommandError::from(error);
            if unauthorized { error.hint(login_hint(reference)) } else { error }
        })?;
        match outcome {
            TransferOutcome::Progress(step) => progress.step(&step),
            // The client has answered it.
            TransferOutcome::Question(_) => {}
            TransferOutcome::Done(done) => return Ok(done),
        }
    }
    Err(CommandError::failed("the daemon did not say what became of it"))
}

/// The platform of whoever does not say another one.
pub(crate) fn default_platform() -> Option<String> {
    std::env::var(env::DOCKER_DEFAULT_PLATFORM).ok().filter(|platform| !platform.is_empty())
}

/// The next step for somebody whom a registry does not let in.
fn login_hint(reference: &Reference) -> String {
    let host = if reference.domain == "docker.io" { "" } else { &reference.domain };
    format!("Run '{}' if you have an account there", format!("{PROGRAM} login {host}").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::command;

    #[test]
    fn content_trust_is_off() {
        let of = |line: &str| without_trust(command::parse_as::<Args>(line).unwrap().disable_content_trust);
        for line in ["x", "--disable-content-trust x", "--disable-content-trust=true x"] {
            assert!(of(line).is_ok(), "{line}");
        }
        let error = of("--disable-content-trust=false x").unwrap_err().to_string();
        assert!(error.contains("there is no content trust to enable"), "{error}");
    }

    #[test]
    fn where_to_log_in() {
        for (image, command) in
            [("alpine", "'k3c login'"), ("localhost:5000/a", "'k3c login localhost:5000'")]
        {
            let hint = login_hint(&Reference::parse(image).unwrap());
            assert!(hint.contains(command), "{hint}");
        }
    }
}
