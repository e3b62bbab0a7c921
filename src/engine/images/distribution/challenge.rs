//! `WWW-Authenticate`: who a registry wants to know.

/// What a registry wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// A name and a password.
    Basic,
    /// A token from a server of tokens.
    Bearer { realm: String, service: String, scope: String },
}

impl Challenge {
    /// The first challenge of a header that we can meet.
    pub(super) fn parse(header: &str) -> Option<Self> {
        let (scheme, parameters) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (String::new(), String::new(), String::new());
        for (key, value) in Parameters(parameters) {
            match key.to_ascii_lowercase().as_str() {
                "realm" => realm = value,
                "service" => service = value,
                "scope" => scope = value,
                _ => {}
            }
        }
        (!realm.is_empty()).then_some(Self::Bearer { realm, service, scope })
    }
}

/// `key=value` and `key="value"`, with commas between them.
struct Parameters<'a>(&'a str);

impl Iterator for Parameters<'_> {
    type Item = (String, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (key, rest) = self.0.trim_start_matches([' ', ',', '\t']).split_once('=')?;
        let value = match rest.strip_prefix('"') {
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                self.0 = &rest[end..];
                rest[..end].trim().to_owned()
            }
            Some(quoted) => {
                let (mut value, mut escaped, mut end) = (String::new(), false, quoted.len());
                for (at, c) in quoted.char_indices() {
                    match c {
                        '"' if !escaped => {
                            end = at + 1;
                            break;
                        }
                        '\\' if !escaped => escaped = true,
                        c => {
                            value.push(c);
                            escaped = false;
                        }
                    }
                }
                self.0 = &quoted[end..];
                value
            }
        };
        Some((key.trim().to_owned(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers() {
        let bearer = |realm: &str, service: &str, scope: &str| {
            Some(Challenge::Bearer { realm: realm.into(), service: service.into(), scope: scope.into() })
        };
        for (header, challenge) in [
            ("Basic realm=\"tests\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            ("Negotiate", None),
            ("Bearer service=x", None),
            (
                "Bearer realm=\"https://a.test/token\",service=\"s, t\", scope=\"repository:a/b:pull,push\"",
                bearer("https://a.test/token", "s, t", "repository:a/b:pull,push"),
            ),
            ("bearer realm=https://a.test/t,error=\"x\\\"y\"", bearer("https://a.test/t", "", "")),
            ("Bearer realm=\"never closed", bearer("never closed", "", "")),
        ] {
            assert_eq!(Challenge::parse(header), challenge, "{header}");
        }
    }
}
