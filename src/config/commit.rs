//! The commit that the binary was built from.
//!
//! The binary embeds it and says it here at its start, not the library: else each commit would compile everything again.

use std::sync::OnceLock;

/// Digits of a commit that are shown.
const SHOWN: usize = 12;

static COMMIT: OnceLock<&str> = OnceLock::new();

/// Says which commit it is; `text` may be anything else, which is then unknown. The first call counts.
pub fn set_commit(text: &'static str) {
    let _ = COMMIT.set(short(text));
}

/// First twelve digits of the commit, or `unknown`.
pub fn commit() -> &'static str {
    COMMIT.get().copied().unwrap_or("unknown")
}

fn short(text: &str) -> &str {
    let text = text.trim();
    match text.len() >= 7 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => &text[..text.len().min(SHOWN)],
        false => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_may_have() {
        let long = "d536606ae5f0a41f1d2f1e5a5c0d8d2f2c7b1a90\n";
        for (text, expected) in [
            (long, "d536606ae5f0"),
            ("d536606", "d536606"),
            ("unknown", "unknown"),
            ("ref: refs/heads/main\n", "unknown"),
            ("", "unknown"),
        ] {
            assert_eq!(short(text), expected, "{text:?}");
        }
    }
}
