//! Namespaces that a container has of its own, or shares.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Owner of a namespace that a container is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// The usual owner for this kind of namespace.
    #[default]
    Default,
    /// A namespace of its own.
    Private,
    /// A namespace of its own, which others may join.
    Shareable,
    /// A namespace of its own, without /dev/shm.
    None,
    /// The host's.
    Host,
    /// Another container's: its name or ID.
    Container(String),
}

impl Sharing {
    /// One of Docker's words, if it is among `allowed` (`container` stands for `container:<name|id>`); empty is the default.
    pub fn parse(text: &str, allowed: &[&str]) -> Option<Self> {
        let (word, who) = text.split_once(':').map_or((text, None), |(word, who)| (word, Some(who)));
        if !word.is_empty() && !allowed.contains(&word) {
            return None;
        }
        match (word, who) {
            ("", None) => Some(Self::Default),
            ("private", None) => Some(Self::Private),
            ("shareable", None) => Some(Self::Shareable),
            ("none", None) => Some(Self::None),
            ("host", None) => Some(Self::Host),
            ("container", Some(who)) if !who.is_empty() => Some(Self::Container(who.to_owned())),
            _ => None,
        }
    }
}

impl fmt::Display for Sharing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => Ok(()),
            Self::Private => f.write_str("private"),
            Self::Shareable => f.write_str("shareable"),
            Self::None => f.write_str("none"),
            Self::Host => f.write_str("host"),
            Self::Container(who) => write!(f, "container:{who}"),
        }
    }
}
