//! Layouts that a build reads and writes: caches in folders, images that are contexts, an image that is made as a folder.

use super::layout::{Layout, LayoutReference, Name};
use super::options::Attributes;
use super::{BuildError, Cache, Options, OutputKind};
use crate::model::id::hex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The start of an image in a folder.
pub(super) const LAYOUT: &str = "oci-layout://";
/// The name of a cache's manifest, and of an image's, in a folder when no other is given.
const LATEST: &str = "latest";
/// The store of an image that is made as a folder.
const EXPORT: &str = "export";

/// The layouts of one build.
#[derive(Default)]
pub(super) struct Stores {
    /// By the names that BuildKit asks for.
    pub(super) layouts: HashMap<String, Arc<Layout>>,
    caches: Vec<(Arc<Layout>, String)>,
    image: Option<Arc<Layout>>,
}

impl Cache {
    fn is_local(&self) -> bool {
        self.kind == "local"
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().rev().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }
}

/// The name of a folder in BuildKit's requests, where only ASCII can be.
fn id(path: &str) -> String {
    match path.chars().all(|c| c.is_ascii_graphic()) {
        true => path.to_owned(),
        false => hex(&Sha256::digest(path)),
    }
}

impl Options {
    /// Looks for the caches in folders. Those that are not there are left out: the first of many builds has none; and so
    /// are GitHub's anywhere else. Answers what there is to say about them.
    ///
    /// # Errors
    /// A cache without a folder.
    pub fn find_caches(&mut self) -> Result<Vec<String>, BuildError> {
        let mut words = Vec::new();
        let known = |cache: &Cache, name: &str| cache.attribute(name).is_some();
        let mut usable = |cache: &Cache| {
            let lacks_token = cache.kind == "gha"
                && !(known(cache, "token") && (known(cache, "url") || known(cache, "url_v2")));
            if lacks_token {
                words.push(
                    "the cache of GitHub Actions is left out: it has no token or address here".to_owned(),
                );
            }
            !lacks_token
        };
        self.cache_from.retain(&mut usable);
        self.cache_to.retain(&mut usable);
        let mut all = Vec::new();
        for mut cache in std::mem::take(&mut self.cache_from) {
            if cache.is_local() {
                let src = cache.attribute("src").ok_or(BuildError::Folder("cache-from", "src"))?.to_owned();
                let layout = Layout::open(Path::new(&src));
                let (tag, given) = (cache.attribute("tag"), cache.attribute("digest"));
                let text = given.map_or_else(|| src.clone(), |digest| format!("{src}@{digest}"));
                let found = match given {
                    Some(_) => LayoutReference::parse(&text).and_then(|it| it.resolve(&layout)),
                    None => layout.find(tag),
                };
                match found {
                    Ok(digest) => {
                        cache.attributes.retain(|(name, _)| name != "digest");
                        cache.attributes.push(("digest".to_owned(), digest.to_string()));
                    }
                    Err(why) => {
                        words.push(format!("the cache in {src} is left out: {why}"));
                        continue;
                    }
                }
            }
            all.push(cache);
        }
        self.cache_from = all;
        Ok(words)
    }
}

impl Stores {
    /// The folders of caches and outputs; those that are written to are made.
    pub(super) fn new(options: &Options) -> Result<Self, BuildError> {
        let mut stores = Self::default();
        for cache in options.cache_from.iter().filter(|cache| cache.is_local()) {
            let src = cache.attribute("src").ok_or(BuildError::Folder("cache-from", "src"))?;
            stores.layouts.insert(format!("local:{}", id(src)), Arc::new(Layout::open(Path::new(src))));
        }
        for cache in options.cache_to.iter().filter(|cache| cache.is_local()) {
            let dest = cache.attribute("dest").ok_or(BuildError::Folder("cache-to", "dest"))?;
            let layout = created(Path::new(dest))?;
            stores.layouts.insert(format!("local:{}", id(dest)), Arc::clone(&layout));
            stores.caches.push((layout, cache.attribute("tag").unwrap_or(LATEST).to_owned()));
        }
        for output in &options.outputs {
            let OutputKind::Layout(path) = &output.kind else { continue };
            let layout = created(path)?;
            if stores.layouts.insert(EXPORT.to_owned(), Arc::clone(&layout)).is_some() {
                return Err(BuildError::TwoLayouts);
            }
            stores.image = Some(layout);
        }
        Ok(stores)
    }

    /// An image in a folder as a context; answers the frontend's name for it.
    pub(super) fn context(&mut self, source: &str) -> Result<String, BuildError> {
        let text = source.strip_prefix(LAYOUT).unwrap_or(source);
        let failed = |why| BuildError::Layout { context: source.to_owned(), why };
        let reference = LayoutReference::parse(text).map_err(failed)?;
        let layout = Layout::open(&reference.path);
        let digest = reference.resolve(&layout).map_err(failed)?;
        let name = uuid::Uuid::new_v4().simple().to_string();
        self.layouts.insert(format!("oci:{name}"), Arc::new(layout));
        Ok(format!("{LAYOUT}{name}@{digest}"))
    }

