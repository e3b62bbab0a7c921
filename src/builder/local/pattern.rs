//! The rules of `.dockerignore` as moby/patternmatcher has them, which are not gitignore's: a pattern is anchored at
//! the root of the context, the last one that matches decides, and what is said of a directory is said of all below.
//!
//! BuildKit reads the ignore file (through the session) and sends the patterns; here they are applied.

use super::glob::{self, BadPattern, ESCAPES, Token};
use regex::Regex;
use std::sync::OnceLock;

/// Bytes of a pattern from which it may be too long for a regular expression.
const LONG: usize = 1000;

/// A list of patterns in order.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    all: Vec<Pattern>,
}

/// For each pattern whether it matched a directory; asked again for the entries below that.
#[derive(Clone, Debug, Default)]
pub(super) struct Matched(Vec<bool>);

#[derive(Debug)]
struct Pattern {
    /// `!`: takes back what others matched.
    exception: bool,
    text: String,
    form: Form,
}

#[derive(Debug)]
enum Form {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Wild(Wild),
}

/// A pattern with wildcards in its middle, of which an ignore file may have thousands that never come to be used.
#[derive(Debug)]
struct Wild {
    /// Text that a path starts and ends with, if it matches.
    start: String,
    end: String,
    regex: String,
    /// Compiled when it is needed.
    compiled: OnceLock<Option<Regex>>,
}

impl Wild {
    fn matches(&self, path: &str) -> bool {
        path.starts_with(&self.start)
            && path.ends_with(&self.end)
            && self
                .compiled
                .get_or_init(|| Regex::new(&self.regex).ok())
                .as_ref()
                .is_some_and(|r| r.is_match(path))
    }
}

impl Patterns {
    /// Checks and compiles them. Blank ones are left out.
    pub(super) fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, BadPattern> {
        let mut all = Vec::new();
        for given in patterns {
            let given = given.trim();
            if given.is_empty() {
                continue;
            }
            let slashed = if ESCAPES { given.to_owned() } else { given.replace('\\', "/") };
            let cleaned = glob::clean(&slashed);
            let (exception, text) = match cleaned.strip_prefix('!') {
                Some("") => return Err(BadPattern(given.to_owned())),
                Some(text) => (true, text),
                None => (false, cleaned.as_str()),
            };
            all.push(Pattern { exception, form: compile(text)?, text: text.to_owned() });
        }
        Ok(Self { all })
    }

    /// Nothing to apply.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Matches `path`, which is below a directory that gave `parent`, or at the top (`None`).
    pub(super) fn matches(&self, path: &str, parent: Option<&Matched>) -> (bool, Matched) {
        let mut matched = false;
        let mut info = vec![false; self.all.len()];
        for (i, pattern) in self.all.iter().enumerate() {
            let mut own = parent.is_some_and(|p| p.0.get(i).copied().unwrap_or(false));
            if !own {
                // An exception only matters for what is matched, and any other only for what is not.
                if pattern.exception != matched {
                    continue;
                }
                own = pattern.matches(path);
            }
            info[i] = own;
            if own {
                matched = !pattern.exception;
            }
        }
        (matched, Matched(info))
    }

    /// True when an ordinary pattern may match something below `directory`, which is itself not matched; also when in
    /// doubt.
    pub(super) fn may_match_below(&self, directory: &str) -> bool {
        Self::reaches_below(directory, self.all.iter().filter(|p| !p.exception))
    }

    /// True when an exception may take back something below `directory`, which is matched; also when in doubt.
    pub(super) fn may_except_below(&self, directory: &str) -> bool {
        Self::reaches_below(directory, self.all.iter().filter(|p| p.exception))
    }

    fn reaches_below<'a>(directory: &str, patterns: impl Iterator<Item = &'a Pattern> + Clone) -> bool {
        let below = format!("{directory}/");
        patterns.clone().any(|p| p.stem().contains(['*', '[', ']', '?', '^', '\\']))
            || patterns.into_iter().any(|p| format!("{}/", p.stem()).starts_with(&below))
    }
}

