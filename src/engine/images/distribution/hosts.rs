//! The user's settings of a registry, as containerd reads them: `hosts.toml`, or certificates as Docker has them.

use crate::engine::error::EngineError;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::{Table, Value};

/// A host that is asked for a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    /// Schemes in the order in which they are tried: the second one where nothing says which it is.
    pub(super) schemes: Vec<&'static str>,
    /// Host, with its port if that is not the scheme's.
    pub(super) authority: String,
    /// Front of all paths: `/v2` for the most part.
    pub(super) path: String,
    /// True when names are looked up there, and not content alone.
    pub(super) resolves: bool,
    /// Files of authorities' certificates.
    pub(super) authorities: Vec<PathBuf>,
    /// Files of our certificates, and of their keys if those are elsewhere.
    pub(super) certificates: Vec<(PathBuf, Option<PathBuf>)>,
    /// True when any certificate will do.
    pub(super) trusts_all: bool,
    /// Headers of each request.
    pub(super) headers: Vec<(String, String)>,
    /// Longest wait for a connection.
    pub(super) patience: Option<Duration>,
}

impl Host {
    /// True when it is on this machine, so that no proxy leads there.
    pub(super) fn is_local(&self) -> bool {
        is_local(&self.authority)
    }

    /// Lets any certificate do, and plain HTTP.
    pub(super) fn open_up(&mut self) {
        self.trusts_all = true;
        if self.schemes == ["https"] {
            self.schemes = vec!["https", "http"];
        }
    }

    /// A host without anything of its own.
    fn plain(domain: &str) -> Self {
        let authority = if domain == "docker.io" { "registry-1.docker.io" } else { domain };
        let mut host = Self {
            schemes: vec!["https"],
            authority: authority.to_owned(),
            path: "/v2".to_owned(),
            resolves: true,
            ..Self::default()
        };
        if is_local(domain) {
            match port(domain) {
                Some("80") => host.schemes = vec!["http"],
                None | Some("443") => host.trusts_all = true,
                Some(_) => (host.schemes, host.trusts_all) = (vec!["https", "http"], true),
            }
        }
        host
    }
}

/// The hosts of a registry, in the order in which they are asked.
pub(super) fn hosts(root: &Path, domain: &str) -> Result<Vec<Host>, EngineError> {
    let underscored = domain.rsplit_once(':').map(|(host, port)| format!("{host}_{port}_"));
    let names = underscored.iter().map(String::as_str).chain([domain, "_default"]);
    let Some(folder) = names.map(|name| root.join(name)).find(|folder| folder.exists()) else {
        return Ok(vec![Host::plain(domain)]);
    };
    let file = folder.join("hosts.toml");
    let bad = |why: String| EngineError::invalid(format!("{}: {why}", file.display()));
    match fs::read_to_string(&file) {
        Ok(text) if !text.is_empty() => parsed(&text, &folder, domain).map_err(bad),
        Ok(_) => certificates(&folder, domain),
        Err(error) if error.kind() == io::ErrorKind::NotFound => certificates(&folder, domain),
        Err(error) => Err(EngineError::file("cannot read", &file)(error)),
    }
}

/// Certificates in Docker's layout: `*.crt` of authorities, `*.cert` and `*.key` of ours.
fn certificates(folder: &Path, domain: &str) -> Result<Vec<Host>, EngineError> {
    let mut host = Host::plain(domain);
    let entries = fs::read_dir(folder).map_err(EngineError::file("cannot read", folder))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    for file in files {
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => host.authorities.push(file),
            Some("cert") => {
                let key = file.with_extension("key");
                let key = key.exists().then_some(key);
                host.certificates.push((file, key));
            }
            _ => {}
        }
    }
    Ok(vec![host])
}

/// The hosts of a `hosts.toml`: each `[host.*]` in its order, and last the server.
fn parsed(text: &str, folder: &Path, domain: &str) -> Result<Vec<Host>, String> {
    let file: Table = text.parse().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let mut hosts = Vec::new();
    if let Some(table) = file.get("host") {
        for (url, settings) in table.as_table().ok_or("host is no table")? {
            let settings = settings.as_table().ok_or_else(|| format!("host.{url:?} is no table"))?;
            hosts.push(host(url, settings, folder, domain)?);
        }
    }
    let server = file.get("server").map_or(Ok(""), |server| server.as_str().ok_or("server is no text"))?;
    hosts.push(host(server, &file, folder, domain)?);
    Ok(hosts)
}

