//! Outputs: what becomes of what was built, and the words that BuildKit's exporters have for it.
//!
//! A directory is an archive that is unpacked here: no link in it leads out of the directory.

use super::options::Attributes;
use crate::proto::moby::buildkit::v1::Exporter;
use std::path::PathBuf;

/// One output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Kind.
    pub kind: OutputKind,
    /// The exporter's own attributes, as given.
    pub attributes: Vec<(String, String)>,
}

/// Kinds of outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputKind {
    /// An image in the store, which may be pushed, too.
    Image,
    /// An image that comes from a builder elsewhere into the store.
    Loaded,
    /// An image in an archive of the OCI's form.
    Oci(Destination),
    /// An image in a folder of the OCI's form.
    Layout(PathBuf),
    /// An image in an archive of Docker's form.
    Docker(Destination),
    /// The files, in an archive.
    Tar(Destination),
    /// The files.
    Directory(PathBuf),
}

/// The place of an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// A file, which is there when it is whole.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

impl Output {
    /// An image without further wishes.
    pub fn image() -> Self {
        Self { kind: OutputKind::Image, attributes: Vec::new() }
    }

    /// The same for a builder elsewhere: what is pushed stays there, all else comes here.
    pub fn elsewhere(mut self) -> Self {
        if self.is_pushed() {
            self.attributes.push(("unpack".to_owned(), "false".to_owned()));
        } else if self.kind == OutputKind::Image {
            self.kind = OutputKind::Loaded;
        }
        self
    }

    /// True for an image that goes to a registry.
    pub fn is_pushed(&self) -> bool {
        self.kind == OutputKind::Image && self.attribute("push").is_some_and(is_true)
    }

    /// The archive's place or the directory.
    pub(super) fn sink(&self) -> Option<Sink> {
        match &self.kind {
            OutputKind::Image | OutputKind::Layout(_) => None,
            OutputKind::Loaded => Some(Sink::Loader),
            OutputKind::Oci(to) | OutputKind::Docker(to) | OutputKind::Tar(to) => {
                Some(Sink::Archive(to.clone()))
            }
            OutputKind::Directory(path) => Some(Sink::Directory(path.clone())),
        }
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().rev().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The exporter. An image in the store without a name gets one that nobody types, or it would be collected as
    /// garbage.
    pub(super) fn exporter(&self, names: &[String], annotations: &[(String, String)]) -> Exporter {
        let mut attrs = Attributes::new();
        let kind = match &self.kind {
            OutputKind::Image => "image",
            OutputKind::Oci(_) | OutputKind::Loaded | OutputKind::Layout(_) => "oci",
            OutputKind::Docker(_) => "docker",
            OutputKind::Tar(_) | OutputKind::Directory(_) => "tar",
        };
        if kind != "tar" {
            attrs.extend(annotations.iter().cloned());
            if !names.is_empty() {
                attrs.insert("name".to_owned(), names.join(","));
            } else if kind == "image" && self.attribute("name").is_none() {
                attrs.insert("dangling-name-prefix".to_owned(), "<none>".to_owned());
            }
        }
        if kind == "image" {
            attrs.insert("unpack".to_owned(), "true".to_owned());
        }
        if matches!(self.kind, OutputKind::Layout(_)) {
            attrs.insert("tar".to_owned(), "false".to_owned());
        }
        for (name, value) in &self.attributes {
            if name == "name" && !names.is_empty() {
                continue;
            }
            attrs.insert(name.clone(), value.clone());
        }
        Exporter { r#type: kind.to_owned(), attrs }
    }
}

/// A place for what an exporter sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sink {
    Archive(Destination),
    Directory(PathBuf),
    /// The store, which takes an archive.
    Loader,
}

fn is_true(text: &str) -> bool {
    matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exporters() {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let names = ["docker.io/library/x:1".to_owned()];
        let note = [pair("annotation.k", "v")];
        let file = || Destination::File("f".into());
        let output = |kind, given: &[(&str, &str)]| Output {
            kind,
            attributes: given.iter().map(|(a, b)| pair(a, b)).collect(),
        };
        type Case<'a> = (Output, &'a [String], &'a str, Vec<(String, String)>);
        let cases: Vec<Case> = vec![
            (
                Output::image(),
                &names,
                "image",
                vec![pair("name", &names[0]), pair("unpack", "true"), note[0].clone()],
            ),
            (
                Output::image(),
                &[],
                "image",
                vec![pair("dangling-name-prefix", "<none>"), pair("unpack", "true"), note[0].clone()],
            ),
            (
                output(OutputKind::Image, &[("push", "true"), ("name", "y"), ("unpack", "false")]),
                &[],
                "image",
                vec![pair("name", "y"), pair("push", "true"), pair("unpack", "false"), note[0].clone()],
            ),
            (
                output(OutputKind::Oci(file()), &[("name", "y")]),
                &names,
                "oci",
                vec![pair("name", &names[0]), note[0].clone()],
            ),
            (output(OutputKind::Docker(Destination::Stdout), &[]), &[], "docker", vec![note[0].clone()]),
            (
                output(OutputKind::Tar(file()), &[("platform-split", "true")]),
                &names,
                "tar",
                vec![pair("platform-split", "true")],
            ),
            (output(OutputKind::Directory("d".into()), &[]), &names, "tar", vec![]),
        ];
        for (output, names, kind, attributes) in cases {
            let exporter = output.exporter(names, &note);
            assert_eq!(exporter.r#type, kind);
            assert_eq!(exporter.attrs, attributes.into_iter().collect(), "{output:?}");
        }
        let pushed = output(OutputKind::Image, &[("push", "1")]);
        assert!(pushed.is_pushed());
        assert_eq!(pushed.elsewhere().exporter(&names, &[]).attrs["unpack"], "false");
        let loaded = Output::image().elsewhere();
        assert_eq!(
            (loaded.sink(), loaded.exporter(&names, &[]).r#type.as_str()),
            (Some(Sink::Loader), "oci")
        );
        assert!(!Output::image().is_pushed());
    }
}
