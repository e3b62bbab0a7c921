//! Addresses of builders, in the form of `buildctl --addr`, and how they are certified, in the words of buildx' driver
//! options.

use std::path::{Path, PathBuf};

/// A place where a BuildKit listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A name or an address, without brackets, and a port.
    Tcp(String, u16),
    /// A socket of this machine.
    Unix(PathBuf),
    /// A machine that is reached by `ssh`.
    Ssh(Host),
}

/// A machine with `buildctl` on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) user: Option<String>,
    pub(super) port: Option<u16>,
    /// BuildKit's socket there, if not where it usually is.
    pub(super) socket: Option<String>,
}

/// Files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Certificates {
    /// The authority that signed the other side's certificate; `None`: those of the system.
    pub(super) ca: Option<PathBuf>,
    /// Our certificate and its key.
    pub(super) own: Option<(PathBuf, PathBuf)>,
    /// The name in the other side's certificate, if not that of the address.
    pub(super) server: Option<String>,
}

impl Place {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| {
            "it is no address (tcp://HOST:PORT, unix:///PATH or ssh://[USER@]HOST[:PORT]), and k3c has no builders by name"
                .to_owned()
        })?;
        match scheme {
            "unix" if Path::new(rest).is_absolute() => Ok(Self::Unix(rest.into())),
            "unix" => Err("a socket has an absolute path: unix:///PATH".to_owned()),
            "tcp" => {
                let rest = rest.strip_suffix('/').unwrap_or(rest);
                match split(rest)? {
                    (host, Some(port)) if !host.contains(['/', '@']) => Ok(Self::Tcp(host, port)),
                    _ => Err("a host and a port are expected: tcp://HOST:PORT".to_owned()),
                }
            }
            "ssh" => Host::parse(rest).map(Self::Ssh),
            _ => Err(format!("{scheme}:// is not supported: tcp://, unix:// and ssh:// are")),
        }
    }
}

impl Host {
    fn parse(rest: &str) -> Result<Self, String> {
        let (place, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, place) = match place.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, place),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err("a password does not belong into an address".to_owned());
        }
        if path.contains(['?', '#']) {
            return Err("nothing can follow the path of the socket".to_owned());
        }
        let (name, port) = split(place)?;
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let socket = given(path.trim_end_matches('/')).map(|_| path.to_owned());
        Ok(Self { name, user: user.and_then(given), port, socket })
    }
}

/// `host[:port]`, also with an address of version 6 in brackets.
fn split(text: &str) -> Result<(String, Option<u16>), String> {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    let number = |port: &str| match port.parse() {
        Ok(0) | Err(_) => Err(format!("{port:?} is no port")),
        Ok(port) => Ok(port),
    };
    Ok((host.to_owned(), port.map(number).transpose()?))
}

impl Certificates {
    /// From buildx' options of a driver, and buildctl's folder with three files in it. `None`: nothing is given.
    pub(super) fn parse(given: &[(String, String)]) -> Result<Option<Self>, String> {
        if given.is_empty() {
            return Ok(None);
        }
        let mut all = Self::default();
        let (mut certificate, mut key) = (None, None);
        for (name, value) in given {
            match name.as_str() {
                _ if value.is_empty() => return Err(format!("{name} is empty")),
                "cacert" => all.ca = Some(value.into()),
                "cert" => certificate = Some(PathBuf::from(value)),
                "key" => key = Some(PathBuf::from(value)),
                "servername" => all.server = Some(value.clone()),
                "tlsdir" => {
                    let folder = Path::new(value);
                    if !folder.is_dir() {
                        return Err(format!("tlsdir: {value} is no folder"));
                    }
                    let file = |name: &str| Some(folder.join(name)).filter(|path| path.exists());
                    all.ca = all.ca.or_else(|| file("ca.pem"));
                    certificate = certificate.or_else(|| file("cert.pem"));
                    key = key.or_else(|| file("key.pem"));
                }
                _ => {
                    return Err(format!("unknown option {name:?}: cacert, cert, key, servername or tlsdir"));
                }
            }
        }
        all.own = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err("cert and key belong together".to_owned()),
        };
        Ok(Some(all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let host = |name: &str| Host { name: name.into(), ..Host::default() };
        let whole =
            Host { user: Some("u".into()), port: Some(22), socket: Some("/run/b.sock".into()), ..host("h") };
        for (text, place) in [
            ("tcp://h:1234", Place::Tcp("h".into(), 1234)),
            ("tcp://[::1]:1", Place::Tcp("::1".into(), 1)),
            ("unix:///run/b.sock", Place::Unix("/run/b.sock".into())),
            ("ssh://h", Place::Ssh(host("h"))),
            ("ssh://h/", Place::Ssh(host("h"))),
            ("ssh://u@h:22/run/b.sock", Place::Ssh(whole)),
        ] {
            assert_eq!(Place::parse(text), Ok(place), "{text}");
        }
        for (text, why) in [
            ("mine", "no builders by name"),
            ("tcp://h", "a host and a port"),
            ("tcp://h:0", "no port"),
            ("tcp://h:x", "\"x\" is no port"),
            ("tcp://u@h:1", "a host and a port"),
            ("tcp://:1", "no host"),
            ("unix://b.sock", "absolute"),
            ("ssh://u:p@h", "password"),
            ("ssh://h/s?x", "follow"),
            ("kube-pod://x", "kube-pod:// is not supported"),
        ] {
            assert!(Place::parse(text).unwrap_err().contains(why), "{text}");
        }
    }

    #[test]
    fn certificates() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        let parse = |all: &[(&str, &str)]| {
            let all: Vec<_> = all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            Certificates::parse(&all)
        };
        assert_eq!(parse(&[]), Ok(None));
        let folder =
            parse(&[("tlsdir", dir.path().to_str().unwrap()), ("cacert", "other"), ("servername", "s")]);
        let own = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let expected = Certificates { ca: Some("other".into()), own: Some(own), server: Some("s".into()) };
        assert_eq!(folder, Ok(Some(expected)));
        for (given, why) in [
            (("cert", "c"), "belong together"),
            (("cacert", ""), "cacert is empty"),
            (("tlsdir", "/none"), "/none is no folder"),
            (("ca", "c"), "unknown option \"ca\""),
        ] {
            assert!(parse(&[given]).unwrap_err().contains(why), "{given:?}");
        }
    }
}
