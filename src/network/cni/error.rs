//! What goes wrong, as CNI tells of it: a number with a meaning, and words.

use serde_json::{Value, json};

/// Numbers of the specification ("Error"); from 100 on they are the plugin's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    IncompatibleVersion = 1,
    UnsupportedField = 2,
    UnknownContainer = 3,
    Environment = 4,
    Io = 5,
    Decode = 6,
    InvalidConfig = 7,
    NotAvailable = 50,
    /// No address is free.
    Exhausted = 100,
    /// The attachment is not as it was made.
    Differs = 101,
    /// The kernel refused.
    Kernel = 102,
}

/// An answer that is not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) words: String,
}

impl Refusal {
    pub(super) fn new(code: Code, words: impl Into<String>) -> Self {
        Self { code, words: words.into() }
    }

    /// The kernel's refusal of what `doing` says.
    pub(super) fn kernel(doing: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::new(Code::Kernel, format!("cannot {doing}: {error}"))
    }

    /// A file that `doing` was about.
    pub(super) fn io(doing: impl std::fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::new(Code::Io, format!("cannot {doing}: {error}"))
    }

    /// CNI's error object.
    pub(super) fn document(&self, version: &str) -> Value {
        json!({
            "cniVersion": version,
            "code": self.code as u32,
            "msg": format!("{}: {}", super::NAME, self.words),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents() {
        let document = Refusal::new(Code::Environment, "no CNI_IFNAME").document("1.1.0");
        assert_eq!(document, json!({ "cniVersion": "1.1.0", "code": 4, "msg": "k3c-cni: no CNI_IFNAME" }));
        let kernel = Refusal::kernel("make a bridge")(std::io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(kernel.code, Code::Kernel);
        assert!(kernel.words.starts_with("cannot make a bridge: "), "{kernel}");
    }
}
