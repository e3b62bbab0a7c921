//! `build`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::ui::Ui;
use crate::builder::{self, BuildError, Display, Inputs, Options, Plain, Quiet, Size, Tty};
use std::io::{self, Write};

/// Build an image from a Dockerfile
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Set build-time variables
    #[arg(long, value_name = "stringArray")]
    build_arg: Vec<String>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    file: Option<String>,
    /// Set metadata for an image
    #[arg(long, value_name = "stringArray")]
    label: Vec<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Set type of progress output ("auto", "plain", "tty")
    #[arg(
        long,
        value_name = "string",
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true
    )]
    progress: Mode,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    /// Name and optionally a tag (format: "name:tag")
    #[arg(short, long, value_name = "stringArray")]
    tag: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "string")]
    target: Option<String>,
    /// A directory, or - for a Dockerfile or an archive on STDIN
    #[arg(value_name = "PATH | -", required = true)]
    context: String,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "lower")]
enum Mode {
    Auto,
    Plain,
    Tty,
}

/// Builds; progress goes to standard error, the ID of a quiet build to standard output.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let (quiet, mode) = (args.quiet, args.progress);
    let mut display = display(mode, quiet, &cx.ui)?;
    let mut options = args.options(|name| std::env::var(name).ok());
    let mut proxies = crate::credentials::proxies();
    proxies.retain(|(name, _)| !options.build_args.iter().any(|(given, _)| given == name));
    options.build_args.append(&mut proxies);
    let stdin = Box::new(tokio::io::stdin());
    let inputs = Inputs::prepare(&options, stdin).await.map_err(failed)?;
    let channel = cx.client().await?.channel();
    match builder::build(channel, &options, inputs, display.as_mut()).await {
        Ok(id) if quiet => Ok(cx.ui.line(&id)?),
        Ok(_) => Ok(()),
        Err(error) => {
            if let Some(excerpt) = error.excerpt() {
                cx.ui.error_data(excerpt.as_bytes())?;
            }
            Err(failed(error))
        }
    }
}

fn failed(error: BuildError) -> CommandError {
    CommandError::failed(format!("ERROR: failed to build: {}", super::error::chain(&error)))
}

fn display<'a>(mode: Mode, quiet: bool, ui: &'a Ui) -> Result<Box<dyn Display + 'a>, CommandError> {
    let refused = |text: &str| Err(CommandError::failed(format!("ERROR: {text}")));
    let out = Messages(ui);
    match (mode, quiet, ui.terminals().stderr) {
        (Mode::Auto, true, _) => Ok(Box::new(Quiet::new(out))),
        (Mode::Plain, true, _) => refused("progress=plain and quiet cannot be used together"),
        (Mode::Tty, true, _) => refused("progress=tty and quiet cannot be used together"),
        (Mode::Tty, false, false) => refused("failed to get console: provided file is not a console"),
        (Mode::Tty | Mode::Auto, false, true) => Ok(Box::new(Tty::new(out, size))),
        (Mode::Plain, ..) | (Mode::Auto, false, false) => Ok(Box::new(Plain::new(out))),
    }
}

fn size() -> Size {
    let (rows, columns) = console::Term::stderr().size_checked().unwrap_or((24, 80));
    Size { rows: rows.into(), columns: columns.into() }
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

impl Args {
    /// A build argument without a value has that of the environment, and is left out if there is none.
    fn options(self, variable: impl Fn(&str) -> Option<String>) -> Options {
        let split =
            |text: &str| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let build_args = self
            .build_arg
            .iter()
            .filter_map(|text| split(text).or_else(|| Some((text.clone(), variable(text)?))));
        let labels =
            self.label.iter().map(|text| split(text).unwrap_or_else(|| (text.clone(), String::new())));
        Options {
            build_args: build_args.collect(),
            labels: labels.collect(),
            context: self.context,
            file: self.file.filter(|file| !file.is_empty()),
            tags: self.tag,
            target: self.target.filter(|target| !target.is_empty()),
            no_cache: self.no_cache,
            pull: self.pull,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::command::parse_as;
    use super::super::ui::Terminals;
    use super::*;

    #[test]
    fn flags() {
        let line = "-t a -t b:1 --build-arg A=1=2 --build-arg SET --build-arg UNSET --label l --label m=n \
                    --no-cache --pull --target t -f x/y dir";
        let options = parse_as::<Args>(line)
            .unwrap()
            .options(|name| (name == "SET").then(|| "from outside".to_owned()));
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let expected = Options {
            context: "dir".into(),
            file: Some("x/y".into()),
            tags: vec!["a".into(), "b:1".into()],
            build_args: vec![pair("A", "1=2"), pair("SET", "from outside")],
            labels: vec![pair("l", ""), pair("m", "n")],
            target: Some("t".into()),
            no_cache: true,
            pull: true,
        };
        assert_eq!(options, expected);
        assert!(parse_as::<Args>("").unwrap_err().to_string().contains("requires 1 argument"));
        assert!(
            parse_as::<Args>("--iidfile x .").unwrap_err().to_string().contains("unknown flag: --iidfile")
        );
        assert!(parse_as::<Args>("--progress x .").unwrap_err().to_string().contains("auto, plain, tty"));
    }

    #[test]
    fn which_display() {
        let ui = |stderr| {
            let terminals = Terminals { stderr, ..Terminals::default() };
            Ui::new(Box::new(io::sink()), Box::new(io::sink()), terminals)
        };
        let refused = |mode, quiet, stderr| display(mode, quiet, &ui(stderr)).err().map(|e| e.to_string());
        for (mode, quiet, stderr) in [
            (Mode::Auto, true, true),
            (Mode::Auto, false, false),
            (Mode::Plain, false, true),
            (Mode::Tty, false, true),
        ] {
            assert_eq!(refused(mode, quiet, stderr), None);
        }
        assert!(refused(Mode::Plain, true, false).unwrap().contains("cannot be used together"));
        assert!(refused(Mode::Tty, false, false).unwrap().contains("not a console"));
    }
}
