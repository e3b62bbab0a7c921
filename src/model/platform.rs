//! Platforms, as images have them: `linux/arm64`, `linux/arm/v7`.

use std::fmt;

/// A platform in the words of the OCI image specification.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// `linux`
    pub os: String,
    /// In Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// `v7`; mostly empty.
    pub variant: String,
}

/// A text that names no platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("invalid platform {0:?}: it must be os[/architecture[/variant]], such as linux/arm64")]
pub struct InvalidPlatform(String);

/// Operating systems that images are made for.
const SYSTEMS: [&str; 5] = ["linux", "windows", "darwin", "freebsd", "wasip1"];

impl Platform {
    /// Linux on this architecture, in Go's words.
    pub fn linux(architecture: &str) -> Self {
        Self { os: "linux".to_owned(), architecture: architecture.to_owned(), variant: String::new() }
    }

    /// Reads what a person typed; `own` stands for what is not said. An architecture alone is allowed, too.
    ///
    /// # Errors
    /// A text that is not of the form.
    pub fn parse(text: &str, own: &Self) -> Result<Self, InvalidPlatform> {
        let invalid = || InvalidPlatform(text.to_owned());
        let lower = text.to_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'))
        };
        if !parts.iter().all(word) {
            return Err(invalid());
        }
        let (os, rest) = match parts.as_slice() {
            [first, rest @ ..] if SYSTEMS.contains(first) || parts.len() > 1 => (*first, rest),
            rest => (own.os.as_str(), rest),
        };
        if !SYSTEMS.contains(&os) {
            return Err(invalid());
        }
        let (architecture, variant) = match rest {
            [] => (own.architecture.as_str(), own.variant.as_str()),
            [architecture] => (*architecture, ""),
            [architecture, variant] => (*architecture, *variant),
            _ => return Err(invalid()),
        };
        Ok(Self { os: os.to_owned(), architecture: architecture.to_owned(), variant: variant.to_owned() }
            .normal())
    }

    /// The one name of a platform that has several.
    pub fn normal(mut self) -> Self {
        let (architecture, variant) = match (self.architecture.as_str(), self.variant.as_str()) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64" | "arm64", "8" | "v8") | ("aarch64", "") => ("arm64", ""),
            ("i386" | "i486" | "i586" | "i686", variant) => ("386", variant),
            ("armhf", _) | ("arm", "" | "7") => ("arm", "v7"),
            ("armel", _) | ("arm", "6") => ("arm", "v6"),
            same => same,
        };
        (self.architecture, self.variant) = (architecture.to_owned(), variant.to_owned());
        self
    }

    /// True when an image for `other` is what somebody means who asks for this one: a variant that is not asked for may
    /// be any.
    pub fn takes(&self, other: &Self) -> bool {
        let (asked, other) = (self.clone().normal(), other.clone().normal());
        asked.os == other.os
            && asked.architecture == other.architecture
            && (asked.variant.is_empty() || asked.variant == other.variant)
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match self.variant.as_str() {
            "" => Ok(()),
            variant => write!(f, "/{variant}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_type() {
        let own = Platform::linux("amd64");
        for (text, platform) in [
            ("linux", "linux/amd64"),
            ("linux/arm64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("Linux/AARCH64", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("windows/amd64", "windows/amd64"),
            ("x86_64", "linux/amd64"),
            ("", ""),
            ("linux/", ""),
            ("linux/a b", ""),
            ("plan/9", ""),
            ("linux/arm/v7/x", ""),
        ] {
            let read = Platform::parse(text, &own).map(|p| p.to_string()).unwrap_or_default();
            assert_eq!(read, platform, "{text}");
        }
        let error = Platform::parse("linux/", &own).unwrap_err().to_string();
        assert!(error.starts_with("invalid platform \"linux/\": it must be os"), "{error}");
    }

    #[test]
    fn what_is_taken() {
        let of = |text: &str| Platform::parse(text, &Platform::linux("amd64")).unwrap();
        assert!(of("linux/amd64").takes(&of("linux/amd64/v2")));
        assert!(!of("linux/arm/v7").takes(&of("linux/arm/v6")));
        assert!(!of("linux/arm64").takes(&of("linux/amd64")));
    }
}
