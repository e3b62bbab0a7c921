//! Errors that a command ends with: text for people, an exit code for scripts.

pub(crate) use crate::model::reason::chain;
use std::error::Error;
use std::fmt;
use std::io;

/// Decides the exit code and how much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A command that was tried and failed: 1.
    Failed,
    /// A flag is wrong: 125.
    Flag,
    /// The number of arguments, or the command, is wrong: 1.
    Arguments,
    /// `run` could not run: 125, 126 or 127; the program's name goes in front.
    Run(u8),
    /// A command that failed, with an exit code of its own.
    Code(u8),
    /// A `--format` that is no template: 64.
    Template,
    /// The code of something else, already explained or in no need of it; prints nothing.
    Exit(u8),
    /// The output is read by nobody any more: that is success.
    BrokenPipe,
}

/// The one error type of every verb.
#[derive(Debug)]
pub(crate) struct CommandError {
    /// Exit code and form.
    pub(crate) kind: Kind,
    /// The error; its chain is printed once, outermost first.
    pub(crate) source: Box<dyn Error + Send + Sync>,
    /// Next steps, each printed below an empty line.
    pub(crate) hints: Vec<String>,
}

/// The result of a verb.
pub(crate) type Outcome = Result<(), CommandError>;

impl CommandError {
    /// Something of a given kind.
    pub(crate) fn new(kind: Kind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { kind, source: source.into(), hints: Vec::new() }
    }

    /// The error of a command that was tried and failed.
    pub(crate) fn failed(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Failed, source)
    }

    /// The values of flags do not go together, or one is malformed.
    pub(crate) fn flag(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Flag, source)
    }

    /// Ends with a code and no words.
    pub(crate) fn exit(code: u8) -> Self {
        Self::new(Kind::Exit(code), format!("exit code {code}"))
    }

    /// Adds a next step.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self.kind {
            Kind::Failed | Kind::Arguments => 1,
            Kind::Flag => 125,
            Kind::Run(code) | Kind::Exit(code) | Kind::Code(code) => code,
            Kind::Template => 64,
            Kind::BrokenPipe => 0,
        }
    }

    /// The text for standard error; `None` when there is nothing to say.
    pub(crate) fn render(&self, program: &str) -> Option<String> {
        let prefix = match self.kind {
            Kind::Exit(_) | Kind::BrokenPipe => return None,
            Kind::Run(_) | Kind::Arguments => format!("{program}: "),
            Kind::Failed | Kind::Flag | Kind::Template | Kind::Code(_) => String::new(),
        };
        let mut text = format!("{prefix}{}", chain(self.source.as_ref()));
        for hint in &self.hints {
            text.push_str("\n\n");
            text.push_str(hint);
        }
        Some(text)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self.source.as_ref()))
    }
}

/// An IO error of our own output; others are wrapped with their path before they come here.
impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::BrokenPipe { Kind::BrokenPipe } else { Kind::Failed };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open x")]
    struct Outer(#[source] io::Error);

    #[test]
    fn codes_and_texts() {
        let cases = [
            (CommandError::failed("no such thing"), 1, Some("no such thing")),
            (CommandError::flag("unknown flag: --x"), 125, Some("unknown flag: --x")),
            (CommandError::new(Kind::Run(127), "not found").hint("Run"), 127, Some("k3c: not found\n\nRun")),
            (CommandError::new(Kind::Template, "bad"), 64, Some("bad")),
            (CommandError::exit(3), 3, None),
            (CommandError::from(io::Error::from(io::ErrorKind::BrokenPipe)), 0, None),
        ];
        for (error, code, text) in cases {
            assert_eq!(error.code(), code);
            assert_eq!(error.render("k3c").as_deref(), text);
        }
    }

    #[test]
    fn a_cause_is_said_once() {
        let error = CommandError::failed(Outer(io::Error::other("no disk")));
        assert_eq!(error.render("k3c").unwrap(), "cannot open x: no disk");
    }
}
