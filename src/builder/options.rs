//! The options of a build, and the words that BuildKit's Dockerfile frontend and image exporter have for them.

use super::{Agent, BuildError, Output, Secret, stores};
use crate::model::container::Ulimit;
use crate::model::reference::Reference;
use crate::proto::moby::buildkit::v1::{CacheOptions, CacheOptionsEntry, Exporter};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::IpAddr;

/// Attributes by name.
pub(super) type Attributes = HashMap<String, String>;

/// The options of one build.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// A directory, a git or web address, or `-`: a Dockerfile or an archive on standard input.
    pub context: String,
    /// The Dockerfile, if not the one in the context; `-` is standard input.
    pub file: Option<String>,
    /// Further contexts by name: directories, images, layouts of the OCI, addresses.
    pub contexts: Vec<(String, String)>,
    /// Names of the image, as typed.
    pub tags: Vec<String>,
    /// Values of `ARG`.
    pub build_args: Vec<(String, String)>,
    /// Added to the image.
    pub labels: Vec<(String, String)>,
    /// Added to manifests, indexes or their descriptors.
    pub annotations: Vec<Annotation>,
    /// Platforms to build for, if not the daemon's own; several make an index.
    pub platforms: Vec<String>,
    /// The stage to build, if not the last.
    pub target: Option<String>,
    /// Nothing that was built before is used again.
    pub no_cache: bool,
    /// Nothing of these stages that was built before is used again.
    pub no_cache_filter: Vec<String>,
    /// Base images are looked for in their registries, even if they are here.
    pub pull: bool,
    /// The network of each `RUN`.
    pub network: Network,
    /// Lines of `/etc/hosts` of each `RUN`: a name with an address.
    pub hosts: Vec<(String, IpAddr)>,
    /// Bytes of `/dev/shm` of each `RUN`, if not BuildKit's own choice.
    pub shm_size: Option<i64>,
    /// Limits of the processes of each `RUN`.
    pub ulimits: Vec<Ulimit>,
    /// The cgroup above those of each `RUN`.
    pub cgroup_parent: Option<String>,
    /// Secrets that steps may ask for.
    pub secrets: Vec<Secret>,
    /// SSH agents that steps may use.
    pub agents: Vec<Agent>,
    /// Statements about what was built, by type: their parameters, or none if they are not wanted.
    pub attestations: Vec<(String, Option<String>)>,
    /// Caches of other builds, to take from.
    pub cache_from: Vec<Cache>,
    /// Places for this build's cache.
    pub cache_to: Vec<Cache>,
    /// What becomes of what was built; without any it is built, and that is all.
    pub outputs: Vec<Output>,
    /// Privileges that steps may have, if BuildKit's own configuration grants them.
    pub entitlements: Vec<String>,
}

/// A cache outside of BuildKit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// `registry`, `inline`, ...
    pub kind: String,
    /// Attributes, as given.
    pub attributes: Vec<(String, String)>,
}

/// The network of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The network of the containers.
    #[default]
    Default,
    /// Loopback only.
    None,
    /// The network of BuildKit.
    Host,
}

/// An annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// The place of it: `manifest`, `index`, `manifest-descriptor` or `index-descriptor`; `None`: a manifest.
    pub place: Option<String>,
    /// The platform of a manifest, if not all.
    pub platform: Option<String>,
    /// Name.
    pub key: String,
    /// Value.
    pub value: String,
}

impl Annotation {
    /// The exporter's attribute for it.
    fn attribute(&self) -> (String, String) {
        let place = self.place.as_ref().map_or_else(String::new, |place| format!("-{place}"));
        let platform = self.platform.as_ref().map_or_else(String::new, |platform| format!("[{platform}]"));
        (format!("annotation{place}{platform}.{}", self.key), self.value.clone())
    }
}

impl Options {
    /// The names in full; a name given twice is one name.
    pub(super) fn names(&self) -> Result<Vec<String>, BuildError> {
        let mut all: Vec<String> = Vec::new();
        for tag in &self.tags {
            let name = Reference::parse(tag);
            let name = name.map_err(|source| BuildError::Tag { tag: tag.clone(), source })?;
            if name.digest.is_some() {
                return Err(BuildError::Digest(tag.clone()));
            }
            let name = name.to_string();
            if !all.contains(&name) {
                all.push(name);
            }
        }
        Ok(all)
    }

