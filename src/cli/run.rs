//! `run`: from flags to a container.

mod follow;

use super::context::{Context, PROGRAM, daemon_text, is_missing};
use super::error::{CommandError, Kind, Outcome};
use super::options::{Host, env, mount, mount_flag, restart, value};
use super::streams;
use crate::client::{Client, ClientError};
use crate::model::container::{ContainerSpec, Resources, RestartPolicy};
use crate::model::id::ContainerId;
use crate::model::image::PullOutcome;
use crate::model::reason::Reason;
use futures::StreamExt;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Create and run a new container from an image
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Attach to STDIN, STDOUT or STDERR
    #[arg(short, long, value_name = "list", value_parser = value::stream)]
    attach: Vec<value::Stream>,
    /// Add Linux capabilities
    #[arg(long, value_name = "list")]
    cap_add: Vec<String>,
    /// Drop Linux capabilities
    #[arg(long, value_name = "list")]
    cap_drop: Vec<String>,
    /// Write the container ID to the file
    #[arg(long, value_name = "string")]
    cidfile: Option<PathBuf>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "int", value_parser = value::integer)]
    cpu_shares: Option<i64>,
    /// Number of CPUs
    #[arg(long, value_name = "decimal", value_parser = value::nano_cpus)]
    cpus: Option<i64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    cpuset_cpus: String,
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    detach_keys: String,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "string")]
    entrypoint: Option<String>,
    /// Set environment variables
    #[arg(short, long, value_name = "list")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "list")]
    env_file: Vec<String>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "string", default_value = "", hide_default_value = true)]
    hostname: String,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Set meta data on a container
    #[arg(short, long, value_name = "list", value_parser = value::label)]
    label: Vec<(String, String)>,
    /// Memory limit
    #[arg(short, long, value_name = "bytes", value_parser = value::bytes)]
    memory: Option<i64>,
    /// Swap limit equal to memory plus swap: '-1' to enable unlimited swap
    #[arg(long, value_name = "bytes", value_parser = value::bytes_or_unlimited)]
    memory_swap: Option<i64>,
    /// Attach a filesystem mount to the container
    #[arg(long, value_name = "mount")]
    mount: Vec<String>,
    /// Assign a name to the container
    #[arg(long, value_name = "string")]
    name: Option<String>,
    /// Tune container pids limit (set -1 for unlimited)
    #[arg(long, value_name = "int", value_parser = value::integer)]
    pids_limit: Option<i64>,
    /// Give extended privileges to this container
    #[arg(long)]
    privileged: bool,
    /// Pull image before running ("always", "missing", "never")
    #[arg(long, value_name = "string", default_value = "missing")]
    pull: String,
    /// Suppress the pull output
    #[arg(short, long)]
    quiet: bool,
    /// Mount the container's root filesystem as read only
    #[arg(long)]
    read_only: bool,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "string", default_value = "no")]
    restart: String,
    /// Automatically remove the container and its associated anonymous volumes when it exits
    #[arg(long)]
    rm: bool,
    /// Proxy received signals to the process
    #[arg(
        long,
        value_name = "bool",
        default_value = "true",
        default_missing_value = "true",
        num_args = 0..=1,
        hide_possible_values = true,
        require_equals = true,
        action = clap::ArgAction::Set
    )]
    sig_proxy: bool,
    /// Signal to stop the container
    #[arg(long, value_name = "string", default_value = "", hide_default_value = true)]
    stop_signal: String,
    /// Timeout (in seconds) to stop a container
    #[arg(long, value_name = "int", value_parser = value::integer)]
    stop_timeout: Option<i64>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    user: String,
    /// Bind mount a volume
    #[arg(short, long, value_name = "list")]
    volume: Vec<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "string", default_value = "", hide_default_value = true)]
    workdir: String,
    #[arg(required = true, value_name = "IMAGE")]
    image: String,
    #[arg(value_name = "COMMAND] [ARG", trailing_var_arg = true)]
    command: Vec<String>,
}

/// When the image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pull {
    Always,
    Missing,
    Never,
}

