//! `exec`

use super::context::{Context, daemon_text};
use super::error::{CommandError, Kind, Outcome};
use super::options::{Host, env};
use super::streams::{self, Joined, Options, StreamError, detach};
use crate::client::{ClientError, Wanted};
use crate::model::container::ExecSpec;
use crate::model::reason::{Reason, cause};

/// Execute a command in a running container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    detach_keys: streams::DetachKeys,
    /// Set environment variables
    #[arg(short, long, value_name = "list")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    env_file: Vec<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    user: String,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    workdir: String,
    #[arg(required = true, value_name = "CONTAINER")]
    container: String,
    #[arg(required = true, value_names = ["COMMAND", "ARG"], trailing_var_arg = true)]
    command: Vec<String>,
}

/// Ends with the process's exit code.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let detach_keys = args.detach_keys.parse()?;
    let stdin = args.interactive && !args.detach;
    streams::check_terminal(args.tty, stdin, cx)?;
    let mut files = Vec::new();
    for file in &args.env_file {
        let text = std::fs::read_to_string(file)
            .map_err(|e| CommandError::failed(format!("open {file}: {}", cause(&e))))?;
        files.push((file.clone(), text));
    }
    let env =
        env::resolve(&files, &args.env, &Host::current()).map_err(|e| CommandError::failed(e.to_string()))?;
    let client = cx.client().await?;
    let spec = ExecSpec {
        command: args.command,
        env,
        user: args.user,
        working_dir: args.workdir,
        tty: args.tty,
        stdin: args.interactive,
        privileged: args.privileged,
        terminal_size: if args.tty { crate::sys::terminal::size() } else { None },
    };
    let exec = client.create_exec(&args.container, spec).await.map_err(|e| not_started(&e))?;
    if args.detach {
        return client.start_exec(&args.container, &exec).await.map_err(|e| not_started(&e));
    }
    let wanted = Wanted {
        container: args.container.clone(),
        exec: exec.clone(),
        starter: true,
        stdout: true,
        stderr: true,
    };
    let attachment = client.attach(wanted).await?;
    let joined = Joined::begin(attachment, Options { tty: args.tty, stdin, detach_keys }, cx).await?;
    if let Err(error) = client.start_exec(&args.container, &exec).await {
        // The terminal is itself again before anything is said.
        drop(joined);
        return Err(not_started(&error));
    }
    match joined.follow(None, client, cx).await {
        Ok(ended) => ended.outcome(Err(CommandError::failed(detach::READ))),
        Err(StreamError::Own(error)) => Err(error),
        // The process's end is not known.
        Err(StreamError::Session(error)) => Err(CommandError::new(Kind::Code(255), daemon_text(&error))),
    }
}

fn not_started(error: &ClientError) -> CommandError {
    let kind = match error.reason {
        Reason::CommandNotFound => Kind::Code(127),
        Reason::CommandNotExecutable => Kind::Code(126),
        _ => Kind::Failed,
    };
    CommandError::new(kind, daemon_text(error))
}