fn host(url: &str, settings: &Table, folder: &Path, domain: &str) -> Result<Host, String> {
    let mut host = Host::plain(domain);
    let flag = |key: &str| settings.get(key).and_then(Value::as_bool);
    if !url.is_empty() {
        let (scheme, rest) = match url.split_once("://") {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            Some((other, _)) => return Err(format!("{other:?} is no scheme of a registry")),
            None => ("https", url),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let path = path.trim_matches('/');
        let path = if path.is_empty() { String::new() } else { format!("/{path}") };
        host.path = match flag("override_path").unwrap_or_default() || path.ends_with("/v2") {
            true => path,
            false => path + "/v2",
        };
        (host.schemes, host.authority, host.trusts_all) = (vec![scheme], authority.to_owned(), false);
    }
    if let Some(all) = flag("skip_verify") {
        host.trusts_all = all;
    }
    let capabilities = settings.get("capabilities").map(texts).transpose()?.unwrap_or_default();
    host.resolves = capabilities.is_empty() || capabilities.iter().any(|word| word == "resolve");
    let place = |name: &String| folder.join(name);
    if let Some(files) = settings.get("ca") {
        host.authorities = texts(files)?.iter().map(place).collect();
    }
    if let Some(client) = settings.get("client") {
        let pairs: Vec<Vec<String>> = match client {
            Value::Array(entries) => entries.iter().map(texts).collect::<Result<_, _>>()?,
            one => vec![texts(one)?],
        };
        for pair in pairs {
            match pair.as_slice() {
                [both] => host.certificates.push((place(both), None)),
                [certificate, key] => host.certificates.push((place(certificate), Some(place(key)))),
                _ => return Err("client is neither a file nor a pair of files".to_owned()),
            }
        }
    }
    for (name, values) in settings.get("header").and_then(Value::as_table).into_iter().flatten() {
        host.headers.extend(texts(values)?.into_iter().map(|value| (name.clone(), value)));
    }
    if let Some(limit) = settings.get("dial_timeout") {
        let text = limit.as_str().unwrap_or_default();
        let read: Result<jiff::SignedDuration, _> = text.parse();
        let patience = read.ok().and_then(|limit| Duration::try_from(limit).ok());
        host.patience = Some(patience.ok_or_else(|| format!("dial_timeout: {text:?} is no duration"))?);
    }
    // With settings of TLS, an address of plain HTTP is only a guess.
    let secured = settings.contains_key("skip_verify") || !host.authorities.is_empty();
    if host.schemes == ["http"]
        && (secured || !host.certificates.is_empty())
        && port(&host.authority) != Some("80")
    {
        host.schemes = vec!["https", "http"];
    }
    Ok(host)
}

/// One text, or a list of them.
fn texts(value: &Value) -> Result<Vec<String>, String> {
    let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| format!("{value} is no text"));
    match value {
        Value::Array(values) => values.iter().map(text).collect(),
        one => Ok(vec![text(one)?]),
    }
}

fn port(authority: &str) -> Option<&str> {
    authority.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'))
}

fn is_local(authority: &str) -> bool {
    let host = match port(authority) {
        Some(port) => &authority[..authority.len() - port.len() - 1],
        None => authority,
    };
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_settings() {
        for (domain, authority, schemes, all) in [
            ("docker.io", "registry-1.docker.io", &["https"][..], false),
            ("registry.test:5000", "registry.test:5000", &["https"], false),
            ("localhost:5000", "localhost:5000", &["https", "http"], true),
            ("127.0.0.1:80", "127.0.0.1:80", &["http"], false),
            ("[::1]:5000", "[::1]:5000", &["https", "http"], true),
            ("localhost", "localhost", &["https"], true),
        ] {
            let host = Host::plain(domain);
            assert_eq!((host.authority.as_str(), &host.schemes[..]), (authority, schemes), "{domain}");
            assert_eq!((host.trusts_all, host.path.as_str()), (all, "/v2"), "{domain}");
        }
        assert!(Host::plain("[::1]:1").is_local() && !Host::plain("a.test").is_local());
    }

    #[test]
    fn a_file_of_hosts() {
        let text = r#"
            server = "https://upstream.test/root"
            ca = "ca.pem"
            [host."http://z.test:5000"]
            capabilities = ["pull", "resolve"]
            dial_timeout = "3s"
            [host."https://a.test/v2/mirror"]
            capabilities = ["pull"]
            override_path = true
            client = [["c.pem", "/k.pem"]]
            skip_verify = true
            [host."https://a.test/v2/mirror".header]
            x-one = "1"
            x-two = ["2", "3"]
        "#;
        let hosts = parsed(text, Path::new("/etc/r"), "r.test").unwrap();
        let [first, second, last] = hosts.as_slice() else { panic!("{hosts:?}") };
        assert_eq!(
            (first.authority.as_str(), &first.schemes[..], first.resolves),
            ("z.test:5000", &["http"][..], true)
        );
        assert_eq!((first.patience, first.path.as_str()), (Some(Duration::from_secs(3)), "/v2"));
        assert_eq!((second.path.as_str(), second.resolves, second.trusts_all), ("/v2/mirror", false, true));
        assert_eq!(second.certificates, [("/etc/r/c.pem".into(), Some("/k.pem".into()))]);
        let headers = [("x-one", "1"), ("x-two", "2"), ("x-two", "3")];
        assert_eq!(second.headers, headers.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!((last.authority.as_str(), last.path.as_str()), ("upstream.test", "/root/v2"));
        assert_eq!(last.authorities, [PathBuf::from("/etc/r/ca.pem")]);
        let only = parsed("[host.\"https://m.test\"]", Path::new("/"), "localhost:5000").unwrap();
        assert_eq!(only[1], Host::plain("localhost:5000"));
        let guessed =
            parsed("server = \"http://r.test:1\"\nskip_verify = true", Path::new("/"), "r.test").unwrap();
        assert_eq!(guessed[0].schemes, ["https", "http"]);
        for (text, why) in [
            ("server = 1", "server is no text"),
            ("server = \"ftp://x\"", "\"ftp\" is no scheme"),
            ("ca = 1", "1 is no text"),
            ("[host", ""),
            ("dial_timeout = \"soon\"", "\"soon\" is no duration"),
        ] {
            let said = parsed(text, Path::new("/"), "r.test").unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
