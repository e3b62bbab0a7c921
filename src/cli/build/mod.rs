//! `build`

mod args;
mod call;
mod load;
mod outputs;
mod values;

pub(crate) use args::Args;

use super::builder::connected;
use super::context::Context;
use super::error::{CommandError, Outcome};
use super::ui::Ui;
use crate::builder::{
    self, BuildError, Built, Colours, Display, Inputs, Options, OutputKind, Plain, Quiet, Raw, Size, Targets,
    Tty,
};
use crate::config::env;
use clap::ValueEnum as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tonic::transport::Channel;

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
pub(crate) enum Mode {
    Auto,
    None,
    Plain,
    Quiet,
    RawJson,
    Tty,
}

/// Builds; progress goes to standard error, the ID of a quiet build and the answers of the frontend to standard output.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let mode = mode(args.progress, |name| std::env::var(name).ok())?;
    let quiet = args.quiet || mode == Mode::Quiet;
    let files = Files { id: args.iidfile.clone(), metadata: args.metadata_file.clone() };
    let call = args.call();
    let remote = args.place.remote(cx)?;
    let mut display = display(mode, quiet, &cx.ui, |name| std::env::var(name).ok())?;
    let options = args.options(
        |name| std::env::var(name).ok(),
        crate::credentials::proxies(),
        remote.is_some(),
        cx.ui.terminals().stdout,
    );
    let mut options = options.map_err(|why| CommandError::failed(format!("ERROR: {why}")))?;
    for words in options.find_caches().map_err(failed)? {
        cx.ui.warning(&words);
    }
    let stdin = Box::new(tokio::io::stdin());
    // An archive leaves no room for anything else there.
    let to_stdout = options.outputs.iter().any(outputs::is_stdout);
    let stdout = to_stdout.then(|| Box::new(tokio::io::stdout()) as Box<_>);
    let is_loaded = options.outputs.iter().any(|output| output.kind == OutputKind::Loaded);
    let (loader, arriving) = is_loaded.then(load::pipe).unzip();
    let targets = Targets { stdout, loader };
    let inputs = Inputs::prepare(&options, stdin, targets).await.map_err(failed)?;
    files.forget().await?;
    let channel = match &remote {
        Some(remote) => connected(remote).await?,
        None => own(&options, cx).await?,
    };
    let loading = match arriving {
        Some(from) => Some(load::start(cx.client().await?.clone(), from)),
        None => None,
    };
    let outcome = match &call {
        None => builder::build(channel, &options, inputs, display.as_mut()).await.map(Some),
        Some(call) => match builder::ask(channel, &options, &call.name, inputs, display.as_mut()).await {
            Ok(answer) => return call.show(&answer, &cx.ui),
            Err(error) => Err(error),
        },
    };
    match outcome {
        Ok(built) => {
            let Some(built) = built else { return Ok(()) };
            if let Some(loading) = loading {
                loading.finish(&cx.ui, quiet || matches!(mode, Mode::None | Mode::RawJson)).await?;
            }
            files.write(&built).await?;
            // Files have no ID.
            if quiet
                && !to_stdout
                && let Ok(id) = built.digest()
            {
                cx.ui.line(id)?;
            }
            Ok(())
        }
        Err(error) => {
            if let Some(loading) = loading.filter(|_| error.to_string().contains(builder::STORE))
                && let Some(refusal) = loading.refusal().await
            {
                return Err(refusal);
            }
            if let Some(excerpt) = error.excerpt() {
                cx.ui.error_data(excerpt.as_bytes())?;
            }
            Err(failed(error))
        }
    }
}

/// The connection to the daemon's own builder.
async fn own(options: &Options, cx: &Context) -> Result<Channel, CommandError> {
    let client = cx.client().await?;
    if options.cgroup_parent.is_some() && is_rootless(&client.info().await?) {
        let why =
            "ERROR: --cgroup-parent is not supported by a rootless daemon: BuildKit makes no cgroups there";
        return Err(CommandError::failed(why));
    }
    Ok(client.channel())
}

fn is_rootless(info: &serde_json::Value) -> bool {
    info["SecurityOptions"].as_array().is_some_and(|all| all.iter().any(|option| option == "name=rootless"))
}