/// Everything that can be wrong is looked at before anything is made.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let pull = pull_policy(&args.pull).map_err(refused)?;
    if args.detach && !args.attach.is_empty() {
        return Err(refused("conflicting options: cannot specify both --attach and --detach"));
    }
    let detach_keys = streams::keys(&args.detach_keys)?;
    let joined = |stream: value::Stream| match args.attach.is_empty() {
        true => !args.detach && (stream != value::Stream::Stdin || args.interactive),
        false => args.attach.contains(&stream),
    };
    let stdin = joined(value::Stream::Stdin);
    streams::check_terminal(args.tty, stdin, cx)?;
    let mut files = Vec::new();
    for file in &args.env_file {
        let text = std::fs::read_to_string(file).map_err(|e| refused(format!("open {file}: {e}")))?;
        files.push((file.clone(), text));
    }
    let (mut spec, relabel) = spec(&args, &files, &Host::current()).map_err(refused)?;
    spec.open_stdin = args.interactive || stdin;
    spec.stdin_once = args.interactive && stdin;
    if relabel && Path::new("/sys/fs/selinux/enforce").exists() {
        cx.ui.warning("volumes are not relabelled for SELinux: the options z and Z are not applied");
    }
    let cidfile = args.cidfile.as_deref().map(CidFile::new).transpose().map_err(refused)?;
    let client = cx.client().await?;
    let id = create(&args, spec, pull, client, cx).await?;
    if let Some(cidfile) = cidfile {
        cidfile.write(&id).map_err(refused)?;
    }
    if !args.detach {
        let options = follow::Options {
            remove: args.rm,
            forward_signals: args.sig_proxy,
            output: [joined(value::Stream::Stdout), joined(value::Stream::Stderr)],
            streams: streams::Options { tty: args.tty, stdin, detach_keys },
        };
        return follow::run(&id, options, client, cx).await;
    }
    match client.start(id.as_str()).await {
        Ok(_) => {}
        Err(error) => return Err(not_started(&id, args.rm, error, client).await),
    }
    cx.ui.line(id.as_str())?;
    Ok(())
}

async fn create(
    args: &Args,
    spec: ContainerSpec,
    pull: Pull,
    client: &Client,
    cx: &Context,
) -> Result<ContainerId, CommandError> {
    if pull == Pull::Always {
        fetch(&args.image, args.quiet, client, cx).await?;
    }
    let name = args.name.clone().filter(|name| !name.is_empty());
    let mut answer = client.create(spec.clone(), name.clone()).await;
    if let (Err(error), Pull::Missing) = (&answer, pull)
        && let Some(image) = missing_image(error)
    {
        if !args.quiet {
            cx.ui.message(&format!("Unable to find image '{image}' locally"));
        }
        fetch(&args.image, args.quiet, client, cx).await?;
        answer = client.create(spec, name).await;
    }
    let (id, warnings) = answer.map_err(|error| engine_refused(&error))?;
    warnings.iter().for_each(|w| cx.ui.warning(w));
    Ok(id)
}

/// The image's full name, from the engine's words.
fn missing_image(error: &ClientError) -> Option<String> {
    let text = error.to_string();
    let (_, image) = text.split_once("No such image: ").filter(|_| is_missing(error))?;
    Some(image.to_owned())
}

/// Progress and result go to standard error: standard output is the container's.
async fn fetch(image: &str, quiet: bool, client: &Client, cx: &Context) -> Outcome {
    let mut outcomes = client.pull(image, None).await.map_err(|error| engine_refused(&error))?;
    let mut progress = cx.ui.progress(quiet);
    while let Some(outcome) = outcomes.next().await {
        match outcome.map_err(|error| engine_refused(&error))? {
            PullOutcome::Progress(step) => progress.step(&step),
            PullOutcome::Done { reference, id } if !quiet => {
                drop(progress);
                cx.ui.message(&format!("Digest: {id}\nStatus: Downloaded newer image for {reference}"));
                return Ok(());
            }
            PullOutcome::Done { .. } => {}
        }
    }
    Ok(())
}

/// With `--rm` a container that never ran goes too.
async fn not_started(id: &ContainerId, remove: bool, error: ClientError, client: &Client) -> CommandError {
    if remove {
        // It may be gone already; and the reason to show is why it did not start.
        let _ = client.remove(id.as_str(), true, true).await;
    }
    engine_refused(&error)
}

