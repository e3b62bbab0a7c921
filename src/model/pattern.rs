//! Names that filters ask for.

use regex::Regex;

/// Does a filter with these values let `name` through? As in Docker, each value is the name itself or a regular expression
/// that matches some part of it; what is neither matches nothing.
pub fn matches(values: &[String], name: &str) -> bool {
    values.iter().any(|value| value == name || Regex::new(value).is_ok_and(|pattern| pattern.is_match(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parts_and_expressions() {
        let cases: [(&[&str], &str, bool); 8] = [
            (&["cache"], "cache", true),
            (&["ach"], "cache", true),
            (&["^ach"], "cache", false),
            (&["^c.*e$"], "cache", true),
            (&["x", "c(a|b)che"], "cache", true),
            (&["a("], "a(", true),
            (&["a("], "aa(", false),
            (&[], "cache", false),
        ];
        for (values, name, expected) in cases {
            let values: Vec<String> = values.iter().map(ToString::to_string).collect();
            assert_eq!(matches(&values, name), expected, "{values:?} {name}");
        }
    }
}
