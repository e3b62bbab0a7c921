//! `start`

use super::context::{Context, daemon_text};
use super::error::{CommandError, Outcome};
use super::streams::first::{self, Facts};
use super::streams::{self, Joined, Options};
use crate::client::Wanted;

/// Start one or more stopped containers
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    #[command(flatten)]
    detach_keys: streams::DetachKeys,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
    #[command(flatten)]
    sig_proxy: streams::SigProxy,
    #[arg(required = true, value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Each start gives a fresh container; the first uses what `create` made.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let keys = args.detach_keys.parse()?;
    match (args.attach || args.interactive, args.containers.as_slice()) {
        (true, [one]) => attached(one, &args, keys, cx).await,
        (true, _) => Err(CommandError::failed("you cannot start and attach multiple containers at once")),
        (false, all) => detached(all, cx).await,
    }
}

async fn detached(containers: &[String], cx: &Context) -> Outcome {
    let client = cx.client().await?;
    let mut failed = Vec::new();
    for container in containers {
        match client.start(container).await {
            Ok(warnings) => {
                warnings.iter().for_each(|w| cx.ui.warning(w));
                cx.ui.line(container)?;
            }
            Err(error) => {
                cx.ui.message(&daemon_text(&error));
                failed.push(container.as_str());
            }
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(CommandError::failed(format!("failed to start containers: {}", failed.join(", ")))),
    }
}

async fn attached(container: &str, args: &Args, detach_keys: Vec<u8>, cx: &Context) -> Outcome {
    let client = cx.client().await?;
    let document = client.inspect(container, false).await?;
    let facts = Facts::of(&document, container);
    let (id, tty) = (facts.id, facts.tty);
    let stdin = args.interactive && facts.open_stdin;
    streams::check_terminal(tty, stdin, cx)?;
    let signals = args.sig_proxy.signals(tty, cx)?;
    // A container that runs already is joined where it is.
    let starter = !document["State"]["Running"].as_bool().unwrap_or(false);
    let wanted = Wanted { container: id.clone(), exec: String::new(), starter, stdout: true, stderr: true };
    let attachment = client.attach(wanted).await?;
    let joined = Joined::begin(attachment, Options { tty, stdin, detach_keys }, cx).await?;
    if let Err(error) = client.start(&id).await {
        drop(joined);
        cx.ui.message(&daemon_text(&error));
        return Err(CommandError::failed(format!("failed to start containers: {container}")));
    }
    first::follow(joined, &id, facts.auto_remove, signals, client, cx).await?.outcome(Ok(()))
}
