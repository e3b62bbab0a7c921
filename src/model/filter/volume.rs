//! Filters of `volume ls`.

use super::{InvalidFilter, LabelFilter, NameFilter, RawFilters, any, switch};
use crate::model::volume::VolumeSummary;

/// Filter of the volumes in a list.
#[derive(Clone, Debug, Default)]
pub struct VolumeFilter {
    names: NameFilter,
    labels: LabelFilter,
    drivers: Vec<String>,
    dangling: Vec<bool>,
}

impl VolumeFilter {
    /// # Errors
    /// A key that there is not, or a value that it cannot have.
    pub fn parse(filters: RawFilters) -> Result<Self, InvalidFilter> {
        let mut wanted = Self::default();
        for (key, values) in filters {
            for value in values {
                match key.as_str() {
                    "name" => wanted.names.add(value),
                    "label" => wanted.labels.add(&value),
                    "driver" => wanted.drivers.push(value),
                    "dangling" => {
                        let known = switch(&value);
                        wanted.dangling.push(known.ok_or_else(|| InvalidFilter::value(&key, &value))?);
                    }
                    _ => return Err(InvalidFilter::key(&key)),
                }
            }
        }
        Ok(wanted)
    }

    /// Is this volume let through?
    pub fn matches(&self, row: &VolumeSummary) -> bool {
        self.names.matches(&row.volume.name)
            && self.labels.matches(&row.volume.labels)
            && any(&self.drivers, |driver| driver == "local")
            && any(&self.dangling, |dangling| *dangling == (row.containers == 0))
    }
}
