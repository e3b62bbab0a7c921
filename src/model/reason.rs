//! Reasons of refusals and failures: stable words that programs may rely on.

use std::fmt;

/// The kind of an error, the same for the engine, the API and its users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no such container, image, volume.
    NotFound,
    /// The name is taken.
    AlreadyExists,
    /// The thing is not in a state for that.
    Conflict,
    /// The request makes no sense.
    InvalidArgument,
    /// The container does not run.
    NotRunning,
    /// Something still uses it.
    InUse,
    /// A part is away and may come back.
    Unavailable,
    /// The caller has gone, or the daemon stops.
    Cancelled,
    /// The call took too long.
    Timeout,
    /// A registry wants other credentials.
    Unauthorized,
    /// The user may not do that.
    PermissionDenied,
    /// The thing is not built yet, or not possible on this host.
    Unsupported,
    /// The container's command does not exist: exit code 127.
    CommandNotFound,
    /// The container's command is no program: exit code 126.
    CommandNotExecutable,
    /// Everything else.
    Internal,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 15] = [
        Self::NotFound,
        Self::AlreadyExists,
        Self::Conflict,
        Self::InvalidArgument,
        Self::NotRunning,
        Self::InUse,
        Self::Unavailable,
        Self::Cancelled,
        Self::Timeout,
        Self::Unauthorized,
        Self::PermissionDenied,
        Self::Unsupported,
        Self::CommandNotFound,
        Self::CommandNotExecutable,
        Self::Internal,
    ];

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::Conflict => "conflict",
            Self::InvalidArgument => "invalid-argument",
            Self::NotRunning => "not-running",
            Self::InUse => "in-use",
            Self::Unavailable => "unavailable",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Unauthorized => "unauthorized",
            Self::PermissionDenied => "permission-denied",
            Self::Unsupported => "unsupported",
            Self::CommandNotFound => "command-not-found",
            Self::CommandNotExecutable => "command-not-executable",
            Self::Internal => "internal",
        }
    }

    /// The reason for a word; `None` for one that a newer daemon may know.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error and its causes, outermost first.
pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        next = cause.source();
    }
    // The number says nothing that the words before it do not.
    while let Some(start) = text.find(" (os error ") {
        let Some(length) = text[start..].find(')') else { break };
        text.replace_range(start..=start + length, "");
    }
    text
}

/// A file's error in the words that go behind a colon, as Docker's: `no such file or directory`.
pub fn cause(error: &std::io::Error) -> String {
    let text = chain(error);
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn causes_are_in_lower_case() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(super::cause(&error), "no such file or directory");
    }

    use super::*;

    #[test]
    fn a_chain_is_words() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(chain(&error), "No such file or directory");
        assert_eq!(chain(&std::io::Error::other(error)), "No such file or directory");
    }

    #[test]
    fn words_come_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(Reason::parse("nonsense"), None);
    }
}
