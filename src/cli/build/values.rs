//! Values of flags of `build`, from text to what the builder takes.

use crate::builder::{self, Annotation, Network, Source};
use crate::cli::options::csv;
use crate::config::env;
use crate::model::reference::Reference;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The annotations of one flag: it can name several places.
#[derive(Clone, Debug)]
pub(super) struct Annotations(pub(super) Vec<Annotation>);

/// `[type[platform],...:]key=value`
pub(super) fn annotations(text: &str) -> Result<Annotations, String> {
    const PLACES: [&str; 4] = ["index", "index-descriptor", "manifest", "manifest-descriptor"];
    let (name, value) =
        text.split_once('=').ok_or(format!("invalid annotation {text:?}, expected key=value"))?;
    let annotation = |place: Option<&str>, platform: Option<&str>, key: &str| Annotation {
        place: place.map(str::to_owned),
        platform: platform.map(str::to_owned),
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let Some((places, key)) = name.split_once(':') else {
        return Ok(Annotations(vec![annotation(None, None, name)]));
    };
    let mut all = Vec::new();
    for place in places.split(',') {
        let bad = || {
            format!(
                "invalid annotation type {place:?}, expected type and optional platform in square brackets"
            )
        };
        let (kind, platform) = match place.split_once('[') {
            Some((kind, rest)) => (kind, Some(rest.strip_suffix(']').ok_or_else(bad)?)),
            None => (place, None),
        };
        if !PLACES.contains(&kind) {
            return Err(format!("unknown annotation type {kind:?}"));
        }
        if platform.is_some_and(|p| p.is_empty() || p.contains(['[', ']', ' '])) {
            return Err(bad());
        }
        all.push(annotation(Some(kind), platform, key));
    }
    Ok(Annotations(all))
}

/// `name=source`; the name is that of an image or a stage.
pub(super) fn context(text: &str) -> Result<(String, String), String> {
    let (name, source) =
        text.split_once('=').ok_or(format!("invalid context value: {text}, expected key=value"))?;
    let name = Reference::parse(name).map_err(|error| format!("invalid context name {name}: {error}"))?;
    let name = name.familiar();
    let name = name.strip_suffix(":latest").unwrap_or(&name);
    Ok((name.to_owned(), source.to_owned()))
}

/// `network.host`, `security.insecure`, `device[=...]`; whether it is granted BuildKit decides.
pub(super) fn entitlement(text: &str) -> Result<String, String> {
    match text.split_once('=').map_or(text, |(name, _)| name) {
        "network.host" | "security.insecure" if !text.contains('=') => Ok(text.to_owned()),
        "device" => Ok(text.to_owned()),
        _ => Err(format!("unknown entitlement {text:?}: network.host, security.insecure or device")),
    }
}

/// `name:address` or `name=address`; an address of version 6 may be in brackets.
pub(super) fn host(text: &str) -> Result<(String, IpAddr), String> {
    let (name, address) =
        text.split_once('=').or_else(|| text.split_once(':')).ok_or(format!("invalid host {text}"))?;
    if address == "host-gateway" {
        return Err("host-gateway is not supported: steps of builds have no way to the host".to_owned());
    }
    let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    match address.parse() {
        Ok(address) if !name.is_empty() => Ok((name.to_owned(), address)),
        _ => Err(format!("invalid host {text}")),
    }
}

/// `default`, `none` or `host`.
pub(super) fn network(text: &str) -> Result<Network, String> {
    match text {
        "" | "default" => Ok(Network::Default),
        "none" => Ok(Network::None),
        "host" => Ok(Network::Host),
        _ => Err(format!("network mode {text:?} not supported by buildkit")),
    }
}

/// A value of `--secret`.
#[derive(Clone, Debug, Default)]
pub(super) struct Secret {
    id: String,
    file: Option<String>,
    variable: Option<String>,
}

/// `id=name[,src=file|,env=variable][,type=file|env]`
pub(super) fn secret(text: &str) -> Result<Secret, String> {
    let mut secret = Secret::default();
    let mut is_variable = false;
    for field in csv::fields(text)? {
        let (key, value) =
            field.split_once('=').ok_or(format!("invalid field '{field}' must be a key=value pair"))?;
        match key.to_ascii_lowercase().as_str() {
            "type" => match value {
                "file" => is_variable = false,
                "env" => is_variable = true,
                _ => return Err(format!("unsupported secret type {value:?}")),
            },
            "id" => secret.id = value.to_owned(),
            "source" | "src" => secret.file = Some(value.to_owned()),
            "env" => secret.variable = Some(value.to_owned()),
            key => return Err(format!("unexpected key '{key}' in '{field}'")),
        }
    }
    if is_variable && secret.variable.is_none() {
        secret.variable = secret.file.take();
    }
    match (&secret.file, &secret.variable) {
        _ if secret.id.is_empty() => Err("id is missing".to_owned()),
        (Some(_), Some(_)) => Err("a secret is in a file or in a variable, not in both".to_owned()),
        _ => Ok(secret),
    }
}

impl Secret {
    /// With the value of its variable. Without a place it is a variable of its own name, or else a file.
    pub(super) fn found(self, variable: impl Fn(&str) -> Option<String>) -> Result<builder::Secret, String> {
        let value = |text: String| Source::Value(text.into_bytes());
        let source = match (self.file, self.variable) {
            (Some(file), _) => Source::File(file.into()),
            (None, Some(name)) => {
                let unset = format!("secret {}: the environment variable {name} is not set", self.id);
                value(variable(&name).ok_or(unset)?)
            }
            (None, None) => variable(&self.id).map_or_else(|| Source::File((&self.id).into()), value),
        };
        Ok(builder::Secret { id: self.id, source })
    }
}

/// A value of `--ssh`.
#[derive(Clone, Debug)]
pub(super) struct Agent {
    id: String,
    paths: Vec<String>,
}

/// `name[=socket]` or `name=key[,key...]`
pub(super) fn agent(text: &str) -> Result<Agent, String> {
    let (id, paths) = text.split_once('=').unwrap_or((text, ""));
    let paths = paths.split(',').filter(|path| !path.is_empty()).map(str::to_owned).collect();
    match id {
        "" => Err("id is missing".to_owned()),
        _ => Ok(Agent { id: id.to_owned(), paths }),
    }
}

impl Agent {
    /// With a socket, that of the user's own agent unless another one is meant, or with keys; a shell leaves `~` behind a
    /// `=` as it is.
    pub(super) fn found(self, variable: impl Fn(&str) -> Option<String>) -> Result<builder::Agent, String> {
        let own = || variable(env::SSH_AUTH_SOCK).filter(|path| !path.is_empty());
        let home = variable(env::HOME).unwrap_or_default();
        let path = |path: &String| match path.strip_prefix("~/") {
            Some(rest) if !home.is_empty() => Path::new(&home).join(rest),
            _ => PathBuf::from(path),
        };
        let mut paths: Vec<PathBuf> = self.paths.iter().map(path).collect();
        if paths.is_empty() {
            let unset = || format!("ssh {}: there is no agent: {} is not set", self.id, env::SSH_AUTH_SOCK);
            paths.push(own().ok_or_else(unset)?.into());
        }
        Ok(builder::Agent { id: self.id, paths })
    }
}

/// All platforms of all flags, each once.
pub(super) fn platforms(given: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for platform in given.iter().flat_map(|list| list.split(',')).map(str::trim) {
        if !platform.is_empty() && !all.iter().any(|known| known == platform) {
            all.push(platform.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_annotations() {
        let of = |text: &str| -> Result<Vec<String>, String> {
            let all = annotations(text)?.0;
            Ok(all
                .into_iter()
                .map(|one| {
                    let place = one.place.unwrap_or_default();
                    let platform = one.platform.unwrap_or_default();
                    format!("{place}[{platform}] {}={}", one.key, one.value)
                })
                .collect())
        };
        for (text, expected) in [
            ("k=v", vec!["[] k=v"]),
            ("k=a:b=c", vec!["[] k=a:b=c"]),
            ("index:k=v", vec!["index[] k=v"]),
            ("index,manifest[linux/arm64]:org.x=v", vec!["index[] org.x=v", "manifest[linux/arm64] org.x=v"]),
        ] {
            assert_eq!(of(text).unwrap(), expected, "{text}");
        }
        for (text, part) in [
            ("k", "expected key=value"),
            ("other:k=v", "unknown annotation type \"other\""),
            ("index[x:k=v", "in square brackets"),
            ("index[]:k=v", "in square brackets"),
        ] {
            assert!(of(text).unwrap_err().contains(part), "{text}");
        }
    }

    #[test]
    fn secrets_and_agents() {
        let variable = |name: &str| match name {
            "SET" => Some("v".to_owned()),
            "SSH_AUTH_SOCK" => Some("/own".to_owned()),
            "HOME" => Some("/home/u".to_owned()),
            _ => None,
        };
        let secret = |text: &str| secret(text).and_then(|secret| secret.found(variable));
        let value = Source::Value(b"v".to_vec());
        for (text, expected) in [
            ("id=a,src=/f", Ok(Source::File("/f".into()))),
            ("type=file,id=a,source=/f", Ok(Source::File("/f".into()))),
            ("id=a,env=SET", Ok(value.clone())),
            ("id=a,type=env,src=SET", Ok(value.clone())),
            ("id=SET", Ok(value)),
            ("id=a", Ok(Source::File("a".into()))),
            ("id=a,env=UNSET", Err("secret a: the environment variable UNSET is not set")),
            ("id=a,env=SET,src=/f", Err("a secret is in a file or in a variable, not in both")),
            ("id=a,type=x", Err("unsupported secret type \"x\"")),
            ("id=a,x=y", Err("unexpected key 'x' in 'x=y'")),
        ] {
            let found = secret(text).map(|secret| secret.source);
            assert_eq!(found, expected.map_err(str::to_owned), "{text}");
        }
        let paths = |text: &str| agent(text).unwrap().found(variable).unwrap().paths;
        let list = |all: &[&str]| all.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!((paths("default"), paths("x=/other")), (list(&["/own"]), list(&["/other"])));
        assert_eq!(paths("x=~/.ssh/a,b,~c/d"), list(&["/home/u/.ssh/a", "b", "~c/d"]));
        let none = agent("default").unwrap().found(|_| None).unwrap_err();
        assert_eq!(none, "ssh default: there is no agent: SSH_AUTH_SOCK is not set");
    }

    #[test]
    fn small_ones() {
        let name = |text: &str| context(text).map(|(name, _)| name);
        assert_eq!(name("alpine:latest=x"), Ok("alpine".to_owned()));
        assert_eq!(name("docker.io/library/a:1=x"), Ok("a:1".to_owned()));
        assert!(name("UP=x").unwrap_err().starts_with("invalid context name UP: "));
        let address = |text: &str| host(text).map(|(_, address)| address.to_string());
        assert_eq!(address("a=[::1]"), Ok("::1".to_owned()));
        assert_eq!(address("a:::1"), Ok("::1".to_owned()));
        assert!(address("a:host-gateway").unwrap_err().contains("no way to the host"));
        assert!(address(":1.2.3.4").is_err());
        assert!(entitlement("device=x").is_ok() && entitlement("network.host=x").is_err());
    }
}
