//! Filters of `network ls`.

use super::{InvalidFilter, LabelFilter, NameFilter, RawFilters, any, switch};
use crate::model::network::{NetworkSummary, PREDEFINED};

/// Filter of the networks in a list.
#[derive(Clone, Debug, Default)]
pub struct NetworkFilter {
    names: NameFilter,
    ids: NameFilter,
    labels: LabelFilter,
    drivers: Vec<String>,
    scopes: Vec<String>,
    /// True: the user's.
    custom: Vec<bool>,
    dangling: Vec<bool>,
}

impl NetworkFilter {
    /// # Errors
    /// A key that there is not, or a value that it cannot have.
    pub fn parse(filters: RawFilters) -> Result<Self, InvalidFilter> {
        let mut wanted = Self::default();
        for (key, values) in filters {
            for value in values {
                let invalid = || InvalidFilter::value(&key, &value);
                match key.as_str() {
                    "name" => wanted.names.add(value),
                    "id" => wanted.ids.add(value),
                    "label" => wanted.labels.add(&value),
                    "driver" => wanted.drivers.push(value),
                    "scope" => wanted.scopes.push(value),
                    "dangling" => wanted.dangling.push(switch(&value).ok_or_else(invalid)?),
                    "type" => wanted.custom.push(match value.as_str() {
                        "custom" => true,
                        "builtin" => false,
                        _ => return Err(invalid()),
                    }),
                    _ => return Err(InvalidFilter::key(&key)),
                }
            }
        }
        Ok(wanted)
    }

    /// Is this network let through?
    pub fn matches(&self, network: &NetworkSummary) -> bool {
        let custom = !PREDEFINED.contains(&network.name.as_str());
        self.names.matches(&network.name)
            && self.ids.matches(&network.id)
            && self.labels.matches(&network.labels)
            && any(&self.drivers, |driver| *driver == network.driver)
            && any(&self.scopes, |scope| scope == "local")
            && any(&self.custom, |wanted| *wanted == custom)
            && any(&self.dangling, |dangling| *dangling == (custom && network.users == 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key() {
        let network = NetworkSummary {
            id: "abc".into(),
            name: "net".into(),
            driver: "bridge".into(),
            labels: [("a".to_owned(), "b".to_owned())].into(),
            ..NetworkSummary::default()
        };
        let of = |key: &str, value: &str| {
            NetworkFilter::parse([(key.to_owned(), vec![value.to_owned()])].into())
                .map(|f| f.matches(&network))
        };
        for (key, value, there) in [
            ("name", "ne", true),
            ("name", "x", false),
            ("id", "ab", true),
            ("label", "a=b", true),
            ("label", "c", false),
            ("driver", "bridge", true),
            ("driver", "host", false),
            ("scope", "local", true),
            ("scope", "swarm", false),
            ("type", "custom", true),
            ("type", "builtin", false),
            ("dangling", "true", true),
            ("dangling", "0", false),
        ] {
            assert_eq!(of(key, value), Ok(there), "{key}={value}");
        }
        for (key, value) in [("colour", "red"), ("type", "x"), ("dangling", "x")] {
            assert!(of(key, value).is_err(), "{key}={value}");
        }
    }
}
