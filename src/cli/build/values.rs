//! Values of flags of `build`, from text to what the builder takes.

use crate::builder::{Annotation, Network};
use crate::model::reference::Reference;
use std::net::IpAddr;

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
        return Err("host-gateway is not supported: containers have no way to the host".to_owned());
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
