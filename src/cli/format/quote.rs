//! Quoting and cutting, by display columns.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Go's `%q`.
pub(crate) fn go(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_control() && (c as u32) < 0x80 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A text cut to `columns`, with `…` in the place of the rest.
pub(crate) fn ellipsis(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let width = c.width().unwrap_or(0);
        if used + width + 1 > columns {
            break;
        }
        used += width;
        out.push(c);
    }
    if columns > 0 {
        out.push('…');
    }
    out
}

/// Twelve digits, without `sha256:`.
pub(crate) fn short_id(id: &str) -> &str {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.get(..12).unwrap_or(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_as_go_does() {
        let cases =
            [("sh -c \"x\"", r#""sh -c \"x\"""#), ("a\nb\tc\\", r#""a\nb\tc\\""#), ("\u{1}é", r#""\x01é""#)];
        for (text, expected) in cases {
            assert_eq!(go(text), expected);
        }
    }

    #[test]
    fn cuts_by_columns() {
        let cases =
            [("short", 20, "short"), ("abcdefgh", 5, "abcd…"), ("日本語日本語", 5, "日本…"), ("x", 0, "")];
        for (text, columns, expected) in cases {
            assert_eq!(ellipsis(text, columns), expected);
        }
    }

    #[test]
    fn shortens_ids() {
        let digits = "0123456789abcdef";
        assert_eq!(short_id(digits), "0123456789ab");
        assert_eq!(short_id(&format!("sha256:{digits}")), "0123456789ab");
        assert_eq!(short_id("abc"), "abc");
    }
}
