//! The files of a build: directories, and whatever is on standard input. They are checked before anybody is asked to
//! build.

use super::session::{self, Archive, Offer};
use super::{BuildError, Options};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes from which an archive is told.
const HEAD: usize = 512;
/// Bytes of a tar header in which its magic word is.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;
const DOCKERFILE: &str = "Dockerfile";

/// Files for one build; what is temporary goes away with it.
pub struct Inputs {
    pub(super) offer: Offer,
    pub(super) attributes: HashMap<String, String>,
    _temporary: Option<TempDir>,
}

impl Inputs {
    /// Finds out what the context is. Standard input is only read if it is meant.
    pub async fn prepare(options: &Options, stdin: Archive) -> Result<Self, BuildError> {
        options.names()?;
        let from_stdin = options.file.as_deref() == Some("-");
        match (options.context.as_str(), from_stdin) {
            ("-", true) => Err(BuildError::TwiceStdin),
            ("-", false) => Self::from_stdin(options, stdin).await,
            (context, true) => {
                let directory = directory(context)?;
                let text = read(stdin).await?;
                let temporary = Temporary::new()?;
                temporary.write(&text)?;
                Ok(temporary.inputs(directory))
            }
            (context, false) => {
                let directory = directory(context)?;
                let (place, name) = dockerfile(&directory, options.file.as_deref())?;
                Ok(Self::new(directory, place, name, None))
            }
        }
    }

    async fn from_stdin(options: &Options, mut stdin: Archive) -> Result<Self, BuildError> {
        let mut head = Vec::with_capacity(HEAD);
        let limit = u64::try_from(HEAD).unwrap_or(u64::MAX);
        (&mut stdin).take(limit).read_to_end(&mut head).await.map_err(BuildError::Stdin)?;
        if head.is_empty() {
            return Err(BuildError::EmptyStdin);
        }
        let is_archive = is_archive(&head);
        let whole = io::Cursor::new(head).chain(stdin);
        if is_archive {
            let mut attributes = HashMap::from([("context".to_owned(), session::ADDRESS.to_owned())]);
            attributes.extend(options.file.iter().map(|file| ("filename".to_owned(), file.clone())));
            let offer = Offer { archive: Some(Box::new(whole)), ..Offer::default() };
            return Ok(Self { offer, attributes, _temporary: None });
        }
        if options.file.is_some() {
            return Err(BuildError::TwiceDockerfile);
        }
        let text = read(whole).await?;
        let temporary = Temporary::new()?;
        temporary.write(&text)?;
        let empty = temporary.0.path().join("context");
        fs::create_dir(&empty).map_err(|source| BuildError::Prepare { path: empty.clone(), source })?;
        Ok(temporary.inputs(empty))
    }

    fn new(context: PathBuf, place: PathBuf, name: String, temporary: Option<TempDir>) -> Self {
        let shared_key = hex(&Sha256::digest(context.as_os_str().as_encoded_bytes()));
        let directories = HashMap::from([("context".to_owned(), context), ("dockerfile".to_owned(), place)]);
        Self {
            offer: Offer { directories, archive: None, shared_key },
            attributes: HashMap::from([("filename".to_owned(), name)]),
            _temporary: temporary,
        }
    }
}

/// Holds a Dockerfile that came on standard input.
struct Temporary(TempDir);

impl Temporary {
    fn new() -> Result<Self, BuildError> {
        let made = tempfile::Builder::new().prefix("k3c-build-").tempdir();
        made.map(Self).map_err(BuildError::Temporary)
    }

    fn place(&self) -> PathBuf {
        self.0.path().join("dockerfile")
    }

    fn write(&self, text: &[u8]) -> Result<(), BuildError> {
        let path = self.place().join(DOCKERFILE);
        fs::create_dir(self.place())
            .and_then(|()| fs::write(&path, text))
            .map_err(|source| BuildError::Prepare { path, source })
    }

    fn inputs(self, context: PathBuf) -> Inputs {
        Inputs::new(context, self.place(), DOCKERFILE.to_owned(), Some(self.0))
    }
}

async fn read(mut stdin: impl AsyncRead + Unpin) -> Result<Vec<u8>, BuildError> {
    let mut text = Vec::new();
    stdin.read_to_end(&mut text).await.map_err(BuildError::Stdin)?;
    Ok(text)
}

fn directory(context: &str) -> Result<PathBuf, BuildError> {
    let remote = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    match fs::metadata(context) {
        Ok(data) if data.is_dir() => {}
        Ok(_) => return Err(BuildError::NotADirectory(context.to_owned())),
        Err(_) if remote.iter().any(|start| context.starts_with(start)) => {
            return Err(BuildError::Remote(context.to_owned()));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(BuildError::Context(context.to_owned()));
        }
        Err(source) => return Err(BuildError::Prepare { path: context.into(), source }),
    }
    fs::canonicalize(context).map_err(|source| BuildError::Prepare { path: context.into(), source })
}

