//! Numbers and names as BuildKit's own printers have them, and foreign text made harmless for a terminal.

use unicode_width::UnicodeWidthChar;

/// `1.50kB`: decimal, two digits.
pub(super) fn bytes(count: i64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1000 {
        return format!("{count}B");
    }
    let (mut whole, mut divided, mut unit) = (count, 1i64, 0);
    while whole >= 1_000_000 && unit + 1 < UNITS.len() {
        whole /= 1000;
        divided = divided.saturating_mul(1000);
        unit += 1;
    }
    let hundredths = count / divided / 10;
    format!("{}.{:02}{}", hundredths / 100, hundredths % 100, UNITS[unit])
}

/// Bytes done and in all: ` 1.50kB / 3.00kB`, or nothing.
pub(super) fn amount(current: i64, total: i64) -> String {
    match (current, total) {
        (0, 0) => String::new(),
        (current, 0) => format!(" {}", bytes(current)),
        (current, total) => format!(" {} / {}", bytes(current), bytes(total)),
    }
}

/// `1.5s`
pub(super) fn seconds(nanos: i64) -> String {
    let tenths = (nanos.max(0) + 50_000_000) / 100_000_000;
    format!("{}.{}s", tenths / 10, tenths % 10)
}

/// The time in front of a line of a log: `0.123`, `12.34`, `123.4`.
pub(super) fn stamp(nanos: i64) -> String {
    let millis = nanos.max(0) / 1_000_000;
    let (whole, part) = (millis / 1000, millis % 1000);
    match whole {
        0..10 => format!("{whole}.{part:03}"),
        10..100 => format!("{whole}.{:02}", part / 10),
        _ => format!("{whole}.{}", part / 100),
    }
}

/// A line of foreign output without what would move the cursor or change colours: the part behind the last carriage
/// return, no escape sequences, blanks for tabs.
pub(super) fn harmless(line: &str) -> String {
    cleaned(line, false)
}

/// The same, but with its colours, which end with it.
pub(super) fn harmless_in_colours(line: &str) -> String {
    cleaned(line, true)
}

fn cleaned(line: &str, with_colours: bool) -> String {
    let line = line.trim_end_matches('\r');
    let line = line.rsplit('\r').next().unwrap_or(line);
    let mut out = String::with_capacity(line.len());
    let mut coloured = false;
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => match rest.next() {
                Some('[') => {
                    // A control sequence ends with a letter or one of a few signs.
                    let begun = rest.as_str();
                    let end = begun.find(|c| ('\x40'..='\x7e').contains(&c)).map_or(begun.len(), |at| at + 1);
                    let sequence = &begun[..end];
                    rest = begun[end..].chars();
                    let is_colour = sequence.strip_suffix('m').is_some_and(|numbers| {
                        numbers.chars().all(|c| c.is_ascii_digit() || matches!(c, ';' | ':'))
                    });
                    if with_colours && is_colour {
                        out.push_str("\x1b[");
                        out.push_str(sequence);
                        coloured = true;
                    }
                }
                // A command for the terminal (its title) ends with a bell or with escape and backslash.
                Some(']' | 'P' | '^' | '_' | 'X') => {
                    while let Some(c) = rest.next() {
                        match c {
                            '\x07' => break,
                            '\x1b' => {
                                rest.next();
                                break;
                            }
                            _ => {}
                        }
                    }
                }
                // A choice of letters.
                Some('(' | ')' | '*' | '+' | '#' | '%' | ' ') => drop(rest.next()),
                _ => {}
            },
            '\t' => out.push_str("    "),
            c if c.is_control() || is_direction(c) => {}
            c => out.push(c),
        }
    }
    if coloured {
        out.push_str("\x1b[0m");
    }
    out
}

/// Signs that turn the direction of writing, or end a line.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Columns that a text takes.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|c| c.width().unwrap_or(0)).sum()
}

/// The start of a text that fits into so many columns; what is cut off leaves an ellipsis.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    match columns {
        0 => String::new(),
        _ => format!("{}…", &text[..end(text, columns - 1)]),
    }
}

/// A text in lines of at most so many columns.
pub(super) fn wrapped(text: &str, columns: usize) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    loop {
        // A sign that is wider than the terminal is alone on its line.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let (line, after) = rest.split_at(end(rest, columns).max(first));
        lines.push(line);
        rest = after;
        if rest.is_empty() {
            return lines;
        }
    }
}

/// The bytes that fit into so many columns; what has no width stays with what it is written over.
fn end(text: &str, columns: usize) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.width().unwrap_or(0);
        if used > columns {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (count, text) in [
            (0, "0B"),
            (32, "32B"),
            (999, "999B"),
            (1000, "1.00kB"),
            (1_536, "1.53kB"),
            (2_221_000, "2.22MB"),
            (7_123_456_789, "7.12GB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        assert_eq!(amount(0, 0) + &amount(5, 0) + &amount(5, 1000), " 5B 5B / 1.00kB");
        let times = [0, 49_000_000, 50_000_000, 1_240_000_000, 75_000_000_000].map(seconds);
        assert_eq!(times, ["0.0s", "0.0s", "0.1s", "1.2s", "75.0s"]);
        assert_eq!([123_456_789, 12_340_000_000, 123_456_000_000].map(stamp), ["0.123", "12.34", "123.4"]);
    }

    #[test]
    fn nothing_moves_the_cursor() {
        for (given, shown) in [
            ("plain", "plain"),
            ("10%\r50%\r100%", "100%"),
            ("done\r", "done"),
            ("\x1b[1;31mred\x1b[0m\tx", "red    x"),
            ("\x1b]0;title\x07text\x08\x1b", "text"),
            ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1b(Bx\x1bcy\x1b[?1049hz\x1b[", "xyz"),
            ("\u{9b}2Ja\u{202e}b\u{2028}c", "2Jabc"),
        ] {
            assert_eq!(harmless(given), shown);
        }
        for (given, shown) in [
            ("plain\x1b[2J", "plain"),
            ("\x1b[1;31mred\x1b[K", "\x1b[1;31mred\x1b[0m"),
            ("\x1b[?1m\x1b[3;4Hx", "x"),
        ] {
            assert_eq!(harmless_in_colours(given), shown);
        }
    }

    #[test]
    fn columns_are_counted() {
        assert_eq!([fit("abc", 2), fit("abc", 3), fit("日本語", 5), fit("a", 0)], ["a…", "abc", "日本…", ""]);
        assert_eq!(wrapped("abcdefg", 3), ["abc", "def", "g"]);
        assert_eq!(wrapped("日本語", 5), ["日本", "語"]);
        assert_eq!(wrapped("日e\u{301}", 1), ["日", "e\u{301}"]);
        assert_eq!((wrapped("", 3), width("日本e\u{301}")), (vec![""], 5));
    }
}
