//! Credentials for registries, as Docker's `config.json` and its helpers have them, and after those podman's
//! `auth.json`. Read when they are needed, so that what a person changes counts at once.

mod store;

pub use store::{Kept, erase, save};

use crate::config::env;
use crate::model::login::Login;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The registry of short names, and how the configuration calls it.
const HUB: [&str; 4] = ["docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"];
/// The registry of short names in the configuration, and as people see it.
pub const HUB_KEY: &str = "https://index.docker.io/v1/";
/// Longest time that a helper may take, in which it may also ask the user something.
const HELPER_LIMIT: Duration = Duration::from_secs(30);
/// The user's name when the secret is an identity token.
const TOKEN_USER: &str = "<token>";

/// Credentials for one registry. An identity token has no user name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name at the registry.
    pub username: String,
    /// The password or identity token.
    pub secret: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}

/// An error on the way to credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The file is there and cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not JSON of the right form.
    #[error("{path} is not valid: {source}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: serde_json::Error,
    },
    /// An `auth` entry that is not base64 of a name and a password.
    #[error("{path}: the entry for {host} is not valid")]
    Entry {
        /// The file.
        path: PathBuf,
        /// The registry, as the file has it.
        host: String,
    },
    /// A helper that is configured and cannot be started.
    #[error("cannot run {helper}: {source}")]
    Start {
        /// The helper's name.
        helper: String,
        /// The cause.
        source: io::Error,
    },
    /// A helper that says no.
    #[error("{helper} failed ({status}): {text}")]
    Helper {
        /// The helper's name.
        helper: String,
        /// Exit status of the helper.
        status: ExitStatus,
        /// Words of the helper.
        text: String,
    },
    /// A helper that does not end.
    #[error("{helper} does not answer: it was ended after {} s", limit.as_secs())]
    Hangs {
        /// The helper's name.
        helper: String,
        /// The time that it had.
        limit: Duration,
    },
    /// The file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no place for the file.
    #[error("cannot tell where config.json is: neither HOME nor DOCKER_CONFIG is set")]
    Homeless,
    /// A helper that says something else.
    #[error("{helper} answered with something that is not valid: {source}")]
    Answer {
        /// The helper's name.
        helper: String,
        /// The cause.
        source: serde_json::Error,
    },
}