impl Pattern {
    fn matches(&self, path: &str) -> bool {
        match &self.form {
            Form::Exact(text) => path == text,
            Form::Prefix(text) => path.starts_with(text),
            // `**/x` is also `x`.
            Form::Suffix(text) => path.ends_with(text) || text.strip_prefix('/') == Some(path),
            Form::Wild(wild) => wild.matches(path),
        }
    }

    /// The pattern without `/**` and `/*` at the end.
    fn stem(&self) -> &str {
        let text = self.text.strip_suffix("/**").unwrap_or(&self.text);
        text.strip_suffix("/*").unwrap_or(text)
    }
}

fn compile(text: &str) -> Result<Form, BadPattern> {
    let tokens = glob::tokens(text)?;
    let plain = |tokens: &[Token]| -> Option<String> {
        tokens.iter().map(|t| if let Token::Char(c) = t { Some(*c) } else { None }).collect()
    };
    if let Some(text) = plain(&tokens) {
        return Ok(Form::Exact(text));
    }
    if let [Token::Star, Token::Star, rest @ ..] = tokens.as_slice()
        && let Some(rest) = plain(rest)
    {
        return Ok(Form::Suffix(rest));
    }
    if let [start @ .., Token::Star, Token::Star] = tokens.as_slice()
        && let Some(start) = plain(start)
    {
        return Ok(Form::Prefix(start));
    }
    let mut regex = String::from("(?s)^");
    let mut rest = tokens.as_slice();
    while let Some((token, after)) = rest.split_first() {
        rest = after;
        match token {
            Token::Star if rest.first() == Some(&Token::Star) => {
                rest = &rest[1..];
                if rest.first() == Some(&Token::Char('/')) {
                    rest = &rest[1..];
                }
                regex.push_str(if rest.is_empty() { ".*" } else { "(.*/)?" });
            }
            Token::Star => regex.push_str("[^/]*"),
            Token::Any => regex.push_str("[^/]"),
            Token::Char(c) => regex.push_str(&regex::escape(c.encode_utf8(&mut [0; 4]))),
            Token::Class { negated, ranges } => {
                regex.push_str(if *negated { "[^" } else { "[" });
                for (low, high) in ranges {
                    regex.push_str(&format!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(*low), u32::from(*high)));
                }
                regex.push(']');
            }
        }
    }
    regex.push('$');
    let text_of = |tokens: &mut dyn Iterator<Item = &Token>| -> String {
        tokens.map_while(|t| if let Token::Char(c) = t { Some(*c) } else { None }).collect()
    };
    let start = text_of(&mut tokens.iter());
    let mut end: String = text_of(&mut tokens.iter().rev()).chars().rev().collect();
    // `**/` may be nothing, and its slash with it.
    if end.starts_with('/') {
        end.remove(0);
    }
    let wild = Wild { start, end, regex, compiled: OnceLock::new() };
    // What may not compile is tried at once.
    if text.len() > LONG || tokens.iter().any(Token::is_class) {
        let compiled = Regex::new(&wild.regex).map_err(|_| BadPattern(text.to_owned()))?;
        drop(wild.compiled.set(Some(compiled)));
    }
    Ok(Form::Wild(wild))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Matches as the walk does: every directory above first.
    fn ignored(patterns: &[&str], path: &str) -> bool {
        let patterns = Patterns::new(patterns.iter().copied()).unwrap();
        let mut parent: Option<Matched> = None;
        let mut result = false;
        let ends = path.match_indices('/').map(|(i, _)| i).chain([path.len()]);
        for end in ends {
            let (matched, info) = patterns.matches(&path[..end], parent.as_ref());
            result = matched;
            parent = Some(info);
        }
        result
    }

    #[test]
    fn the_rules() {
        let cases: &[(&[&str], &str, bool)] = &[
            (&["**"], "file", true),
            (&["**"], "dir/file", true),
            (&["**/"], "dir/file", true),
            (&["**/**"], "dir/file", true),
            (&["dir/**"], "dir/file", true),
            (&["dir/**"], "dir/dir2/file", true),
            (&["dir/**"], "dir", false),
            (&["**/file"], "file", true),
            (&["**/file"], "dir/dir/file", true),
            (&["**/file"], "dir/file2", false),
            (&["**/dir2/*"], "dir/dir2/file", true),
            (&["**/dir2/*"], "dir/dir2/dir2/file", true),
            (&["**file"], "dir/my-file", true),
            (&["abc**"], "abcdef/x", true),
            (&["a**/*.txt"], "dir/a/x.txt", false),
            (&["a/**/b"], "a/b", true),
            (&["a/**/b"], "a/x/y/b", true),
            (&["**/*.go"], "main.go", true),
            (&["**/*.go"], "a/b/main.go", true),
            (&["*.go"], "a/main.go", false),
            (&["dir"], "dir/deep/file", true),
            (&["dir/"], "dir/file", true),
            (&["./dir"], "dir/file", true),
            (&["a/../dir"], "dir/file", true),
            (&["sub/dir"], "other/sub/dir", false),
            (&["fil?"], "file", true),
            (&["dir?file"], "dir/file", false),
            (&["[a-c]x"], "bx", true),
            (&["[^a-c]x"], "bx", false),
            (&["[[]x"], "[x", true),
            (&["a.c"], "abc", false),
            (&["a+(b)|{c}$"], "a+(b)|{c}$", true),
            (&["*", "!keep"], "keep", false),
            (&["*", "!keep"], "other", true),
            (&["dir", "!dir/keep"], "dir/keep", false),
            (&["dir", "!dir/keep"], "dir/other", true),
            (&["dir", "!dir/keep", "dir/keep"], "dir/keep", true),
            (&["!dir/keep", "dir"], "dir/keep", true),
            (&["*", "!dir/*.txt"], "dir/a.txt", false),
            (&["*.md", "!README*.md", "README-secret.md"], "README-secret.md", true),
            (&["*.md", "!README*.md", "README-secret.md"], "README.md", false),
            (&["**", "!**/*.txt"], "a/b/c.txt", false),
            (&["**", "!**/*.txt"], "a/b/c.bin", true),
            (&["foo/*", "!foo/bar"], "foo/bar/deep", false),
            (&[" ", ""], "x", false),
            (&["ünï"], "ünï/x", true),
            (&["pre*mid*end"], "pre-mid-end", true),
            (&["pre*mid*end"], "pre-end", false),
            (&["ab*ba"], "aba", false),
            (&["a/**/x*/**/b"], "a/x/b", true),
            (&["**/a?c/**/z"], "abc/z", true),
        ];
        for (patterns, path, expected) in cases {
            assert_eq!(ignored(patterns, path), *expected, "{patterns:?} {path}");
        }
        assert!(Patterns::new(["!"]).is_err());
        assert!(Patterns::new(["a["]).is_err());
        assert!(Patterns::new(["[b-a]"]).is_err());
    }

    #[test]
    fn where_a_walk_may_stop() {
        let all = |list: &[&str]| Patterns::new(list.iter().copied()).unwrap();
        assert!(!all(&["dir"]).may_except_below("dir"));
        assert!(all(&["dir", "!dir/a/b"]).may_except_below("dir"));
        assert!(all(&["dir", "!dir/a/**"]).may_except_below("dir/a"));
        assert!(!all(&["dir", "!other/a"]).may_except_below("dir"));
        assert!(all(&["dir", "!**/a"]).may_except_below("dir"));
        assert!(all(&["src/main"]).may_match_below("src"));
        assert!(!all(&["src/main"]).may_match_below("doc"));
        assert!(all(&["*/main"]).may_match_below("doc"));
    }
}
