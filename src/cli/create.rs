//! `create`, and what `run` has in common with it: an image, a container, its ID in a file.

use super::context::{Context, PROGRAM, daemon_text, is_missing};
use super::error::{CommandError, Kind, Outcome};
use super::options::Host;
use super::options::container::{Files, Flags};
use super::options::value;
use super::pull::default_platform;
use crate::client::{Client, ClientError, Running, Wanted};
use crate::model::container::ContainerSpec;
use crate::model::failure::refusal_code;
use crate::model::id::ContainerId;
use crate::model::image::{TransferOutcome, Transferred};
use crate::model::reason::Reason;
use crate::model::reference::{Reference, familiar};
use futures::StreamExt;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Create a new container
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    flags: Flags,
}

/// Prints its ID.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let flags = args.flags;
    let listed = |stream| flags.attach.contains(&stream);
    let stdin = if flags.attach.is_empty() { flags.interactive } else { listed(value::Stream::Stdin) };
    let plan = Plan::new(flags, stdin, "create", cx)?;
    let client = cx.client().await?;
    let id = plan.make(client, cx).await?;
    cx.ui.line(id.as_str())?;
    Ok(())
}

/// Words of the engine about an image that is here for another platform.
const OTHER_PLATFORM: &str = "does not provide the specified platform";

/// Cases in which the image is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pull {
    Always,
    Missing,
    Never,
}

/// A container that may be made: everything that can be wrong without the engine was looked at.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) flags: Flags,
    spec: ContainerSpec,
    pull: Pull,
    cidfile: Option<CidFile>,
    verb: &'static str,
}

impl Plan {
    /// `stdin`: the first client brings a standard input.
    pub(crate) fn new(
        flags: Flags,
        stdin: bool,
        verb: &'static str,
        cx: &Context,
    ) -> Result<Self, CommandError> {
        let refused = |why: String| refused(why, verb);
        let pull = pull_policy(&flags.pull).map_err(refused)?;
        if flags.image.is_empty() {
            return Err(refused("invalid reference format".to_owned()));
        }
        let files = Files::of(&flags).map_err(refused)?;
        let mut flags = flags;
        if flags.platform.is_empty() {
            flags.platform = default_platform().unwrap_or_default();
        }
        let (mut spec, relabel) = flags.spec(&files, &Host::current()).map_err(refused)?;
        spec.stdin_once = flags.interactive && stdin;
        if spec.tty {
            spec.terminal_size = crate::sys::terminal::size();
        }
        if relabel && Path::new("/sys/fs/selinux/enforce").exists() {
            cx.ui.warning("volumes are not relabelled for SELinux: the options z and Z are not applied");
        }
        let cidfile = flags.cidfile.as_deref().map(CidFile::new).transpose().map_err(refused)?;
        Ok(Self { flags, spec, pull, cidfile, verb })
    }

    /// Makes it, fetching its image if need be, and writes its ID down.
    pub(crate) async fn make(mut self, client: &Client, cx: &Context) -> Result<ContainerId, CommandError> {
        let cidfile = self.cidfile.take();
        let verb = self.verb;
        let make = async |spec, name| client.create(spec, name).await;
        let (id, warnings) = self.with_image(client, cx, make).await?;
        warnings.iter().for_each(|w| cx.ui.warning(w));
        written(cidfile, &id, verb)?;
        Ok(id)
    }

    /// Makes it and starts it, fetching its image if need be, and writes its ID down. `wanted`: its streams.
    pub(crate) async fn start(
        mut self,
        wanted: Option<Wanted>,
        client: &Client,
        cx: &Context,
    ) -> Result<Running, CommandError> {
        let cidfile = self.cidfile.take();
        let verb = self.verb;
        let make = async |spec, name| client.run(spec, name, wanted.clone()).await;
        let running = self.with_image(client, cx, make).await?;
        running.warnings.iter().for_each(|w| cx.ui.warning(w));
        if let Err(error) = written(cidfile, &running.id, verb) {
            // Nobody would know of it.
            let _ = client.remove(running.id.as_str(), true, true).await;
            return Err(error);
        }
        Ok(running)
    }

    /// Makes the container by `make`, once more when its image was missing and is here now.
    async fn with_image<T>(
        self,
        client: &Client,
        cx: &Context,
        make: impl AsyncFn(ContainerSpec, Option<String>) -> Result<T, ClientError>,
    ) -> Result<T, CommandError> {
        if self.pull == Pull::Always {
            self.fetch(client, cx).await?;
        }
        let name = self.flags.name.clone().filter(|name| !name.is_empty());
        let mut answer = make(self.spec.clone(), name.clone()).await;
        if let (Err(error), Pull::Missing) = (&answer, self.pull)
            && let Some(image) = missing_image(error, &self.flags.image)
        {
            if !self.flags.quiet {
                cx.ui.message(&format!("Unable to find image '{image}' locally"));
            }
            self.fetch(client, cx).await?;
            answer = make(self.spec, name).await;
        }
        answer.map_err(|error| engine_refused(&error, self.verb))
    }