/// The directory and the name of the Dockerfile; `-f` is relative to where the user is, not to the context.
fn dockerfile(context: &Path, file: Option<&str>) -> Result<(PathBuf, String), BuildError> {
    let path = file.map_or_else(|| context.join(DOCKERFILE), PathBuf::from);
    let missing = || BuildError::Dockerfile(file.unwrap_or(DOCKERFILE).to_owned());
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?.to_owned();
    let place = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // The frontend takes the lower-case name too.
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    if !(is_there(&path) || name == DOCKERFILE && is_there(&place.join(DOCKERFILE.to_lowercase()))) {
        return Err(missing());
    }
    let place =
        fs::canonicalize(place).map_err(|source| BuildError::Prepare { path: place.to_owned(), source })?;
    Ok((place, name))
}

/// A tar archive, compressed or not.
fn is_archive(head: &[u8]) -> bool {
    const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"];
    COMPRESSED.iter().any(|magic| head.starts_with(magic)) || head.get(TAR_MAGIC) == Some(b"ustar")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(context: impl Into<String>, file: Option<&str>) -> Options {
        Options { context: context.into(), file: file.map(str::to_owned), ..Options::default() }
    }

    async fn prepared(options: Options, stdin: &[u8]) -> Result<Inputs, BuildError> {
        Inputs::prepare(&options, Box::new(io::Cursor::new(stdin.to_vec()))).await
    }

    async fn refused(options: Options, stdin: &[u8]) -> String {
        prepared(options, stdin).await.err().expect("refused").to_string()
    }

    #[tokio::test]
    async fn mistakes_in_dockers_words() {
        let dir = tempfile::tempdir().unwrap();
        let context = dir.path().to_str().unwrap();
        let none = format!("{context}/none");
        assert_eq!(
            refused(options(none.as_str(), None), b"").await,
            format!("unable to prepare context: path {none:?} not found")
        );
        assert_eq!(
            refused(options(context, None), b"").await,
            "failed to solve: failed to read dockerfile: open Dockerfile: no such file or directory"
        );
        assert!(refused(options(context, Some(&none)), b"").await.contains(&format!("open {none}: no such")));
        assert!(refused(options("-", Some("-")), b"").await.contains("can't use stdin for both"));
        assert!(refused(options("-", Some("x")), b"FROM x").await.contains("ambiguous Dockerfile source"));
        assert!(refused(options("-", None), b"").await.contains("empty"));
        assert!(refused(options("https://x/y.git", None), b"").await.contains("not supported"));
        let tagged = Options { tags: vec!["x/UP".into()], ..options(context, None) };
        assert!(refused(tagged, b"").await.starts_with("invalid tag \"x/UP\": "));
    }

    #[tokio::test]
    async fn where_files_come_from() {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        fs::create_dir_all(root.join("context")).unwrap();
        fs::create_dir_all(root.join("files")).unwrap();
        fs::write(root.join("context/dockerfile"), "FROM a").unwrap();
        fs::write(root.join("files/My.dockerfile"), "FROM a").unwrap();
        let context = root.join("context").to_str().unwrap().to_owned();
        let of = |inputs: &Inputs, name: &str| inputs.offer.directories.get(name).unwrap().clone();

        let plain = prepared(options(&context, None), b"").await.unwrap();
        assert_eq!(of(&plain, "dockerfile"), root.join("context"));
        assert_eq!(plain.attributes["filename"], "Dockerfile");

        let file = root.join("files/My.dockerfile");
        let outside = prepared(options(&context, file.to_str()), b"").await.unwrap();
        assert_eq!(
            (of(&outside, "context"), of(&outside, "dockerfile")),
            (root.join("context"), root.join("files"))
        );
        assert_eq!(outside.attributes["filename"], "My.dockerfile");
        assert_eq!(outside.offer.shared_key, plain.offer.shared_key);

        for (options, has_context) in [(options(&context, Some("-")), true), (options("-", None), false)] {
            let inputs = prepared(options, b"FROM scratch\n").await.unwrap();
            let place = of(&inputs, "dockerfile");
            assert_eq!(fs::read_to_string(place.join("Dockerfile")).unwrap(), "FROM scratch\n");
            assert_eq!(of(&inputs, "context") == root.join("context"), has_context);
            drop(inputs);
            assert!(!place.exists());
        }

        let mut tar = tar::Builder::new(Vec::new());
        tar.append_dir("x", &root).unwrap();
        let tar = tar.into_inner().unwrap();
        let archive = prepared(options("-", Some("sub/Dockerfile")), &tar).await.unwrap();
        assert_eq!(archive.attributes["filename"], "sub/Dockerfile");
        assert_eq!(archive.attributes["context"], session::ADDRESS);
        let mut sent = Vec::new();
        archive.offer.archive.unwrap().read_to_end(&mut sent).await.unwrap();
        assert_eq!(sent, tar);
    }
}
