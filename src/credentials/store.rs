//! Credentials are kept where Docker keeps them: by a helper of the user's, else in `config.json`, whose other keys stay
//! as they are.

use super::{Credentials, CredentialsError, File, TOKEN_USER, call, canonical, key, path};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize as _;
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where credentials were put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// By the helper with this name.
    Helper(String),
    /// In this file, where everybody reads them who can read the file.
    File(PathBuf),
}

/// Keeps the user's credentials for a registry (`docker.io`, `localhost:5000`).
///
/// # Errors
/// A file that cannot be read or written, or is not valid; a helper that fails or hangs.
pub async fn save(host: &str, credentials: &Credentials) -> Result<Kept, CredentialsError> {
    let (path, file) = own().await?;
    if let Some(helper) = file.helper(host) {
        let helper = format!("docker-credential-{helper}");
        let username = if credentials.username.is_empty() { TOKEN_USER } else { &credentials.username };
        let entry = json!({ "ServerURL": key(host), "Username": username, "Secret": credentials.secret });
        call(&helper, "store", &entry.to_string()).await?;
        return Ok(Kept::Helper(helper));
    }
    let entry = match credentials.username.is_empty() {
        true => json!({ "identitytoken": credentials.secret }),
        false => {
            let pair = format!("{}:{}", credentials.username, credentials.secret);
            json!({ "auth": STANDARD.encode(pair) })
        }
    };
    change(path.clone(), host.to_owned(), Some(entry)).await?;
    Ok(Kept::File(path))
}

/// Forgets the credentials for a registry; answers whether there were any.
///
/// # Errors
/// A file that cannot be read or written, or is not valid; a helper that fails or hangs.
pub async fn erase(host: &str) -> Result<bool, CredentialsError> {
    let (path, file) = own().await?;
    let mut known = false;
    if let Some(helper) = file.helper(host) {
        let helper = format!("docker-credential-{helper}");
        known = super::ask(&helper, key(host)).await?.is_some();
        if known {
            call(&helper, "erase", key(host)).await?;
        }
    }
    let host = canonical(host);
    if file.auths.keys().any(|name| canonical(name) == host) {
        change(path, host, None).await?;
        known = true;
    }
    Ok(known)
}

/// Docker's file, which need not be there.
async fn own() -> Result<(PathBuf, File), CredentialsError> {
    let path = path().ok_or(CredentialsError::Homeless)?;
    match tokio::fs::read_to_string(&path).await {
        Ok(text) if text.trim().is_empty() => Ok((path, File::default())),
        Ok(text) => match serde_json::from_str(&text) {
            Ok(file) => Ok((path, file)),
            Err(source) => Err(CredentialsError::Parse { path, source }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, File::default())),
        Err(source) => Err(CredentialsError::Read { path, source }),
    }
}

/// Puts an entry into the file, or takes it out.
async fn change(path: PathBuf, host: String, entry: Option<Value>) -> Result<(), CredentialsError> {
    let changed = tokio::task::spawn_blocking(move || change_file(&path, &host, entry));
    changed.await.unwrap_or_else(|died| {
        Err(CredentialsError::Write { path: PathBuf::new(), source: io::Error::other(died) })
    })
}

fn change_file(path: &Path, host: &str, entry: Option<Value>) -> Result<(), CredentialsError> {
    // A link, as those have it who keep their settings elsewhere, stays one.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut file: Map<String, Value> = match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().is_empty() => Map::new(),
        Ok(text) => serde_json::from_str(&text)
            .map_err(|source| CredentialsError::Parse { path: path.clone(), source })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Map::new(),
        Err(source) => return Err(CredentialsError::Read { path, source }),
    };
    let auths = file.entry("auths").or_insert_with(|| json!({}));
    if !auths.is_object() {
        *auths = json!({});
    }
    if let Some(auths) = auths.as_object_mut() {
        let wanted = canonical(host);
        auths.retain(|name, _| canonical(name) != wanted);
        if let Some(entry) = entry {
            auths.insert(key(host).to_owned(), entry);
        }
    }
    write(&path, &file).map_err(|source| CredentialsError::Write { path, source })
}

/// Replaces the file as a whole, for its owner only.
fn write(path: &Path, file: &Map<String, Value>) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)?;
    // Temporary files are for their owner only.
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    let form = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    file.serialize(&mut serde_json::Serializer::with_formatter(&mut temporary, form))?;
    temporary.write_all(b"\n")?;
    temporary.as_file().sync_all()?;
    temporary.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_keys_stay_as_they_are() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.json");
        let entry = || Some(json!({ "auth": "YTpi" }));
        change_file(&path, "localhost:5000", entry()).unwrap();
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            "{\n\t\"auths\": {\n\t\t\"localhost:5000\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t}\n}\n"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        }
        let kept = json!({
            "zebra": [1, {"x": null}],
            "auths": {"https://index.docker.io/v1/": {"auth": "eDp5"}, "http://localhost:5000/v2/": {}},
            "credsStore": "",
            "alpha": "ä",
        });
        std::fs::write(&path, kept.to_string()).unwrap();
        change_file(&path, "localhost:5000", entry()).unwrap();
        change_file(&path, "docker.io", None).unwrap();
        let read: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let keys: Vec<&String> = read.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["zebra", "auths", "credsStore", "alpha"]);
        assert_eq!(read["auths"], json!({"localhost:5000": {"auth": "YTpi"}}));
        assert_eq!(read["zebra"], kept["zebra"]);
        std::fs::write(&path, "{").unwrap();
        let error = change_file(&path, "x", entry()).unwrap_err();
        assert!(error.to_string().contains("is not valid"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{");
    }
}
