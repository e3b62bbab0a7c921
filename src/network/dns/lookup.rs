//! Who is called what, for whom: a container knows the names of those that are in a network with it.

use crate::model::directory::{Directory, HOSTS_NAMES, Listed, Place};
use std::net::IpAddr;

/// The container that has an address.
pub(super) fn asker(directory: &Directory, address: IpAddr) -> Option<&Listed> {
    directory.containers.iter().find(|of| of.places.iter().any(|place| place.addresses.contains(&address)))
}

/// Addresses of all that a container knows by a name, in lower case and without a dot at its end; `None`: nobody.
pub(super) fn addresses(directory: &Directory, asker: &Listed, name: &str) -> Option<Vec<IpAddr>> {
    let linked = asker.links.get(name);
    let mut found = Vec::new();
    if HOSTS_NAMES.contains(&name) && !asker.secluded {
        found.extend(directory.host);
    }
    for of in directory.containers.iter().filter(|of| of.up) {
        for place in known(asker, of) {
            let called = match linked {
                Some(id) => of.id == *id,
                None => is_called(place, name),
            };
            if called {
                found.extend(place.addresses.iter().copied());
            }
        }
    }
    (!found.is_empty()).then_some(found)
}

/// The name of the one that has an address, with that of the network; `None`: nobody that the asker knows.
pub(super) fn name(directory: &Directory, asker: &Listed, address: IpAddr) -> Option<String> {
    let mut places = directory.containers.iter().filter(|of| of.up).flat_map(|of| known(asker, of));
    let place = places.find(|place| place.addresses.contains(&address))?;
    Some(format!("{}.{}", place.names.first()?, place.network))
}

/// The places of a container in networks that the asker is in.
fn known<'a>(asker: &'a Listed, of: &'a Listed) -> impl Iterator<Item = &'a Place> {
    of.places.iter().filter(|place| asker.places.iter().any(|own| own.network == place.network))
}

/// Also `NAME.NETWORK` is a name.
fn is_called(place: &Place, name: &str) -> bool {
    let short = name.strip_suffix(&place.network.to_lowercase()).and_then(|rest| rest.strip_suffix('.'));
    place.names.iter().any(|known| known == name || Some(known.as_str()) == short)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, places: &[(&str, &str, &[&str])]) -> Listed {
        let place = |(network, address, names): &(&str, &str, &[&str])| Place {
            network: (*network).to_owned(),
            addresses: vec![address.parse().unwrap()],
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        };
        Listed { id: id.into(), up: true, places: places.iter().map(place).collect(), ..Listed::default() }
    }

    #[test]
    fn who_is_called_what_for_whom() {
        let mut web = listed("w", &[("Front", "10.1.0.2", &["web", "w0"])]);
        web.links.insert("database".into(), "d".into());
        let directory = Directory {
            containers: vec![
                web,
                listed(
                    "x",
                    &[("Front", "10.1.0.3", &["web-2", "web"]), ("back", "10.2.0.3", &["web-2", "api"])],
                ),
                listed("d", &[("back", "10.2.0.2", &["db"])]),
            ],
            ..Directory::default()
        };
        let of = |from: &str, name: &str| -> Vec<String> {
            let asker = asker(&directory, from.parse().unwrap()).unwrap();
            let found = addresses(&directory, asker, name).unwrap_or_default();
            found.into_iter().map(|address| address.to_string()).collect()
        };
        assert_eq!(of("10.1.0.2", "web"), ["10.1.0.2", "10.1.0.3"]);
        assert_eq!(of("10.1.0.2", "web-2.front"), ["10.1.0.3"]);
        assert_eq!(of("10.1.0.2", "web.back"), [""; 0]);
        assert_eq!(of("10.1.0.2", "db"), [""; 0]);
        // A link is of use where there is a network with both in it.
        assert_eq!(of("10.1.0.2", "database"), [""; 0]);
        assert_eq!(of("10.1.0.3", "db"), ["10.2.0.2"]);
        assert_eq!(of("10.2.0.3", "web"), ["10.1.0.2", "10.1.0.3"]);
        assert_eq!(of("10.2.0.2", "api"), ["10.2.0.3"]);
        assert_eq!(of("10.2.0.2", "web"), [""; 0]);
        let mut waiting = directory.clone();
        waiting.containers[2].up = false;
        let db = asker(&waiting, "10.2.0.2".parse().unwrap()).unwrap();
        assert!(addresses(&waiting, db, "api").is_some() && addresses(&waiting, db, "db").is_none());
        assert_eq!(name(&waiting, db, "10.2.0.2".parse().unwrap()), None);
        let open = Directory { host: Some("10.0.2.2".parse().unwrap()), ..directory.clone() };
        let front = asker(&open, "10.1.0.2".parse().unwrap()).unwrap();
        assert_eq!(addresses(&open, front, "host.docker.internal"), Some(vec!["10.0.2.2".parse().unwrap()]));
        assert_eq!(addresses(&directory, front, "host.docker.internal"), None);
        let secluded = Listed { secluded: true, ..front.clone() };
        assert_eq!(addresses(&open, &secluded, "host.k3c.internal"), None);
        assert!(asker(&directory, "10.9.9.9".parse().unwrap()).is_none());
        let named = |from: &str, address: &str| {
            name(&directory, asker(&directory, from.parse().unwrap()).unwrap(), address.parse().unwrap())
        };
        assert_eq!(named("10.1.0.3", "10.2.0.2").as_deref(), Some("db.back"));
        assert_eq!(named("10.1.0.2", "10.2.0.2"), None);
    }
}
