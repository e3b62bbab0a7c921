//! The options of a build, and the words that BuildKit's Dockerfile frontend and image exporter have for them.

use super::BuildError;
use crate::model::reference::Reference;
use std::collections::HashMap;

/// The options of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A directory, or `-`: a Dockerfile or an archive on standard input.
    pub context: String,
    /// The Dockerfile, if not the one in the context; `-` is standard input.
    pub file: Option<String>,
    /// Names of the image, as typed.
    pub tags: Vec<String>,
    /// Values of `ARG`.
    pub build_args: Vec<(String, String)>,
    /// Added to the image.
    pub labels: Vec<(String, String)>,
    /// The stage to build, if not the last.
    pub target: Option<String>,
    /// Nothing that was built before is used again.
    pub no_cache: bool,
    /// Base images are looked for in their registries, even if they are here.
    pub pull: bool,
}

impl Options {
    /// The names in full; a name given twice is one name.
    pub(super) fn names(&self) -> Result<Vec<String>, BuildError> {
        let mut all: Vec<String> = Vec::new();
        for tag in &self.tags {
            let name = Reference::parse(tag)
                .map_err(|source| BuildError::Tag { tag: tag.clone(), source })?
                .to_string();
            if !all.contains(&name) {
                all.push(name);
            }
        }
        Ok(all)
    }

    /// The frontend's attributes, without those that come from the context.
    pub(super) fn frontend(&self) -> HashMap<String, String> {
        let mode = if self.pull { "pull" } else { "local" };
        let mut all = HashMap::from([("image-resolve-mode".to_owned(), mode.to_owned())]);
        if self.no_cache {
            all.insert("no-cache".to_owned(), String::new());
        }
        all.extend(self.target.iter().map(|target| ("target".to_owned(), target.clone())));
        all.extend(self.build_args.iter().map(|(name, value)| (format!("build-arg:{name}"), value.clone())));
        all.extend(self.labels.iter().map(|(name, value)| (format!("label:{name}"), value.clone())));
        all
    }

    /// The exporter's attributes. An image without a name gets one that nobody types, or it would be collected as
    /// garbage.
    pub(super) fn exporter(&self) -> Result<HashMap<String, String>, BuildError> {
        let names = self.names()?;
        let name = match names.is_empty() {
            true => ("dangling-name-prefix".to_owned(), "<none>".to_owned()),
            false => ("name".to_owned(), names.join(",")),
        };
        Ok(HashMap::from([name, ("unpack".to_owned(), "true".to_owned())]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(tags: &[&str]) -> Options {
        Options { tags: tags.iter().map(|t| (*t).to_owned()).collect(), ..Options::default() }
    }

    #[test]
    fn names_in_full() {
        let names = options(&["x", "x:latest", "a/b:1", "localhost:5000/c"]).names().unwrap();
        assert_eq!(
            names,
            ["docker.io/library/x:latest", "docker.io/a/b:1", "localhost:5000/c:latest"].map(str::to_owned)
        );
        let error = options(&["Foo/Bar:1/x"]).names().unwrap_err();
        assert_eq!(error.to_string(), "invalid tag \"Foo/Bar:1/x\": invalid reference format");
    }

    #[test]
    fn attributes() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let all = Options {
            build_args: vec![pair("A", "1"), pair("B", "")],
            labels: vec![pair("l", "v")],
            target: Some("t".to_owned()),
            no_cache: true,
            ..options(&["x", "y"])
        };
        let expected = [
            pair("image-resolve-mode", "local"),
            pair("no-cache", ""),
            pair("target", "t"),
            pair("build-arg:A", "1"),
            pair("build-arg:B", ""),
            pair("label:l", "v"),
        ];
        assert_eq!(all.frontend(), HashMap::from(expected));
        let pull = Options { pull: true, ..Options::default() };
        assert_eq!(pull.frontend(), HashMap::from([pair("image-resolve-mode", "pull")]));
        assert_eq!(
            all.exporter().unwrap(),
            HashMap::from([
                pair("name", "docker.io/library/x:latest,docker.io/library/y:latest"),
                pair("unpack", "true")
            ])
        );
        assert_eq!(
            pull.exporter().unwrap(),
            HashMap::from([pair("dangling-name-prefix", "<none>"), pair("unpack", "true")])
        );
    }
}
