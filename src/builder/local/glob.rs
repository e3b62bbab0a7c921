//! Go's `path/filepath.Match`, which BuildKit's callers mean when they say wildcard. Paths have forward slashes here
//! on every system.

/// The pattern is none: an open bracket, or a backslash with nothing behind it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern: {0:?}")]
pub(crate) struct BadPattern(pub(super) String);

/// A backslash takes the meaning of the next character away; on Windows it separates, so nothing does.
pub(super) const ESCAPES: bool = !cfg!(windows);

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// `*`
    Star,
    /// `?`
    Any,
    /// A character as it is.
    Char(char),
    /// `[a-z]`, `[^a]`
    Class { negated: bool, ranges: Vec<(char, char)> },
}

impl Token {
    /// `[...]`
    pub(super) fn is_class(&self) -> bool {
        matches!(self, Self::Class { .. })
    }
}

/// Takes a pattern apart.
pub(super) fn tokens(pattern: &str) -> Result<Vec<Token>, BadPattern> {
    let bad = || BadPattern(pattern.to_owned());
    let mut chars = pattern.chars().peekable();
    let mut out = Vec::new();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Token::Star,
            '?' => Token::Any,
            '\\' if ESCAPES => Token::Char(chars.next().ok_or_else(bad)?),
            '[' => {
                let negated = chars.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                loop {
                    if chars.peek() == Some(&']') && !ranges.is_empty() {
                        chars.next();
                        break;
                    }
                    let low = class_char(&mut chars).ok_or_else(bad)?;
                    let high = match chars.next_if_eq(&'-') {
                        Some(_) => class_char(&mut chars).ok_or_else(bad)?,
                        None => low,
                    };
                    ranges.push((low, high));
                }
                Token::Class { negated, ranges }
            }
            c => Token::Char(c),
        });
    }
    Ok(out)
}

fn class_char(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<char> {
    match chars.next()? {
        '-' | ']' => None,
        '\\' if ESCAPES => chars.next(),
        c => Some(c),
    }
}

/// Whether the whole of `name` matches. Neither `*` nor `?` takes a slash.
pub(super) fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let tokens = tokens(pattern)?;
    let name: Vec<char> = name.chars().collect();
    // The usual walk with one step back: only the last star needs another try.
    let (mut t, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let advanced = match (tokens.get(t), name.get(n)) {
            (None, None) => return Ok(true),
            (Some(Token::Star), _) => {
                retry = Some((t + 1, n));
                t += 1;
                continue;
            }
            (Some(token), Some(c)) => takes(token, *c),
            _ => false,
        };
        if advanced {
            (t, n) = (t + 1, n + 1);
            continue;
        }
        match retry {
            Some((token, from)) if name.get(from).is_some_and(|c| *c != '/') => {
                retry = Some((token, from + 1));
                (t, n) = (token, from + 1);
            }
            _ => return Ok(false),
        }
    }
}

fn takes(token: &Token, c: char) -> bool {
    match token {
        Token::Star => false,
        Token::Any => c != '/',
        Token::Char(own) => *own == c,
        Token::Class { negated, ranges } => {
            ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *negated
        }
    }
}

/// Would [`matches`] take more than one name?
pub(super) fn has_wildcards(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if ESCAPES => drop(chars.next()),
            '*' | '?' | '[' => return true,
            _ => {}
        }
    }
    false
}

/// Go's `path.Clean`: no empty, `.` or inner `..` components, no slash at the end.
pub(super) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_matches() {
        let cases = [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("a*b?c*x", "abxbbxdbxebxczzy", false),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[^e-g]", "abc", true),
            ("ab[^b-d]", "abc", false),
            ("a???b", "a☺☻☹b", true),
            ("*x", "xxx", true),
            ("", "", true),
            ("", "x", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(matches(pattern, name), Ok(expected), "{pattern} {name}");
        }
        for pattern in ["[]a]", "[-]", "[x-]", "[-x]", "[", "[^", "a["] {
            assert!(matches(pattern, "a").is_err(), "{pattern}");
        }
    }

    #[test]
    #[cfg(not(windows))]
    fn a_backslash_escapes() {
        assert_eq!(matches(r"a\*b", "a*b"), Ok(true));
        assert_eq!(matches(r"a\*b", "axb"), Ok(false));
        assert!(matches(r"a\", "a").is_err());
        assert!(!has_wildcards(r"a\*"));
    }

    #[test]
    fn cleaned() {
        for (path, expected) in [
            ("", "."),
            ("a//b/", "a/b"),
            ("./a", "a"),
            ("a/../b", "b"),
            ("../a", "../a"),
            ("/../a", "/a"),
            ("/", "/"),
            ("a/..", "."),
        ] {
            assert_eq!(clean(path), expected);
        }
    }
}
