//! `attach`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::streams::{self, Ended, Joined, Options, StreamError, detach};
use crate::client::{Client, Wanted};
use crate::model::container::WaitCondition;

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
    let tty = document["Config"]["Tty"].as_bool().unwrap_or(false);
    let stdin = !args.no_stdin && document["Config"]["OpenStdin"].as_bool().unwrap_or(false);
    streams::check_terminal(tty, stdin, cx)?;
    let id = document["Id"].as_str().unwrap_or(&args.container).to_owned();
    let signals = match args.sig_proxy.on && !tty {
        true => Some(cx.signals.forward()?),
        false => None,
    };
    let wanted = Wanted { container: id.clone(), stdout: true, stderr: true, ..Wanted::default() };
    let attachment = client.attach(wanted).await?;
    let joined = Joined::begin(attachment, Options { tty, stdin, detach_keys }, cx).await?;
    joined.redraw().await;
    match ended(joined.follow(signals.map(|s| (id.as_str(), s)), client, cx).await, &id, client).await? {
        Ended::Exit(0) => Ok(()),
        Ended::Exit(code) => Err(CommandError::exit(code)),
        Ended::Detached => Err(CommandError::failed(detach::READ)),
    }
}

/// A session that was lost because its container went away meanwhile has an exit code still.
pub(crate) async fn ended(
    answer: Result<Ended, StreamError>,
    container: &str,
    client: &Client,
) -> Result<Ended, CommandError> {
    match answer {
        Ok(Ended::Exit(code)) => {
            // The streams may be faster than the records: whoever asks next is to see the end. With `--rm` it may be gone.
            match client.wait(container, WaitCondition::NotRunning).await {
                Err(error) if !error.is_not_found() => Err(error.into()),
                _ => Ok(Ended::Exit(code)),
            }
        }
        Ok(Ended::Detached) => Ok(Ended::Detached),
        Err(StreamError::Own(error)) => Err(error),
        Err(StreamError::Session(error)) => {
            let over = matches!(
                error.reason,
                crate::model::reason::Reason::NotRunning | crate::model::reason::Reason::NotFound
            );
            if !over {
                return Err(error.into());
            }
            let status = client.wait(container, WaitCondition::NotRunning).await?;
            Ok(Ended::Exit(u8::try_from(status.code & 0xff).unwrap_or(u8::MAX)))
        }
    }
}
