//! Outputs, caches and attestations: flags with lines of comma-separated values.

use crate::builder::{Cache, Destination, Output, OutputKind};
use crate::cli::options::{csv, value};
use crate::config::env;
use std::path::Path;

type Pairs = Vec<(String, String)>;

/// The pairs of a line; the last of several values counts, so `take` is from the end.
fn pairs(text: &str) -> Result<Pairs, String> {
    let pair = |field: String| match field.split_once('=') {
        Some((key, value)) => Ok((key.trim().to_lowercase(), value.to_owned())),
        None => Err(format!("invalid value {field}")),
    };
    csv::fields(text)?.into_iter().map(pair).collect()
}

/// Takes a key out of the pairs.
fn take(pairs: &mut Pairs, key: &str) -> Option<String> {
    let value = pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.clone());
    pairs.retain(|(name, _)| name != key);
    value
}

/// `type=...[,dest=...][,key=value...]`, a directory, or `-` for an archive of the files on standard output. `None`:
/// nothing is made of the result.
pub(super) fn output(text: &str) -> Result<Option<Output>, String> {
    let is_plain = !text.starts_with("type=") && csv::fields(text)?.len() == 1;
    let mut attributes = match (is_plain, text) {
        (true, "-") => vec![("type".to_owned(), "tar".to_owned()), ("dest".to_owned(), "-".to_owned())],
        (true, dir) => vec![("type".to_owned(), "local".to_owned()), ("dest".to_owned(), dir.to_owned())],
        (false, line) => pairs(line)?,
    };
    let kind = take(&mut attributes, "type").ok_or("type is required for output")?;
    let dest = take(&mut attributes, "dest").filter(|dest| !dest.is_empty());
    let archive = |dest: Option<String>| match dest.as_deref() {
        None | Some("-") => Destination::Stdout,
        Some(path) => Destination::File(path.into()),
    };
    let is_archive = match take(&mut attributes, "tar") {
        Some(text) => value::boolean(&text).ok_or(format!("invalid value tar={text}"))?,
        None => true,
    };
    if !is_archive && kind != "oci" {
        return Err(format!("tar=false is not supported by {kind} output: type=oci can be a folder"));
    }
    if let Some(dest) = &dest
        && is_archive
        && dest != "-"
        && kind != "local"
        && Path::new(dest).is_dir()
    {
        return Err(format!("destination file {dest} is a directory"));
    }
    let kind = match (kind.as_str(), dest) {
        ("image" | "registry", Some(_)) => return Err(format!("dest is not supported by {kind} output")),
        ("image", None) => OutputKind::Image,
        ("registry", None) => {
            attributes.push(("push".to_owned(), "true".to_owned()));
            OutputKind::Image
        }
        ("docker", None) => OutputKind::Image,
        ("docker", dest) => OutputKind::Docker(archive(dest)),
        ("oci", Some(dest)) if !is_archive && dest != "-" => OutputKind::Layout(dest.into()),
        ("oci", _) if !is_archive => return Err("dest is required for oci output with tar=false".to_owned()),
        ("oci", dest) => OutputKind::Oci(archive(dest)),
        ("tar", dest) => OutputKind::Tar(archive(dest)),
        ("local", Some(dest)) if dest != "-" => {
            if take(&mut attributes, "mode").is_some_and(|mode| mode != "copy") {
                return Err("mode=delete is not supported: nothing that is there is removed".to_owned());
            }
            OutputKind::Directory(dest.into())
        }
        ("local", _) => return Err("dest is required for local output".to_owned()),
        ("cacheonly", _) => return Ok(None),
        (other, _) => return Err(format!("unknown output type {other:?}")),
    };
    Ok(Some(Output { kind, attributes }))
}

