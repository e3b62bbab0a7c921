//! A tar archive on its way.

use std::fmt;

/// A part of an archive, with its bytes as `B`.
#[derive(Clone, PartialEq, Eq)]
pub enum Part<B> {
    /// The next bytes.
    Data(B),
    /// Something that the archive is without, in words.
    LeftOut(String),
}

impl<B> fmt::Debug for Part<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Data(_) => f.write_str("Data"),
            Self::LeftOut(text) => f.debug_tuple("LeftOut").field(text).finish(),
        }
    }
}
