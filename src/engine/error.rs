//! Refusals of the engine, and failures below it, in Docker's words.

use crate::model::name::InvalidName;
use crate::model::platform::InvalidPlatform;
use crate::model::reason::Reason;
use crate::model::reference::InvalidReference;
use crate::model::signal::InvalidSignal;
use crate::store::StoreError;
use crate::sys::disk;
use std::fmt;
use std::path::PathBuf;
use tonic::{Code, Status};

/// An error with a stable reason; its text is what Docker's daemon would say.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Unknown ID and name.
    #[error("No such container: {0}")]
    NoSuchContainer(String),
    /// Unknown ID and reference.
    #[error("No such image: {0}")]
    NoSuchImage(String),
    /// Unknown name.
    #[error("get {0}: no such volume")]
    NoSuchVolume(String),
    /// Unknown name and ID.
    #[error("network {0} not found")]
    NoSuchNetwork(String),
    /// Prefix of more than one ID.
    #[error("multiple IDs found with provided prefix: {0}")]
    AmbiguousPrefix(String),
    /// The name is another container's.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameTaken {
        /// The wanted name.
        name: String,
        /// ID of the container that has it.
        id: String,
    },
    /// The container or exec could not be started.
    #[error("{text}")]
    Start {
        /// Exit code, as a shell's: 126, 127 or 128.
        code: i32,
        /// Explanation, in the runtime's words.
        text: String,
    },
    /// A refusal in words.
    #[error("{text}")]
    Refused {
        /// Stable.
        reason: Reason,
        /// Explanation, in Docker's words.
        text: String,
    },
    /// A call to containerd or its CRI failed.
    #[error("{what}: {}", status.message())]
    Containerd {
        /// The step that failed.
        what: &'static str,
        /// containerd's answer.
        #[source]
        status: Box<Status>,
    },
    /// The records cannot be read or written.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// A call on a file failed.
    #[error("{what} {}: {}", path.display(), disk::words(source))]
    File {
        /// The step that failed.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The call's error.
        #[source]
        source: std::io::Error,
    },
    /// Something is not as it must be: containerd's content or answer, or a task of ours that died.
    #[error("{0}")]
    Broken(String),
}

impl EngineError {
    /// Reason, in one stable word.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NoSuchContainer(_)
            | Self::NoSuchImage(_)
            | Self::NoSuchVolume(_)
            | Self::NoSuchNetwork(_) => Reason::NotFound,
            Self::AmbiguousPrefix(_) => Reason::InvalidArgument,
            Self::NameTaken { .. } => Reason::AlreadyExists,
            Self::Start { code: 126, .. } => Reason::CommandNotExecutable,
            Self::Start { code: 127, .. } => Reason::CommandNotFound,
            Self::Refused { reason, .. } => *reason,
            Self::Containerd { status, .. } => match status.code() {
                Code::Unavailable => Reason::Unavailable,
                Code::DeadlineExceeded => Reason::Timeout,
                Code::Cancelled => Reason::Cancelled,
                Code::NotFound => Reason::NotFound,
                Code::InvalidArgument => Reason::InvalidArgument,
                Code::Unauthenticated => Reason::Unauthorized,
                Code::PermissionDenied => Reason::PermissionDenied,
                _ => Reason::Internal,
            },
            Self::Start { .. } | Self::Store(_) | Self::File { .. } | Self::Broken(_) => Reason::Internal,
        }
    }

    pub(super) fn refused(reason: Reason, text: impl Into<String>) -> Self {
        Self::Refused { reason, text: text.into() }
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::refused(Reason::InvalidArgument, text)
    }

    /// An image that is here, and not for a platform that was asked for.
    pub(super) fn other_platform(image: &str, platform: impl fmt::Display) -> Self {
        Self::refused(
            Reason::NotFound,
            format!(
                "image with reference {image} was found but does not provide the specified platform ({platform})"
            ),
        )
    }

    pub(super) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    pub(super) fn call(what: &'static str) -> impl FnOnce(Status) -> Self {
        move |status| Self::Containerd { what, status: Box::new(status) }
    }

    /// True when containerd's status says this sentence, one of `containerd::words`.
    pub(super) fn says(&self, sentence: fn(&Status) -> bool) -> bool {
        matches!(self, Self::Containerd { status, .. } if sentence(status))
    }

    /// True when the call failed because the thing is not there.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Containerd { status, .. } if status.code() == Code::NotFound)
    }
}

impl From<InvalidName> for EngineError {
    fn from(error: InvalidName) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<InvalidReference> for EngineError {
    fn from(error: InvalidReference) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<InvalidPlatform> for EngineError {
    fn from(error: InvalidPlatform) -> Self {
        Self::invalid(error.to_string())
    }
}

impl From<InvalidSignal> for EngineError {
    fn from(error: InvalidSignal) -> Self {
        Self::invalid(error.to_string())
    }
}