/// Build from a file
#[derive(Debug, clap::Args)]
pub(crate) struct BakeArgs {
    #[arg(value_name = "TARGET", trailing_var_arg = true, allow_hyphen_values = true)]
    _targets: Vec<String>,
}

/// Refuses.
pub(crate) fn bake() -> Outcome {
    Err(CommandError::failed(
        "ERROR: bake is not supported yet: files of HCL, JSON or compose are for a later version; `k3c build` builds one \
         Dockerfile at a time",
    ))
}

/// The flag's mode, or that of the environment.
fn mode(flag: Option<Mode>, variable: impl Fn(&str) -> Option<String>) -> Result<Mode, CommandError> {
    let from_outside = || variable(env::BUILDKIT_PROGRESS).filter(|text| !text.is_empty());
    match (flag, from_outside()) {
        (Some(mode), _) => Ok(mode),
        (None, None) => Ok(Mode::Auto),
        (None, Some(text)) => Mode::from_str(&text, false).map_err(|_| {
            CommandError::failed(format!("ERROR: invalid progress {text:?} in {}", env::BUILDKIT_PROGRESS))
        }),
    }
}

/// Files that tell of a build.
struct Files {
    id: Option<PathBuf>,
    metadata: Option<PathBuf>,
}

impl Files {
    /// Removes the one with the ID: one of an earlier build would be wrong if this one fails.
    async fn forget(&self) -> Outcome {
        match &self.id {
            Some(path) => match tokio::fs::remove_file(path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(unwritten(path, &error)),
                _ => Ok(()),
            },
            None => Ok(()),
        }
    }

    async fn write(&self, built: &Built) -> Outcome {
        if let Some(path) = &self.id {
            let id = built.digest().map_err(failed)?;
            tokio::fs::write(path, id).await.map_err(|error| unwritten(path, &error))?;
        }
        if let Some(path) = &self.metadata {
            let text = format!("{:#}", built.metadata());
            tokio::fs::write(path, text).await.map_err(|error| unwritten(path, &error))?;
        }
        Ok(())
    }
}

fn unwritten(path: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("ERROR: cannot write {}: {error}", path.display()))
}

fn failed(error: BuildError) -> CommandError {
    CommandError::failed(format!("ERROR: failed to build: {}", super::error::chain(&error)))
}

/// The display of a mode.
pub(super) fn display<'a>(
    mode: Mode,
    quiet: bool,
    ui: &'a Ui,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Box<dyn Display + 'a>, CommandError> {
    let refused = |text: &str| Err(CommandError::failed(format!("ERROR: {text}")));
    let out = Messages(ui);
    if quiet {
        return match mode {
            Mode::Auto | Mode::None | Mode::Quiet => Ok(Box::new(Quiet::new(out))),
            Mode::Plain | Mode::RawJson | Mode::Tty => {
                refused(&format!("progress={} and quiet cannot be used together", mode.name()))
            }
        };
    }
    let is_dumb = variable(env::TERM).is_some_and(|kind| kind == "dumb");
    match (mode, ui.terminals().stderr) {
        (Mode::Tty, false) => refused("failed to get console: provided file is not a console"),
        (Mode::Auto, true) if is_dumb => Ok(Box::new(Plain::new(out))),
        (Mode::Tty | Mode::Auto, true) => {
            let limit = |name| variable(name).and_then(|text| text.parse().ok());
            let limits = (limit(env::LINES), limit(env::COLUMNS));
            let size = move || size(console::Term::stderr().size_checked(), limits);
            let colours = colours(&variable, |why| ui.warning(why));
            Ok(Box::new(Tty::new(out, size, colours)))
        }
        (Mode::Plain, _) | (Mode::Auto, false) => Ok(Box::new(Plain::new(out))),
        (Mode::RawJson, _) => Ok(Box::new(Raw::new(out))),
        (Mode::None | Mode::Quiet, _) => Ok(Box::new(Quiet::new(out))),
    }
}

