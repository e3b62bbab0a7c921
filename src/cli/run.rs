//! `run`: a container is made, started, and followed to its end, in one call.

mod follow;

use super::context::Context;
use super::create::{Plan, engine_refused, refused};
use super::error::{CommandError, Outcome};
use super::options::container::Flags;
use super::options::value;
use super::streams;
use crate::client::{Client, ClientError};
use crate::model::id::ContainerId;

/// Create and run a new container from an image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: Flags,
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    detach_keys: streams::DetachKeys,
    #[command(flatten)]
    sig_proxy: streams::SigProxy,
}

const VERB: &str = "run";

/// Everything that can be wrong is looked at before anything is made.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let flags = args.flags;
    if args.detach && !flags.attach.is_empty() {
        return Err(refused("conflicting options: cannot specify both --attach and --detach", VERB));
    }
    let detach_keys = args.detach_keys.parse()?;
    let joined = |stream: value::Stream| match flags.attach.is_empty() {
        true => !args.detach && (stream != value::Stream::Stdin || flags.interactive),
        false => flags.attach.contains(&stream),
    };
    let stdin = joined(value::Stream::Stdin);
    streams::check_terminal(flags.tty, stdin, cx)?;
    let options = follow::Options {
        remove: flags.rm,
        forward_signals: args.sig_proxy.on,
        output: [joined(value::Stream::Stdout), joined(value::Stream::Stderr)],
        streams: streams::Options { tty: flags.tty, stdin, detach_keys },
    };
    let plan = Plan::new(flags, stdin, VERB, cx)?;
    let client = cx.client().await?;
    let wanted = (!args.detach).then(|| options.wanted());
    let running = plan.start(wanted, client, cx).await?;
    if !args.detach {
        return follow::run(running, options, client, cx).await;
    }
    let id = running.id.clone();
    if let Err(error) = running.started().await {
        return Err(not_started(&id, options.remove, error, client).await);
    }
    cx.ui.line(id.as_str())?;
    Ok(())
}

/// The error of a container that did not start; with `--rm` the container goes.
async fn not_started(id: &ContainerId, remove: bool, error: ClientError, client: &Client) -> CommandError {
    if remove {
        // The container may be gone already; and the error to show is the start's.
        let _ = client.remove(id.as_str(), true, true).await;
    }
    engine_refused(&error, VERB)
}