    /// Names what was written, in the words of the exporters' answer.
    pub(super) fn finish(&self, response: &HashMap<String, String>) -> Result<(), BuildError> {
        let named = |layout: &Layout, descriptor: &Value, names: &[Name]| {
            let failed = |source| BuildError::Prepare { path: layout.root().to_owned(), source };
            layout.name(descriptor, names).map_err(failed)
        };
        if let Some(descriptor) =
            response.get("cache.manifest").and_then(|text| serde_json::from_str(text).ok())
        {
            for (layout, tag) in &self.caches {
                named(layout, &descriptor, &[Name::Tag(tag.clone())])?;
            }
        }
        if let Some(layout) = &self.image {
            let text = response.get("containerimage.descriptor").and_then(|text| STANDARD.decode(text).ok());
            let descriptor = text.and_then(|text| serde_json::from_slice(&text).ok());
            let descriptor: Value = descriptor.ok_or(BuildError::NoDigest)?;
            let names = response.get("image.name").filter(|names| !names.is_empty());
            let names = match names {
                Some(names) => names.split(',').map(|name| Name::Image(name.to_owned())).collect(),
                None => vec![Name::Tag(LATEST.to_owned())],
            };
            named(layout, &descriptor, &names)?;
        }
        Ok(())
    }
}

fn created(path: &Path) -> Result<Arc<Layout>, BuildError> {
    let failed = |source| BuildError::Prepare { path: path.to_owned(), source };
    Layout::create(path).map(Arc::new).map_err(failed)
}

/// A cache's attributes, as BuildKit takes them.
pub(super) fn attributes(cache: &Cache) -> Attributes {
    let folder = |name: &str| cache.is_local() && (name == "src" || name == "dest");
    let value = |name: &str, value: &str| if folder(name) { id(value) } else { value.to_owned() };
    cache.attributes.iter().map(|(name, text)| (name.clone(), value(name, text))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty blob; its digest.
    fn blob(layout: &Layout) -> String {
        layout.commit(layout.ingest().unwrap(), None).unwrap().to_string()
    }

    fn local(attributes: &[(&str, &str)]) -> Cache {
        let attributes = attributes.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        Cache { kind: "local".to_owned(), attributes }
    }

    #[test]
    fn caches_in_folders() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("ä").display().to_string();
        let tagged = |tag: &str| local(&[("src", &place), ("tag", tag)]);
        let to = local(&[("dest", &place), ("tag", "t")]);
        let mut options = Options { cache_from: vec![tagged("t")], cache_to: vec![to], ..Options::default() };
        let words = options.find_caches().unwrap();
        assert!(words[0].contains("is left out: ") && options.cache_from.is_empty(), "{words:?}");

        let stores = Stores::new(&options).unwrap();
        let digest = blob(&stores.caches[0].0);
        let descriptor = format!("{{\"digest\":\"{digest}\",\"size\":1}}");
        stores.finish(&[("cache.manifest".to_owned(), descriptor)].into()).unwrap();
        options.cache_from = vec![tagged("t"), tagged("u")];
        let words = options.find_caches().unwrap();
        assert!(words.len() == 1 && words[0].ends_with("no \"u\" in it, it has t"), "{words:?}");
        let told = attributes(&options.cache_from[0]);
        assert_eq!(told["digest"], digest);
        assert!(Stores::new(&options).unwrap().layouts.contains_key(&format!("local:{}", told["src"])));
        assert!(told["src"].is_ascii());

        let github = |attributes: &[(&str, &str)]| Cache { kind: "gha".to_owned(), ..local(attributes) };
        let mut options = Options {
            cache_from: vec![github(&[("token", "t"), ("url_v2", "u")])],
            cache_to: vec![github(&[("url", "u")])],
            ..Options::default()
        };
        assert!(options.find_caches().unwrap()[0].contains("no token or address"));
        assert_eq!((options.cache_from.len(), options.cache_to.len()), (1, 0));

        let without = |cache_from, cache_to| Options { cache_from, cache_to, ..Options::default() };
        let error = without(vec![local(&[])], vec![]).find_caches().unwrap_err().to_string();
        assert_eq!(error, "src is required for --cache-from type=local");
        let error = Stores::new(&without(vec![], vec![local(&[])])).err().unwrap().to_string();
        assert_eq!(error, "dest is required for --cache-to type=local");
    }

    #[test]
    fn images_in_folders() {
        let dir = tempfile::tempdir().unwrap();
        let output = |name: &str| super::super::Output {
            kind: OutputKind::Layout(dir.path().join(name)),
            attributes: Vec::new(),
        };
        let options = |outputs| Options { outputs, ..Options::default() };
        assert!(Stores::new(&options(vec![output("a"), output("b")])).is_err());
        let stores = Stores::new(&options(vec![output("a")])).unwrap();
        let digest = blob(stores.image.as_ref().unwrap());
        let descriptor = STANDARD.encode(format!("{{\"digest\":\"{digest}\",\"size\":1}}"));
        let response =
            [("containerimage.descriptor", descriptor), ("image.name", "docker.io/library/x:1".to_owned())];
        stores.finish(&response.map(|(a, b)| (a.to_owned(), b)).into()).unwrap();
        let place = dir.path().join("a").display().to_string();
        let mut stores = Stores::default();
        for tag in ["", ":1", ":docker.io/library/x"] {
            let value = stores.context(&format!("{LAYOUT}{place}{tag}"));
            assert_eq!(
                value.is_ok_and(|value| value.ends_with(&format!("@{digest}"))),
                !tag.contains('/'),
                "{tag}"
            );
        }
        let refused = stores.context(&format!("{LAYOUT}{place}:2")).unwrap_err().to_string();
        assert!(refused.contains("no \"2\" in it, it has docker.io/library/x:1"), "{refused}");
    }
}
