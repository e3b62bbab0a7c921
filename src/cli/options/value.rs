//! Single values, with the messages of the Go functions that Docker reads them with.

use crate::cli::format::size;
use std::collections::BTreeMap;

/// A switch that is on unless it is turned off: `--flag`, `--flag=true`, `--flag=false`.
pub(crate) fn switch(flag: clap::Arg) -> clap::Arg {
    flag.value_name("bool")
        .default_value("true")
        .default_missing_value("true")
        // A field without a default in its own attributes is a required one.
        .required(false)
        .num_args(0..=1)
        .hide_possible_values(true)
        .require_equals(true)
}

/// An integer.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    text.parse().map_err(|_| {
        let why = match !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
            true => "value out of range",
            false => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {text:?}: {why}")
    })
}

/// A switch, in the words that Go's `strconv.ParseBool` knows.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A size in binary units.
pub(crate) fn bytes(text: &str) -> Result<i64, String> {
    size::parse_binary(text).ok_or_else(|| format!("invalid size: '{text}'"))
}

/// A size, or -1.
pub(crate) fn bytes_or_unlimited(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}

/// A number of CPUs, in billionths.
pub(crate) fn nano_cpus(text: &str) -> Result<i64, String> {
    let bad = || format!("failed to parse {text:?} as a rational number");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return Err(bad());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err("value is too precise".to_owned());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| bad())? };
    let fraction: i64 = format!("{fraction:0<9}").parse().map_err(|_| bad())?;
    whole.checked_mul(1_000_000_000).and_then(|n| n.checked_add(fraction)).ok_or_else(bad)
}

/// `key=value`; a missing value is empty.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').unwrap_or((text, ""));
    if key.is_empty() {
        return Err(format!("invalid label '{text}': empty name"));
    }
    Ok((key.to_owned(), value.to_owned()))
}

/// `name=value` of `--filter`.
pub(crate) fn filter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.trim().to_lowercase(), value.trim().to_owned())),
        None => Err("invalid filter: bad format of filter (expected name=value)".to_owned()),
    }
}

/// Filters by name.
pub(crate) fn filters(pairs: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut map: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in pairs {
        map.entry(name.clone()).or_default().push(value.clone());
    }
    map
}

/// A capability without `CAP_`, in upper case.
pub(crate) fn capability(text: &str) -> String {
    let upper = text.trim().to_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

/// One of a process's streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdin,
    Stdout,
    Stderr,
}

/// `stdin`, `stdout` or `stderr`.
pub(crate) fn stream(text: &str) -> Result<Stream, String> {
    match text.to_ascii_lowercase().as_str() {
        "stdin" => Ok(Stream::Stdin),
        "stdout" => Ok(Stream::Stdout),
        "stderr" => Ok(Stream::Stderr),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus() {
        let cases = [
            ("1", Ok(1_000_000_000)),
            ("1.5", Ok(1_500_000_000)),
            (".25", Ok(250_000_000)),
            ("0.000000001", Ok(1)),
            ("0.0000000001", Err("value is too precise")),
            ("x", Err("failed to parse \"x\" as a rational number")),
            ("", Err("failed to parse \"\" as a rational number")),
            ("-1", Err("failed to parse \"-1\" as a rational number")),
        ];
        for (text, expected) in cases {
            assert_eq!(nano_cpus(text), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn small_ones() {
        assert_eq!(integer("-1"), Ok(-1));
        assert_eq!(integer("x").unwrap_err(), "strconv.ParseInt: parsing \"x\": invalid syntax");
        assert_eq!(
            integer("99999999999999999999").unwrap_err().split(": ").last(),
            Some("value out of range")
        );
        assert_eq!(bytes("10x").unwrap_err(), "invalid size: '10x'");
        assert_eq!(bytes_or_unlimited("-1"), Ok(-1));
        assert_eq!(label("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert_eq!(label("a"), Ok(("a".into(), String::new())));
        assert!(label("=a").is_err());
        assert_eq!(capability("cap_net_admin"), "NET_ADMIN");
        assert_eq!(capability("all"), "ALL");
        assert_eq!(filter("Status=exited"), Ok(("status".into(), "exited".into())));
        assert!(filter("status").is_err());
    }
}
