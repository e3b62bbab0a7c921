//! `attach`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::streams::first::{self, Facts};
use super::streams::{self, Joined, Options, detach};
use crate::client::Wanted;

/// Attach local standard input, output, and error streams to a running container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    detach_keys: streams::DetachKeys,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
    #[command(flatten)]
    sig_proxy: streams::SigProxy,
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
}

/// Stays until the container ends or the keys are pressed.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let detach_keys = args.detach_keys.parse()?;
    let client = cx.client().await?;
    let document = client.inspect(&args.container, false).await?;
    let state = |key: &str| document["State"][key].as_bool().unwrap_or(false);
    if !state("Running") {
        return Err(CommandError::failed("cannot attach to a stopped container, start it first"));
    }
    if state("Paused") {
        return Err(CommandError::failed("cannot attach to a paused container, unpause it first"));
    }
    if state("Restarting") {
        return Err(CommandError::failed(
            "cannot attach to a restarting container, wait until it is running",
        ));
    }
    let facts = Facts::of(&document, &args.container);
    let (id, tty) = (facts.id, facts.tty);
    let stdin = !args.no_stdin && facts.open_stdin;
    streams::check_terminal(tty, stdin, cx)?;
    let signals = args.sig_proxy.signals(tty, cx)?;
    let wanted = Wanted { container: id.clone(), stdout: true, stderr: true, ..Wanted::default() };
    let attachment = client.attach(wanted).await?;
    let joined = Joined::begin(attachment, Options { tty, stdin, detach_keys }, cx).await?;
    joined.redraw().await;
    let ended = first::follow(joined, &id, facts.auto_remove, signals, client, cx).await?;
    ended.outcome(Err(CommandError::failed(detach::READ)))
}
