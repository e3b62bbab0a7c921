//! Sizes: decimal units when written, binary ones when a limit is read.

/// `21.5MB`: decimal, three significant digits, no space.
pub(crate) fn human(bytes: i64) -> String {
    scaled(bytes, 3)
}

/// `64MiB`: binary, four significant digits.
pub(crate) fn binary(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{}{}", significant(value, 4), UNITS[unit])
}

/// Reclaimed space as [`human`] writes it, but with four significant digits.
pub(crate) fn reclaimed(bytes: i64) -> String {
    scaled(bytes, 4)
}

fn scaled(bytes: i64, digits: usize) -> String {
    const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{}{}", significant(value, digits), UNITS[unit])
}

/// C's `%.<digits>g`.
fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let exponential = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = exponential.split_once('e').unwrap_or((&exponential, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match usize::try_from(exponent) {
        Ok(exponent) if exponent < digits => trim(&format!("{value:.*}", digits - 1 - exponent)),
        Ok(exponent) => format!("{}e+{exponent:02}", trim(mantissa)),
        Err(_) => trim(&format!("{value:.*}", digits - 1 + exponent.unsigned_abs() as usize)),
    }
}

/// Reads `512m`, `1.5 GiB`, `64`: always binary units.
pub(crate) fn parse_binary(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    let number: f64 = match number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.') {
        true => number.parse().ok()?,
        false => return None,
    };
    let unit = rest.strip_prefix(' ').unwrap_or(rest).to_ascii_lowercase();
    let mut letters = unit.chars().peekable();
    let power = match letters.peek().and_then(|c| "kmgtp".find(*c)) {
        Some(index) => {
            letters.next();
            letters.next_if_eq(&'i');
            index + 1
        }
        None => 0,
    };
    letters.next_if_eq(&'b');
    if letters.next().is_some() {
        return None;
    }
    let bytes = number * 1024f64.powi(i32::try_from(power).ok()?);
    #[expect(clippy::cast_precision_loss, reason = "only the range matters")]
    let fits = bytes < i64::MAX as f64;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "fractions of a byte are dropped; the range was checked"
    )]
    fits.then_some(bytes as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written() {
        let cases = [
            (0, "0B"),
            (2, "2B"),
            (999, "999B"),
            (1000, "1kB"),
            (1536, "1.54kB"),
            (21_470_000, "21.5MB"),
            (999_999, "1e+03kB"),
            (1_234_567_890, "1.23GB"),
            (100_000_000_000, "100GB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(human(bytes), text, "{bytes}");
        }
        assert_eq!(scaled(1_234_567, 4), "1.235MB");
    }

    #[test]
    fn read() {
        let cases = [
            ("64", Some(64)),
            ("1k", Some(1024)),
            ("512m", Some(512 << 20)),
            ("512MB", Some(512 << 20)),
            ("1.5 GiB", Some(3 << 29)),
            ("2g", Some(2 << 30)),
            ("", None),
            ("m", None),
            ("-1", None),
            ("1x", None),
            ("1kk", None),
            ("1.", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_binary(text), expected, "{text}");
        }
    }
}
