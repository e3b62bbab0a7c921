//! JSON as Docker prints it.

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{PrettyFormatter, Serializer};

/// Four spaces of indentation.
pub(crate) fn pretty(value: &Value) -> String {
    let mut out = Vec::new();
    let mut serializer = Serializer::with_formatter(&mut out, PrettyFormatter::with_indent(b"    "));
    // Writing a `Value` into memory has nothing to fail at.
    if value.serialize(&mut serializer).is_err() {
        return value.to_string();
    }
    String::from_utf8(out).unwrap_or_else(|_| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_spaces() {
        let value = serde_json::json!([{"b": 1, "a": {}, "c": []}]);
        let text = "[\n    {\n        \"b\": 1,\n        \"a\": {},\n        \"c\": []\n    }\n]";
        assert_eq!(pretty(&value), text);
    }
}
