//! `build`

use super::context::Context;
use super::error::{CommandError, Outcome};
use super::ui::Ui;
use crate::build::{self, Display, Inputs, Options, Plain, Quiet, Size, Tty};
use std::collections::HashMap;
use std::io::{self, Write};

/// Build an image from a Dockerfile
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Set build-time variables
    #[arg(long = "build-arg", value_name = "stringArray")]
    build_arg: Vec<String>,
    /// Name of the Dockerfile (default: "PATH/Dockerfile")
    #[arg(short, long, value_name = "string")]
    file: Option<String>,
    /// Set metadata for an image
    #[arg(long, value_name = "stringArray")]
    label: Vec<String>,
    /// Do not use cache when building the image
    #[arg(long = "no-cache")]
    no_cache: bool,
    /// Set type of progress output ("auto", "plain", "tty")
    #[arg(long, value_name = "string", default_value = "auto")]
    progress: String,
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
    /// The build context: a directory, or - for a Dockerfile or a tar archive on STDIN
    #[arg(value_name = "PATH | -", required = true)]
    context: String,
}

/// Sends the files that BuildKit asks for, shows what it does, and says what came out.
pub(crate) async fn run(args: Args, cx: &Context) -> Outcome {
    let options = options(&args, |name| std::env::var(name).ok());
    let mut display = display(&args, &cx.ui)?;
    let inputs =
        Inputs::prepare(&options, Box::new(tokio::io::stdin())).await.map_err(CommandError::failed)?;
    let channel = cx.client().await?.channel();
    match build::build(channel, &options, inputs, display.as_mut()).await {
        Ok(digest) => {
            if args.quiet {
                cx.ui.line(&digest)?;
            }
            Ok(())
        }
        Err(error) => {
            if let Some(excerpt) = error.excerpt() {
                cx.ui.message(excerpt.trim_end());
            }
            Err(CommandError::failed(error))
        }
    }
}

fn options(args: &Args, environment: impl Fn(&str) -> Option<String>) -> Options {
    let pair = |text: &String| match text.split_once('=') {
        Some((name, value)) => Some((name.to_owned(), value.to_owned())),
        // Without a value: the caller's, and nothing where the caller has none.
        None => environment(text).map(|value| (text.clone(), value)),
    };
    let label = |text: &String| {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        (name.to_owned(), value.to_owned())
    };
    // The last value counts, as in Docker.
    let build_args: HashMap<String, String> = args.build_arg.iter().filter_map(pair).collect();
    Options {
        context: args.context.clone(),
        file: args.file.clone(),
        tags: args.tag.clone(),
        build_args: build_args.into_iter().collect(),
        labels: args.label.iter().map(label).collect(),
        target: args.target.clone(),
        no_cache: args.no_cache,
        pull: args.pull,
    }
}

fn display<'a>(args: &Args, ui: &'a Ui) -> Result<Box<dyn Display + 'a>, CommandError> {
    let size = || {
        let (rows, columns) = console::Term::stderr().size();
        Size { rows: rows.into(), columns: columns.into() }
    };
    let is_terminal = ui.terminals().stderr;
    match args.progress.as_str() {
        "auto" | "plain" | "tty" if args.quiet => Ok(Box::new(Quiet::new(Messages(ui)))),
        "tty" if !is_terminal => {
            Err(CommandError::failed("--progress=tty needs a terminal on standard error"))
        }
        "auto" if !is_terminal => Ok(Box::new(Plain::new(Messages(ui)))),
        "plain" => Ok(Box::new(Plain::new(Messages(ui)))),
        "auto" | "tty" => Ok(Box::new(Tty::new(Messages(ui), size))),
        other => Err(CommandError::flag(format!(
            "invalid progress {other:?}: must be one of \"auto\", \"plain\" or \"tty\""
        ))),
    }
}

/// Standard error, as something to write to.
struct Messages<'a>(&'a Ui);

impl Write for Messages<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.error_data(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_args_without_a_value_come_from_the_environment() {
        let args = Args {
            build_arg: ["A=1", "B", "C", "A=2"].map(str::to_owned).to_vec(),
            file: None,
            label: vec!["x".into(), "y=z=1".into()],
            no_cache: false,
            progress: "auto".into(),
            pull: false,
            quiet: false,
            tag: Vec::new(),
            target: None,
            context: ".".into(),
        };
        let mut options = options(&args, |name| (name == "B").then(|| "b".to_owned()));
        options.build_args.sort();
        assert_eq!(options.build_args, [("A", "2"), ("B", "b")].map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(options.labels, [("x", ""), ("y", "z=1")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
