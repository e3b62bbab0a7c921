//! Credentials for registries, as Docker's `config.json` and its helpers have them. Read when they are needed, so that
//! what a person changes counts at once.

use crate::config::env;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The registry of short names, and how the configuration calls it.
const HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
const HUB_KEY: &str = "https://index.docker.io/v1/";
/// The user's name when the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// For one registry. An identity token has no user name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Who.
    pub username: String,
    /// The password or identity token.
    pub secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why they cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file is there and cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{path} is not valid: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// An `auth` entry.
    #[error("{path}: the entry for {host} is not valid")]
    Entry {
        /// The file.
        path: PathBuf,
        /// Whose.
        host: String,
    },
    /// A helper that is configured and cannot be started.
    #[error("cannot run {helper}: {source}")]
    Start {
        /// Its name.
        helper: String,
        /// Why.
        source: io::Error,
    },
    /// A helper that says no.
    #[error("{helper} failed ({status}): {text}")]
    Helper {
        /// Its name.
        helper: String,
        /// How.
        status: ExitStatus,
        /// What it said.
        text: String,
    },
    /// A helper that says something else.
    #[error("{helper} answered with something that is not valid: {source}")]
    Answer {
        /// Its name.
        helper: String,
        /// Why.
        source: serde_json::Error,
    },
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct File {
    auths: HashMap<String, Entry>,
    creds_store: String,
    cred_helpers: HashMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// What the user has for a registry (`docker.io`, `localhost:5000`), if anything.
pub async fn lookup(host: &str) -> Result<Option<Credentials>, CredentialsError> {
    let Some(path) = path() else { return Ok(None) };
    let text = match tokio::fs::read_to_string(&path).await {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(CredentialsError::Read { path, source }),
    };
    let file: File = serde_json::from_str(&text)
        .map_err(|source| CredentialsError::Parse { path: path.clone(), source })?;
    let key = if HUB.contains(&host) { HUB_KEY } else { host };
    match file.helper(key) {
        Some(helper) => ask(&format!("docker-credential-{helper}"), key).await,
        None => file.entry(&path, key),
    }
}

/// A text setting of Docker's own file that is for the command line, such as `detachKeys`. A file that cannot be read
/// says so where credentials are needed; here it has none.
pub fn setting(key: &str) -> Option<String> {
    settings()?[key].as_str().map(str::to_owned)
}

/// The proxies of that file, as the environment of containers and builds has them: `HTTP_PROXY=…`.
pub fn proxies() -> Vec<(String, String)> {
    settings().map_or_else(Vec::new, |file| proxies_of(&file["proxies"]["default"]))
}

fn proxies_of(entry: &serde_json::Value) -> Vec<(String, String)> {
    let known = ["httpProxy", "httpsProxy", "ftpProxy", "noProxy", "allProxy"];
    let upper = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];
    let set = known.iter().zip(upper).filter_map(|(key, name)| Some((name, entry[key].as_str()?)));
    set.filter(|(_, value)| !value.is_empty())
        .flat_map(|(name, value)| [name.to_owned(), name.to_lowercase()].map(|name| (name, value.to_owned())))
        .collect()
}

fn settings() -> Option<serde_json::Value> {
    let text = std::fs::read_to_string(path()?).ok()?;
    serde_json::from_str(&text).ok()
}

/// `config.json`
fn path() -> Option<PathBuf> {
    let dir = match std::env::var_os(env::DOCKER_CONFIG).filter(|dir| !dir.is_empty()) {
        Some(dir) => PathBuf::from(dir),
        None => directories::BaseDirs::new()?.home_dir().join(".docker"),
    };
    Some(dir.join("config.json"))
}

impl File {
    fn helper(&self, key: &str) -> Option<&str> {
        let own = self.cred_helpers.iter().find(|(name, _)| same(name, key)).map(|(_, helper)| helper);
        own.or(Some(&self.creds_store)).map(String::as_str).filter(|helper| !helper.is_empty())
    }

