//! Filters of `ps`.

use super::{InvalidFilter, LabelFilter, NameFilter, RawFilters, any};
use crate::model::container::{ContainerSummary, Health, Mount, MountKind, Status};
use crate::model::port::{self, Port, ShownPort};
use crate::model::reference::Reference;

/// Filter of the containers in a list.
#[derive(Clone, Debug, Default)]
pub struct ContainerFilter {
    ids: NameFilter,
    names: NameFilter,
    labels: LabelFilter,
    statuses: Vec<Status>,
    exited: Vec<i32>,
    /// `None`: without checks.
    health: Vec<Option<Health>>,
    volumes: Vec<String>,
    published: Vec<Port>,
    exposed: Vec<Port>,
    /// Networks, by their names.
    pub networks: Vec<String>,
    /// Images, as they were typed.
    pub ancestors: Vec<String>,
    /// A container; only older ones are listed.
    pub before: Option<String>,
    /// A container; only newer ones are listed.
    pub since: Option<String>,
}

const STATUSES: [Status; 7] = [
    Status::Created,
    Status::Restarting,
    Status::Running,
    Status::Removing,
    Status::Paused,
    Status::Exited,
    Status::Dead,
];

impl ContainerFilter {
    /// # Errors
    /// A key that there is not, or a value that it cannot have.
    pub fn parse(filters: RawFilters) -> Result<Self, InvalidFilter> {
        let mut wanted = Self::default();
        for (key, values) in filters {
            for value in values {
                wanted.add(&key, value)?;
            }
        }
        Ok(wanted)
    }

    fn add(&mut self, key: &str, value: String) -> Result<(), InvalidFilter> {
        match key {
            "id" => self.ids.add(value),
            "name" => self.names.add(value),
            "label" => self.labels.add(&value),
            "ancestor" => self.ancestors.push(value),
            "volume" => self.volumes.push(value),
            "network" => self.networks.push(value),
            "publish" => self.published.extend(ports(&value)?),
            "expose" => self.exposed.extend(ports(&value)?),
            "before" => drop(self.before.get_or_insert(value)),
            "since" => drop(self.since.get_or_insert(value)),
            "exited" => {
                self.exited.push(value.parse().map_err(|_| InvalidFilter::value(key, &value))?);
            }
            "status" => {
                let known = STATUSES.into_iter().find(|status| status.as_str() == value);
                self.statuses.push(known.ok_or_else(|| {
                    InvalidFilter(format!(
                        "invalid filter 'status={value}': must be one of 'created', 'restarting', 'running', \
                         'removing', 'paused', 'exited', or 'dead'"
                    ))
                })?);
            }
            "health" => {
                let known = [Health::Starting, Health::Healthy, Health::Unhealthy];
                let known = known.into_iter().find(|health| health.as_str() == value);
                if known.is_none() && value != "none" {
                    return Err(InvalidFilter(format!("unrecognized filter value for health: {value}")));
                }
                self.health.push(known);
            }
            _ => return Err(InvalidFilter::key(key)),
        }
        Ok(())
    }

    /// True when it asks for containers that do not run, too.
    pub fn any_state(&self) -> bool {
        !self.statuses.is_empty() || !self.exited.is_empty() || self.before.is_some() || self.since.is_some()
    }

    /// Is this container let through, but for `before` and `since`? `images` are the ancestors: IDs and complete
    /// references.
    pub fn matches(&self, row: &ContainerSummary, images: &[String]) -> bool {
        let is_exited = row.state.status == Status::Exited;
        let reference = || Reference::parse(&row.image).map(|r| r.to_string()).unwrap_or_default();
        self.ids.matches(row.id.as_str())
            && row.names.iter().any(|n| self.names.matches(n) || self.names.matches(&format!("/{n}")))
            && self.labels.matches(&row.labels)
            && any(&self.statuses, |status| *status == row.state.status)
            && any(&self.exited, |code| is_exited && *code == row.state.exit_code)
            && any(&self.health, |health| *health == row.state.health)
            && any(&self.volumes, |v| row.mounts.iter().any(|m| m.target == *v || source(m) == v))
            && any(&self.networks, |name| row.networks().any(|own| own == name))
            && self.has_port(row)
            && (self.ancestors.is_empty()
                || images.iter().any(|image| *image == row.image_id || *image == reference()))
    }
}

impl ContainerFilter {
    /// One of the wanted ports is enough, published or exposed.
    fn has_port(&self, row: &ContainerSummary) -> bool {
        let published = |shown: &ShownPort| {
            let number = shown.host.map(|(_, number)| number);
            number.is_some_and(|number| self.published.contains(&Port { number, ..shown.port }))
        };
        self.published.is_empty() && self.exposed.is_empty()
            || row.ports.iter().any(|shown| published(shown) || self.exposed.contains(&shown.port))
    }
}

fn ports(value: &str) -> Result<Vec<Port>, InvalidFilter> {
    port::range_of_ports(value).map_err(|error| InvalidFilter(error.to_string()))
}

fn source(mount: &Mount) -> &str {
    match &mount.kind {
        MountKind::Bind { source, .. } => source,
        MountKind::Volume { name, .. } => name,
        MountKind::Image { reference } => reference,
        MountKind::Tmpfs { .. } => "",
    }
}