impl Mode {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// The size that a terminal says it has, or what the environment says if that is less or all there is.
fn size(terminal: Option<(u16, u16)>, limits: (Option<usize>, Option<usize>)) -> Size {
    let of = |own: Option<u16>, limit: Option<usize>, usual| {
        let own = own.filter(|own| *own > 0).map(usize::from);
        let limit = limit.filter(|limit| *limit > 0);
        own.into_iter().chain(limit).min().unwrap_or(usual)
    };
    Size {
        rows: of(terminal.map(|(rows, _)| rows), limits.0, 24),
        columns: of(terminal.map(|(_, columns)| columns), limits.1, 80),
    }
}

fn colours(variable: impl Fn(&str) -> Option<String>, warn: impl Fn(&str)) -> Option<Colours> {
    if variable(env::NO_COLOR).is_some_and(|text| !text.is_empty()) {
        return None;
    }
    let (colours, wrong) = Colours::new(&variable(env::BUILDKIT_COLORS).unwrap_or_default());
    wrong.iter().for_each(|why| warn(&format!("{}: {why}", env::BUILDKIT_COLORS)));
    Some(colours)
}

/// Standard error as a stream.
struct Messages<'a>(&'a Ui);

impl Write for Messages<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.error_data(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::ui::Terminals;
    use super::*;

    #[test]
    fn which_display() {
        let ui = |stderr| {
            let terminals = Terminals { stderr, ..Terminals::default() };
            Ui::new(Box::new(io::sink()), Box::new(io::sink()), terminals)
        };
        let refused =
            |mode, quiet, stderr| display(mode, quiet, &ui(stderr), |_| None).err().map(|e| e.to_string());
        for (mode, quiet, stderr) in [
            (Mode::Auto, true, true),
            (Mode::Auto, false, false),
            (Mode::Plain, false, true),
            (Mode::Tty, false, true),
            (Mode::RawJson, false, false),
            (Mode::None, true, false),
        ] {
            assert_eq!(refused(mode, quiet, stderr), None);
        }
        assert!(refused(Mode::Plain, true, false).unwrap().contains("cannot be used together"));
        assert!(refused(Mode::RawJson, true, false).unwrap().contains("progress=rawjson and quiet"));
        assert!(refused(Mode::Tty, false, false).unwrap().contains("not a console"));
    }

    #[test]
    fn the_size_of_the_picture() {
        for (terminal, limits, expected) in [
            (Some((24, 80)), (None, None), (24, 80)),
            (Some((24, 80)), (Some(50), Some(60)), (24, 60)),
            (Some((24, 80)), (None, Some(0)), (24, 80)),
            (Some((0, 0)), (Some(50), Some(132)), (50, 132)),
            (None, (None, None), (24, 80)),
        ] {
            let size = size(terminal, limits);
            assert_eq!((size.rows, size.columns), expected, "{terminal:?} {limits:?}");
        }
    }

    #[test]
    fn colours_are_off_when_asked() {
        let with = |name: &'static str, value: &'static str| {
            let said = std::cell::RefCell::new(Vec::new());
            let variable = |asked: &str| (asked == name).then(|| value.to_owned());
            let colours = colours(variable, |why| said.borrow_mut().push(why.to_owned()));
            (colours.is_some(), said.into_inner())
        };
        assert_eq!(with(env::NO_COLOR, "1"), (false, vec![]));
        assert_eq!(with(env::NO_COLOR, ""), (true, vec![]));
        let (on, said) = with(env::BUILDKIT_COLORS, "run=pink");
        assert!(on && said[0].starts_with("BUILDKIT_COLORS: \"pink\" is neither"), "{said:?}");
    }

    #[test]
    fn the_environment_says_how_unless_a_flag_does() {
        let of = |flag, text: &str| mode(flag, |_| Some(text.to_owned())).map_err(|e| e.to_string());
        assert_eq!(of(None, "rawjson"), Ok(Mode::RawJson));
        assert_eq!(of(None, ""), Ok(Mode::Auto));
        assert_eq!(of(Some(Mode::Plain), "tty"), Ok(Mode::Plain));
        assert!(of(None, "x").unwrap_err().contains("invalid progress \"x\" in BUILDKIT_PROGRESS"));
    }
}
