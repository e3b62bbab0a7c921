//! Values that Docker reads as one line of comma-separated values (Go's `encoding/csv`): `--mount`. A field in quotes may
//! have commas, and quotes when they are doubled.
//!
//! The `csv` crate forgives quotes in the wrong place; Go does not, so what it read is compared with what was given.

use csv::ReaderBuilder;

/// The fields of a line. An error is in Go's words, without the place.
pub(crate) fn fields(text: &str) -> Result<Vec<String>, String> {
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let record = match reader.records().next() {
        Some(record) => record.map_err(|error| error.to_string())?,
        None => return Err("value is empty".to_owned()),
    };
    let mut rest = Some(text);
    for field in &record {
        rest = Some(behind(rest.unwrap_or_default(), field)?);
        rest = rest.and_then(|rest| rest.strip_prefix(','));
    }
    match rest {
        None => Ok(record.iter().map(str::to_owned).collect()),
        Some(_) => Err("more than one line".to_owned()),
    }
}

/// The text behind a field that reads as `field`.
fn behind<'a>(text: &'a str, field: &str) -> Result<&'a str, String> {
    let quoted = text.starts_with('"');
    let written = if quoted { format!("\"{}\"", field.replace('"', "\"\"")) } else { field.to_owned() };
    match text.strip_prefix(written.as_str()) {
        Some(_) if !quoted && field.contains('"') => Err("bare \" in non-quoted field".to_owned()),
        Some(rest) if rest.is_empty() || rest.starts_with(',') => Ok(rest),
        _ if quoted => Err("extraneous or missing \" in quoted-field".to_owned()),
        _ => Err("more than one line".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_reads_them() {
        let cases: [(&str, Result<&[&str], &str>); 16] = [
            ("a=b", Ok(&["a=b"])),
            ("a=b,c", Ok(&["a=b", "c"])),
            ("a,,b,", Ok(&["a", "", "b", ""])),
            ("\"a,b\",c", Ok(&["a,b", "c"])),
            ("\"a\"\"b\",c", Ok(&["a\"b", "c"])),
            ("\"\"\"a\"\"\"", Ok(&["\"a\""])),
            ("\"\",a", Ok(&["", "a"])),
            ("\"a\nb\",c", Ok(&["a\nb", "c"])),
            (" a , b ", Ok(&[" a ", " b "])),
            ("", Err("value is empty")),
            ("\"a", Err("extraneous or missing")),
            ("\"a\"b,c", Err("extraneous or missing")),
            ("\"a\" ,c", Err("extraneous or missing")),
            ("a\"b\",c", Err("bare \"")),
            ("a=\"b,c\"", Err("bare \"")),
            ("a\nb", Err("more than one line")),
        ];
        for (text, expected) in cases {
            match (fields(text), expected) {
                (Ok(got), Ok(expected)) => assert_eq!(got, expected, "{text:?}"),
                (Err(got), Err(part)) => assert!(got.contains(part), "{text:?}: {got}"),
                (got, _) => panic!("{text:?}: {got:?}"),
            }
        }
    }
}
