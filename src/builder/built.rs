//! What became of a build, in the exporters' words.

use super::BuildError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Name of the image's digest in an exporter's answer.
pub(super) const DIGEST: &str = "containerimage.digest";

/// A build that is done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Built {
    pub(super) response: HashMap<String, String>,
}

impl Built {
    /// The image's digest: that of its manifest, or of its index.
    ///
    /// # Errors
    /// BuildKit does not say.
    pub fn digest(&self) -> Result<&str, BuildError> {
        self.response.get(DIGEST).map(String::as_str).ok_or(BuildError::NoDigest)
    }

    /// All that was said, by name. Descriptors and the like are JSON in base64 there, and plain JSON here.
    pub fn metadata(&self) -> Value {
        let mut names: Vec<&String> = self.response.keys().collect();
        names.sort();
        let all = names.into_iter().map(|name| (name.clone(), value(&self.response[name])));
        Value::Object(all.collect::<Map<_, _>>())
    }
}

fn value(text: &str) -> Value {
    let decoded = STANDARD.decode(text).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    match decoded {
        Some(json) if json.is_object() || json.is_array() => json,
        _ => Value::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_readable() {
        let response = [
            ("containerimage.digest", "sha256:ab".to_owned()),
            ("containerimage.descriptor", STANDARD.encode(r#"{"size":1}"#)),
            ("image.name", "abcd".to_owned()),
        ];
        let response = response.map(|(name, value)| (name.to_owned(), value));
        let built = Built { response: response.into() };
        assert_eq!(built.digest().unwrap(), "sha256:ab");
        let expected = r#"{"containerimage.descriptor":{"size":1},"containerimage.digest":"sha256:ab","image.name":"abcd"}"#;
        assert_eq!(built.metadata().to_string(), expected);
        assert!(Built::default().digest().is_err());
    }
}