    /// The frontend's attributes, without those that come from the contexts.
    pub(super) fn frontend(&self) -> Attributes {
        let mut all = HashMap::new();
        let mut set = |name: &str, value: String| drop(all.insert(name.to_owned(), value));
        set("image-resolve-mode", if self.pull { "pull" } else { "local" }.to_owned());
        // Nothing behind the name means all stages.
        match (self.no_cache, self.no_cache_filter.as_slice()) {
            (true, _) => set("no-cache", String::new()),
            (false, []) => {}
            (false, stages) => set("no-cache", stages.join(",")),
        }
        match self.network {
            Network::Default => {}
            Network::None => set("force-network-mode", "none".to_owned()),
            Network::Host => set("force-network-mode", "host".to_owned()),
        }
        if let Some(target) = &self.target {
            set("target", target.clone());
        }
        if !self.platforms.is_empty() {
            set("platform", self.platforms.join(","));
        }
        if !self.hosts.is_empty() {
            let hosts: Vec<String> =
                self.hosts.iter().map(|(name, address)| format!("{name}={address}")).collect();
            set("add-hosts", hosts.join(","));
        }
        if let Some(bytes) = self.shm_size {
            set("shm-size", bytes.to_string());
        }
        if !self.ulimits.is_empty() {
            let limits: Vec<String> =
                self.ulimits.iter().map(|one| format!("{}={}:{}", one.name, one.soft, one.hard)).collect();
            set("ulimit", limits.join(","));
        }
        if let Some(parent) = &self.cgroup_parent {
            set("cgroup-parent", parent.clone());
        }
        if !self.cache_from.is_empty() {
            // The frontend, too, has to know: it solves in its own name.
            let caches: Vec<Value> = self
                .cache_from
                .iter()
                .map(|cache| json!({ "Type": cache.kind, "Attrs": stores::attributes(cache) }))
                .collect();
            set("cache-imports", Value::Array(caches).to_string());
        }
        for (kind, parameters) in &self.attestations {
            if let Some(parameters) = parameters {
                set(&format!("attest:{kind}"), parameters.clone());
            }
        }
        for (name, value) in &self.build_args {
            set(&format!("build-arg:{name}"), value.clone());
        }
        for (name, value) in &self.labels {
            set(&format!("label:{name}"), value.clone());
        }
        all
    }

    /// The frontend, and the attributes that only this one has: `BUILDKIT_SYNTAX` names an image instead of BuildKit's
    /// own.
    pub(super) fn syntax(&self) -> Result<(&'static str, Attributes), BuildError> {
        let Some(line) = self.build_arg("BUILDKIT_SYNTAX") else {
            return Ok(("dockerfile.v0", Attributes::new()));
        };
        let image = line.split_whitespace().next().ok_or(BuildError::EmptySyntax)?;
        let attributes = [("source".to_owned(), image.to_owned()), ("cmdline".to_owned(), line.to_owned())];
        Ok(("gateway.v0", attributes.into()))
    }

    /// What the steps may do that others may not.
    pub(super) fn granted(&self) -> Vec<String> {
        let host = (self.network == Network::Host).then(|| "network.host".to_owned());
        let mut all: Vec<String> = self.entitlements.iter().cloned().chain(host).collect();
        all.sort();
        all.dedup();
        all
    }

