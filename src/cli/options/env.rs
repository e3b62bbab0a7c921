//! `-e` and `--env-file`.

use super::Host;

/// Why a variable is refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Error {
    /// `-e =x`
    #[error("invalid environment variable: {0}")]
    Flag(String),
    /// A line of a file.
    #[error("{file}: variable '{name}' contains whitespaces")]
    Whitespace {
        /// As the user typed it.
        file: String,
        /// The name.
        name: String,
    },
    /// A line of a file.
    #[error("{file}: no variable name on line '{line}'")]
    NoName {
        /// As the user typed it.
        file: String,
        /// The whole line.
        line: String,
    },
}

/// Files first, then flags; of several with one name the last stays, where the first was.
pub(crate) fn resolve(
    files: &[(String, String)],
    flags: &[String],
    host: &Host,
) -> Result<Vec<String>, Error> {
    let mut all: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        // A name alone takes the user's value, or nothing.
        let Some(value) = value.or_else(|| host.env.get(name).cloned()) else { return };
        match all.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => all.push((name.to_owned(), value)),
        }
    };
    for (file, text) in files {
        for line in text.trim_start_matches('\u{feff}').lines() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (name, value) = match line.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (line, None),
            };
            if name.is_empty() {
                return Err(Error::NoName { file: file.clone(), line: line.to_owned() });
            }
            if name.contains(char::is_whitespace) {
                return Err(Error::Whitespace { file: file.clone(), name: name.to_owned() });
            }
            add(name, value);
        }
    }
    for flag in flags {
        match flag.split_once('=') {
            Some(("", _)) => return Err(Error::Flag(flag.clone())),
            Some((name, value)) => add(name, Some(value.to_owned())),
            None if flag.is_empty() => return Err(Error::Flag(flag.clone())),
            None => add(flag, None),
        }
    }
    Ok(all.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
}

/// Adds the user's proxies, but for those that are there.
pub(crate) fn with_proxies(mut env: Vec<String>, proxies: &[(String, String)]) -> Vec<String> {
    for (name, value) in proxies {
        let there = |line: &String| line.split('=').next() == Some(name);
        if !env.iter().any(there) {
            env.push(format!("{name}={value}"));
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host { env: [("HERE".to_owned(), "yes".to_owned())].into(), ..Host::default() }
    }

    #[test]
    fn flags_and_files() {
        let file = "# comment\n\n  A=1\nB='quoted'  \nHERE\nGONE\nC=x=y\r\n";
        let flags = ["D", "HERE=no", "E=", "A=2"].map(String::from);
        let env = resolve(&[("f".into(), file.into())], &flags, &host()).unwrap();
        assert_eq!(env, ["A=2", "B='quoted'  ", "HERE=no", "C=x=y", "E="]);
        assert_eq!(resolve(&[], &["HERE".into(), "GONE".into()], &host()).unwrap(), ["HERE=yes"]);
    }

    #[test]
    fn proxies() {
        let proxies =
            [("HTTP_PROXY".to_owned(), "p:1".to_owned()), ("http_proxy".to_owned(), "p:1".to_owned())];
        let env = with_proxies(vec!["A=1".into(), "http_proxy=".into()], &proxies);
        assert_eq!(env, ["A=1", "http_proxy=", "HTTP_PROXY=p:1"]);
    }

    #[test]
    fn refused() {
        let file = |text: &str| resolve(&[("f".into(), text.into())], &[], &host()).unwrap_err().to_string();
        assert_eq!(file("a b=1"), "f: variable 'a b' contains whitespaces");
        assert_eq!(file("=1"), "f: no variable name on line '=1'");
        for flag in ["=x", ""] {
            assert_eq!(resolve(&[], &[flag.into()], &host()), Err(Error::Flag(flag.into())));
        }
    }
}
