//! What steps may see of the user's own: secrets, and agents with keys. BuildKit asks the session for them while it
//! builds; neither is part of what was built.

use super::BuildError;
use std::fmt;
use std::path::PathBuf;

/// Bytes that a secret may have; BuildKit's own clients have the same limit.
pub(super) const LARGEST: u64 = 500 << 10;

/// A secret, by the name that a `RUN --mount=type=secret` has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Name.
    pub id: String,
    /// The place of it.
    pub source: Source,
}

/// The place of a secret.
#[derive(Clone, PartialEq, Eq)]
pub enum Source {
    /// A file; read when it is asked for.
    File(PathBuf),
    /// The secret itself.
    Value(Vec<u8>),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Value(_) => f.write_str("Value(..)"),
        }
    }
}

/// An SSH agent, by the name that a `RUN --mount=type=ssh` has for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Name.
    pub id: String,
    /// The agent's socket, or files with keys.
    pub paths: Vec<PathBuf>,
}

/// An agent by its name and its socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) id: String,
    pub(super) socket: PathBuf,
}

/// Refuses secrets that are not there.
pub(super) fn check_secrets(secrets: &[Secret]) -> Result<(), BuildError> {
    for secret in secrets {
        let Source::File(path) = &secret.source else { continue };
        let failed = |why: String| BuildError::Secret { id: secret.id.clone(), why };
        match std::fs::metadata(path) {
            Err(error) => return Err(failed(format!("{}: {error}", path.display()))),
            Ok(data) if !data.is_file() => return Err(failed(format!("{} is no file", path.display()))),
            Ok(data) if data.len() > LARGEST => {
                return Err(failed(format!("{} is larger than {LARGEST} bytes", path.display())));
            }
            Ok(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_refused_before_anything_is_built() {
        let dir = tempfile::tempdir().unwrap();
        let large = dir.path().join("large");
        std::fs::File::create(&large).unwrap().set_len(LARGEST + 1).unwrap();
        let secret = |path: PathBuf| {
            let secret = Secret { id: "s".to_owned(), source: Source::File(path) };
            check_secrets(&[secret]).unwrap_err().to_string()
        };
        assert!(secret(dir.path().join("none")).starts_with("secret s: "));
        assert!(secret(dir.path().to_owned()).ends_with(" is no file"));
        assert!(secret(large).ends_with(" is larger than 512000 bytes"));
    }

    #[test]
    fn a_value_is_not_shown() {
        let shown = format!("{:?}", Secret { id: "s".to_owned(), source: Source::Value(b"geheim".to_vec()) });
        assert_eq!(shown, "Secret { id: \"s\", source: Value(..) }");
    }
}