/// We refuse it.
fn refused(message: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> CommandError {
    with_help(CommandError::new(Kind::Run(125), message))
}

/// The engine refuses it.
fn engine_refused(error: &ClientError) -> CommandError {
    let text = daemon_text(error);
    with_help(CommandError::new(Kind::Run(exit_code(error.reason, &text)), text))
}

fn with_help(error: CommandError) -> CommandError {
    error.hint(format!("Run '{PROGRAM} run --help' for more information"))
}

/// The engine knows best; what came from the runtime in words is read as Docker's own client reads it.
fn exit_code(reason: Reason, text: &str) -> u8 {
    match reason {
        Reason::CommandNotFound => return 127,
        Reason::CommandNotExecutable => return 126,
        _ => {}
    }
    let has = |part: &str| text.contains(part);
    if has("executable file not found")
        || has("no such file or directory")
        || has("system cannot find the file")
    {
        127
    } else if has("permission denied") || has("is a directory") {
        126
    } else {
        125
    }
}

fn pull_policy(text: &str) -> Result<Pull, String> {
    match text {
        "always" => Ok(Pull::Always),
        "missing" | "" => Ok(Pull::Missing),
        "never" => Ok(Pull::Never),
        other => Err(format!(
            "invalid pull option: '{other}': must be one of \"always\", \"missing\" or \"never\""
        )),
    }
}

/// From flags to what the engine is asked for, and whether SELinux labels were asked for.
fn spec(args: &Args, files: &[(String, String)], host: &Host) -> Result<(ContainerSpec, bool), String> {
    let restart = restart::parse(&args.restart)?;
    if args.rm && restart != RestartPolicy::No {
        return Err("conflicting options: cannot specify both --restart and --rm".to_owned());
    }
    let mut mounts = Vec::new();
    let mut relabel = false;
    for volume in &args.volume {
        let parsed = mount::parse(volume, host).map_err(|e| e.to_string())?;
        relabel |= parsed.relabel;
        mounts.push(parsed.mount);
    }
    for text in &args.mount {
        let mount = mount_flag::parse(text, host)
            .map_err(|why| format!("invalid argument {text:?} for \"--mount\" flag: {why}"))?;
        mounts.push(mount);
    }
    for (index, mount) in mounts.iter().enumerate() {
        if mounts[..index].iter().any(|other| other.target == mount.target) {
            return Err(format!("Duplicate mount point: {}", mount.target));
        }
    }
    // Zero and below mean no limit, there as here.
    let limit = |value: Option<i64>| value.unwrap_or(0).max(0);
    let spec = ContainerSpec {
        image: args.image.clone(),
        entrypoint: args.entrypoint.as_ref().map(|e| match e.is_empty() {
            true => Vec::new(),
            false => vec![e.clone()],
        }),
        command: args.command.clone(),
        env: env::resolve(files, &args.env, host).map_err(|e| e.to_string())?,
        working_dir: args.workdir.clone(),
        user: args.user.clone(),
        hostname: args.hostname.clone(),
        labels: args.label.iter().cloned().collect(),
        mounts,
        read_only: args.read_only,
        cap_add: args.cap_add.iter().map(|c| value::capability(c)).collect(),
        cap_drop: args.cap_drop.iter().map(|c| value::capability(c)).collect(),
        privileged: args.privileged,
        resources: Resources {
            memory: limit(args.memory),
            memory_swap: args.memory_swap.unwrap_or(0),
            nano_cpus: limit(args.cpus),
            cpu_shares: args.cpu_shares.unwrap_or(0),
            cpuset_cpus: args.cpuset_cpus.clone(),
            pids_limit: limit(args.pids_limit),
        },
        auto_remove: args.rm,
        restart,
        stop_signal: args.stop_signal.clone(),
        stop_timeout: args.stop_timeout,
        tty: args.tty,
        open_stdin: args.interactive,
        stdin_once: false,
    };
    Ok((spec, relabel))
}

/// A file for the ID, made before the container and gone again when there is none.
struct CidFile {
    path: PathBuf,
    file: std::fs::File,
    written: bool,
}

impl CidFile {
    fn new(path: &Path) -> Result<Self, String> {
        let file = std::fs::File::create_new(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => format!(
                "container ID file found, make sure the other container isn't running or delete {}",
                path.display()
            ),
            _ => format!("failed to create the container ID file: open {}: {error}", path.display()),
        })?;
        Ok(Self { path: path.to_owned(), file, written: false })
    }

    fn write(mut self, id: &ContainerId) -> Result<(), String> {
        self.file
            .write_all(id.as_str().as_bytes())
            .map_err(|e| format!("failed to write the container ID to {}: {e}", self.path.display()))?;
        self.written = true;
        Ok(())
    }
}

impl Drop for CidFile {
    fn drop(&mut self) {
        if !self.written {
            // What cannot be removed is empty, which says as much.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