    /// The last value that was given for an argument.
    fn build_arg(&self, name: &str) -> Option<&str> {
        self.build_args.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The exporters, in the order of the outputs.
    ///
    /// # Errors
    /// A name that is none; a push of what has no name.
    pub(super) fn exporters(&self) -> Result<Vec<Exporter>, BuildError> {
        let names = self.names()?;
        let annotations: Vec<_> = self.annotations.iter().map(Annotation::attribute).collect();
        let unnamed = |output: &&Output| {
            output.is_pushed() && !output.attributes.iter().any(|(name, _)| name == "name")
        };
        if names.is_empty() && self.outputs.iter().any(|output| unnamed(&output)) {
            return Err(BuildError::Unnamed);
        }
        Ok(self.outputs.iter().map(|output| output.exporter(&names, &annotations)).collect())
    }

    /// Where the cache comes from and goes to.
    pub(super) fn cache(&self) -> CacheOptions {
        let inline =
            self.build_arg("BUILDKIT_INLINE_CACHE").is_some_and(|on| matches!(on, "1" | "t" | "true"));
        let inline = inline.then(|| Cache { kind: "inline".to_owned(), attributes: Vec::new() });
        let entry = |cache: &Cache| CacheOptionsEntry {
            r#type: cache.kind.clone(),
            attrs: stores::attributes(cache),
        };
        CacheOptions {
            exports: self.cache_to.iter().chain(&inline).map(entry).collect(),
            imports: self.cache_from.iter().map(entry).collect(),
            ..CacheOptions::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(tags: &[&str]) -> Options {
        Options { tags: tags.iter().map(|t| (*t).to_owned()).collect(), ..Options::default() }
    }

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    fn list(all: &[&str]) -> Vec<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
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

    /// What each option adds to the attributes that every build has.
    #[test]
    fn attributes_of_the_frontend() {
        let plain = Options::default;
        let limit = |name: &str, soft, hard| Ulimit { name: name.to_owned(), soft, hard };
        let cases: Vec<(Options, Vec<(String, String)>)> = vec![
            (plain(), vec![]),
            (
                Options { build_args: vec![pair("A", "1"), pair("B", "")], ..plain() },
                vec![pair("build-arg:A", "1"), pair("build-arg:B", "")],
            ),
            (Options { labels: vec![pair("l", "v")], ..plain() }, vec![pair("label:l", "v")]),
            (Options { target: Some("t".to_owned()), ..plain() }, vec![pair("target", "t")]),
            (Options { no_cache: true, ..plain() }, vec![pair("no-cache", "")]),
            (Options { no_cache_filter: list(&["a", "b"]), ..plain() }, vec![pair("no-cache", "a,b")]),
            (
                Options { no_cache: true, no_cache_filter: list(&["a"]), ..plain() },
                vec![pair("no-cache", "")],
            ),
            (Options { pull: true, ..plain() }, vec![pair("image-resolve-mode", "pull")]),
            (
                Options { platforms: list(&["linux/amd64", "linux/arm64"]), ..plain() },
                vec![pair("platform", "linux/amd64,linux/arm64")],
            ),
            (Options { network: Network::None, ..plain() }, vec![pair("force-network-mode", "none")]),
            (Options { network: Network::Host, ..plain() }, vec![pair("force-network-mode", "host")]),
            (
                Options {
                    hosts: vec![
                        ("a".to_owned(), "1.2.3.4".parse().unwrap()),
                        ("b".to_owned(), "::1".parse().unwrap()),
                    ],
                    ..plain()
                },
                vec![pair("add-hosts", "a=1.2.3.4,b=::1")],
            ),
            (Options { shm_size: Some(65536), ..plain() }, vec![pair("shm-size", "65536")]),
            (
                Options { ulimits: vec![limit("nofile", 1, 2), limit("core", -1, -1)], ..plain() },
                vec![pair("ulimit", "nofile=1:2,core=-1:-1")],
            ),
            (
                Options {
                    attestations: vec![
                        ("provenance".to_owned(), Some("mode=max".to_owned())),
                        ("sbom".to_owned(), None),
                    ],
                    ..plain()
                },
                vec![pair("attest:provenance", "mode=max")],
            ),
            (
                Options {
                    cache_from: vec![Cache {
                        kind: "registry".to_owned(),
                        attributes: vec![pair("ref", "r")],
                    }],
                    ..plain()
                },
                vec![pair("cache-imports", r#"[{"Type":"registry","Attrs":{"ref":"r"}}]"#)],
            ),
            (Options { cgroup_parent: Some("p".to_owned()), ..plain() }, vec![pair("cgroup-parent", "p")]),
        ];
        for (options, added) in cases {
            let mut expected = HashMap::from([pair("image-resolve-mode", "local")]);
            expected.extend(added);
            assert_eq!(options.frontend(), expected, "{options:?}");
        }
    }

    #[test]
    fn what_exporters_and_caches_are_told() {
        let annotation = |place: Option<&str>, platform: Option<&str>| Annotation {
            place: place.map(str::to_owned),
            platform: platform.map(str::to_owned),
            key: "k".to_owned(),
            value: "v".to_owned(),
        };
        let annotations = vec![
            annotation(None, None),
            annotation(Some("index"), None),
            annotation(Some("manifest-descriptor"), Some("linux/amd64")),
        ];
        let outputs = vec![Output::image()];
        let exporters = Options { annotations, outputs, ..options(&["x", "y"]) }.exporters().unwrap();
        assert_eq!(
            exporters[0].attrs,
            HashMap::from([
                pair("name", "docker.io/library/x:latest,docker.io/library/y:latest"),
                pair("unpack", "true"),
                pair("annotation.k", "v"),
                pair("annotation-index.k", "v"),
                pair("annotation-manifest-descriptor[linux/amd64].k", "v"),
            ])
        );
        let pushed = Output { attributes: vec![pair("push", "true")], ..Output::image() };
        let unnamed = Options { outputs: vec![pushed], ..Options::default() };
        assert_eq!(unnamed.exporters().unwrap_err().to_string(), "tag is needed when pushing to registry");
        let cache = Cache { kind: "registry".to_owned(), attributes: vec![pair("ref", "r")] };
        let options = Options {
            cache_from: vec![cache],
            build_args: vec![pair("BUILDKIT_INLINE_CACHE", "1")],
            ..Options::default()
        };
        let told = options.cache();
        assert_eq!((told.imports[0].r#type.as_str(), &*told.imports[0].attrs["ref"]), ("registry", "r"));
        assert_eq!(told.exports.iter().map(|one| one.r#type.as_str()).collect::<Vec<_>>(), ["inline"]);
    }

    #[test]
    fn privileges_are_asked_for_once() {
        let entitlements = list(&["security.insecure", "network.host"]);
        let options = Options { network: Network::Host, entitlements, ..Options::default() };
        assert_eq!(options.granted(), ["network.host", "security.insecure"]);
        assert_eq!(Options::default().granted(), Vec::<String>::new());
    }

    #[test]
    fn a_frontend_of_the_users() {
        let with =
            |value: &str| Options { build_args: vec![pair("BUILDKIT_SYNTAX", value)], ..Options::default() };
        assert_eq!(Options::default().syntax().unwrap(), ("dockerfile.v0", HashMap::new()));
        let expected = HashMap::from([pair("source", "a/b:1"), pair("cmdline", "a/b:1 more")]);
        assert_eq!(with("a/b:1 more").syntax().unwrap(), ("gateway.v0", expected));
        assert!(with(" ").syntax().unwrap_err().to_string().contains("empty BUILDKIT_SYNTAX"));
    }
}
