//! `pull`

use super::context::{Context, PROGRAM, daemon_text, is_missing};
use super::error::{CommandError, Outcome};
use super::options::value;
use super::ui::Progress;
use crate::client::{Client, ClientError};
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
    /// Download the images of all platforms (those that cannot run here stay packed)
    #[arg(long)]
    all_platforms: bool,
    /// Download all tagged images in the repository
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
    let reference = Reference::parse(&args.image).map_err(CommandError::failed)?;
    let alone = Reference::is_name_only(&args.image);
    if args.all_platforms && args.platform.is_some() {
        return Err(CommandError::failed("conflicting options: --all-platforms and --platform"));
    }
    if args.all_tags {
        return match alone {
            true => all_tags(&args, &reference, cx).await,
            false => Err(CommandError::failed("tag can't be used with --all-tags/-a")),
        };
    }
    if !args.quiet && alone {
        cx.ui.line("Using default tag: latest")?;
    }
    let done = pull(cx.client().await?, &args, &reference, cx)
        .await
        .map_err(|error| explained(error, &reference))?;
    if !args.quiet {
        let shown = reference::familiar(&done.reference);
        cx.ui.line(&format!("Digest: {}\n{}", done.id, status(done.unchanged, &shown)))?;
    }
    Ok(cx.ui.line(&done.reference)?)
}

fn status(unchanged: bool, shown: &str) -> String {
    match unchanged {
        true => format!("Status: Image is up to date for {shown}"),
        false => format!("Status: Downloaded newer image for {shown}"),
    }
}

/// Pulls each tag that the registry has. One that cannot be had (a signature, an image for others) does not keep the
/// others away.
async fn all_tags(args: &Args, repository: &Reference, cx: &Context) -> Outcome {
    let explain = |error| explained(error, repository);
    let client = cx.client().await?;
    let outcomes = client.remote_tags(&repository.repository()).await.map_err(explain)?;
    let Some(TransferOutcome::Document(found)) =
        followed(outcomes, &mut cx.ui.progress_of_results(args.quiet)).await.map_err(explain)?
    else {
        return Err(unsaid());
    };
    let tags: Vec<&str> =
        found["tags"].as_array().into_iter().flatten().filter_map(|tag| tag.as_str()).collect();
    if tags.is_empty() {
        let name = repository.familiar_repository();
        return Err(CommandError::failed(format!("the repository {name} has no tags")));
    }
    let (mut unchanged, mut failures) = (true, Vec::new());
    for tag in tags {
        let reference = format!("{}:{tag}", repository.repository());
        let reference = Reference::parse(&reference).map_err(CommandError::failed)?;
        match pull(client, args, &reference, cx).await {
            Ok(done) => {
                unchanged &= done.unchanged;
                if !args.quiet {
                    cx.ui.line(&format!("Digest: {}", done.id))?;
                }
            }
            Err(error) if is_missing(&error) => failures.push(format!("{tag}: {}", daemon_text(&error))),
            Err(error) => return Err(explain(error)),
        }
    }
    if !failures.is_empty() {
        return Err(CommandError::failed(failures.join("\n")));
    }
    if !args.quiet {
        cx.ui.line(&status(unchanged, &repository.familiar_repository()))?;
    }
    Ok(cx.ui.line(&repository.repository())?)
}

async fn pull(
    client: &Client,
    args: &Args,
    reference: &Reference,
    cx: &Context,
) -> Result<Transferred, ClientError> {
    let platform = args.platform.clone().or_else(|| default_platform().filter(|_| !args.all_platforms));
    let outcomes = client.pull(&reference.to_string(), platform, args.all_platforms).await?;
    match followed(outcomes, &mut cx.ui.progress_of_results(args.quiet)).await? {
        Some(TransferOutcome::Done(done)) => Ok(done),
        _ => Err(ClientError::hung_up()),
    }
}

pub(crate) fn unsaid() -> CommandError {
    CommandError::failed("the daemon did not say what became of it")
}

/// Shows the progress of a pull or a push, to its end.
pub(crate) async fn transferred(
    outcomes: BoxStream<'static, Result<TransferOutcome, ClientError>>,
    reference: &Reference,
    quiet: bool,
    cx: &Context,
) -> Result<Transferred, CommandError> {
    match followed(outcomes, &mut cx.ui.progress_of_results(quiet))
        .await
        .map_err(|error| explained(error, reference))?
    {
        Some(TransferOutcome::Done(done)) => Ok(done),
        _ => Err(unsaid()),
    }
}

/// Shows progress up to the last outcome.
pub(crate) async fn followed(
    mut outcomes: BoxStream<'static, Result<TransferOutcome, ClientError>>,
    progress: &mut Progress<'_>,
) -> Result<Option<TransferOutcome>, ClientError> {
    while let Some(outcome) = outcomes.next().await {
        match outcome? {
            TransferOutcome::Progress(step) => progress.step(&step),
            // The client has answered it.
            TransferOutcome::Question(_) => {}
            last => return Ok(Some(last)),
        }
    }
    Ok(None)
}

/// With the next step for somebody whom a registry does not let in.
pub(crate) fn explained(error: ClientError, reference: &Reference) -> CommandError {
    let unauthorized = error.reason == Reason::Unauthorized;
    let error = CommandError::from(error);
    if unauthorized { error.hint(login_hint(reference)) } else { error }
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