/// All outputs. An image in the store if there is no other; `--push` and `--load` are two more.
pub(super) fn all(
    given: Vec<Option<Output>>,
    push: bool,
    load: bool,
    elsewhere: bool,
    stdout_is_terminal: bool,
) -> Result<Vec<Output>, String> {
    let is_empty = given.is_empty();
    let mut outputs: Vec<Output> = given.into_iter().flatten().collect();
    let image = outputs.iter().position(|output| output.kind == OutputKind::Image);
    let image = match (image, is_empty || push || load) {
        (None, true) => {
            outputs.push(Output::image());
            Some(outputs.len() - 1)
        }
        (place, _) => place,
    };
    if let (Some(image), true) = (image, push) {
        outputs[image].attributes.push(("push".to_owned(), "true".to_owned()));
    }
    if elsewhere {
        outputs = outputs.into_iter().map(Output::elsewhere).collect();
        if load && !outputs.iter().any(|output| output.kind == OutputKind::Loaded) {
            outputs.push(Output::image().elsewhere());
        }
    }
    let stdout = outputs.iter().filter(|output| is_stdout(output)).count();
    match stdout {
        0 => Ok(outputs),
        1 if stdout_is_terminal => {
            Err("dest file is required for this output: refusing to write to console".to_owned())
        }
        1 => Ok(outputs),
        _ => Err("only one output can go to standard output".to_owned()),
    }
}

/// True for an archive that goes to standard output.
pub(super) fn is_stdout(output: &Output) -> bool {
    let (OutputKind::Oci(to) | OutputKind::Docker(to) | OutputKind::Tar(to)) = &output.kind else {
        return false;
    };
    *to == Destination::Stdout
}

/// The caches of one flag: names of images, or one cache of any type.
#[derive(Clone, Debug)]
pub(super) struct Caches(pub(super) Vec<Cache>);

/// `name[,name...]` or `type=...,key=value...`
pub(super) fn caches(text: &str) -> Result<Caches, String> {
    if !text.contains('=') {
        let cache = |reference| Cache {
            kind: "registry".to_owned(),
            attributes: vec![("ref".to_owned(), reference)],
        };
        return Ok(Caches(csv::fields(text)?.into_iter().map(cache).collect()));
    }
    let mut attributes = pairs(text)?;
    let kind = take(&mut attributes, "type").ok_or(format!("type required for {text:?}"))?;
    match kind.as_str() {
        "registry" | "inline" | "gha" | "s3" | "azblob" => Ok(Caches(vec![Cache { kind, attributes }])),
        "local" if attributes.iter().any(|(name, _)| name == "reset") => {
            Err("reset is not supported: removing the folder does the same".to_owned())
        }
        "local" => Ok(Caches(vec![Cache { kind, attributes }])),
        _ => Err(format!("unknown cache type {kind:?}")),
    }
}

/// A cache with what the environment says of it, as buildx fills it in: GitHub's actions, and Amazon's keys.
pub(super) fn filled(mut cache: Cache, variable: &impl Fn(&str) -> Option<String>) -> Cache {
    let set = |name: &str| variable(name).filter(|text| !text.is_empty());
    let given = |cache: &Cache, name: &str| cache.attributes.iter().find(|(key, _)| key == name).cloned();
    let second = given(&cache, "version").map(|(_, version)| version == "2");
    let second = second.unwrap_or_else(|| {
        set(env::ACTIONS_CACHE_SERVICE_V2).is_some_and(|on| value::boolean(&on) == Some(true))
    });
    let from: &[(&str, &str)] = match (cache.kind.as_str(), second) {
        ("gha", true) => &[
            ("token", env::ACTIONS_RUNTIME_TOKEN),
            ("url_v2", env::ACTIONS_RESULTS_URL),
            ("url", env::ACTIONS_CACHE_URL),
        ],
        ("gha", false) => &[("token", env::ACTIONS_RUNTIME_TOKEN), ("url", env::ACTIONS_CACHE_URL)],
        ("s3", _) if given(&cache, "access_key_id").is_none() => &[
            ("access_key_id", env::AWS_ACCESS_KEY_ID),
            ("secret_access_key", env::AWS_SECRET_ACCESS_KEY),
            ("session_token", env::AWS_SESSION_TOKEN),
        ],
        _ => &[],
    };
    for (name, variable) in from {
        if let (None, Some(text)) = (given(&cache, name), set(variable)) {
            cache.attributes.push(((*name).to_owned(), text));
        }
    }
    cache
}

