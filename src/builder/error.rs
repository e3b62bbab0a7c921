//! Failures of a build.

use crate::model::reference::InvalidReference;
use std::io;
use std::path::PathBuf;

/// An error of a build.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The context is not there.
    #[error("unable to prepare context: path {0:?} not found")]
    Context(String),
    /// The context is no directory.
    #[error("unable to prepare context: path {0:?} is not a directory")]
    NotADirectory(String),
    /// A further context that is none.
    #[error("failed to get build context {name}: {}", unprepared(why))]
    Named {
        /// The name of the context.
        name: String,
        /// Why; part of the text, as Docker has it.
        why: Box<BuildError>,
    },
    /// A Dockerfile that would have to be fetched.
    #[error("a Dockerfile is not fetched from the web: `curl -fsSL {0} | k3c build -f - ...` does it")]
    DockerfileAddress(String),
    /// A further context that is none.
    #[error("failed to get build context {context}: {why}")]
    Layout {
        /// The context, as given.
        context: String,
        /// Why.
        why: String,
    },
    /// A cache without its folder: the flag, and what it lacks.
    #[error("{1} is required for --{0} type=local")]
    Folder(&'static str, &'static str),
    /// Two images that are to be folders.
    #[error("only one output can have tar=false")]
    TwoLayouts,
    /// A builder that cannot be used.
    #[error("cannot use the builder {address}: {why}")]
    Builder {
        /// Its address.
        address: String,
        /// Why.
        why: String,
    },
    /// A push of what has no name.
    #[error("tag is needed when pushing to registry")]
    Unnamed,
    /// A secret that is none.
    #[error("secret {id}: {why}")]
    Secret {
        /// The name of the secret.
        id: String,
        /// Why.
        why: String,
    },
    /// An agent that is none.
    #[error("ssh {id}: {why}")]
    Agent {
        /// The name of the agent.
        id: String,
        /// Why.
        why: String,
    },
    /// A frontend of the user's without a name.
    #[error(
        "empty BUILDKIT_SYNTAX build-arg is invalid, use --build-arg BUILDKIT_SYNTAX without '=' for optional behavior"
    )]
    EmptySyntax,
    /// The Dockerfile is not there.
    #[error("failed to solve: failed to read dockerfile: open {0}: no such file or directory")]
    Dockerfile(String),
    /// Standard input can only be one thing.
    #[error("invalid argument: can't use stdin for both build context and dockerfile")]
    TwiceStdin,
    /// A Dockerfile comes on standard input and another by `-f`.
    #[error("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles")]
    TwiceDockerfile,
    /// Nothing came on standard input.
    #[error("failed to read the context from stdin: it is empty")]
    EmptyStdin,
    /// Standard input broke.
    #[error("failed to read from stdin")]
    Stdin(#[source] io::Error),
    /// A file of the context that cannot be used.
    #[error("unable to prepare context: {path}")]
    Prepare {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no place for a Dockerfile from standard input.
    #[error("cannot make a temporary directory")]
    Temporary(#[source] io::Error),
    /// A name that is none.
    #[error("invalid tag {tag:?}: {source}")]
    Tag {
        /// The name as it was given.
        tag: String,
        /// Why; part of the text, as Docker has it.
        source: InvalidReference,
    },
    /// A name that has a digest already.
    #[error("invalid tag {0:?}: what is built gets a digest of its own")]
    Digest(String),
    /// The session broke.
    #[error("the session with BuildKit failed: {0}")]
    Session(String),
    /// BuildKit says so.
    #[error("failed to solve: {message}")]
    Solve {
        /// Why, in BuildKit's words.
        message: String,
        /// The lines of the Dockerfile that it is about.
        excerpt: Option<String>,
    },
    /// BuildKit cannot say or do something with its cache.
    #[error("the build cache: {0}")]
    Cache(String),
    /// BuildKit cannot say or do something with the builds of the past.
    #[error("the history of builds: {0}")]
    History(String),
    /// BuildKit built something and does not say what.
    #[error("BuildKit did not answer with the image's digest")]
    NoDigest,
}

/// The words about a context without those that say which.
fn unprepared(error: &BuildError) -> String {
    let text = error.to_string();
    text.strip_prefix("unable to prepare context: ").map_or(text.clone(), str::to_owned)
}

impl BuildError {
    pub(super) fn refused(status: tonic::Status) -> Self {
        Self::Cache(status.message().to_owned())
    }

    pub(super) fn history(status: tonic::Status) -> Self {
        Self::History(status.message().to_owned())
    }

    /// The lines of the Dockerfile that it is about, ready to be shown.
    pub fn excerpt(&self) -> Option<&str> {
        match self {
            Self::Solve { excerpt, .. } => excerpt.as_deref(),
            _ => None,
        }
    }
}