    /// Progress and result go to standard error: standard output is the container's.
    async fn fetch(&self, client: &Client, cx: &Context) -> Outcome {
        let (flags, verb) = (&self.flags, self.verb);
        let platform = Some(flags.platform.clone()).filter(|p| !p.is_empty());
        let mut outcomes =
            client.pull(&flags.image, platform, false).await.map_err(|error| engine_refused(&error, verb))?;
        let mut progress = cx.ui.progress(flags.quiet);
        while let Some(outcome) = outcomes.next().await {
            match outcome.map_err(|error| engine_refused(&error, verb))? {
                TransferOutcome::Progress(step) => progress.step(&step),
                TransferOutcome::Done(Transferred { reference, id, .. }) if !flags.quiet => {
                    drop(progress);
                    cx.ui.message(&format!("Digest: {id}\nStatus: Downloaded newer image for {reference}"));
                    return Ok(());
                }
                // The client has answered questions.
                TransferOutcome::Question(_) | TransferOutcome::Document(_) | TransferOutcome::Done(_) => {}
            }
        }
        Ok(())
    }
}

/// The full name of an image that is not here, or not for the platform, from the engine's words.
fn missing_image(error: &ClientError, typed: &str) -> Option<String> {
    let text = Some(error.to_string()).filter(|_| is_missing(error))?;
    match text.split_once("No such image: ") {
        Some((_, image)) => Some(image.to_owned()),
        None => (text.contains(OTHER_PLATFORM) && has_registry(typed)).then(|| familiar(typed)),
    }
}

fn written(cidfile: Option<CidFile>, id: &ContainerId, verb: &str) -> Outcome {
    cidfile.map_or(Ok(()), |file| file.write(id).map_err(|why| refused(why, verb)))
}

fn has_registry(image: &str) -> bool {
    Reference::parse(image).is_ok_and(|reference| reference.has_registry())
}

/// An error of this side before anything is made.
pub(crate) fn refused(
    message: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    verb: &str,
) -> CommandError {
    with_help(CommandError::new(Kind::Run(125), message), verb)
}

/// An error of the engine.
pub(crate) fn engine_refused(error: &ClientError, verb: &str) -> CommandError {
    let text = daemon_text(error);
    // Docker's `create` has the plain code of an error here.
    let code = if verb == "create" { 1 } else { exit_code(error.reason, &text) };
    with_help(CommandError::new(Kind::Run(code), text), verb)
}

fn with_help(error: CommandError, verb: &str) -> CommandError {
    error.hint(format!("Run '{PROGRAM} {verb} --help' for more information"))
}

/// The engine knows best; what came from the runtime in words is read as Docker's own client reads it.
fn exit_code(reason: Reason, text: &str) -> u8 {
    match reason {
        Reason::CommandNotFound => 127,
        Reason::CommandNotExecutable => 126,
        _ => refusal_code(text),
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

/// A file for the ID, made before the container and gone again when there is none.
#[derive(Debug)]
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
            // A file that cannot be removed is empty, which says as much.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policies() {
        assert!(pull_policy("x").unwrap_err().starts_with("invalid pull option: 'x'"));
    }

    #[test]
    fn exit_codes_by_words() {
        let cases = [
            ("exec: \"nope\": executable file not found in $PATH: unknown", 127),
            ("exec /x: no such file or directory", 127),
            ("exec: \"/etc/passwd\": permission denied", 126),
            ("exec: \"/etc\": is a directory", 126),
            ("Conflict. The container name is in use", 125),
        ];
        for (text, code) in cases {
            assert_eq!(exit_code(Reason::Internal, text), code, "{text}");
        }
        assert_eq!(exit_code(Reason::CommandNotFound, ""), 127);
        assert_eq!(exit_code(Reason::CommandNotExecutable, ""), 126);
    }

    #[test]
    fn an_id_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id");
        drop(CidFile::new(&path).unwrap());
        assert!(!path.exists(), "nothing was created, so nothing stays");
        let id = ContainerId::from_bytes([1; 32]);
        CidFile::new(&path).unwrap().write(&id).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), id.as_str());
        let error = CidFile::new(&path).err().unwrap();
        assert!(
            error.starts_with(
                "container ID file found, make sure the other container isn't running or delete "
            )
        );
    }
}