    fn entry(&self, path: &Path, key: &str) -> Result<Option<Credentials>, CredentialsError> {
        let exact = self.auths.get_key_value(key);
        let Some((name, entry)) = exact.or_else(|| self.auths.iter().find(|(name, _)| same(name, key)))
        else {
            return Ok(None);
        };
        if !entry.identitytoken.is_empty() {
            return Ok(Some(Credentials { username: String::new(), secret: entry.identitytoken.clone() }));
        }
        if entry.auth.is_empty() {
            let plain = Credentials { username: entry.username.clone(), secret: entry.password.clone() };
            return Ok(Some(plain).filter(|c| *c != Credentials::default()));
        }
        let decoded = STANDARD.decode(&entry.auth).or_else(|_| STANDARD_NO_PAD.decode(&entry.auth));
        let text = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match text.as_deref().and_then(|text| text.split_once(':')) {
            Some((username, secret)) => Ok(Some(Credentials {
                username: username.to_owned(),
                secret: secret.trim_end_matches('\0').to_owned(),
            })),
            None => Err(CredentialsError::Entry { path: path.to_owned(), host: name.clone() }),
        }
    }
}

/// Old entries have a scheme and a path.
fn same(name: &str, key: &str) -> bool {
    let host = |text: &str| -> String {
        let bare = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
        bare.split('/').next().unwrap_or_default().to_owned()
    };
    name == key || host(name) == host(key)
}

/// Speaks the helpers' protocol: the registry on standard input, JSON on standard output.
async fn ask(helper: &str, key: &str) -> Result<Option<Credentials>, CredentialsError> {
    let start = |source| CredentialsError::Start { helper: helper.to_owned(), source };
    let mut child = Command::new(helper)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read ends with an error of its own.
        let _ = stdin.write_all(key.as_bytes()).await;
    }
    let output = child.wait_with_output().await.map_err(start)?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&said).trim().to_owned();
        return match text.contains("credentials not found") {
            true => Ok(None),
            false => Err(CredentialsError::Helper { helper: helper.to_owned(), status: output.status, text }),
        };
    }
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|source| CredentialsError::Answer { helper: helper.to_owned(), source })?;
    let username = if answer.username == TOKEN_USER { String::new() } else { answer.username };
    Ok(Some(Credentials { username, secret: answer.secret }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_in_both_cases() {
        let entry = serde_json::json!({"httpProxy": "p:1", "noProxy": "", "other": "x"});
        let expected = [("HTTP_PROXY", "p:1"), ("http_proxy", "p:1")];
        assert_eq!(proxies_of(&entry), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn entries() {
        let text = r#"{
            "auths": {
                "https://index.docker.io/v1/": {"auth": "YTpi"},
                "localhost:5000": {"username": "u", "password": "p"},
                "https://old.example/v2/": {"identitytoken": "t", "auth": "YTo="},
                "bad.example": {"auth": "YQ=="},
                "empty.example": {}
            },
            "credHelpers": {"helped.example": "x"},
            "detachKeys": "ctrl-a"
        }"#;
        let file: File = serde_json::from_str(text).unwrap();
        let of = |key: &str| file.entry(Path::new("config.json"), key);
        let made = |username: &str, secret: &str| {
            Some(Credentials { username: username.to_owned(), secret: secret.to_owned() })
        };
        assert_eq!(of(HUB_KEY).unwrap(), made("a", "b"));
        assert_eq!(of("localhost:5000").unwrap(), made("u", "p"));
        assert_eq!(of("old.example").unwrap(), made("", "t"));
        assert_eq!(of("empty.example").unwrap(), None);
        assert_eq!(of("other.example").unwrap(), None);
        assert!(of("bad.example").is_err());
        assert_eq!((file.helper("helped.example"), file.helper("x.example")), (Some("x"), None));
        let said = format!("{:?}", made("a", "geheim"));
        assert!(!said.contains("geheim"), "{said}");
    }
}
