//! The files of a build: directories, and whatever is on standard input. They are checked before anybody is asked to
//! build.

use super::keys::Keepers;
use super::session::{self, Archive, Offer, Targets};
use super::stores::{LAYOUT, Stores};
use super::temporary::Temporary;
use super::{BuildError, Options, Output, private};
use crate::model::id::hex;
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
pub(super) const DOCKERFILE: &str = "Dockerfile";
/// The attribute for the context's folder, as buildx has it.
const FOLDER: &str = "vcs:localdir:context";
/// A frontend that hands the build on to another one hands on the contexts, too.
const FORWARD: &str = "moby.buildkit.frontend.contexts+forward";

/// Files for one build; what is temporary goes away with it.
pub struct Inputs {
    pub(super) offer: Offer,
    pub(super) attributes: HashMap<String, String>,
    /// Caches and images in folders.
    pub(super) stores: Stores,
    keepers: Keepers,
    _temporary: Option<TempDir>,
}

impl Inputs {
    /// Finds out what the contexts are. Standard input is only read if it is meant.
    ///
    /// # Errors
    /// A name, a context or a Dockerfile that is none; standard input that is not what it was said to be.
    pub async fn prepare(options: &Options, stdin: Archive, targets: Targets) -> Result<Self, BuildError> {
        options.exporters()?;
        private::check_secrets(&options.secrets)?;
        let mut inputs = Self::main(options, stdin).await?;
        inputs.offer.secrets.clone_from(&options.secrets);
        inputs.offer.agents = inputs.keepers.sockets(&options.agents).await?;
        let sinks = options.outputs.iter().map(Output::sink).enumerate();
        inputs.offer.sinks = sinks.filter_map(|(number, sink)| Some((number, sink?))).collect();
        inputs.offer.targets = targets;
        inputs.stores = Stores::new(options)?;
        for (name, source) in &options.contexts {
            inputs.add(name, source)?;
        }
        inputs.offer.layouts.clone_from(&inputs.stores.layouts);
        Ok(inputs)
    }