impl From<Credentials> for Login {
    fn from(found: Credentials) -> Self {
        match found.username.is_empty() {
            true => Self::IdentityToken(found.secret),
            false => Self::Password { username: found.username, password: found.secret },
        }
    }
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

/// Credentials of the user for a registry (`docker.io`, `localhost:5000`), if there are any; for a `repository` in it
/// (`localhost:5000/team/app`), those for the repository or for the namespace that it is in.
///
/// # Errors
/// A file that is there and cannot be read or is not valid; a helper that fails.
pub async fn lookup(host: &str, repository: Option<&str>) -> Result<Option<Credentials>, CredentialsError> {
    let keys = keys(host, repository);
    for path in files() {
        let text = match tokio::fs::read_to_string(&path).await {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(CredentialsError::Read { path, source }),
        };
        let file: File = serde_json::from_str(&text)
            .map_err(|source| CredentialsError::Parse { path: path.clone(), source })?;
        let found = match file.helper(host) {
            Some(helper) => ask(&format!("docker-credential-{helper}"), key(host)).await?,
            None => file.entry(&path, &keys)?,
        };
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// The registry's name as the configuration and its helpers have it.
fn key(host: &str) -> &str {
    if HUB.contains(&host) { HUB_KEY } else { host }
}

/// The names that an entry may have, the closest first, as [`canonical`] has them.
fn keys(host: &str, repository: Option<&str>) -> Vec<String> {
    let host = canonical(host);
    let mut name = match repository {
        Some(repository) if repository.split('/').next() == Some(host.as_str()) => repository.to_owned(),
        _ => host,
    };
    let mut keys = vec![name.clone()];
    while let Some((above, _)) = name.rsplit_once('/') {
        name = above.to_owned();
        keys.push(name.clone());
    }
    keys
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

/// Docker's file, then podman's: the one that a variable names, or that of the session and the one that stays.
fn files() -> Vec<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let podmans = match variable(env::REGISTRY_AUTH_FILE) {
        Some(file) => vec![file],
        None => {
            let base = directories::BaseDirs::new();
            let session = base.as_ref().and_then(|base| base.runtime_dir()).map(Path::to_path_buf);
            let stays = base.as_ref().map(|base| base.config_dir().to_path_buf());
            [session, stays].into_iter().flatten().map(|dir| dir.join("containers/auth.json")).collect()
        }
    };
    path().into_iter().chain(podmans).collect()
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
    fn helper(&self, host: &str) -> Option<&str> {
        let host = canonical(host);
        let own =
            self.cred_helpers.iter().find(|(name, _)| canonical(name) == host).map(|(_, helper)| helper);
        own.or(Some(&self.creds_store)).map(String::as_str).filter(|helper| !helper.is_empty())
    }

    /// The entry with the first of these keys that there is.
    fn entry(&self, path: &Path, keys: &[String]) -> Result<Option<Credentials>, CredentialsError> {
        let of = |key: &String| self.auths.iter().find(|(name, _)| canonical(name) == *key);
        let Some((name, entry)) = keys.iter().find_map(of) else {
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

/// The name of an entry without what old files have around it: a scheme with a path behind the host, or the API's
/// version. The registry of short names has one name only.
fn canonical(name: &str) -> String {
    let bare = match name.split_once("://") {
        Some((_, rest)) => rest.split('/').next().unwrap_or_default(),
        None => {
            let name = name.trim_end_matches('/');
            name.strip_suffix("/v1").or_else(|| name.strip_suffix("/v2")).unwrap_or(name)
        }
    };
    let (host, path) = bare.split_once('/').map_or((bare, ""), |(host, path)| (host, path));
    let host = if HUB.contains(&host) { HUB[0] } else { host };
    if path.is_empty() { host.to_owned() } else { format!("{host}/{path}") }
}

/// Asks a helper for what it keeps for a registry.
async fn ask(helper: &str, key: &str) -> Result<Option<Credentials>, CredentialsError> {
    let said = match call(helper, "get", key).await {
        Err(CredentialsError::Helper { text, .. }) if text.contains("credentials not found") => {
            return Ok(None);
        }
        said => said?,
    };
    let answer: Answer = serde_json::from_slice(&said)
        .map_err(|source| CredentialsError::Answer { helper: helper.to_owned(), source })?;
    let username = if answer.username == TOKEN_USER { String::new() } else { answer.username };
    Ok(Some(Credentials { username, secret: answer.secret }))
}

/// Speaks the helpers' protocol: what it is about on standard input, JSON on standard output.
async fn call(helper: &str, verb: &str, input: &str) -> Result<Vec<u8>, CredentialsError> {
    call_within(HELPER_LIMIT, helper, verb, input).await
}

async fn call_within(
    limit: Duration,
    helper: &str,
    verb: &str,
    input: &str,
) -> Result<Vec<u8>, CredentialsError> {
    let start = |source| CredentialsError::Start { helper: helper.to_owned(), source };
    #[expect(clippy::disallowed_methods, reason = "the user's credential helpers are programs")]
    let mut child = Command::new(helper)
        .arg(verb)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read ends with an error of its own.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    // One that is not waited for any more is killed.
    let Ok(output) = tokio::time::timeout(limit, child.wait_with_output()).await else {
        return Err(CredentialsError::Hangs { helper: helper.to_owned(), limit });
    };
    let output = output.map_err(start)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&said).trim().to_owned();
    Err(CredentialsError::Helper { helper: helper.to_owned(), status: output.status, text })
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

    #[cfg(unix)]
    #[tokio::test]
    async fn a_helper_that_hangs_is_ended() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let helper = dir.path().join("docker-credential-hangs");
        std::fs::write(&helper, "#!/bin/sh\nexec sleep 60\n").unwrap();
        std::fs::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
        let limit = Duration::from_secs(1);
        let error = call_within(limit, helper.to_str().unwrap(), "get", "x").await.unwrap_err();
        assert!(error.to_string().ends_with("does not answer: it was ended after 1 s"), "{error}");
    }

    #[test]
    fn entries() {
        let text = r#"{
            "auths": {
                "https://index.docker.io/v1/": {"auth": "YTpi"},
                "localhost:5000": {"username": "u", "password": "p"},
                "https://old.example/v2/": {"identitytoken": "t", "auth": "YTo="},
                "bad.example": {"auth": "YQ=="},
                "team.example/a": {"auth": "YTpi"},
                "team.example/a/b": {"auth": "Yzpk"},
                "api.example/v2/": {"auth": "YTpi"},
                "empty.example": {}
            },
            "credHelpers": {"helped.example": "x"},
            "detachKeys": "ctrl-a"
        }"#;
        let file: File = serde_json::from_str(text).unwrap();
        let of = |host: &str| file.entry(Path::new("config.json"), &keys(host, None));
        let below = |host: &str, repository: &str| {
            file.entry(Path::new("auth.json"), &keys(host, Some(repository))).unwrap()
        };
        let made = |username: &str, secret: &str| {
            Some(Credentials { username: username.to_owned(), secret: secret.to_owned() })
        };
        for host in ["docker.io", "registry-1.docker.io", HUB_KEY] {
            assert_eq!(of(host).unwrap(), made("a", "b"), "{host}");
        }
        assert_eq!(of("api.example").unwrap(), made("a", "b"));
        assert_eq!(below("team.example", "team.example/a/b"), made("c", "d"));
        assert_eq!(below("team.example", "team.example/a/b/c"), made("c", "d"));
        assert_eq!(below("team.example", "team.example/a/x"), made("a", "b"));
        assert_eq!(below("team.example", "team.example/x"), None);
        assert_eq!(below("localhost:5000", "localhost:5000/x"), made("u", "p"));
        assert_eq!(below("registry-1.docker.io", "docker.io/library/x"), made("a", "b"));
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