/// A statement about what was built: its type, and its parameters unless it is not wanted.
pub(super) type Attestation = (String, Option<String>);

/// `type=...[,disabled=...][,key=value...]`
pub(super) fn attestation(text: &str) -> Result<Attestation, String> {
    let mut attributes = pairs(text)?;
    let kind = take(&mut attributes, "type").ok_or("attestation type not specified")?;
    let disabled = match take(&mut attributes, "disabled") {
        Some(text) => value::boolean(&text).ok_or(format!("invalid value disabled={text}"))?,
        None => false,
    };
    let parameters: Vec<String> = attributes.iter().map(|(key, value)| format!("{key}={value}")).collect();
    Ok((kind, (!disabled).then(|| parameters.join(","))))
}

/// `--sbom` and `--provenance`: a switch, or parameters.
pub(super) fn short(kind: &str, text: &str) -> Result<Attestation, String> {
    match value::boolean(text) {
        Some(on) => Ok((kind.to_owned(), on.then(String::new))),
        None => attestation(&format!("type={kind},{text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(pairs: &[(&str, &str)]) -> Pairs {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn outputs() {
        let file = |path: &str| Destination::File(path.into());
        let made = |kind, attributes: &[(&str, &str)]| Some(Output { kind, attributes: list(attributes) });
        for (text, expected) in [
            ("out", made(OutputKind::Directory("out".into()), &[])),
            ("-", made(OutputKind::Tar(Destination::Stdout), &[])),
            ("type=local,dest=out", made(OutputKind::Directory("out".into()), &[])),
            ("type=local,dest=out,mode=copy", made(OutputKind::Directory("out".into()), &[])),
            ("type=tar,dest=x.tar", made(OutputKind::Tar(file("x.tar")), &[])),
            ("type=tar", made(OutputKind::Tar(Destination::Stdout), &[])),
            (
                "type=oci,dest=x,compression=zstd",
                made(OutputKind::Oci(file("x")), &[("compression", "zstd")]),
            ),
            ("type=oci,tar=false,dest=/", made(OutputKind::Layout("/".into()), &[])),
            ("type=docker", made(OutputKind::Image, &[])),
            ("type=docker,dest=-", made(OutputKind::Docker(Destination::Stdout), &[])),
            ("type=image,name=x,push=true", made(OutputKind::Image, &[("name", "x"), ("push", "true")])),
            ("type=registry", made(OutputKind::Image, &[("push", "true")])),
            ("type=cacheonly", None),
        ] {
            assert_eq!(output(text).unwrap(), expected, "{text}");
        }
        for (text, part) in [
            ("type=local", "dest is required for local output"),
            ("type=image,dest=x", "dest is not supported by image output"),
            ("type=x", "unknown output type \"x\""),
            ("dest=x,y", "invalid value y"),
            ("dest=x,y=z", "type is required for output"),
            ("type=tar,dest=/", "destination file / is a directory"),
            ("type=docker,dest=x,tar=false", "tar=false is not supported by docker output"),
            ("type=oci,tar=false", "dest is required for oci output"),
            ("type=local,dest=x,mode=delete", "mode=delete is not supported"),
        ] {
            assert!(output(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn push_and_load() {
        let pushed = Output { attributes: list(&[("push", "true")]), ..Output::image() };
        let dir = output("d").unwrap();
        let of = |given: &[&Option<Output>], push, load| {
            all(given.iter().copied().cloned().collect(), push, load, false, true)
        };
        let elsewhere = |push, load| {
            let all = all(vec![], push, load, true, true).unwrap();
            all.iter()
                .map(|output| (output.is_pushed(), output.kind == OutputKind::Loaded))
                .collect::<Vec<_>>()
        };
        let (sent, loaded) = ((true, false), (false, true));
        assert_eq!(elsewhere(false, false), [loaded]);
        assert_eq!(elsewhere(true, false), [sent]);
        assert_eq!(elsewhere(true, true), [sent, loaded]);
        assert_eq!(of(&[], false, false).unwrap(), [Output::image()]);
        assert_eq!(of(&[], true, true).unwrap(), std::slice::from_ref(&pushed));
        assert_eq!(of(&[&None], false, false).unwrap(), []);
        assert_eq!(of(&[&dir], false, false).unwrap(), [dir.clone().unwrap()]);
        assert_eq!(of(&[&dir], true, false).unwrap(), [dir.unwrap(), pushed]);
        let stdout = output("-").unwrap();
        assert!(of(&[&stdout], false, false).unwrap_err().contains("refusing to write to console"));
        assert!(of(&[&stdout, &stdout], false, false).unwrap_err().contains("only one output"));
    }

    #[test]
    fn caches_and_attestations() {
        let cache = |kind: &str, attributes: &[(&str, &str)]| Cache {
            kind: kind.to_owned(),
            attributes: list(attributes),
        };
        assert_eq!(
            caches("a,b:1").unwrap().0,
            [cache("registry", &[("ref", "a")]), cache("registry", &[("ref", "b:1")])]
        );
        assert_eq!(
            caches("type=registry,ref=a,mode=max").unwrap().0,
            [cache("registry", &[("ref", "a"), ("mode", "max")])]
        );
        assert!(caches("ref=a").unwrap_err().contains("type required for"));
        assert!(caches("type=x,y=z").unwrap_err().contains("unknown cache type"));
        assert_eq!(caches("type=local,src=x").unwrap().0, [cache("local", &[("src", "x")])]);
        assert!(caches("type=local,dest=x,reset=true").unwrap_err().contains("reset is not supported"));
        let second = [
            ("ACTIONS_CACHE_SERVICE_V2", "true"),
            ("ACTIONS_RUNTIME_TOKEN", "t"),
            ("ACTIONS_RESULTS_URL", "r"),
            ("AWS_ACCESS_KEY_ID", "i"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
        ];
        let first =
            [("ACTIONS_RUNTIME_TOKEN", "t"), ("ACTIONS_RESULTS_URL", "r"), ("ACTIONS_CACHE_URL", "c")];
        let with = |all: &[(&str, &str)], text: &str| {
            let variable =
                |name: &str| all.iter().find(|(known, _)| *known == name).map(|(_, v)| (*v).to_owned());
            filled(caches(text).unwrap().0.remove(0), &variable)
        };
        assert_eq!(with(&first, "type=gha"), cache("gha", &[("token", "t"), ("url", "c")]));
        assert_eq!(with(&second, "type=gha"), cache("gha", &[("token", "t"), ("url_v2", "r")]));
        let given = [("version", "1"), ("token", "x")];
        assert_eq!(with(&second, "type=gha,version=1,token=x"), cache("gha", &given));
        assert_eq!(with(&second, "type=s3,access_key_id=x"), cache("s3", &[("access_key_id", "x")]));
        let keys = [("access_key_id", "i"), ("secret_access_key", "s")];
        assert_eq!(with(&second, "type=s3"), cache("s3", &keys));
        assert_eq!(with(&second, "type=inline"), cache("inline", &[]));
        let made =
            |kind: &str, parameters: Option<&str>| Ok((kind.to_owned(), parameters.map(str::to_owned)));
        assert_eq!(attestation("type=sbom,generator=x"), made("sbom", Some("generator=x")));
        assert_eq!(attestation("type=sbom,disabled=true"), made("sbom", None));
        assert_eq!(short("provenance", "mode=max"), made("provenance", Some("mode=max")));
        assert_eq!(short("provenance", "false"), made("provenance", None));
        assert_eq!(short("sbom", "true"), made("sbom", Some("")));
        assert!(attestation("mode=max").is_err());
    }
}