    /// The context and the Dockerfile.
    async fn main(options: &Options, stdin: Archive) -> Result<Self, BuildError> {
        let file = options.file.as_deref();
        if let Some(address) = file.filter(|file| is_address(file) && !Path::new(file).exists()) {
            return Err(BuildError::DockerfileAddress(address.to_owned()));
        }
        if options.context == "-" {
            return match file {
                Some("-") => Err(BuildError::TwiceStdin),
                _ => Self::from_stdin(options, stdin).await,
            };
        }
        let temporary = match file {
            Some("-") => {
                let text = read(stdin).await?;
                let temporary = Temporary::new()?;
                temporary.write(&text)?;
                Some(temporary)
            }
            _ => None,
        };
        match (directory(&options.context), temporary) {
            (Ok(directory), temporary) => {
                let folder = directory.file_name().map(|name| name.to_string_lossy().into_owned());
                let mut inputs = match temporary {
                    Some(temporary) => Self::of_temporary(temporary, directory),
                    None => {
                        let (place, name) = dockerfile(&directory, file)?;
                        Self::new(directory, place, name, None)
                    }
                };
                // By this the build is known in the history.
                inputs.attributes.extend(folder.map(|folder| (FOLDER.to_owned(), folder)));
                Ok(inputs)
            }
            (Err(BuildError::Context(address)), temporary) if is_address(&address) => {
                Self::fetched(address, file, temporary)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// A context that BuildKit fetches. A Dockerfile with an absolute path is here, any other one is in the context.
    fn fetched(
        address: String,
        file: Option<&str>,
        temporary: Option<Temporary>,
    ) -> Result<Self, BuildError> {
        let mut inputs = match (file, temporary) {
            (_, Some(temporary)) => {
                Self::with_dockerfile(temporary.place(), DOCKERFILE.to_owned(), Some(temporary.0))
            }
            (Some(path), None) if Path::new(path).is_absolute() => {
                let (place, name) = dockerfile(Path::new("/"), file)?;
                Self::with_dockerfile(place, name, None)
            }
            (file, None) => Self {
                offer: Offer::default(),
                attributes: file.map(|file| ("filename".to_owned(), file.to_owned())).into_iter().collect(),
                stores: Stores::default(),
                keepers: Keepers::default(),
                _temporary: None,
            },
        };
        inputs.attributes.insert("context".to_owned(), address);
        Ok(inputs)
    }

    /// A Dockerfile without a context.
    fn with_dockerfile(place: PathBuf, name: String, temporary: Option<TempDir>) -> Self {
        let attributes = [("filename", name), ("dockerfilekey", "dockerfile".to_owned())];
        Self {
            offer: Offer {
                directories: HashMap::from([("dockerfile".to_owned(), place)]),
                ..Offer::default()
            },
            attributes: attributes.map(|(key, value)| (key.to_owned(), value)).into(),
            stores: Stores::default(),
            keepers: Keepers::default(),
            _temporary: temporary,
        }
    }

    /// One more context.
    fn add(&mut self, name: &str, source: &str) -> Result<(), BuildError> {
        let value = match source {
            _ if source.starts_with(LAYOUT) => self.stores.context(source)?,
            _ if source.starts_with("docker-image://") => source.to_owned(),
            _ if source.starts_with("target:") && !Path::new(source).exists() => {
                let why =
                    "targets are contexts in a file of bake only: a stage has its name in the Dockerfile";
                return Err(BuildError::Layout { context: source.to_owned(), why: why.to_owned() });
            }
            _ if !Path::new(source).exists() && is_address(source) => source.to_owned(),
            _ => {
                let failed = |why| BuildError::Named { name: name.to_owned(), why: Box::new(why) };
                let directory = directory(source).map_err(failed)?;
                // These two names are taken.
                let local = match name {
                    "context" | "dockerfile" => format!("_{name}"),
                    _ => name.to_owned(),
                };
                self.attributes.insert(format!("sharedkey:localdir:{name}"), shared_key(&directory));
                self.offer.directories.insert(local.clone(), directory);
                format!("local:{local}")
            }
        };
        self.attributes.insert(format!("context:{name}"), value);
        self.attributes.insert("frontend.caps".to_owned(), FORWARD.to_owned());
        Ok(())
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
            return Ok(Self {
                offer,
                attributes,
                stores: Stores::default(),
                keepers: Keepers::default(),
                _temporary: None,
            });
        }
        if options.file.is_some() {
            return Err(BuildError::TwiceDockerfile);
        }
        let text = read(whole).await?;
        let temporary = Temporary::new()?;
        temporary.write(&text)?;
        let empty = temporary.0.path().join("context");
        fs::create_dir(&empty).map_err(|source| BuildError::Prepare { path: empty.clone(), source })?;
        Ok(Self::of_temporary(temporary, empty))
    }

    fn of_temporary(temporary: Temporary, context: PathBuf) -> Self {
        Self::new(context, temporary.place(), DOCKERFILE.to_owned(), Some(temporary.0))
    }

    fn new(context: PathBuf, place: PathBuf, name: String, temporary: Option<TempDir>) -> Self {
        let shared_key = shared_key(&context);
        let directories = HashMap::from([("context".to_owned(), context), ("dockerfile".to_owned(), place)]);
        Self {
            offer: Offer { directories, shared_key, ..Offer::default() },
            attributes: HashMap::from([("filename".to_owned(), name)]),
            stores: Stores::default(),
            keepers: Keepers::default(),
            _temporary: temporary,
        }
    }
}

async fn read(mut stdin: impl AsyncRead + Unpin) -> Result<Vec<u8>, BuildError> {
    let mut text = Vec::new();
    stdin.read_to_end(&mut text).await.map_err(BuildError::Stdin)?;
    Ok(text)
}

/// True for what BuildKit fetches by itself. A directory of that name is nearer.
fn is_address(context: &str) -> bool {
    ["http://", "https://", "git://", "ssh://", "git@", "github.com/"].iter().any(|s| context.starts_with(s))
}

/// The key by which BuildKit knows the files of a directory again.
fn shared_key(directory: &Path) -> String {
    hex(&Sha256::digest(directory.as_os_str().as_encoded_bytes()))
}

fn directory(context: &str) -> Result<PathBuf, BuildError> {
    match fs::metadata(context) {
        Ok(data) if data.is_dir() => {}
        Ok(_) => return Err(BuildError::NotADirectory(context.to_owned())),
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
    // A link that leads out of its directory would lead nowhere in what BuildKit gets to see.
    match fs::canonicalize(place.join(&name)) {
        Ok(target) if !target.starts_with(&place) => match (target.parent(), target.file_name()) {
            (Some(place), Some(name)) => {
                Ok((place.to_owned(), name.to_str().ok_or_else(missing)?.to_owned()))
            }
            _ => Err(missing()),
        },
        _ => Ok((place, name)),
    }
}

/// A tar archive, compressed or not.
fn is_archive(head: &[u8]) -> bool {
    const COMPRESSED: [&[u8]; 4] = [b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd"];
    COMPRESSED.iter().any(|magic| head.starts_with(magic)) || head.get(TAR_MAGIC) == Some(b"ustar")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(context: impl Into<String>, file: Option<&str>) -> Options {
        Options { context: context.into(), file: file.map(str::to_owned), ..Options::default() }
    }

    async fn prepared(options: Options, stdin: &[u8]) -> Result<Inputs, BuildError> {
        Inputs::prepare(&options, Box::new(io::Cursor::new(stdin.to_vec())), Targets::default()).await
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
        let from_the_web = refused(options(context, Some("https://x/Dockerfile")), b"").await;
        assert!(
            from_the_web.contains("curl -fsSL https://x/Dockerfile | k3c build -f - ..."),
            "{from_the_web}"
        );
        let named = |name: &str, source: &str| Options {
            contexts: vec![(name.to_owned(), source.to_owned())],
            ..options("https://x/y.git", None)
        };
        assert_eq!(
            refused(named("n", &none), b"").await,
            format!("failed to get build context n: path {none:?} not found")
        );
        let target = refused(named("n", "target:one"), b"").await;
        assert!(
            target.starts_with("failed to get build context target:one: targets are contexts"),
            "{target}"
        );
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

        let address = "https://x/y.git#main:sub";
        let fetched = prepared(options(address, Some("a/Dockerfile")), b"").await.unwrap();
        let expected = [("context", address), ("filename", "a/Dockerfile")];
        assert_eq!(fetched.attributes, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert!(fetched.offer.directories.is_empty());
        for (file, stdin) in [(file.to_str(), &b""[..]), (Some("-"), b"FROM scratch\n")] {
            let fetched = prepared(options(address, file), stdin).await.unwrap();
            assert_eq!(
                (&*fetched.attributes["context"], &*fetched.attributes["dockerfilekey"]),
                (address, "dockerfile")
            );
            assert!(of(&fetched, "dockerfile").join(&fetched.attributes["filename"]).exists());
        }

        let contexts = [("base", "docker-image://a"), ("files", root.to_str().unwrap()), ("context", ".")];
        let contexts = contexts.map(|(name, source)| (name.to_owned(), source.to_owned())).into();
        let named = prepared(Options { contexts, ..options(&context, None) }, b"").await.unwrap();
        assert_eq!(named.attributes["context:base"], "docker-image://a");
        assert_eq!(named.attributes["context:files"], "local:files");
        assert_eq!(named.attributes["context:context"], "local:_context");
        assert_eq!((of(&named, "files"), of(&named, "context")), (root.clone(), root.join("context")));

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
